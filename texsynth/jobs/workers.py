"""Workers that are processes of this machine."""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from threading import Lock
from types import ModuleType
from typing import Any, Generic, Literal, Protocol, TypeVar, get_args

from texsynth.config.settings import MEMORY_LIMIT, RunSettings
from texsynth.errors import TexsynthError, UsageError, WorkerLostError
from texsynth.jobs.inputs import Job, StyledJob
from texsynth.jobs.outcomes import Failed, J, Order, Outcome, Skipped, Stages, Watch
from texsynth.jobs.runner import Interrupts, Serial
from texsynth.pipelines.progress import OnStep


class Processes(Generic[J]):
    """A `Crew` of processes, each of which does one job at a time in overlapping stages."""

    def __init__(self, order: Order) -> None:
        """order: what every worker begins with."""
        self._order = order
        self._workers: dict[int, tuple[SpawnProcess, Connection]] = {}
        self._given: dict[int, deque[int]] = {}

    def hire(self) -> int:
        """As in `Crew`."""
        # A fork would share the locks of threads that it does not have, those of torch among them.
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        process = context.Process(target=serve, args=(there, self._order), daemon=True)
        process.start()
        # With this end open here, the worker's death would not be heard.
        there.close()
        number = len(self._given)
        self._workers[number], self._given[number] = (process, here), deque()
        return number

    def give(self, worker: int, number: int, job: J) -> None:
        """As in `Crew`."""
        self._given[worker].append(number)
        # A lost worker is heard of by `hear`.
        with suppress(OSError):
            self._workers[worker][1].send(job)

    def hear(self, welcome: Welcome) -> Sequence[tuple[int, Message]]:
        """As in `Crew`."""
        with welcome():
            ready = wait([connection for _, connection in self._workers.values()])
        return [
            (number, self._heard(number))
            for number in list(self._workers)
            if self._workers[number][1] in ready
        ]

    def _heard(self, worker: int) -> Message:
        process, connection = self._workers[worker]
        try:
            message = connection.recv()
        except (EOFError, OSError):
            process.join()
            connection.close()
            del self._workers[worker]
            return Lost(_ending(process.exitcode))
        if isinstance(message, Ready):
            return message
        outcome, notes = message
        # Workers answer in the order in which they were asked.
        return Reply(self._given[worker].popleft(), outcome, notes)

    def wind_up(self) -> Iterator[Reply]:
        """As in `Crew`."""
        for process, _ in self._workers.values():
            process.terminate()
        while self._workers:
            for _, message in self.hear(nullcontext):
                if isinstance(message, Reply):
                    yield message

    def close(self) -> None:
        """As in `Crew`."""
        for number, (process, connection) in self._workers.items():
            # An idle worker ends when nobody is left to give it jobs.
            connection.close()
            if self._given[number]:
                process.kill()
        for process, _ in self._workers.values():
            process.join()


def serve(connection: Connection, order: Order) -> None:
    """What a worker does: jobs from the `connection`, until it is closed."""
    # What the other side no longer hears need not be said.
    with suppress(OSError, KeyboardInterrupt), Interrupts() as interrupts:
        _answer(connection, order, interrupts)
    # The thread that waits for jobs would keep the process.
    os._exit(0)


def _answer(connection: Connection, order: Order, interrupts: Interrupts) -> None:
    notes: list[str] = []
    try:
        executor = Serial(order.begin(notes.append))
    except TexsynthError as error:
        connection.send(Ready(error))
        return
    connection.send(Ready())
    watch: Watch[Any] = Watch(lambda _: None, lambda _: None, notes.append, interrupts.welcome)
    with closing(executor.outcomes(_received(connection), watch)) as outcomes:
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
    """`outcome` with an error that can be sent, whatever it was."""
    if isinstance(outcome, Failed) and not isinstance(outcome.error, TexsynthError):
        return Failed(outcome.job, RuntimeError(f"{type(outcome.error).__name__}: {outcome.error}"))
    return outcome


def _ending(code: int | None) -> str:
    return f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with code {code}"


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


class Actor:
    """A worker: the networks, and jobs that wait for them."""

    def __init__(self, order: Order, folder: str) -> None:
        """folder: the one that paths count from."""
        self._notes: list[str] = []
        self._computing = Lock()
        self._stopped = False
        self._error: TexsynthError | None = None
        try:
            os.chdir(folder)
            self._stages = order.begin(self._notes.append)
        except TexsynthError as error:
            self._error = error
        except OSError:
            self._error = UsageError(f"a worker has no folder {folder}; run from one that all machines share")

    def ready(self) -> Ready:
        """Whether it can begin."""
        return Ready(self._error)

    def do(self, job: Job) -> tuple[Outcome, tuple[str, ...]] | None:
        """One job, None after `stop`; several calls overlap, but compute one at a time."""

        def make(job: Job, found: object, on_step: OnStep) -> object:
            with self._computing:
                return None if self._stopped else self._stages.make(job, found, on_step)

        watch: Watch[Any] = Watch(lambda _: None, lambda _: None, self._notes.append)
        (outcome,) = Serial(replace(self._stages, make=make)).outcomes([job], watch)
        notes = tuple(self._notes)
        del self._notes[: len(notes)]
        return None if self._stopped and isinstance(outcome, Skipped) else (portable(outcome), notes)

    def stop(self) -> None:
        """Begin nothing more."""
        self._stopped = True


class RayActors(Generic[J]):
    """A `Crew` of actors: of the cluster that RAY_ADDRESS names, else of one on this machine."""

    def __init__(self, order: Order, threads: int) -> None:
        """order: what every worker begins with. threads: CPU threads of each. Raises UsageError."""
        self._ray = started()
        self._order = order
        self._threads = threads
        self._workers: dict[int, Any] = {}
        self._calls: dict[Any, tuple[int, int | None]] = {}
        """Calls that have no answer yet: their worker, and their job unless it is `ready`."""
        self._hired = 0

    def hire(self) -> int:
        """As in `Crew`."""
        gpus = float(self._ray.cluster_resources().get("GPU", 0.0))
        kind = self._ray.remote(num_cpus=self._threads, num_gpus=min(gpus, 1.0), max_concurrency=IN_HAND + 1)(
            Actor
        )
        actor = kind.remote(self._order, os.getcwd())
        self._hired += 1
        self._workers[self._hired] = actor
        self._calls[actor.ready.remote()] = self._hired, None
        return self._hired

    def give(self, worker: int, number: int, job: J) -> None:
        """As in `Crew`."""
        self._calls[self._workers[worker].do.remote(job)] = worker, number

    def hear(self, welcome: Welcome) -> Sequence[tuple[int, Message]]:
        """As in `Crew`."""
        with welcome():
            (call,), _ = self._ray.wait(list(self._calls))
        message = self._heard(call)
        return [message] if message else []

    def _heard(self, call: object) -> tuple[int, Message] | None:
        worker, number = self._calls.pop(call)
        try:
            answer = self._ray.get(call)
        except self._ray.exceptions.RayActorError:
            self._calls = {c: who for c, who in self._calls.items() if who[0] != worker}
            del self._workers[worker]
            return worker, Lost("has died")
        if number is None:
            return worker, answer
        return (worker, Reply(number, *answer)) if answer else None

    def wind_up(self) -> Iterator[Reply]:
        """As in `Crew`."""
        for actor in self._workers.values():
            actor.stop.remote()
        while self._calls:
            for _, message in self.hear(nullcontext):
                if isinstance(message, Reply):
                    yield message

    def close(self) -> None:
        """As in `Crew`."""
        for actor in self._workers.values():
            self._ray.kill(actor)
        self._ray.shutdown()


def started() -> ModuleType:
    """The module `ray`, connected to a cluster. UsageError when it is not installed."""
    try:
        import ray
    except ImportError:
        raise UsageError("--executor ray needs Ray; install it with `pip install 'texsynth[ray]'`") from None
    if not ray.is_initialized():
        ray.init(log_to_driver=False, include_dashboard=False, logging_level=logging.ERROR)
    return ray


def capacity(threads: int) -> int:
    """How many workers the cluster has room for: one a GPU, or as many as its CPUs have `threads`."""
    resources = started().cluster_resources()
    return max(1, int(resources.get("GPU", 0) or resources.get("CPU", 1) // threads))


ExecutorName = Literal["serial", "processes", "ray"]

EXECUTORS: tuple[str, ...] = get_args(ExecutorName)


@dataclass(frozen=True)
class StyledOrder:
    """An `Order` for the jobs of a manifest."""

    run: RunSettings
    force: bool
    resume: bool

    def begin(self, note: Callable[[str], None]) -> Stages[StyledJob]:
        """Load the model."""
        from texsynth.jobs.stylize import Styler

        return Styler(self.run, note).stages(force=self.force, resume=self.resume)


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def shared_out(run: RunSettings, workers: int) -> RunSettings:
    """The settings of each of `workers` on one machine, which share its memory and its cores."""
    found = MEMORY_LIMIT.fullmatch(run.memory_limit or "50%")
    assert found, "settings have checked it"
    limit = f"{float(found[1]) / workers:.6f}".rstrip("0").rstrip(".") + found[2]
    threads = run.threads or max(1, cores() // workers)
    return run.model_copy(update={"memory_limit": limit, "threads": threads})
