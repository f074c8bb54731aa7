"""Workers that are actors of a Ray cluster."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from threading import Lock
from types import ModuleType
from typing import Any, Generic

from texsynth.batch.crew import IN_HAND, Lost, Message, Ready, Reply, Welcome
from texsynth.batch.executors import Order, Watch
from texsynth.batch.plan import Job
from texsynth.batch.processes import portable
from texsynth.batch.run import J, Outcome, Skipped
from texsynth.batch.serial import Serial
from texsynth.errors import TexsynthError, UsageError
from texsynth.pipelines.progress import OnStep


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
