"""The steps that image commands share, from checked options to finished files."""

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import typer

from texsynth.cli.options import (
    ExecutorOptions,
    LookOptions,
    OutputOptions,
    RunOptions,
    StylizeLookOptions,
)
from texsynth.cli.show import ARGUMENTS, Screen
from texsynth.config.preset_places import hidden_by, is_built_in
from texsynth.config.presets import Preset, Tree, check_usable, load, resolve, section_of
from texsynth.config.settings import EXECUTORS, RunSettings, Settings
from texsynth.config.validation import nearest, validate
from texsynth.errors import InputError, UsageError
from texsynth.images import OUTPUT_SUFFIXES, Picture, ResultFormat, remove_leftovers
from texsynth.interrupts import Interrupts, leave
from texsynth.jobs.checks import check_depth, check_outputs
from texsynth.jobs.executors import worker_executor
from texsynth.jobs.files import OutputFile, OutputPolicy, write_files
from texsynth.jobs.inputs import PIPE, Input, Job
from texsynth.jobs.operation import Operation
from texsynth.jobs.outcomes import Events, Failed, Outcome, Report, collect, planned
from texsynth.jobs.own_results import split_own_results
from texsynth.jobs.runner import SerialExecutor
from texsynth.jobs.workers import PooledExecutor
from texsynth.models.hub.catalog import SUFFIX, known_names, locate

J = TypeVar("J", bound="Job")
S = TypeVar("S", bound="Settings")


@dataclass(frozen=True)
class Setup:
    """All that a command has settled before it plans its jobs."""

    options: RunOptions
    run: RunSettings
    screen: Screen
    result_format: ResultFormat  # Of results whose name is not given
    left_out: Counter[str] = field(default_factory=Counter)
    """How many files of the inputs are no jobs, by the reason."""


@dataclass(frozen=True)
class Sheet:
    """A picture of all results, which is written after the last job, also an interrupted one."""

    path: Path
    draw: Callable[[Report], Picture]


def run_operation(
    jobs: Sequence[J],
    check: Callable[[Sequence[J]], tuple[Sequence[J], Sequence[Failed]]],
    operation: Callable[[Sequence[J]], Operation[J]],
    setup: Setup,
    *,
    failed: Sequence[Failed] = (),
    sheet: Sheet | None = None,
) -> NoReturn:
    """Check everything, then load the model, do the jobs, at least one, and leave with the exit code.

    check: looks at the inputs without torch and tells the jobs that can be done from the others. operation:
    makes the operation for those; the module that it imports for that needs torch, which takes seconds to
    load. failed: jobs that are known to be bad.
    """
    options, run, screen = setup.options, setup.run, setup.screen
    if options.no_record and options.resume:
        raise UsageError("--resume looks at the settings that --no-record leaves out; use one of them")
    policy = OutputPolicy(
        options.force, options.resume, setup.result_format.asked or ".png", run.quality, run.strip,
        "none" if options.no_record else "beside" if options.sidecar else "inside",
    )  # fmt: skip
    also = [sheet.path] if sheet else []
    if page := options.report:
        from texsynth.jobs.report import check_report, write_report

        check_report(page, jobs, force=options.force, resume=options.resume)
        also.append(page)
    check_outputs(jobs, force=options.force or options.resume, also=also, policy=policy)
    check_depth(jobs, run, policy.suffix)
    _check_together(jobs, setup, sheet)
    jobs = shard_of(jobs, options.shard)
    if not jobs:
        screen.note(f"shard {options.shard} is empty")
        raise typer.Exit
    good, bad = check(jobs)
    failed = [*failed, *bad]
    if options.dry_run:
        plans: Iterable[Outcome] = ()
        if good:
            planner = operation(good)
            planner.load_networks()
            plans = planned(good, planner.estimate)
        report = collect(plans, len(good), failed=failed, on_outcome=screen.outcome)
        screen.outlook(report)
        raise typer.Exit(report.exit_code)
    report = do_jobs(operation, good, screen, screen.outcome, policy=policy, failed=failed, executor=options)
    if sheet and report.done:
        write_sheet(sheet.draw(report), sheet.path, force=options.force)
        screen.written(str(sheet.path), preview=str(sheet.path))
    screen.summary(report, setup.left_out)
    if page:
        with screen.progress(len(report.outcomes)) as bar:
            bar.picture(page.name)
            write_report(
                report, page, arguments=ARGUMENTS.get(), run=run, force=options.force or options.resume,
                on_item=bar.advance,
            )  # fmt: skip
        screen.note(f"report: {page}")
    raise typer.Exit(report.exit_code)


def do_jobs(
    make_operation: Callable[[Sequence[J]], Operation[J]],
    jobs: Sequence[J],
    screen: Screen,
    on_outcome: Callable[[Outcome], None],
    *,
    policy: OutputPolicy | None = None,
    failed: Sequence[Failed] = (),
    executor: ExecutorOptions | None = None,
) -> Report:
    """Prepare the operation and do its jobs with a bar. Ctrl-C ends it, as the report says."""
    if not jobs:
        return collect((), 0, failed=failed, on_outcome=on_outcome)
    policy = policy or OutputPolicy()
    executor = executor or ExecutorOptions()
    for folder in {path.parent for job in jobs for path in job.outputs if path != PIPE}:
        remove_leftovers(folder)
    name, begun = _executor_name(executor), set[int]()
    with screen.progress(len(jobs), steps=name == "serial") as bar:
        operation = make_operation(jobs)
        runs_jobs: SerialExecutor[J] | PooledExecutor[J]
        if name == "serial":
            operation.prepare(screen.note)
            runs_jobs, detail = SerialExecutor(operation, policy), operation.detail
        else:
            runs_jobs, detail = worker_executor(name, operation, policy, executor.workers)
        screen.detail(detail)

        def started(job: Job) -> None:
            begun.add(id(job))
            bar.picture(str(job.picture) if job.to_pipe or not job.outputs else job.output.name)

        def ended(outcome: Outcome) -> None:
            bar.advance(worked=id(outcome.job) in begun)
            on_outcome(outcome)

        with Interrupts(leave) as interrupts:
            events = Events(started, bar.step, screen.note, interrupts.allowed, interrupts.check)
            # Closed, so that nothing waits for a turn that never comes when results cannot be shown.
            with closing(runs_jobs.outcomes(jobs, events)) as outcomes:
                return collect(outcomes, len(jobs), failed=failed, on_outcome=ended)


def make_setup(
    options: RunOptions, output: str | None = None, look: LookOptions | None = None, *, totals: bool = False
) -> Setup:
    """Return the settings and the screen that the options ask for. Raises UsageError, ModelError.

    look: whose preset may have settings of a run, too, below the options.
    """
    screen, saved = options.screen(output, totals=totals), Tree()
    if preset := look and look_preset(look):
        saved = preset.sections.get("run", {})
        file = preset.files[0]
        if not is_built_in(file.path):
            instead = ", instead of the built-in one" if hidden_by(file.path) else ""
            screen.detail(f"preset {preset.name}: {file.path}{instead}")
    run = run_settings(options, saved={key: value for key, value in saved.items() if key != "format"})
    return Setup(options, run, screen, output_format(options, run, saved.get("format")))


def output_format(out: OutputOptions, run: RunSettings, saved: str | None = None) -> ResultFormat:
    """Return the format of results, with `--format` as a file name ends, where it is given.

    saved: what a preset says. Raises UsageError when it cannot be written.
    """
    text = saved if out.suffix is None else out.suffix
    if text is None:
        return ResultFormat(bit_depth=run.bit_depth)
    name = text.lower().lstrip(".")
    if f".{name}" not in OUTPUT_SUFFIXES:
        where = "run.format" if out.suffix is None else "--format"
        raise UsageError(f"{where} is {name!r} but must be png, jpg, webp, avif, tif, exr or tga")
    return ResultFormat(f".{name}", run.bit_depth)


def shard_of(jobs: Sequence[J], text: str | None) -> Sequence[J]:
    """Return the jobs of the shard `I/N`, all of them when None. Raises UsageError."""
    if text is None:
        return jobs
    parts = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    number, count = (int(parts[1]), int(parts[2])) if parts else (0, 0)
    if not 1 <= number <= count:
        raise UsageError(f"--shard is {text!r} but must be I/N with I from 1 to N, like 2/8")
    if jobs and jobs[0].block is not None:
        # Frames of a take stay together, since neighbours share work.
        return jobs[len(jobs) * (number - 1) // count : len(jobs) * number // count]
    return jobs[number - 1 :: count]


def stylize_changes(look: StylizeLookOptions, **more: object) -> dict[str, object]:
    """Return the settings that options of a stylization change."""
    mode = None if look.photo is None else ("photo" if look.photo else "artistic")
    transform = None if look.transform is None else {"name": look.transform}
    flags = {"mode": mode, "transform": transform, "strength": look.strength}
    return given({**flags, "preserve_color": look.preserve_color, **more})


def look_preset(look: LookOptions) -> Preset | None:
    """Return the preset that is asked for, if one is. Raises UsageError."""
    # --photo alone is the preset of that name: what paints would tear a photograph's contours.
    name = "photo" if look.preset is None and getattr(look, "photo", None) else look.preset
    return None if name is None else load(name)


def look_settings(
    kind: type[S],
    look: LookOptions,
    flags: Mapping[Any, object],
    sets: Sequence[str] = (),
    *,
    beside: Sequence[str] = (),
) -> S:
    """Return the settings of a command: defaults < preset < --set < flags. Raises UsageError.

    beside: further sections that the command takes; `run` and `blend` are refused where they would be lost.
    """
    loaded = look_preset(look)
    if loaded:
        check_usable(loaded, section_of(kind), beside)
    return resolve(kind, loaded, [*(look.assignments or ()), *sets], flags)


def run_settings(*groups: object, saved: Tree | None = None, **values: object) -> RunSettings:
    """Return what a run needs besides the look, from groups of options and `values`. Raises UsageError.

    saved: what a preset says; it counts where an option of that name is not given.
    """
    for group in groups:
        values |= vars(group)
    known = {name: value for name, value in values.items() if name in RunSettings.model_fields}
    saved = Tree({key: value for key, value in (saved or {}).items() if key in values or key == "tile"})
    # A flag that is off is one that was not given: none of these has an opposite.
    flags = {key: value for key, value in given(known).items() if value is not False or key not in saved}
    run = validate(RunSettings, saved | flags, "")
    check_model(run.model)
    return run


def check_model(name: str) -> None:
    """Raise UsageError for a name that is no known model or weight file, ModelError for one to be fetched."""
    if name not in known_names() and not name.endswith(SUFFIX):
        raise UsageError(f"unknown model {name!r}{nearest(name, known_names())}, or give a {SUFFIX} file")
    locate(name)


def without_results(inputs: Sequence[Input], command: str, setup: Setup) -> list[Input]:
    """Return the inputs without what an earlier run of `command` made of others of them; say and count it."""
    kept, own = split_own_results(inputs, command)
    if own:
        setup.left_out["own results"] += len(own)
        several = f" and {len(own) - 1} more" if own[1:] else ""
        setup.screen.note(
            f"{own[0]}{several} came from other inputs in an earlier run, and {'are' if several else 'is'} "
            f"left out; to take such a result, name it without its source"
        )
    return kept


def piped(arguments: Sequence[str | None]) -> bytes | None:
    """Return standard input when one argument is `-`. UsageError for two, InputError when it is empty."""
    if arguments.count("-") > 1:
        raise UsageError("standard input (-) can be used for one picture only")
    if "-" not in arguments:
        return None
    if sys.stdin.isatty():
        raise UsageError("standard input is a terminal; pipe a picture into it")
    data = sys.stdin.buffer.read()
    if not data:
        raise InputError("standard input is empty; pipe a picture into it")
    return data


def given(values: Mapping[str, object]) -> dict[str, object]:
    """Return the `values` that are not None."""
    return {key: value for key, value in values.items() if value is not None}


def write_sheet(picture: Picture, path: Path, *, force: bool) -> None:
    """Write a picture of all results. Raises OutputExistsError, OutputError."""
    write_files([OutputFile(picture, path, "")], OutputPolicy(force))


def _executor_name(options: ExecutorOptions) -> Any:  # noqa: ANN401 (a literal)
    if options.executor not in EXECUTORS:
        raise UsageError(f"unknown executor {options.executor!r}{nearest(options.executor, EXECUTORS)}")
    if options.workers is not None and options.executor == "serial":
        raise UsageError("--workers needs --executor processes or ray")
    return options.executor


def _check_together(jobs: Sequence[Job], setup: Setup, sheet: Sheet | None) -> None:
    """Raise UsageError for options that contradict each other, or a standard output that takes no picture."""
    options, to_pipe = setup.options, jobs[0].to_pipe
    what = f"the sheet {sheet.path}, which shows all results" if sheet else "standard output"
    sentence = ""
    if options.resume and (sheet or to_pipe):
        sentence = f"--resume skips results, so it cannot make {what}"
    elif options.shard and sheet:
        sentence = f"--shard makes a part of the results, so it cannot make {what}"
    elif _executor_name(options) != "serial" and to_pipe:
        sentence = "workers write files, so --executor does not go with -o -"
    elif options.no_record and options.sidecar:
        sentence = "--sidecar keeps the settings that --no-record leaves out"
    elif options.sidecar and to_pipe:
        sentence = "--sidecar writes a file beside each result, and nothing is beside standard output"
    if sentence:
        raise UsageError(f"{sentence}; leave one of them out")
    if to_pipe and setup.screen.as_json:
        raise UsageError("--json and -o - cannot share standard output")
    if to_pipe and sys.stdout.isatty():
        raise UsageError("standard output is a terminal; redirect it or give -o FILE")
