"""One job computed at a time in this process, while the next is read and the last is written."""

import time
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Semaphore
from typing import Any, Generic

from texsynth.errors import as_expected, check_room_for_threads
from texsynth.interrupts import PATIENCE
from texsynth.jobs.files import JobResult, OutputPolicy, unfinished, with_metadata, write_result
from texsynth.jobs.inputs import J
from texsynth.jobs.memory import return_freed_memory
from texsynth.jobs.operation import Operation
from texsynth.jobs.outcomes import Done, Events, Failed, Outcome, Skipped
from texsynth.paths import is_taken

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
        ahead, behind, stop = Semaphore(AHEAD), Semaphore(BEHIND), Event()

        def read() -> None:
            for job in jobs:
                ahead.acquire()
                if stop.is_set():
                    return
                queue.put(self._load(job))
            queue.put(None)

        def write(computed: InWork[J]) -> None:
            try:
                queue.put(self._write(computed))
            finally:
                behind.release()

        # While there is room: when a result is to be written, there may be none.
        check_room_for_threads(2)
        reader = ThreadPoolExecutor(1, "texsynth-read")
        # Leaving this block waits for what is being written, on Ctrl-C too.
        with ThreadPoolExecutor(1, "texsynth-write") as writer:
            at_work = {reader: reader.submit(read), writer: writer.submit(lambda: None)}
            reading, unwritten, number = True, 0, 0
            try:
                while reading or unwritten:
                    events.check()
                    try:
                        event = queue.get(timeout=PATIENCE)
                    except Empty:
                        # What fails there, for want of memory say, puts nothing into the queue.
                        for work in at_work.values():
                            if work.done():
                                work.result()
                        continue
                    if event is None:
                        reading = False
                    elif isinstance(event, InWork):
                        ahead.release()
                        computed = self.compute(event, events)
                        behind.acquire()
                        at_work[writer].result()
                        at_work[writer] = writer.submit(write, computed)
                        unwritten += 1
                        # Nothing of a large picture shall wait here for the next one.
                        del event, computed
                    else:
                        unwritten -= 1
                        number += 1
                        if number % TRIM_EVERY == 0:
                            return_freed_memory()
                        yield event
                events.check()
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
                # In a worker it may wait for jobs that nobody sends any more.
                reader.shutdown(wait=False)

    def _load(self, job: J) -> InWork[J]:
        start = time.perf_counter()
        content: Any = None
        missing = None
        try:
            if self.policy.resume and (records := self.operation.records(job)):
                missing = frozenset(unfinished(records, self.policy))
            if missing is None or missing:
                content = self.operation.load(job)
        except Exception as error:  # the rest of a long batch must not be lost to one picture
            content = as_expected(error)
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
                result = self.operation.compute(loaded.job, loaded.content, events.checked_step)
            if loaded.missing is not None:
                # Of a run that was stopped between the files of a job, some are there.
                files = tuple(
                    file
                    for file in result.files
                    # What carries no record goes with the pictures.
                    if file.path in loaded.missing
                    or (isinstance(file.picture, bytes) and not is_taken(file.path))
                )
                result = replace(result, files=files)
        except Exception as error:  # as above
            result = as_expected(error)
        return replace(loaded, content=result, seconds=loaded.seconds + time.perf_counter() - start)

    def _write(self, computed: InWork[J]) -> Outcome:
        job, result = computed.job, computed.content
        if result is None:
            return Skipped(job)
        if isinstance(result, Exception):
            return Failed(job, result)
        start = time.perf_counter()
        try:
            written = write_result(with_metadata(result, job.picture, self.policy), self.policy)
        except Exception as error:  # as above
            return Failed(job, as_expected(error))
        if written is None:
            return Skipped(job)
        return Done(job, written, computed.seconds + time.perf_counter() - start)
