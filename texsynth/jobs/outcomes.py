"""How jobs went; a bad one does not stop the rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

from texsynth.errors import TexsynthError
from texsynth.interrupts import INTERRUPTED
from texsynth.jobs.inputs import J, Job
from texsynth.pipelines.progress import OnStep, Step

if TYPE_CHECKING:
    from texsynth.images import Picture
    from texsynth.jobs.memory import MemoryEstimate

BUG, PARTLY_FAILED, ALL_FAILED = 1, 3, 4


@dataclass(frozen=True)
class WrittenInfo:
    """The size of the picture that a job wrote or read, in pixels, and remarks on it."""

    width: int
    height: int
    warnings: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    """Names and values of what was decided during the work."""
    value: Any = None  # The answer of a job that writes no file
    picture: Picture | None = None
    """The picture itself, when it went to standard output and no file can be read again."""


@dataclass(frozen=True)
class Done:
    """A finished job."""

    job: Job
    written: WrittenInfo
    seconds: float


@dataclass(frozen=True)
class Failed:
    """A job that could not be done. error: an expected one, or a bug."""

    job: Job
    error: Exception

    @property
    def exit_code(self) -> int:
        """The exit code of a run of this job alone."""
        return self.error.exit_code if isinstance(self.error, TexsynthError) else BUG


@dataclass(frozen=True)
class Skipped:
    """A job whose output was there already, as it would be made."""

    job: Job


@dataclass(frozen=True)
class Planned:
    """A job that a real run would do. estimate: the memory it would take; None where that is not known."""

    job: Job
    estimate: MemoryEstimate | None


Outcome = Done | Failed | Skipped | Planned


@dataclass
class Report:
    """The outcomes of a run."""

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
        """The exit code of the whole run."""
        codes = [outcome.exit_code if isinstance(outcome, Failed) else 0 for outcome in self.outcomes]
        return joint_exit_code(codes, interrupted=self.interrupted)


def joint_exit_code(codes: Sequence[int], *, interrupted: bool) -> int:
    """The exit code of a run by those of its jobs: when all fail for one reason, that reason's code."""
    if interrupted:
        return INTERRUPTED
    if not any(codes):
        return 0
    if not all(codes):
        return PARTLY_FAILED
    return codes[0] if len(set(codes)) == 1 else ALL_FAILED


@dataclass(frozen=True)
class Events:
    """Callbacks that report progress."""

    started: Callable[[Job], None] = lambda _: None
    step: OnStep = lambda _: None
    note: Callable[[str], None] = lambda _: None
    interruptible: Callable[[], AbstractContextManager[None]] = nullcontext
    """A context within which Ctrl-C may break off; elsewhere it has to wait, see `Interrupts`."""
    check: Callable[[], None] = lambda: None
    """Raises KeyboardInterrupt for a Ctrl-C that had to wait."""

    def checked_step(self, step: Step) -> None:
        """Report a step, unless Ctrl-C has come."""
        self.check()
        self.step(step)


def collect(
    outcomes: Iterable[Outcome],
    total: int,
    *,
    failed: Sequence[Failed] = (),
    on_outcome: Callable[[Outcome], None] | None = None,
) -> Report:
    """Gather the outcomes of `total` jobs as they come.

    failed: further jobs, known to be bad and not tried. Ctrl-C ends the run; finished outputs stay.
    """
    report = Report(total + len(failed))
    start = time.perf_counter()
    # Ctrl-C is an outcome, not an error: the report says what is finished.
    try:
        for outcome in chain(failed, outcomes):
            report.outcomes.append(outcome)
            if on_outcome:
                on_outcome(outcome)
    except KeyboardInterrupt:
        report.interrupted = True
    report.seconds = time.perf_counter() - start
    return report


def planned(jobs: Sequence[J], estimate: Callable[[J], MemoryEstimate | None]) -> Iterator[Outcome]:
    """Say of every job that it would be done. estimate: raises TexsynthError where memory is too small."""
    for job in jobs:
        try:
            yield Planned(job, estimate(job))
        except TexsynthError as error:
            yield Failed(job, error)
