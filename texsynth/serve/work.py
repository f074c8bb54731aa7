"""Full results: a bounded queue of jobs, done one after the other by a thread."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Condition, Lock, Thread
from typing import Any

from texsynth.errors import TexsynthError
from texsynth.jobs.inputs import Input
from texsynth.jobs.memory import return_freed_memory
from texsynth.jobs.outcomes import Done, Events, Failed, collect
from texsynth.jobs.runner import SerialExecutor
from texsynth.paths import why
from texsynth.pipelines.progress import Step
from texsynth.serve.asking import Asked
from texsynth.serve.breaking import Breaker
from texsynth.serve.models import Models
from texsynth.serve.names import apart
from texsynth.serve.pictures import Pictures, link
from texsynth.serve.planning import Plan, plan
from texsynth.serve.settled import settle

MOST_FINISHED = 64
"""Jobs that are remembered after their end."""

FINISHED = ("done", "failed", "cancelled")

EARLY = 0.03  # Share of the work before which nothing is said of the time that is left


class QueueFullError(Exception):
    """More jobs wait than the server takes."""


class UnknownJobError(Exception):
    """A job that never was, or is no longer remembered."""


class AtWorkError(Exception):
    """A job that cannot be forgotten, for it has not ended."""


class NoResultsError(Exception):
    """A job without files: it has not ended, or not well."""


class StoppingError(Exception):
    """The server is being stopped."""


@dataclass(eq=False)
class Work:
    """A job on its way. Its fields change in the thread that does it, under the lock of the queue."""

    id: str
    asked: Asked
    folder: Path
    plan: Plan
    state: str = "waiting"
    share: float = 0.0
    stage: str = ""
    error: str | None = None
    fault: Exception | None = None
    warnings: list[str] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    created: float = field(default_factory=time.monotonic)
    started: float | None = None
    ended: float | None = None
    breaker: Breaker = field(default_factory=Breaker)
    bytes: int = 0

    @property
    def is_finished(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in FINISHED

    def facts(self, place: int) -> dict[str, Any]:
        """Return what the page is told. place: how many jobs come before it."""
        now = self.ended or time.monotonic()
        seconds = 0.0 if self.started is None else now - self.started
        left = None
        if self.state == "running" and self.share > EARLY:
            left = round(seconds * (1 - self.share) / self.share, 1)
        return {
            "id": self.id, "command": self.asked.command, "picture": self.asked.picture,
            "state": self.state, "place": place, "share": round(self.share, 4), "stage": self.stage,
            "seconds": round(seconds, 2), "left": left,
            "error": self.error, "warnings": list(self.warnings), "results": list(self.results),
        }  # fmt: skip


class Queue:
    """Jobs that wait, the one that is done, and those that were; every method may be called by any thread."""

    def __init__(
        self,
        folder: Path,
        pictures: Pictures,
        models: Models,
        *,
        most: int,
        most_bytes: int,
        report: Callable[[Exception], None],
    ) -> None:
        """folder: for those of the jobs. most: jobs that may wait. most_bytes: of all results together.

        report: is told of errors that nobody expects.
        """
        self._report = report
        self._folder, self._pictures, self._models = folder, pictures, models
        self._most, self._most_bytes = most, most_bytes
        self._all: OrderedDict[str, Work] = OrderedDict()
        self._waiting: deque[Work] = deque()
        self._running: Work | None = None
        self._changed, self._checking = Condition(), Lock()
        self._stopping = False
        self._thread = Thread(target=self._work, name="texsynth-results", daemon=True)
        self._thread.start()

    def add(self, asked: Asked) -> Work:
        """Queue a job. Raises QueueFullError, StoppingError, and TexsynthError as the command."""
        with self._changed:
            self._check_room()
        settled = settle(asked, self._pictures.run_for(asked.pictures))
        number = secrets.token_hex(12)
        folder = self._folder / number
        folder.mkdir()
        self._pictures.hold(asked.pictures)
        try:
            inputs = linked(asked, self._pictures, folder)
            try:
                planned = plan(asked, settled, inputs, f"{folder}/")
                # One after the other, for textures are read whole.
                with self._checking:
                    planned.refuse()
            except TexsynthError as error:
                raise type(error)(without_folder(str(error), folder)) from error
            work = Work(number, asked, folder, planned)
            with self._changed:
                self._check_room()
                self._all[number] = work
                self._waiting.append(work)
                self._changed.notify_all()
        except BaseException:
            self._pictures.release(asked.pictures)
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return work

    def _check_room(self) -> None:
        if self._stopping:
            raise StoppingError
        if len(self._waiting) >= self._most:
            raise QueueFullError

    def get(self, number: str) -> Work:
        """Return a job. Raises UnknownJobError."""
        with self._changed:
            if number not in self._all:
                raise UnknownJobError
            return self._all[number]

    def facts(self, work: Work) -> dict[str, Any]:
        """Return what the page is told of a job."""
        with self._changed:
            place = self._waiting.index(work) + (self._running is not None) if work in self._waiting else 0
            return work.facts(place)

    def cancel(self, work: Work) -> None:
        """End a job, unless it is finished."""
        with self._changed:
            work.breaker.break_off()
            if work in self._waiting:
                self._waiting.remove(work)
                self._end(work, "cancelled")
            self._changed.notify_all()

    def remove(self, number: str) -> None:
        """Forget an ended job, with its files. Raises UnknownJobError, AtWorkError."""
        with self._changed:
            work = self.get(number)
            if not work.is_finished:
                raise AtWorkError
            del self._all[number]
        shutil.rmtree(work.folder, ignore_errors=True)

    def gather(self, numbers: Sequence[str]) -> tuple[Path, list[Path]]:
        """Put the results of jobs side by side, under names that differ, so that they outlast the jobs.

        Returns a new folder and the files inside. Raises UnknownJobError, NoResultsError, OSError.
        """
        folder = self._folder / f"together-{secrets.token_hex(12)}"
        with self._changed:
            works = [self.get(number) for number in numbers]
            if any(work.state != "done" for work in works):
                raise NoResultsError
            folder.mkdir()
            sources = [path for work in works for path in work.files]
            files = [folder / name for name in apart(path.name for path in sources)]
            try:
                for source, path in zip(sources, files, strict=True):
                    link(source, path)
            except OSError:
                shutil.rmtree(folder, ignore_errors=True)
                raise
        return folder, files

    def stop(self, patience: float) -> None:
        """Cancel all jobs, and wait some seconds for the one that is done."""
        with self._changed:
            self._stopping = True
            for work in [*self._waiting, *filter(None, [self._running])]:
                self.cancel(work)
            self._changed.notify_all()
        self._thread.join(patience)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopping)
                if self._stopping:
                    return
                work = self._running = self._waiting.popleft()
                work.state, work.started = "running", time.monotonic()
            try:
                state = self._do(work)
            except KeyboardInterrupt:
                state = "cancelled"
            except Exception as error:  # one bad job must not end the thread
                state, work.fault = "failed", error
            work.breaker.leave()
            if work.fault is not None and not isinstance(work.fault, TexsynthError | OSError):
                self._report(work.fault)
            with self._changed:
                self._running = None
                self._end(work, state)
            return_freed_memory()

    def _do(self, work: Work) -> str:
        def step(step: Step) -> None:
            # No lock is held where the work may be broken off.
            work.share, work.stage = max(work.share, min(step.share, 1.0)), step.stage

        work.stage, breaker = "preparing", work.breaker
        model = self._models.load()
        operation = work.plan.operation(model, None)
        with breaker.allowed():
            operation.prepare(work.warnings.append)
        events = Events(
            step=step, note=work.warnings.append, interruptible=breaker.allowed, check=breaker.check
        )
        outcomes = SerialExecutor(operation, work.plan.policy).outcomes([work.plan.job], events)
        report = collect(outcomes, 1)
        for outcome in report.outcomes:
            if isinstance(outcome, Failed):
                work.fault = outcome.error
                return "failed"
            if isinstance(outcome, Done):
                work.warnings += outcome.written.warnings
                results = [result_facts(work, path) for path in result_paths(work.plan)]
                with self._changed:
                    work.files = result_paths(work.plan)
                    work.results = results
                    work.bytes = sum(int(one["bytes"]) for one in results)
                return "done"
        return "cancelled"

    def _end(self, work: Work, state: str) -> None:
        """Called under the lock. Others look at the state without it, so that it comes last."""
        if work.fault is not None:
            work.error = without_folder(sentence(work.fault), work.folder)
        work.warnings = [without_folder(warning, work.folder) for warning in work.warnings]
        if state == "done":
            work.share = 1.0
        else:
            shutil.rmtree(work.folder, ignore_errors=True)
        work.ended = time.monotonic()
        work.state = state
        self._pictures.release(work.asked.pictures)
        self._forget()

    def _forget(self) -> None:
        finished = [work for work in self._all.values() if work.is_finished]
        total = sum(work.bytes for work in finished)
        for number, work in enumerate(finished[:-1]):
            if len(finished) - number <= MOST_FINISHED and total <= self._most_bytes:
                return
            del self._all[work.id]
            total -= work.bytes
            shutil.rmtree(work.folder, ignore_errors=True)


def linked(asked: Asked, pictures: Pictures, folder: Path) -> dict[str, Input]:
    """Put the files of a request's pictures into `folder`, each under its name. Returns them by id."""
    inputs = {}
    for number, name in file_names(asked, pictures).items():
        pictures.link(number, folder / name)
        inputs[number] = Input(folder / name, name)
    return inputs


def file_names(asked: Asked, pictures: Pictures) -> Mapping[str, str]:
    """Return the names that the pictures of a request have side by side, by their ids."""
    numbers = asked.pictures
    return dict(zip(numbers, apart([pictures.get(number).name for number in numbers]), strict=True))


def result_paths(planned: Plan) -> list[Path]:
    """Return the files of a job, the one that counts first."""
    job = planned.job
    return [job.output, *(path for path in job.outputs if path != job.output)]


def result_facts(work: Work, path: Path) -> dict[str, Any]:
    """Return what the page is told of a result."""
    from texsynth import images

    header = images.probe(path, name=path.name)
    first = path == work.plan.job.output and work.asked.command != "maps"
    return {
        "name": path.name, "width": header.width, "height": header.height, "bytes": path.stat().st_size,
        "kind": "picture" if first else "map",
    }  # fmt: skip


def sentence(error: Exception) -> str:
    """Say what went wrong: the sentence of an expected error, what the disk refuses, or that it is a bug."""
    if isinstance(error, OSError):
        return f"the server cannot keep its files: {why(error)}; make room, or start it again"
    expected = isinstance(error, TexsynthError)
    return str(error) if expected else f"this is a bug in texsynth: {type(error).__name__}: {error}"


def without_folder(text: str, folder: Path) -> str:
    """Return a sentence about files with their names alone: where the server keeps them says nothing."""
    return text.replace(f"{folder}{os.sep}", "")
