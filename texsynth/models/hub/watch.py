"""Work that may hang, done aside, so that who waits for it can give up."""

from collections.abc import Generator, Iterator
from contextlib import suppress
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import TypeVar

T = TypeVar("T")

AHEAD = 8  # Items that may wait to be taken
TURN = 0.1  # Seconds between two looks whether anybody still waits


class SilenceError(Exception):
    """Nothing has come for too long."""


def watched(items: Iterator[T], seconds: float) -> Generator[T]:
    """Yield the items that come, each made in another thread, and raise what that raises.

    Raises SilenceError when the next one takes more than `seconds`: the thread is left to itself then, and
    ends when it next has something to hand over.
    """
    queue: Queue[tuple[T] | BaseException | None] = Queue(AHEAD)
    given_up = Event()

    def hand_over(thing: tuple[T] | BaseException | None) -> None:
        while not given_up.is_set():
            with suppress(Full):
                queue.put(thing, timeout=TURN)
                return

    def make() -> None:
        try:
            for item in items:
                hand_over((item,))
                if given_up.is_set():
                    return
            hand_over(None)
        except BaseException as error:  # it is raised where it is waited for
            hand_over(error)
        finally:
            getattr(items, "close", lambda: None)()

    Thread(target=make, name="texsynth-network", daemon=True).start()
    try:
        while True:
            try:
                thing = queue.get(timeout=seconds)
            except Empty:
                raise SilenceError from None
            if thing is None:
                return
            if isinstance(thing, BaseException):
                raise thing
            yield thing[0]
    finally:
        given_up.set()
