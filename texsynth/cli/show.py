"""What the user sees: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

    from texsynth.batch.run import Done, Failed, Outcome, Report
    from texsynth.pipelines.progress import Step

VERBOSE = "texsynth.verbose"
"""Key of the context's meta that says whether -v was given."""


def complain(message: str, *, prefix: str = "texsynth: ") -> None:
    """One line on standard error."""
    # Messages of libraries inside ours may have several lines.
    sys.stderr.write(f"{prefix}{' '.join(message.split())}\n")
    sys.stderr.flush()


@dataclass(frozen=True)
class Screen:
    """How much to show and in which form."""

    quiet: bool = False
    verbose: bool = False
    as_json: bool = False
    results: bool = True
    """False when standard output carries the picture itself."""

    def note(self, message: str) -> None:
        """A warning or remark, unless --quiet."""
        if not self.quiet:
            complain(message)

    def detail(self, message: str) -> None:
        """Something that only --verbose asks for."""
        if self.verbose:
            complain(message, prefix="")

    def result(self, line: str, **fields: object) -> None:
        """A line of standard output: `line`, or `fields` as JSON."""
        if self.results:
            # Straight to sys.stdout, which the progress bar replaces while both are on one terminal.
            sys.stdout.write((json.dumps(fields, ensure_ascii=False) if self.as_json else line) + "\n")
            sys.stdout.flush()

    def outcome(self, outcome: Outcome) -> None:
        """A finished or failed job."""
        from texsynth.batch.run import Failed

        if isinstance(outcome, Failed):
            self._failed(outcome)
        else:
            self._done(outcome)

    def planned(self, outcome: Outcome) -> None:
        """A job that a real run would do, or one that is known to fail."""
        from texsynth.batch.run import Failed

        if isinstance(outcome, Failed):
            self._failed(outcome)
        else:
            job = outcome.job
            self.result(str(job.output), output=str(job.output), content=str(job.content.path))

    def _done(self, done: Done) -> None:
        for warning in done.written.warnings:
            self.note(f"{done.job.content}: {warning}")
        self.result(
            str(done.job.output),
            output=str(done.job.output),
            content=str(done.job.content.path),
            width=done.written.width,
            height=done.written.height,
            seconds=round(done.seconds, 3),
        )
        self.detail(f"{done.job.output}: {done.seconds:.2f} s")

    def _failed(self, failure: Failed) -> None:
        bug = "" if failure.exit_code != 1 else f"this is a bug in texsynth: {type(failure.error).__name__}: "
        message = f"{bug}{failure.error}"
        complain(message)
        if self.as_json:
            self.result("", content=str(failure.job.content.path), error=message, exit_code=failure.exit_code)
        if bug and self.verbose:
            import traceback

            traceback.print_exception(failure.error)

    def summary(self, report: Report) -> None:
        """How a run of several pictures, or an interrupted one, went."""
        if report.interrupted:
            complain(f"interrupted; {len(report.done)} of {report.total} pictures are finished")
        elif report.total > 1:
            failed = f", {len(report.failed)} failed" if report.failed else ""
            self.note(f"{len(report.done)} of {report.total} pictures done{failed}")

    @contextmanager
    def progress(self, total: int) -> Iterator[Bar]:
        """A bar over `total` pictures, on a terminal and unless --quiet."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        shown = console.is_terminal and not self.quiet
        # Results in a pipe must not be caught by the bar, which draws on standard error.
        to_terminal = sys.stdout.isatty()
        with Progress(
            *columns, console=console, transient=True, disable=not shown, redirect_stdout=to_terminal
        ) as progress:
            yield Bar(progress, total)


class Bar:
    """Progress over pictures and, within one, over the steps of its pipeline."""

    def __init__(self, progress: Progress, total: int) -> None:
        """total: pictures."""
        self._progress = progress
        self._pictures = progress.add_task("pictures", total=total, visible=total > 1)
        self._steps = progress.add_task("preparing", total=None)

    def picture(self, name: str) -> None:
        """A new picture begins."""
        self._progress.reset(self._steps, description=name)

    def step(self, step: Step) -> None:
        """Part of a picture is done."""
        self._progress.update(self._steps, completed=step.done, total=step.total)

    def advance(self) -> None:
        """A picture is finished."""
        self._progress.advance(self._pictures)
