"""How jobs went; a bad one does not stop the rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from texsynth.errors import TexsynthError
from texsynth.jobs.inputs import Job
from texsynth.pipelines.progress import OnStep

if TYPE_CHECKING:
    from texsynth.jobs.memory import Prospect


J = TypeVar("J", bound=Job)

BUG, PARTLY_FAILED, ALL_FAILED, INTERRUPTED = 1, 3, 4, 130


@dataclass(frozen=True)
class Written:
    """What the work on one job reports."""

    width: int
    height: int
    warnings: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    """What was decided during the work, by name."""


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


@dataclass(frozen=True)
class Planned:
    """A job that a real run would do. prospect: what it would take; None where nobody says."""

    job: Job
    prospect: Prospect | None


Outcome = Done | Failed | Skipped | Planned


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
        if len(self.failed) < len(self.outcomes):
            return PARTLY_FAILED
        codes = {failure.exit_code for failure in self.failed}
        return codes.pop() if len(codes) == 1 else ALL_FAILED


def run(
    outcomes: Iterable[Outcome],
    total: int,
    *,
    failed: Sequence[Failed] = (),
    on_outcome: Callable[[Outcome], None] | None = None,
) -> Report:
    """Gather the outcomes of `total` jobs as they come, see `Executor`.

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


def planned(jobs: Sequence[J], outlook: Callable[[J], Prospect] | None) -> Iterator[Outcome]:
    """What a dry run says of `jobs`. outlook: forecasts memory; TexsynthError where it is too little."""
    for job in jobs:
        try:
            yield Planned(job, outlook(job) if outlook else None)
        except TexsynthError as error:
            yield Failed(job, error)


@dataclass(frozen=True)
class Stages(Generic[J]):
    """The work on a job, cut where reading, computing and writing of different jobs can overlap."""

    load: Callable[[J], Any]
    """Reads files; None when there is nothing to do."""
    make: Callable[[J, Any, OnStep], Any]
    """Computes, from what `load` gave; for one job at a time."""
    write: Callable[[J, Any], Written | None]
    """Writes files, from what `make` gave; None when another run has written the same in the meantime."""


class Order(Protocol):
    """What a worker elsewhere is sent to begin with; can be pickled."""

    def begin(self, note: Callable[[str], None]) -> Stages[Any]:
        """Load networks and choose the device. note: told about oddities. Raises TexsynthError."""
        ...


@dataclass(frozen=True)
class Watch(Generic[J]):
    """Who is told how the work goes on."""

    started: Callable[[J], None]
    step: OnStep
    note: Callable[[str], None]
    welcome: Callable[[], AbstractContextManager[None]] = nullcontext
    """Around what Ctrl-C may break off; elsewhere it has to wait, see `Interrupts`."""


class Executor(Protocol[J]):
    """Does jobs. The files are the same whichever does them, on as many threads each."""

    def outcomes(self, jobs: Sequence[J], watch: Watch[J]) -> Generator[Outcome]:
        """One outcome for every job. On Ctrl-C what is being written is finished first."""
        ...
