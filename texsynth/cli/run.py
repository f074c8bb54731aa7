"""From planned jobs to finished files: what the image commands have in common."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypedDict, TypeVar

from texsynth.cli.show import Screen
from texsynth.errors import InputError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from texsynth.cli.options import ReportFile
    from texsynth.config.settings import RunSettings, Settings, StylizeSettings
    from texsynth.jobs.inputs import Input, Job
    from texsynth.jobs.memory import Prospect
    from texsynth.jobs.outcomes import Executor, Failed, Outcome, Report


J = TypeVar("J", bound="Job")


@dataclass(frozen=True)
class Work(Generic[J]):
    """What is ready to do jobs: networks are loaded, devices chosen."""

    executor: Executor[J]
    detail: str
    """A line for --verbose."""
    notes: Sequence[str] = ()
    finish: Callable[[], Sequence[Path]] = tuple
    """Called after the last job, also an interrupted one. Returns further files that were written."""


@dataclass(frozen=True)
class Plan(Generic[J]):
    """Jobs, at least one, and how they are checked and done."""

    jobs: Sequence[J]
    inputs: Sequence[Input]
    """All files that are read."""
    check: Callable[[], tuple[Sequence[J], Sequence[Failed]]]
    """Look at the inputs: the jobs that can be done, and those that cannot. Raises what stops all."""
    begin: Callable[[], Work[J]]
    """Load what the work needs, torch with it."""
    also: Sequence[Path] = ()
    """Files that are written besides those of the jobs."""
    foresee: Callable[[], Callable[[J], Prospect]] | None = None
    """Load what a forecast of memory needs."""


class Rules(TypedDict):
    """What becomes of results that are there, and the format of those for standard output."""

    force: bool
    resume: bool
    suffix: str


@dataclass(frozen=True)
class Target:
    """Where results go and whether they may replace others."""

    output: str | None
    suffix: str = "png"
    """Format of results whose name is not given."""
    force: bool = False
    resume: bool = False
    """Whether results may be there already; the work on a job decides what becomes of them."""
    report: ReportFile | None = None
    """The page to show the run on."""

    @property
    def rules(self) -> Rules:
        """Arguments of `written_once`."""
        return {"force": self.force, "resume": self.resume, "suffix": f".{self.suffix}"}


def carry_out(
    plan: Plan[J], target: Target, run: RunSettings, screen: Screen, *, dry_run: bool = False
) -> int:
    """Check everything, then load the model and do the jobs. Returns the exit code."""
    from texsynth.jobs.checks import check_depth, check_outputs
    from texsynth.jobs.outcomes import Watch, planned
    from texsynth.jobs.outcomes import run as run_jobs
    from texsynth.jobs.runner import Interrupts

    also = [*plan.also, *_checked_report(plan.jobs, target)]
    check_outputs(plan.jobs, plan.inputs, force=target.force or target.resume, also=also)
    check_depth(plan.jobs, run, f".{target.suffix}")
    if target.resume and (plan.also or plan.jobs[0].to_pipe):
        what = f"the sheet {plan.also[0]}, which shows all results" if plan.also else "standard output"
        raise UsageError(f"--resume skips results, so it cannot make {what}; leave one of them out")
    if plan.jobs[0].to_pipe:
        _check_standard_output(screen)
    good, failed = plan.check()
    if dry_run:
        outlook = plan.foresee() if plan.foresee and good else None
        report = run_jobs(planned(good, outlook), len(good), failed=failed, on_outcome=screen.planned)
        screen.outlook(report)
        return report.exit_code
    if good:
        with screen.progress(len(good)) as bar:
            work = plan.begin()
            for note in work.notes:
                screen.note(note)
            screen.detail(work.detail)

            def started(job: J) -> None:
                bar.picture(str(job.picture) if job.to_pipe else job.output.name)

            def ended(outcome: Outcome) -> None:
                bar.advance()
                screen.outcome(outcome)

            with Interrupts() as interrupts:
                watch = Watch(started, bar.step, screen.note, interrupts.welcome)
                # Closed, so that nothing waits for a turn that never comes when results cannot be shown.
                with closing(work.executor.outcomes(good, watch)) as outcomes:
                    report = run_jobs(outcomes, len(good), failed=failed, on_outcome=ended)
            if report.done:
                for path in work.finish():
                    screen.result(str(path), preview=str(path))
    else:
        report = run_jobs((), 0, failed=failed, on_outcome=screen.outcome)
    screen.summary(report)
    _write_report(report, target, run, screen)
    return report.exit_code


def _checked_report(jobs: Sequence[Job], target: Target) -> list[Path]:
    """The page that is asked for, if any, once it is known that it may be written."""
    if target.report is None:
        return []
    from texsynth.jobs.report import check_report

    check_report(target.report.path, jobs, force=target.force, resume=target.resume)
    return [target.report.path]


def _write_report(report: Report, target: Target, run: RunSettings, screen: Screen) -> None:
    if target.report is None:
        return
    from texsynth.jobs.report import write_report

    page = target.report
    force = target.force or target.resume
    with screen.progress(len(report.outcomes)) as bar:
        bar.picture(page.path.name)
        write_report(report, page.path, arguments=page.arguments, run=run, force=force, on_item=bar.advance)
    screen.note(f"report: {page.path}")


def foresight(
    run: RunSettings, settings: Callable[[J], StylizeSettings], masks: int = 0
) -> Callable[[J], Prospect]:
    """A forecast of the memory for any stylized job. masks: number of parts that have one."""
    from texsynth.jobs.operation import equipped
    from texsynth.jobs.stylize import foreseen

    run, model = equipped(run)
    return lambda job: foreseen(job, model, settings(job), run, masks)


def check_model(name: str) -> None:
    """UsageError for a name that is neither known nor a weight file; ModelError for one to be fetched."""
    from texsynth.config.validation import nearest
    from texsynth.models.hub.catalog import SUFFIX, known_names, locate

    if name not in known_names() and not name.endswith(SUFFIX):
        raise UsageError(f"unknown model {name!r}{nearest(name, known_names())}, or give a {SUFFIX} file")
    locate(name)


def check_suffix(suffix: str) -> str:
    """`--format` as a file name ends, like `.png`; UsageError when it cannot be written."""
    from texsynth.images import OUTPUT_SUFFIXES

    if f".{suffix}" not in OUTPUT_SUFFIXES:
        raise UsageError(f"--format is {suffix!r} but must be png, jpg, webp or tif")
    return f".{suffix}"


def piped(arguments: Sequence[str | None]) -> bytes | None:
    """Standard input when one of the `arguments` is `-`. UsageError for two, InputError when it is empty."""
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


def machine_line(model: str, run: RunSettings) -> str:
    """What computes, for --verbose."""
    return f"model {model} on {run.device} in {run.dtype}"


def other_weights(made_with: str | None, found: str | None, name: str) -> list[str]:
    """What a replay says about weights that are not those of the record. made_with: None when all is fine."""
    if made_with in (None, found):
        return []
    return [f"the result was made with other weights of {name}; expect a different picture"]


def _check_standard_output(screen: Screen) -> None:
    if screen.as_json:
        raise UsageError("--json and -o - cannot share standard output")
    if sys.stdout.isatty():
        raise UsageError("standard output is a terminal; redirect it or give -o FILE")


S = TypeVar("S", bound="Settings")


def look_settings(kind: type[S], preset: str | None, sets: Sequence[str], flags: Mapping[str, object]) -> S:
    """Settings of a command: defaults < preset < --set < flags. Raises UsageError."""
    from texsynth.config.presets import SECTIONS, load, resolve

    loaded = load(preset) if preset else None
    section = next(name for name, other in SECTIONS.items() if other is kind)
    if loaded and section not in loaded.sections:
        raise UsageError(
            f"preset {preset!r} has no settings for {section}; use one of {', '.join(_with(section))}"
        )
    return resolve(kind, loaded, sets, flags)


def run_settings(**flags: object) -> RunSettings:
    """What a run needs besides the look, from the flags that are not None. Raises UsageError."""
    from texsynth.config.settings import RunSettings
    from texsynth.config.validation import validated

    run = validated(RunSettings, given(flags), "")
    check_model(run.model)
    return run


def given(values: Mapping[str, object]) -> dict[str, object]:
    """`values` that are not None."""
    return {key: value for key, value in values.items() if value is not None}


def _with(section: str) -> list[str]:
    from texsynth.config.presets import load, names

    return [name for name in names() if section in load(name).sections]
