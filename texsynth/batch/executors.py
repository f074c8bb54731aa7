"""What does jobs: in stages that overlap, here or in workers elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Generic, Protocol

from texsynth.batch.run import J, Outcome, Written
from texsynth.pipelines.progress import OnStep


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
