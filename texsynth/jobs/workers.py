"""Jobs handed out to workers, some of which may be lost; workers that are processes of this machine."""

import os
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Generic

from texsynth.errors import TexsynthError, WorkerLostError
from texsynth.interrupts import PATIENCE, Interrupts
from texsynth.jobs.files import OutputPolicy
from texsynth.jobs.inputs import J
from texsynth.jobs.job_queue import JobQueue
from texsynth.jobs.operation import Operation
from texsynth.jobs.outcomes import Events, Failed, Outcome
from texsynth.jobs.runner import SerialExecutor
from texsynth.worker_process import start

IN_HAND = 3  # Jobs that a worker has at a time: one is read, one computed, one written


@dataclass(frozen=True)
class Ready:
    """A worker can begin; or cannot, because of an `error` that all of them will have."""

    error: TexsynthError | None = None


@dataclass(frozen=True)
class Reply:
    """The outcome of a job, with the notes of its worker meanwhile."""

    number: int
    outcome: Outcome
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class WorkerDied:
    """A worker has ended unasked."""

    reason: str


Message = Ready | Reply | WorkerDied


class WorkerPool(ABC, Generic[J]):
    """Workers, each with a number."""

    @abstractmethod
    def start(self) -> int:
        """Start a further worker and return its number; its first message is Ready or WorkerDied."""

    @abstractmethod
    def submit(self, worker: int, number: int, job: J) -> None:
        """Add a job to what a worker has in hand. One that is lost meanwhile is heard of as such."""

    @abstractmethod
    def wait(self) -> Sequence[tuple[int, Message]]:
        """Wait until there is news of any worker, but not long."""

    @abstractmethod
    def stop(self) -> None:
        """Let all workers write what they have computed, and begin nothing more."""

    @abstractmethod
    def is_heard(self) -> bool:
        """Tell whether any worker has something left to say."""

    @abstractmethod
    def shutdown(self) -> None:
        """End all workers, which have nothing to do or must leave it."""


class PooledExecutor(Generic[J]):
    """Does the jobs of an operation in several workers; outcomes come as they are ready."""

    def __init__(self, pool: Callable[[], WorkerPool[J]], workers: int) -> None:
        """pool: makes one without workers."""
        self._make_pool, self._count = pool, workers
        self._again: deque[int] = deque()
        """Jobs whose worker was lost, through their fault or another's."""
        self._tried: set[int] = set()
        self._in_hand: dict[int, list[int]] = {}
        """The jobs that each worker has."""
        self._ready: set[int] = set()
        self._noted: set[str] = set()

    def outcomes(self, jobs: Sequence[J], events: Events) -> Generator[Outcome]:
        """Yield one outcome for every job. A job whose worker is lost gets a second chance.

        Raises TexsynthError when workers cannot begin at all.
        """
        self._jobs, self._events, self._pool = jobs, events, self._make_pool()
        self._waiting = JobQueue(jobs)
        try:
            for _ in range(min(self._count, len(self._jobs))):
                self._in_hand[self._pool.start()] = []
            while self._waiting or self._again or any(self._in_hand.values()):
                self._events.check()
                for worker, message in self._pool.wait():
                    if isinstance(message, Reply):
                        yield self._replied(worker, message)
                    elif isinstance(message, WorkerDied):
                        yield from self._retry(worker, message)
                    elif message.error:
                        raise message.error
                    else:
                        self._ready.add(worker)
                for worker in self._ready:
                    self._fill(worker, self._in_hand[worker])
            self._events.check()
        except (KeyboardInterrupt, GeneratorExit) as end:
            # What is being written shall not be cut off, even if nobody wants to hear more.
            self._pool.stop()
            while self._pool.is_heard():
                for _, message in self._pool.wait():
                    if isinstance(message, Reply) and isinstance(end, KeyboardInterrupt):
                        yield replace(message.outcome, job=jobs[message.number])
            raise
        finally:
            self._pool.shutdown()

    def _fill(self, worker: int, numbers: list[int]) -> None:
        """Submit jobs; those that may have killed their worker alone, so that no other is lost with them."""
        if self._again and not numbers:
            chosen = [self._again.popleft()]
        elif self._tried.intersection(numbers):
            return
        else:
            chosen = []
            while self._waiting and len(chosen) < IN_HAND - len(numbers):
                chosen.append(self._waiting.take(worker))
        for number in chosen:
            numbers.append(number)
            self._events.started(self._jobs[number])
            self._pool.submit(worker, number, self._jobs[number])

    def _replied(self, worker: int, reply: Reply) -> Outcome:
        self._in_hand[worker].remove(reply.number)
        for note in reply.notes:
            # Every worker measures the styles, one complaint is enough.
            if note not in self._noted:
                self._events.note(note)
                self._noted.add(note)
        return replace(reply.outcome, job=self._jobs[reply.number])

    def _retry(self, worker: int, died: WorkerDied) -> Iterator[Outcome]:
        numbers = self._in_hand.pop(worker)
        if worker not in self._ready:
            if not self._in_hand:
                raise WorkerLostError(f"a worker {died.reason} before it could begin; use fewer --workers")
            return
        self._ready.remove(worker)
        for number in numbers:
            if number in self._tried:
                job = self._jobs[number]
                error = WorkerLostError(
                    f"{job.picture}: its worker {died.reason}, twice; memory that runs out does that, so use "
                    f"fewer --workers or a smaller --memory-limit"
                )
                yield Failed(job, error)
            else:
                self._tried.add(number)
                self._again.append(number)
        if self._waiting or self._again:
            self._in_hand[self._pool.start()] = []


class ProcessPool(WorkerPool[J]):
    """Processes of this machine, each of which does one job at a time in overlapping stages."""

    def __init__(self, operation: Operation[J], policy: OutputPolicy) -> None:
        """operation: not prepared yet; every worker gets a copy."""
        self._operation, self._policy = operation, policy
        self._workers: dict[int, tuple[SpawnProcess, Connection]] = {}
        self._submitted: dict[int, deque[int]] = {}

    def start(self) -> int:
        """Do as `WorkerPool` says."""
        process, here = start(serve, self._operation, self._policy)
        number = len(self._submitted)
        self._workers[number], self._submitted[number] = (process, here), deque()
        return number

    def submit(self, worker: int, number: int, job: J) -> None:
        """Do as `WorkerPool` says."""
        self._submitted[worker].append(number)
        # A lost worker is heard of by `wait`.
        with suppress(OSError):
            self._workers[worker][1].send(job)

    def wait(self) -> Sequence[tuple[int, Message]]:
        """Do as `WorkerPool` says."""
        ready = wait([connection for _, connection in self._workers.values()], PATIENCE)
        return [
            (number, self._message(number))
            for number in list(self._workers)
            if self._workers[number][1] in ready
        ]

    def _message(self, worker: int) -> Message:
        process, connection = self._workers[worker]
        try:
            message = connection.recv()
        except (EOFError, OSError):
            process.join()
            connection.close()
            del self._workers[worker]
            code = process.exitcode or 0
            return WorkerDied(f"was killed by signal {-code}" if code < 0 else f"ended with code {code}")
        if isinstance(message, Ready):
            return message
        outcome, notes = message
        # Workers answer in the order in which they were asked.
        return Reply(self._submitted[worker].popleft(), outcome, notes)

    def stop(self) -> None:
        """Do as `WorkerPool` says."""
        for process, _ in self._workers.values():
            process.terminate()

    def is_heard(self) -> bool:
        """Do as `WorkerPool` says."""
        return bool(self._workers)

    def shutdown(self) -> None:
        """Do as `WorkerPool` says."""
        for number, (process, connection) in self._workers.items():
            # An idle worker ends when nobody is left to give it jobs.
            connection.close()
            if self._submitted[number]:
                process.kill()
        for process, _ in self._workers.values():
            process.join()


def serve(connection: Connection, operation: Operation[Any], policy: OutputPolicy) -> None:
    """Do the jobs that come from `connection`, until it is closed, and end this process."""
    # What the other side no longer hears need not be said.
    with suppress(OSError, KeyboardInterrupt), Interrupts() as interrupts:
        notes: list[str] = []
        try:
            operation.prepare(notes.append)
        except TexsynthError as error:
            connection.send(Ready(error))
        else:
            connection.send(Ready())
            events = Events(note=notes.append, interruptible=interrupts.allowed, check=interrupts.check)
            jobs = _received(connection)
            with closing(SerialExecutor(operation, policy).outcomes(jobs, events)) as outcomes:
                for outcome in outcomes:
                    connection.send((portable(outcome), tuple(notes)))
                    notes.clear()
    # The thread that waits for jobs would keep the process.
    os._exit(0)


def _received(connection: Connection) -> Iterator[Any]:
    with suppress(EOFError, OSError):
        while True:
            yield connection.recv()


def portable(outcome: Outcome) -> Outcome:
    """Return `outcome` with an error that can be sent, whatever it was."""
    if isinstance(outcome, Failed) and not isinstance(outcome.error, TexsynthError):
        return Failed(outcome.job, RuntimeError(f"{type(outcome.error).__name__}: {outcome.error}"))
    return outcome
