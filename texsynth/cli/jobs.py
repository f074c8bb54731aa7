"""From checked arguments to finished files: what the image commands have in common."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from texsynth.cli.show import Screen
from texsynth.errors import InputError, UsageError

if TYPE_CHECKING:
    from texsynth.batch.plan import Input, Job
    from texsynth.batch.run import Failed, Report, Written
    from texsynth.settings import RunSettings, StylizeSettings


@dataclass(frozen=True)
class Request:
    """What is to be read and written."""

    pictures: Sequence[str]
    output: str | None
    suffix: str
    recursive: bool
    force: bool


def carry_out(
    request: Request, settings: StylizeSettings, run: RunSettings, screen: Screen, *, dry_run: bool = False
) -> int:
    """Check everything, then load the model and do the jobs. Returns the exit code."""
    from texsynth.batch.check import check_depth, check_headers, check_outputs
    from texsynth.batch.run import Written
    from texsynth.batch.run import run as run_jobs

    check_model(run.model)
    jobs, style = _planned(request)
    check_outputs(jobs, [*(job.content for job in jobs), style], force=request.force)
    check_depth(jobs, run, f".{request.suffix}")
    if jobs[0].to_pipe:
        _check_standard_output(screen)
    good, failed = check_headers(jobs, style, run)
    if dry_run:
        return run_jobs(good, lambda _: Written(0, 0), failed=failed, on_outcome=screen.planned).exit_code
    if good:
        report = _do(good, failed, style, request, settings, run, screen)
    else:
        report = run_jobs([], lambda _: Written(0, 0), failed=failed, on_outcome=screen.outcome)
    screen.summary(report)
    return report.exit_code


def check_model(name: str) -> None:
    """UsageError for a name that is neither an embedded model nor a weight file."""
    from texsynth.explain import nearest
    from texsynth.models.names import model_names

    if name not in model_names() and not name.endswith(".safetensors"):
        raise UsageError(f"unknown model {name!r}{nearest(name, model_names())}, or give a .safetensors file")


def _do(
    jobs: Sequence[Job],
    failed: Sequence[Failed],
    style: Input,
    request: Request,
    settings: StylizeSettings,
    run: RunSettings,
    screen: Screen,
) -> Report:
    from texsynth.batch.run import run as run_jobs
    from texsynth.batch.work import prepare, stylize_file

    with screen.progress(len(jobs)) as bar:
        prepared = prepare(style, settings, run)
        for warning in prepared.warnings:
            screen.note(warning)
        screen.detail(f"model {prepared.model.name} on {prepared.run.device} in {prepared.run.dtype}")

        def work(job: Job) -> Written:
            bar.picture(job.content.path.name)
            suffix = f".{request.suffix}"
            written = stylize_file(job, prepared, force=request.force, suffix=suffix, on_step=bar.step)
            bar.advance()
            return written

        return run_jobs(jobs, work, failed=failed, on_outcome=screen.outcome)


def _planned(request: Request) -> tuple[list[Job], Input]:
    """The jobs, at least one, and the style."""
    from texsynth.batch.plan import find_inputs, pair
    from texsynth.images import OUTPUT_SUFFIXES

    *contents, style = request.pictures
    if not contents:
        raise UsageError(f"only {style!r} is given; a content and a style are needed")
    if f".{request.suffix}" not in OUTPUT_SUFFIXES:
        raise UsageError(f"--format is {request.suffix!r} but must be png, jpg, webp or tif")
    if request.pictures.count("-") > 1:
        raise UsageError("standard input (-) can be used for one picture only")
    piped = _standard_input() if "-" in request.pictures else None
    styles = find_inputs([style], recursive=False, piped=piped)
    if len(styles) != 1 or Path(style).is_dir():
        raise UsageError(f"the style {style!r} is a folder or several files; give one picture")
    inputs = find_inputs(contents, recursive=request.recursive, piped=piped)
    return pair(inputs, styles[0], request.output, suffix=f".{request.suffix}"), styles[0]


def _standard_input() -> bytes:
    if sys.stdin.isatty():
        raise UsageError("standard input is a terminal; pipe a picture into it")
    data = sys.stdin.buffer.read()
    if not data:
        raise InputError("standard input is empty; pipe a picture into it")
    return data


def _check_standard_output(screen: Screen) -> None:
    if screen.as_json:
        raise UsageError("--json and -o - cannot share standard output")
    if sys.stdout.isatty():
        raise UsageError("standard output is a terminal; redirect it or give -o FILE")
