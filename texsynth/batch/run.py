"""Do jobs one after the other; a bad one does not stop the rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from texsynth.batch.plan import Job
from texsynth.errors import TexsynthError

J = TypeVar("J", bound=Job)

BUG, PARTLY_FAILED, ALL_FAILED, INTERRUPTED = 1, 3, 4, 130


@dataclass(frozen=True)
class Written:
    """What the work on one job reports."""

    width: int
    height: int
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Done:
    """A finished job."""

    job: Job
    written: Written
    seconds: float


@dataclass(frozen=True)
class Failed:
    """A job that could not be done. error: an expected one, or a bug."""

    job: Job
    error: Exception

    @property
    def exit_code(self) -> int:
        """Of this job alone."""
        return self.error.exit_code if isinstance(self.error, TexsynthError) else BUG


@dataclass(frozen=True)
class Skipped:
    """A job whose output was there already, as it would be made."""

    job: Job


Outcome = Done | Failed | Skipped


@dataclass
class Report:
    """How a batch went."""

    total: int
    outcomes: list[Outcome] = field(default_factory=list)
    interrupted: bool = False
    seconds: float = 0.0

    @property
    def failed(self) -> list[Failed]:
        """The jobs that failed."""
        return [outcome for outcome in self.outcomes if isinstance(outcome, Failed)]

    @property
    def done(self) -> list[Done]:
        """The jobs that succeeded."""
        return [outcome for outcome in self.outcomes if isinstance(outcome, Done)]

    @property
    def skipped(self) -> list[Skipped]:
        """The jobs that there was nothing to do for."""
        return [outcome for outcome in self.outcomes if isinstance(outcome, Skipped)]

    @property
    def exit_code(self) -> int:
        """Of the whole run: when all jobs fail for one reason, that reason's code."""
        if self.interrupted:
            return INTERRUPTED
        if not self.failed:
            return 0
        if self.done or self.skipped:
            return PARTLY_FAILED
        codes = {failure.exit_code for failure in self.failed}
        return codes.pop() if len(codes) == 1 else ALL_FAILED


def run(
    jobs: Sequence[J],
    work: Callable[[J], Written | None],
    *,
    failed: Sequence[Failed] = (),
    on_outcome: Callable[[Outcome], None] | None = None,
) -> Report:
    """Call `work` on every job in turn; it returns None when there is nothing to do.

    failed: jobs known to be bad, counted but not tried. Ctrl-C ends the run; finished outputs stay.
    """
    report = Report(len(jobs) + len(failed))
    notify = on_outcome or (lambda _: None)
    start = time.perf_counter()
    for failure in failed:
        report.outcomes.append(failure)
        notify(failure)
    # Ctrl-C is an outcome, not an error: the report says what is finished.
    try:
        for job in jobs:
            report.outcomes.append(_attempt(job, work))
            notify(report.outcomes[-1])
    except KeyboardInterrupt:
        report.interrupted = True
    report.seconds = time.perf_counter() - start
    return report


def _attempt(job: J, work: Callable[[J], Written | None]) -> Outcome:
    start = time.perf_counter()
    try:
        written = work(job)
    except Exception as error:  # the rest of a long batch must not be lost to one picture
        return Failed(job, error)
    if written is None:
        return Skipped(job)
    return Done(job, written, time.perf_counter() - start)
