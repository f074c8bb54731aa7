"""Workers that are actors of a Ray cluster."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from threading import Event, Lock
from types import ModuleType
from typing import Any

from texsynth.errors import TexsynthError, UsageError
from texsynth.interrupts import PATIENCE
from texsynth.jobs.files import OutputPolicy
from texsynth.jobs.inputs import J, Job
from texsynth.jobs.operation import Operation
from texsynth.jobs.outcomes import Events, Failed, Outcome
from texsynth.jobs.runner import InWork, SerialExecutor
from texsynth.jobs.workers import (
    IN_HAND,
    Message,
    Ready,
    Reply,
    WorkerDied,
    WorkerPool,
    portable,
)


class StoppedError(Exception):
    """Raised for a job that is not begun any more."""


@dataclass(frozen=True)
class OneAtATimeExecutor(SerialExecutor[Any]):
    """Its calls may overlap, but it computes one job at a time, and none once stopped."""

    lock: Lock = field(default_factory=Lock)
    stopped: Event = field(default_factory=Event)

    def compute(self, loaded: InWork[Any], events: Events) -> InWork[Any]:
        """Wait for a turn first."""
        with self.lock:
            if self.stopped.is_set():
                return replace(loaded, content=StoppedError())
            return super().compute(loaded, events)


class Actor:
    """A worker: a prepared operation, and jobs that wait for it."""

    def __init__(self, operation: Operation[Any], policy: OutputPolicy, folder: str) -> None:
        """operation: not prepared yet. folder: the one that paths count from."""
        self._executor = OneAtATimeExecutor(operation, policy)
        self._notes: list[str] = []
        self._error: TexsynthError | None = None
        try:
            os.chdir(folder)
            operation.prepare(self._notes.append)
        except TexsynthError as error:
            self._error = error
        except OSError:
            self._error = UsageError(f"a worker has no folder {folder}; run from one that all machines share")

    def ready(self) -> Ready:
        """Say that it can begin, or why not."""
        return Ready(self._error)

    def do(self, job: Job) -> tuple[Outcome, tuple[str, ...]] | None:
        """Do one job, None after `stop`; several calls overlap, but compute one at a time."""
        (outcome,) = self._executor.outcomes([job], Events(note=self._notes.append))
        notes = tuple(self._notes)
        del self._notes[: len(notes)]
        stopped = isinstance(outcome, Failed) and isinstance(outcome.error, StoppedError)
        return None if stopped else (portable(outcome), notes)

    def stop(self) -> None:
        """Begin nothing more."""
        self._executor.stopped.set()


class RayPool(WorkerPool[J]):
    """Actors of the cluster that RAY_ADDRESS names, else of one on this machine."""

    def __init__(self, operation: Operation[J], policy: OutputPolicy, threads: int) -> None:
        """operation: not prepared yet. threads: CPU threads of each worker. Raises UsageError."""
        self._ray = connected()
        self._operation, self._policy = operation, policy
        self._threads = threads
        self._workers: dict[int, Any] = {}
        self._calls: dict[Any, tuple[int, int | None]] = {}
        """The worker of every call without an answer yet, and its job unless it is `ready`."""
        self._started = 0

    def start(self) -> int:
        """Do as `WorkerPool` says."""
        gpus = float(self._ray.cluster_resources().get("GPU", 0.0))
        needs = {"num_cpus": self._threads, "num_gpus": min(gpus, 1.0), "max_concurrency": IN_HAND + 1}
        actor = self._ray.remote(**needs)(Actor).remote(self._operation, self._policy, os.getcwd())
        self._started += 1
        self._workers[self._started] = actor
        self._calls[actor.ready.remote()] = self._started, None
        return self._started

    def submit(self, worker: int, number: int, job: J) -> None:
        """Do as `WorkerPool` says."""
        self._calls[self._workers[worker].do.remote(job)] = worker, number

    def wait(self) -> Sequence[tuple[int, Message]]:
        """Do as `WorkerPool` says."""
        calls, _ = self._ray.wait(list(self._calls), timeout=PATIENCE)
        if not calls:
            return []
        (call,) = calls
        worker, number = self._calls.pop(call)
        try:
            answer = self._ray.get(call)
        except self._ray.exceptions.RayActorError:
            self._calls = {c: who for c, who in self._calls.items() if who[0] != worker}
            del self._workers[worker]
            return [(worker, WorkerDied("has died"))]
        if number is None:
            return [(worker, answer)]
        return [(worker, Reply(number, *answer))] if answer else []

    def stop(self) -> None:
        """Do as `WorkerPool` says."""
        for actor in self._workers.values():
            actor.stop.remote()

    def is_heard(self) -> bool:
        """Do as `WorkerPool` says."""
        return bool(self._calls)

    def shutdown(self) -> None:
        """Do as `WorkerPool` says."""
        for actor in self._workers.values():
            self._ray.kill(actor)
        self._ray.shutdown()


def connected() -> ModuleType:
    """Return the module `ray`, connected to a cluster. UsageError when it is not installed."""
    try:
        import ray
    except ImportError:
        raise UsageError("--executor ray needs Ray; install it with `pip install 'texsynth[ray]'`") from None
    if not ray.is_initialized():
        ray.init(log_to_driver=False, include_dashboard=False, logging_level=logging.ERROR)
    return ray


def capacity(threads: int) -> int:
    """Return how many workers the cluster has room for: one a GPU, or as many as its CPUs have `threads`."""
    resources = connected().cluster_resources()
    return max(1, int(resources.get("GPU", 0) or resources.get("CPU", 1) // threads))
