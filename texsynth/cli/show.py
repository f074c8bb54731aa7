"""Output for the user: results on standard output, everything else on standard error."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from texsynth.cli.pace import Bar
from texsynth.cli.printing import as_json, for_output, printable
from texsynth.errors import OutputError, TexsynthError
from texsynth.paths import why

if TYPE_CHECKING:
    from texsynth.jobs.inputs import Job
    from texsynth.jobs.outcomes import Outcome, Report

VERBOSE = "texsynth.verbose"  # Key of the context's meta that says whether -v was given

ARGUMENTS: ContextVar[tuple[str, ...]] = ContextVar("arguments")
"""All that was typed after the program's name."""


NOTHING: Mapping[str, int] = {}


NOT_READ = 141  # As the system ends a program that writes to a pipe whose reader has gone


def print_error(message: str, *, prefix: str = "texsynth: ") -> None:
    """Print one line on standard error."""
    try:
        # Messages of libraries inside ours may have several lines.
        sys.stderr.write(f"{prefix}{printable(' '.join(message.split()))}\n")
        sys.stderr.flush()
    except OSError:  # nobody listens any more, which is no reason to end the work
        discard_stream(sys.stderr)


def print_progress(line: str) -> None:
    """Print a line for the program that has started this one; if that has gone, end as by a polite kill."""
    try:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
    except OSError:
        discard_stream(sys.stderr)
        signal.raise_signal(signal.SIGTERM)


def print_traceback(error: BaseException) -> None:
    """Print on standard error where a bug is."""
    for part in traceback.format_exception(error):
        for line in part.splitlines():
            sys.stderr.write(f"{printable(line)}\n")


def reason(error: Exception) -> str:
    """Say what went wrong: the sentence of an expected error, or that it is a bug."""
    expected = isinstance(error, TexsynthError)
    return str(error) if expected else f"this is a bug in texsynth: {type(error).__name__}: {error}"


def discard_stream(stream: TextIO) -> None:
    """Send what is left in `stream`, and all that comes, to nowhere: Python would complain of it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@dataclass(frozen=True)
class Screen:
    """Form and amount of the output."""

    quiet: bool = False
    verbose: bool = False
    as_json: bool = False
    results: bool = True  # False when standard output carries the picture itself
    totals: bool = False  # True if the summary gives counts and speed
    json_progress: bool = False

    def note(self, message: str) -> None:
        """Print a warning or remark, unless --quiet."""
        if not self.quiet:
            print_error(message)

    def detail(self, message: str) -> None:
        """Print a remark that only --verbose asks for."""
        if self.verbose:
            print_error(message, prefix="")

    def result(self, *lines: str, **fields: object) -> None:
        """Print on standard output: `lines`, or `fields` as a line of JSON."""
        if self.results:
            # Straight to sys.stdout, which the progress bar replaces while both are on one terminal.
            try:
                text = as_json(fields) if self.as_json else "\n".join(map(for_output, lines))
                sys.stdout.write(f"{text}\n")
                sys.stdout.flush()
            except BrokenPipeError:
                raise
            except OSError as error:
                raise OutputError(f"standard output cannot be written: {why(error)}") from error

    def written(self, *lines: str, **fields: object) -> None:
        """Print what names files that are written, which --quiet leaves out, as it does not JSON."""
        if self.as_json or not self.quiet:
            self.result(*lines, **fields)

    def failure(self, what: str, error: Exception) -> None:
        """Say in one line why something failed; for a bug also `what` did, and where with --verbose."""
        is_bug = not isinstance(error, TexsynthError)
        print_error(f"{what}: {reason(error)}" if is_bug and what else reason(error))
        if is_bug and self.verbose:
            print_traceback(error)

    def outcome(self, outcome: Outcome) -> None:
        """Print a job that is finished, failed or skipped, or that a real run would do."""
        from texsynth.jobs.outcomes import Done, Failed, Planned, Skipped

        job = outcome.job
        match outcome:
            case Failed(error=error):
                self.failure("", error)
                if self.as_json:
                    fields = {job.role: str(job.picture.path), **job.facts}
                    self.result("", **fields, error=reason(error), exit_code=outcome.exit_code)
            case Skipped():
                # JSON has an object for every job.
                if self.as_json:
                    self._files(job, self.result, skipped=True)
                self.detail(f"{job.output}: skipped, it is there already")
            case Planned():
                estimate = outcome.estimate
                memory = {"memory_bytes": estimate.bytes, "tile": estimate.tiles.tile} if estimate else {}
                self._files(job, self.result, **memory)
                if estimate:
                    self.detail(f"{job.output}: {estimate}")
            case Done(written=written, seconds=seconds):
                for warning in written.warnings:
                    self.note(f"{job.picture}: {warning}")
                size = {"width": written.width, "height": written.height}
                warnings = {"warnings": list(written.warnings)} if written.warnings else {}
                self._files(job, self.written, **size, **written.facts, **warnings, seconds=round(seconds, 3))
                facts = "".join(f", {name} {value}" for name, value in written.facts.items())
                self.detail(f"{job.output}: {seconds:.2f} s{facts}")

    def _files(self, job: Job, show: Callable[..., None], **fields: object) -> None:
        """Show the files of a job: a line each, or one JSON object, where siblings come after the output."""
        names = [str(job.output), *(str(path) for path in job.outputs if path != job.output)]
        beside = {"siblings": names[1:]} if names[1:] else {}
        about = {**beside, job.role: str(job.picture.path), **job.facts}
        show(*names, output=names[0], **about, **fields)

    def outlook(self, report: Report) -> None:
        """Print the most memory that a picture of a dry run takes."""
        from texsynth.jobs.outcomes import Planned

        plans = [(o.estimate, o.job) for o in report.outcomes if isinstance(o, Planned) and o.estimate]
        if plans:
            most, job = max(plans, key=lambda plan: plan[0].bytes)
            self.note(f"memory: up to {most}, for {job.picture}")

    def summary(self, report: Report, left_out: Mapping[str, int] = NOTHING) -> None:
        """Print counts of a run of several pictures, or of an interrupted one.

        left_out: how many files of the inputs were no jobs, by the reason.
        """
        done, skipped, failed = len(report.done), len(report.skipped), len(report.failed)
        reasons = {why: count for why, count in {"finished before": skipped, **left_out}.items() if count}
        skipped = sum(reasons.values())
        because = ""
        if list(reasons) not in ([], ["finished before"]):
            counted = (f"{count} {why}" for why, count in reasons.items())
            because = f" ({next(iter(reasons)) if len(reasons) == 1 else ', '.join(counted)})"
        counts = {
            "done": f"{done} done",
            "skipped": f"{skipped} skipped{because}",
            "failed": f"{failed} failed",
        }
        if self.totals:
            rate = done / report.seconds if report.seconds else 0.0
            counts["failed"] += f" in {report.seconds:.1f} s, {rate:.2f} pictures per second"
        elif not failed:
            del counts["failed"]
        if not (self.totals or skipped):
            del counts["skipped"]
        line = ", ".join(counts.values())
        if report.interrupted and self.totals:
            print_error(f"interrupted; {line}; continue with --resume")
        elif report.interrupted:
            print_error(f"interrupted; {done} of {report.total} pictures are finished")
        elif not self.quiet and (self.totals or report.total > 1 or left_out):
            print_error(f"Summary: {line}", prefix="")

    @contextmanager
    def progress(self, total: int, unit: str = "pictures", *, steps: bool = True) -> Iterator[Bar]:
        """Show bars over `total` pictures, or what `unit` says, with the time that is left.

        Only on a terminal and unless --quiet, or as JSON where that is asked for. steps: pictures are in work
        one at a time and tell their steps.
        """
        if self.json_progress:
            from texsynth.cli.json_bar import JsonBar

            yield JsonBar(total, steps=steps, write=print_progress)
            return
        # As rich has it, which is not to be loaded for nothing.
        forced, dumb = os.environ.get("FORCE_COLOR"), os.environ.get("TERM") in ("dumb", "unknown")
        if self.quiet or not (forced or (sys.stderr.isatty() and not dumb)):
            yield Bar()
            return
        from texsynth.cli.bars import shown

        with shown(total, unit, steps=steps) as bars:
            yield bars
