"""texsynth batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from texsynth.cli import options
from texsynth.cli.run import look_settings, make_screen, run_operation, run_settings, shard_of

if TYPE_CHECKING:
    from texsynth.jobs.inputs import Job
    from texsynth.jobs.mixed import Mixed


@options.grouped
def batch(
    manifest: Annotated[
        Path,
        typer.Argument(
            metavar="MANIFEST", help="A .yaml file with `jobs:`, or .jsonl or .csv with a row per picture."
        ),
    ],
    *,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FOLDER",
            help="Folder of the results. Default: `output:` of a .yaml manifest.",
            rich_help_panel=options.FILES,
        ),
    ] = None,
    machine: options.StylizeNetworkOptions,
    workers: options.ExecutorOptions,
    files: options.ManifestOptions,
    screen: options.ScreenOptions,
) -> None:
    """Do the jobs of a manifest, of one command or several; a killed run goes on with --resume.

    texsynth batch jobs.yaml --resume
    """
    from texsynth.jobs.checks import check_outputs
    from texsynth.jobs.expand_inputs import check_mixed
    from texsynth.jobs.inputs import Input, grouped
    from texsynth.jobs.manifest import read_manifest

    run = run_settings(machine, files)
    show = make_screen(screen, totals=True)
    jobs = read_manifest(manifest, output, _resolve)
    # Shards must not get in each other's way, so the whole manifest is checked.
    check_outputs(jobs, [Input(manifest, "")], force=True, cure="change `name:` or `output` in the manifest")
    chosen = grouped(shard_of(jobs, workers.shard))
    if not chosen:
        show.note(f"shard {workers.shard} is empty, {manifest} has {len(jobs)} jobs")
        return
    all_of_them = options.ExecutorOptions(workers.executor, workers.workers)

    def operation(jobs: Sequence[Job]) -> Mixed:
        from texsynth.jobs.mixed import Mixed

        return Mixed(run, jobs)

    check, out = partial(check_mixed, run=run), files.as_output()
    raise typer.Exit(run_operation(chosen, check, operation, run, out, show, executor=all_of_them))


def _resolve(kind: Any, preset: str | None, changes: Mapping[Any, object]) -> Any:  # noqa: ANN401 (any settings)
    return look_settings(kind, options.LookOptions(preset), changes)
