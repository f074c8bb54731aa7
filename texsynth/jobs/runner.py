"""One job computed at a time in this process, while the next is read and the last is written."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Event, Semaphore, Thread
from types import FrameType, TracebackType
from typing import Any, Generic, Self

from texsynth.jobs.memory import give_back
from texsynth.jobs.outcomes import Done, Failed, J, Outcome, Skipped, Stages, Watch

AHEAD, BEHIND = 1, 1
"""Jobs that may be read before their turn, and that may be written; more would take memory for nothing."""


TRIM_EVERY = 8
"""Jobs after which freed memory is returned to the system."""


@dataclass(frozen=True)
class Loaded(Generic[J]):
    """What reading the files of a job gave: what `make` needs, None for nothing to do, or an error."""

    job: J
    found: Any
    seconds: float


@dataclass(frozen=True)
class Serial(Generic[J]):
    """An `Executor`; outcomes come in the order of the jobs."""

    stages: Stages[J]

    def outcomes(self, jobs: Iterable[J], watch: Watch[J]) -> Generator[Outcome]:
        """One outcome for every job; `jobs` may be slow to come."""
        events: SimpleQueue[Loaded[J] | Outcome | None] = SimpleQueue()
        news, ahead, behind, stop = Semaphore(0), Semaphore(AHEAD), Semaphore(BEHIND), Event()

        def tell(event: Loaded[J] | Outcome | None) -> None:
            events.put(event)
            news.release()

        def read() -> None:
            for job in jobs:
                ahead.acquire()
                if stop.is_set():
                    return
                tell(self._loaded(job))
            tell(None)

        def write(loaded: Loaded[J], made: object) -> None:
            tell(self._outcome(loaded, made))
            behind.release()

        Thread(target=read).start()
        reading, unwritten, number = True, 0, 0
        # Leaving this block waits for what is being written, on Ctrl-C too.
        with ThreadPoolExecutor(1, "texsynth-write") as writer:
            try:
                while reading or unwritten:
                    with watch.welcome():
                        news.acquire()
                    event = events.get()
                    if event is None:
                        reading = False
                    elif isinstance(event, Loaded):
                        ahead.release()
                        made = self._made(event, watch)
                        behind.acquire()
                        writer.submit(write, Loaded(event.job, None, event.seconds + made[1]), made[0])
                        unwritten += 1
                        # Nothing of a large picture shall wait here for the next one.
                        del event, made
                    else:
                        unwritten -= 1
                        number += 1
                        if number % TRIM_EVERY == 0:
                            give_back()
                        yield event
            except KeyboardInterrupt:
                stop.set()
                writer.shutdown()
                while not events.empty():
                    if isinstance(event := events.get(), Done | Failed | Skipped):
                        yield event
                raise
            finally:
                stop.set()
                ahead.release()

    def _loaded(self, job: J) -> Loaded[J]:
        start = time.perf_counter()
        try:
            found = self.stages.load(job)
        except Exception as error:  # the rest of a long batch must not be lost to one picture
            found = error
        return Loaded(job, found, time.perf_counter() - start)

    def _made(self, loaded: Loaded[J], watch: Watch[J]) -> tuple[Any, float]:
        """What is to be written, None, or an error; and seconds."""
        if loaded.found is None or isinstance(loaded.found, Exception):
            return loaded.found, 0.0
        start = time.perf_counter()
        watch.started(loaded.job)
        try:
            with watch.welcome():
                made = self.stages.make(loaded.job, loaded.found, watch.step)
        except Exception as error:  # as above
            made = error
        return made, time.perf_counter() - start

    def _outcome(self, loaded: Loaded[J], made: object) -> Outcome:
        if made is None:
            return Skipped(loaded.job)
        if isinstance(made, Exception):
            return Failed(loaded.job, made)
        start = time.perf_counter()
        try:
            written = self.stages.write(loaded.job, made)
        except Exception as error:  # as above
            return Failed(loaded.job, error)
        if written is None:
            return Skipped(loaded.job)
        return Done(loaded.job, written, loaded.seconds + time.perf_counter() - start)


SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """While it is entered, signals wait until they are `welcome`; a second one does not."""

    def __init__(self) -> None:
        """Nothing has come yet."""
        self._before: dict[signal.Signals, Any] = {}
        self._count = 0
        self._welcome = False

    def __enter__(self) -> Self:
        """Put signals off from here."""
        # Only the main thread gets signals, and may say what becomes of them.
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._come) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave signals to whom they were left before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def welcome(self) -> Iterator[None]:
        """Where a signal may raise KeyboardInterrupt, also one that has come before."""
        self._welcome = True
        try:
            if self._count:
                raise KeyboardInterrupt
            yield
        finally:
            self._welcome = False

    def _come(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._count += 1
        if self._welcome or self._count > 1:
            raise KeyboardInterrupt
