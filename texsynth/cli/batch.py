"""texsynth batch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from texsynth.cli import options
from texsynth.cli.run import (
    Plan,
    Target,
    Work,
    carry_out,
    foresight,
    look_settings,
    machine_line,
    run_settings,
)
from texsynth.cli.show import Screen
from texsynth.errors import UsageError

if TYPE_CHECKING:
    from texsynth.config.settings import RunSettings, StylizeSettings
    from texsynth.jobs.inputs import StyledJob
    from texsynth.jobs.workers import ExecutorName

Files = options.FILES


def batch(
    manifest: Annotated[
        Path,
        typer.Argument(
            metavar="MANIFEST", help="A .yaml file with `jobs:`, or .jsonl or .csv with a row per picture."
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FOLDER",
            help="Folder of the results. Default: `output:` of a .yaml manifest.",
            rich_help_panel=Files,
        ),
    ] = None,
    resume: options.Resume = False,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Only the I-th of N parts, from 1, to spread over processes or machines.",
            rich_help_panel=Files,
        ),
    ] = None,
    executor: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="serial, processes (several on this machine) or ray (a cluster, or this machine).",
            rich_help_panel=options.MACHINE,
        ),
    ] = "serial",
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Of processes and ray. Default: one for each CPU core, or GPU of a Ray cluster.",
            rich_help_panel=options.MACHINE,
        ),
    ] = None,
    model: options.Model = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    compiled: options.Compile = False,
    threads: options.Threads = None,
    seed: options.Seed = None,
    max_side: options.MaxSide = None,
    max_pixels: options.MaxPixels = None,
    frame: options.Frame = None,
    bit_depth: options.BitDepth = None,
    quality: options.Quality = None,
    memory_limit: options.MemoryLimit = None,
    report: options.Report = None,
    force: options.Force = False,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.Json = False,
) -> None:
    """Give many pictures many styles, as a manifest says; a killed run goes on with --resume.

    texsynth batch jobs.yaml --resume
    """
    from texsynth.jobs.checks import check_outputs
    from texsynth.jobs.inputs import Input
    from texsynth.jobs.manifest import grouped, read_manifest

    number, count = _parsed_shard(shard)
    run = run_settings(
        model=model, device=device, dtype=dtype, compiled=compiled or None, threads=threads, seed=seed,
        max_pixels=max_pixels,
        frame=frame, max_side=max_side, bit_depth=bit_depth, quality=quality, memory_limit=memory_limit,
    )  # fmt: skip
    screen = Screen(quiet, verbose, as_json, totals=True)
    jobs = read_manifest(manifest, output, _look)
    # Shards must not get in each other's way, so the whole manifest is checked.
    inputs = [Input(manifest, ""), *(item for job in jobs for item in (job.picture, job.style))]
    check_outputs(jobs, inputs, force=True, cure="change `name:` or `output` in the manifest")
    chosen = grouped(jobs[number - 1 :: count])
    if not chosen:
        screen.note(f"shard {shard} is empty, {manifest} has {len(jobs)} jobs")
        return
    target = Target(output, force=force, resume=resume, report=report)
    plan = _plan(chosen, run, target, screen, _executor(executor, workers), workers)
    raise typer.Exit(carry_out(plan, target, run, screen, dry_run=dry_run))


def _plan(
    jobs: Sequence[StyledJob],
    run: RunSettings,
    target: Target,
    screen: Screen,
    executor: ExecutorName,
    workers: int | None,
) -> Plan[StyledJob]:
    from texsynth.jobs.checks import check_styled

    def begin() -> Work[StyledJob]:
        if executor != "serial":
            return _pool(executor, workers, run, target)
        from texsynth.jobs.runner import Serial
        from texsynth.jobs.stylize import Styler

        styler = Styler(run, screen.note)
        stages = styler.stages(force=target.force, resume=target.resume)
        return Work(Serial(stages), machine_line(styler.model.name, styler.run))

    inputs = [item for job in jobs for item in (job.picture, job.style)]
    return Plan(
        jobs,
        inputs,
        lambda: check_styled(jobs, run),
        begin,
        foresee=lambda: foresight(run, lambda job: job.settings),
    )


def _pool(executor: ExecutorName, workers: int | None, run: RunSettings, target: Target) -> Work[StyledJob]:
    from texsynth.jobs.workers import Crew, Pool, StyledOrder, cores, shared_out

    def crew() -> Crew[StyledJob]:
        # A worker may be lost between writing a file and saying so: the next one shall find it done.
        order = StyledOrder(own, target.force, resume=target.resume or not target.force)
        if executor == "processes":
            from texsynth.jobs.workers import Processes

            return Processes(order)
        from texsynth.jobs.workers import RayActors

        return RayActors(order, own.threads or 1)

    if executor == "processes":
        count = workers or cores()
        own = shared_out(run, count)
    else:
        from texsynth.jobs.workers import capacity

        own = run.model_copy(update={"threads": run.threads or 1})
        count = workers or capacity(own.threads or 1)
    return Work(Pool(crew, count), f"{count} workers, {own.threads} threads each")


def _look(preset: str | None, changes: Mapping[Any, object]) -> StylizeSettings:
    from texsynth.config.settings import StylizeSettings

    return look_settings(StylizeSettings, preset, (), changes)


def _executor(name: str, workers: int | None) -> ExecutorName:
    from typing import cast

    from texsynth.config.validation import nearest
    from texsynth.jobs.workers import EXECUTORS

    if name not in EXECUTORS:
        raise UsageError(f"unknown executor {name!r}{nearest(name, EXECUTORS)}")
    if workers is not None and name == "serial":
        raise UsageError("--workers needs --executor processes or ray")
    return cast("ExecutorName", name)


def _parsed_shard(text: str | None) -> tuple[int, int]:
    if text is None:
        return 1, 1
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    number, count = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= number <= count:
        raise UsageError(f"--shard is {text!r} but must be I/N with I from 1 to N, like 2/8")
    return number, count
