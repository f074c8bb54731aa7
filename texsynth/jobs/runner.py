"""One job computed at a time in this process, while the next is read and the last is written."""

import signal
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Semaphore, Thread
from types import FrameType
from typing import Any, Generic, Self

from texsynth.jobs.files import JobResult, OutputPolicy, unfinished, write_result
from texsynth.jobs.inputs import J
from texsynth.jobs.memory import return_freed_memory
from texsynth.jobs.operation import Operation
from texsynth.jobs.outcomes import Done, Events, Failed, Outcome, Skipped

AHEAD, BEHIND = 1, 1
"""Jobs that may be read before their turn, and that may be written; more would take memory for nothing."""

TRIM_EVERY = 8  # Jobs after which freed memory is returned to the system


@dataclass(frozen=True)
class InWork(Generic[J]):
    """A job on its way. content: what was read, then the JobResult; None when there is nothing to do."""

    job: J
    content: Any
    seconds: float
    missing: frozenset[Path] | None = None  # The files that --resume has to make; None for all


@dataclass(frozen=True)
class SerialExecutor(Generic[J]):
    """Does the jobs of an operation in this process; outcomes come in the order of the jobs."""

    operation: Operation[J]
    policy: OutputPolicy

    def outcomes(self, jobs: Iterable[J], events: Events) -> Generator[Outcome]:
        """Yield one outcome for every job; `jobs` may be slow to come.

        On Ctrl-C what is being written is finished first, and KeyboardInterrupt goes on.
        """
        queue: SimpleQueue[InWork[J] | Outcome | None] = SimpleQueue()
        news, ahead, behind, stop = Semaphore(0), Semaphore(AHEAD), Semaphore(BEHIND), Event()

        def tell(event: InWork[J] | Outcome | None) -> None:
            queue.put(event)
            news.release()

        def read() -> None:
            for job in jobs:
                ahead.acquire()
                if stop.is_set():
                    return
                tell(self._load(job))
            tell(None)

        def write(computed: InWork[J]) -> None:
            tell(self._write(computed))
            behind.release()

        Thread(target=read).start()
        reading, unwritten, number = True, 0, 0
        # Leaving this block waits for what is being written, on Ctrl-C too.
        with ThreadPoolExecutor(1, "texsynth-write") as writer:
            try:
                while reading or unwritten:
                    with events.interruptible():
                        news.acquire()
                    event = queue.get()
                    if event is None:
                        reading = False
                    elif isinstance(event, InWork):
                        ahead.release()
                        computed = self.compute(event, events)
                        behind.acquire()
                        writer.submit(write, computed)
                        unwritten += 1
                        # Nothing of a large picture shall wait here for the next one.
                        del event, computed
                    else:
                        unwritten -= 1
                        number += 1
                        if number % TRIM_EVERY == 0:
                            return_freed_memory()
                        yield event
            except KeyboardInterrupt:
                stop.set()
                writer.shutdown()
                while not queue.empty():
                    if isinstance(event := queue.get(), Done | Failed | Skipped):
                        yield event
                raise
            finally:
                stop.set()
                ahead.release()

    def _load(self, job: J) -> InWork[J]:
        start = time.perf_counter()
        content: Any = None
        missing = None
        try:
            if self.policy.resume and (records := self.operation.records(job)):
                missing = frozenset(unfinished(records, force=self.policy.force))
            if missing is None or missing:
                content = self.operation.load(job)
        except Exception as error:  # the rest of a long batch must not be lost to one picture
            content = error
        return InWork(job, content, time.perf_counter() - start, missing)

    def compute(self, loaded: InWork[J], events: Events) -> InWork[J]:
        """Return `loaded` with what is to be written, None, or an error instead of what was read."""
        if loaded.content is None or isinstance(loaded.content, Exception):
            return loaded
        start = time.perf_counter()
        events.started(loaded.job)
        result: JobResult | Exception
        try:
            with events.interruptible():
                result = self.operation.compute(loaded.job, loaded.content, events.step)
            if loaded.missing is not None:
                # Of a run that was stopped between the files of a job, some are there.
                files = tuple(
                    file
                    for file in result.files
                    # What carries no record goes with the pictures.
                    if file.path in loaded.missing
                    or (isinstance(file.picture, bytes) and not file.path.exists())
                )
                result = replace(result, files=files)
        except Exception as error:  # as above
            result = error
        return replace(loaded, content=result, seconds=loaded.seconds + time.perf_counter() - start)

    def _write(self, computed: InWork[J]) -> Outcome:
        job, result = computed.job, computed.content
        if result is None:
            return Skipped(job)
        if isinstance(result, Exception):
            return Failed(job, result)
        start = time.perf_counter()
        try:
            written = write_result(result, self.policy)
        except Exception as error:  # as above
            return Failed(job, error)
        if written is None:
            return Skipped(job)
        return Done(job, written, computed.seconds + time.perf_counter() - start)


SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """While it is entered, signals wait until they are `allowed`; a second one does not."""

    def __init__(self) -> None:
        """Start with no signal received."""
        self._before: dict[signal.Signals, Any] = {}
        self._count = 0
        self._allowed = False

    def __enter__(self) -> Self:
        """Put signals off from here."""
        # Only the main thread gets signals, and may say what becomes of them.
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._receive) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        """Leave signals to whom they were left before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """Let a signal raise KeyboardInterrupt, also one that has come before."""
        self._allowed = True
        try:
            if self._count:
                raise KeyboardInterrupt
            yield
        finally:
            self._allowed = False

    def _receive(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._count += 1
        if self._allowed or self._count > 1:
            raise KeyboardInterrupt
