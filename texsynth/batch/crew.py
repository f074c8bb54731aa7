"""Jobs handed out to workers elsewhere, some of which may be lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, TypeVar

from texsynth.batch.executors import Watch
from texsynth.batch.plan import Job
from texsynth.batch.run import Failed, J, Outcome
from texsynth.errors import TexsynthError, WorkerLostError

AnyJob = TypeVar("AnyJob", bound=Job, contravariant=True)

IN_HAND = 3
"""Jobs that a worker has at a time: one is read, one computed, one written."""


@dataclass(frozen=True)
class Ready:
    """A worker can begin; or cannot, because of an `error` that all of them will have."""

    error: TexsynthError | None = None


@dataclass(frozen=True)
class Reply:
    """How a job went, and what was odd meanwhile."""

    number: int
    outcome: Outcome
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lost:
    """A worker is no more."""

    reason: str


Message = Ready | Reply | Lost

Welcome = Callable[[], AbstractContextManager[None]]


class Crew(Protocol[AnyJob]):
    """Workers, each with a number."""

    def hire(self) -> int:
        """A further worker; the first thing heard of it is Ready or Lost."""
        ...

    def give(self, worker: int, number: int, job: AnyJob) -> None:
        """Add a job to what a worker has in hand. One that is lost meanwhile is heard of as such."""
        ...

    def hear(self, welcome: Welcome) -> Sequence[tuple[int, Message]]:
        """Wait, where Ctrl-C is `welcome`, until there is news of any worker."""
        ...

    def wind_up(self) -> Iterator[Reply]:
        """Let all workers write what they have made, and go."""
        ...

    def close(self) -> None:
        """Send all workers home, which have nothing in hand or must leave it."""
        ...


@dataclass
class _Hand:
    """What a worker has to do."""

    ready: bool = False
    numbers: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Pool(Generic[J]):
    """An `Executor` of several workers; outcomes come as they are ready."""

    crew: Callable[[], Crew[J]]
    workers: int

    def outcomes(self, jobs: Sequence[J], watch: Watch[J]) -> Generator[Outcome]:
        """One outcome for every job. A job whose worker is lost gets a second chance.

        Raises TexsynthError when workers cannot begin at all.
        """
        desk = _Desk(jobs, self.crew(), watch)
        try:
            yield from desk.outcomes(min(self.workers, len(jobs)))
        except KeyboardInterrupt:
            for reply in desk.crew.wind_up():
                yield replace(reply.outcome, job=jobs[reply.number])
            raise
        except GeneratorExit:
            # Nobody wants to hear more, but what is being written shall not be cut off.
            for _ in desk.crew.wind_up():
                pass
            raise
        finally:
            desk.crew.close()


class _Desk(Generic[J]):
    """Who has which job."""

    def __init__(self, jobs: Sequence[J], crew: Crew[J], watch: Watch[J]) -> None:
        self.jobs, self.crew, self.watch = jobs, crew, watch
        self.waiting = deque(range(len(jobs)))
        self.again: deque[int] = deque()
        """Jobs whose worker was lost, through their fault or another's."""
        self.tried: set[int] = set()
        self.hands: dict[int, _Hand] = {}
        self.noted: set[str] = set()

    def outcomes(self, workers: int) -> Iterator[Outcome]:
        for _ in range(workers):
            self.hands[self.crew.hire()] = _Hand()
        while self.waiting or self.again or any(hand.numbers for hand in self.hands.values()):
            for worker, message in self.crew.hear(self.watch.welcome):
                if isinstance(message, Reply):
                    yield self._replied(worker, message)
                elif isinstance(message, Lost):
                    yield from self._lost(worker, message)
                elif message.error:
                    raise message.error
                else:
                    self.hands[worker].ready = True
            for worker, hand in self.hands.items():
                self._fill(worker, hand)

    def _fill(self, worker: int, hand: _Hand) -> None:
        """Jobs that may have killed their worker are done alone, so that no other one is lost with them."""
        if not hand.ready or self.tried.intersection(hand.numbers):
            return
        if self.again and not hand.numbers:
            self._give(worker, hand, self.again.popleft())
            return
        while self.waiting and len(hand.numbers) < IN_HAND:
            self._give(worker, hand, self.waiting.popleft())

    def _give(self, worker: int, hand: _Hand, number: int) -> None:
        hand.numbers.append(number)
        self.watch.started(self.jobs[number])
        self.crew.give(worker, number, self.jobs[number])

    def _replied(self, worker: int, reply: Reply) -> Outcome:
        self.hands[worker].numbers.remove(reply.number)
        for note in reply.notes:
            # Every worker measures the styles, one complaint is enough.
            if note not in self.noted:
                self.watch.note(note)
                self.noted.add(note)
        return replace(reply.outcome, job=self.jobs[reply.number])

    def _lost(self, worker: int, lost: Lost) -> Iterator[Outcome]:
        hand = self.hands.pop(worker)
        if not hand.ready and not self.hands:
            raise WorkerLostError(f"a worker {lost.reason} before it could begin; use fewer --workers")
        for number in hand.numbers:
            if number in self.tried:
                job = self.jobs[number]
                yield Failed(
                    job,
                    WorkerLostError(
                        f"{job.picture}: its worker {lost.reason}, twice; memory that runs out does that, so "
                        f"use fewer --workers or a smaller --memory-limit"
                    ),
                )
            else:
                self.tried.add(number)
                self.again.append(number)
        if hand.ready and (self.waiting or self.again):
            self.hands[self.crew.hire()] = _Hand()
