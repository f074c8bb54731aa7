"""Jobs handed out to workers, some of which may be lost; workers that are processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Generic, Protocol, TypeVar

from texsynth.errors import TexsynthError, WorkerLostError
from texsynth.jobs.files import OutputPolicy
from texsynth.jobs.inputs import J, Job
from texsynth.jobs.operation import Operation
from texsynth.jobs.outcomes import Events, Failed, Outcome
from texsynth.jobs.runner import Interrupts, SerialExecutor

WorkerJob = TypeVar("WorkerJob", bound=Job, contravariant=True)

IN_HAND = 3
"""Jobs that a worker has at a time: one is read, one computed, one written."""


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

Interruptible = Callable[[], AbstractContextManager[None]]


class WorkerPool(Protocol[WorkerJob]):
    """Workers, each with a number."""

    def start(self) -> int:
        """Start a further worker and return its number; its first message is Ready or WorkerDied."""
        ...

    def submit(self, worker: int, number: int, job: WorkerJob) -> None:
        """Add a job to what a worker has in hand. One that is lost meanwhile is heard of as such."""
        ...

    def wait(self, interruptible: Interruptible) -> Sequence[tuple[int, Message]]:
        """Wait, where Ctrl-C is `interruptible`, until there is news of any worker."""
        ...

    def drain(self) -> Iterator[Reply]:
        """Let all workers write what they have computed, and end."""
        ...

    def shutdown(self) -> None:
        """End all workers, which have nothing to do or must leave it."""
        ...


@dataclass
class WorkerState:
    """The jobs that a worker has, by number."""

    ready: bool = False
    numbers: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class PooledExecutor(Generic[J]):
    """Does the jobs of an operation in several workers; outcomes come as they are ready."""

    pool: Callable[[], WorkerPool[J]]
    workers: int

    def outcomes(self, jobs: Sequence[J], events: Events) -> Generator[Outcome]:
        """Yield one outcome for every job. A job whose worker is lost gets a second chance.

        Raises TexsynthError when workers cannot begin at all.
        """
        scheduler = Scheduler(jobs, self.pool(), events)
        try:
            yield from scheduler.outcomes(min(self.workers, len(jobs)))
        except KeyboardInterrupt:
            for reply in scheduler.pool.drain():
                yield replace(reply.outcome, job=jobs[reply.number])
            raise
        except GeneratorExit:
            # Nobody wants to hear more, but what is being written shall not be cut off.
            for _ in scheduler.pool.drain():
                pass
            raise
        finally:
            scheduler.pool.shutdown()


class Scheduler(Generic[J]):
    """Hands jobs to workers and keeps track of which one has which."""

    def __init__(self, jobs: Sequence[J], pool: WorkerPool[J], events: Events) -> None:
        """pool: without workers yet."""
        self.jobs, self.pool, self.events = jobs, pool, events
        self.waiting = deque(range(len(jobs)))
        self.again: deque[int] = deque()
        """Jobs whose worker was lost, through their fault or another's."""
        self.tried: set[int] = set()
        self.workers: dict[int, WorkerState] = {}
        self.noted: set[str] = set()

    def outcomes(self, workers: int) -> Iterator[Outcome]:
        """Yield one outcome for every job."""
        for _ in range(workers):
            self.workers[self.pool.start()] = WorkerState()
        while self.waiting or self.again or any(state.numbers for state in self.workers.values()):
            for worker, message in self.pool.wait(self.events.interruptible):
                if isinstance(message, Reply):
                    yield self._replied(worker, message)
                elif isinstance(message, WorkerDied):
                    yield from self._retry(worker, message)
                elif message.error:
                    raise message.error
                else:
                    self.workers[worker].ready = True
            for worker, state in self.workers.items():
                self._fill(worker, state)

    def _fill(self, worker: int, state: WorkerState) -> None:
        """Submit jobs; those that may have killed their worker alone, so that no other is lost with them."""
        if not state.ready or self.tried.intersection(state.numbers):
            return
        if self.again and not state.numbers:
            self._submit(worker, state, self.again.popleft())
            return
        while self.waiting and len(state.numbers) < IN_HAND:
            self._submit(worker, state, self.waiting.popleft())

    def _submit(self, worker: int, state: WorkerState, number: int) -> None:
        state.numbers.append(number)
        self.events.started(self.jobs[number])
        self.pool.submit(worker, number, self.jobs[number])

    def _replied(self, worker: int, reply: Reply) -> Outcome:
        self.workers[worker].numbers.remove(reply.number)
        for note in reply.notes:
            # Every worker measures the styles, one complaint is enough.
            if note not in self.noted:
                self.events.note(note)
                self.noted.add(note)
        return replace(reply.outcome, job=self.jobs[reply.number])

    def _retry(self, worker: int, died: WorkerDied) -> Iterator[Outcome]:
        state = self.workers.pop(worker)
        if not state.ready and not self.workers:
            raise WorkerLostError(f"a worker {died.reason} before it could begin; use fewer --workers")
        for number in state.numbers:
            if number in self.tried:
                job = self.jobs[number]
                yield Failed(
                    job,
                    WorkerLostError(
                        f"{job.picture}: its worker {died.reason}, twice; memory that runs out does that, so "
                        f"use fewer --workers or a smaller --memory-limit"
                    ),
                )
            else:
                self.tried.add(number)
                self.again.append(number)
        if state.ready and (self.waiting or self.again):
            self.workers[self.pool.start()] = WorkerState()


class ProcessPool(Generic[J]):
    """A `WorkerPool` of processes, each of which does one job at a time in overlapping stages."""

    def __init__(self, operation: Operation[J], policy: OutputPolicy) -> None:
        """operation: not prepared yet; every worker gets a copy."""
        self._operation, self._policy = operation, policy
        self._workers: dict[int, tuple[SpawnProcess, Connection]] = {}
        self._submitted: dict[int, deque[int]] = {}

    def start(self) -> int:
        """Do as `WorkerPool` says."""
        # A fork would share the locks of threads that it does not have, those of torch among them.
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        process = context.Process(target=serve, args=(there, self._operation, self._policy), daemon=True)
        process.start()
        # With this end open here, the worker's death would not be heard.
        there.close()
        number = len(self._submitted)
        self._workers[number], self._submitted[number] = (process, here), deque()
        return number

    def submit(self, worker: int, number: int, job: J) -> None:
        """Do as `WorkerPool` says."""
        self._submitted[worker].append(number)
        # A lost worker is heard of by `wait`.
        with suppress(OSError):
            self._workers[worker][1].send(job)

    def wait(self, interruptible: Interruptible) -> Sequence[tuple[int, Message]]:
        """Do as `WorkerPool` says."""
        with interruptible():
            ready = wait([connection for _, connection in self._workers.values()])
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
            return WorkerDied(_ending(process.exitcode))
        if isinstance(message, Ready):
            return message
        outcome, notes = message
        # Workers answer in the order in which they were asked.
        return Reply(self._submitted[worker].popleft(), outcome, notes)

    def drain(self) -> Iterator[Reply]:
        """Do as `WorkerPool` says."""
        for process, _ in self._workers.values():
            process.terminate()
        while self._workers:
            for _, message in self.wait(nullcontext):
                if isinstance(message, Reply):
                    yield message

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
    """Do the jobs that come from `connection`, until it is closed."""
    # What the other side no longer hears need not be said.
    with suppress(OSError, KeyboardInterrupt), Interrupts() as interrupts:
        _answer(connection, operation, policy, interrupts)
    # The thread that waits for jobs would keep the process.
    os._exit(0)


def _answer(
    connection: Connection, operation: Operation[Any], policy: OutputPolicy, interrupts: Interrupts
) -> None:
    notes: list[str] = []
    try:
        operation.prepare(notes.append)
    except TexsynthError as error:
        connection.send(Ready(error))
        return
    connection.send(Ready())
    events = Events(note=notes.append, interruptible=interrupts.allowed)
    executor = SerialExecutor(operation, policy)
    with closing(executor.outcomes(_received(connection), events)) as outcomes:
        for outcome in outcomes:
            connection.send((portable(outcome), tuple(notes)))
            notes.clear()


def _received(connection: Connection) -> Iterator[Any]:
    while True:
        try:
            yield connection.recv()
        except (EOFError, OSError):
            return


def portable(outcome: Outcome) -> Outcome:
    """Return `outcome` with an error that can be sent, whatever it was."""
    if isinstance(outcome, Failed) and not isinstance(outcome.error, TexsynthError):
        return Failed(outcome.job, RuntimeError(f"{type(outcome.error).__name__}: {outcome.error}"))
    return outcome


def _ending(code: int | None) -> str:
    return f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with code {code}"
