"""Workers that are processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Generic

from texsynth.batch.crew import Lost, Message, Ready, Reply, Welcome
from texsynth.batch.executors import Order, Watch
from texsynth.batch.interrupts import Interrupts
from texsynth.batch.run import Failed, J, Outcome
from texsynth.batch.serial import Serial
from texsynth.errors import TexsynthError


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
