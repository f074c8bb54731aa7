"""Work of a thread, broken off by another one: some stages take long and say nothing on their way."""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread, get_ident

from texsynth.interrupts import may_hold_lock

AGAIN = 5.0  # Seconds after which what does not end is broken off once more

LOOK = 0.02  # Seconds after which it is looked again whether locks are held


class Breaker:
    """Breaks off one piece of work with a KeyboardInterrupt, as Ctrl-C does that of a command."""

    def __init__(self) -> None:
        """Nothing is broken off yet."""
        self._thread: int | None = None
        self._asked = Event()
        self._sending = False

    @property
    def asked(self) -> bool:
        """Whether the work is to end."""
        return self._asked.is_set()

    def check(self) -> None:
        """Raise KeyboardInterrupt where the work is to end."""
        if self.asked:
            raise KeyboardInterrupt

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """Let the work of this thread be broken off inside, wherever no lock is held."""
        self._thread = get_ident()
        try:
            self.check()
            yield
        finally:
            self.leave()

    def leave(self) -> None:
        """Let nothing more be broken off, in the thread that does the work."""
        while True:
            try:
                self._thread = None
                while self._sending:
                    time.sleep(0.001)
                if self.asked:
                    # One that has been sent and has not come yet would come at any time. This one takes its
                    # place, and comes at once. Were it only taken back, CPython 3.11 would look for it for
                    # ever, and hang where it calls a profiler.
                    _send(get_ident(), _ReplacedError)
                    while True:
                        pass
            except KeyboardInterrupt:  # it has come; the work is over all the same
                continue
            except _ReplacedError:
                pass
            return

    def break_off(self) -> None:
        """End the work soon; returns at once."""
        if not self.asked:
            self._asked.set()
            Thread(target=self._insist, name="texsynth-break", daemon=True).start()

    def _insist(self) -> None:
        sent = -AGAIN
        while self._thread is not None:
            if time.monotonic() - sent > AGAIN and self._send_where_allowed():
                sent = time.monotonic()
            time.sleep(LOOK)

    def _send_where_allowed(self) -> bool:
        """Break in, unless a lock may be held, or the work has ended. Returns whether it was tried."""
        self._sending = True
        try:
            # Only now: who leaves says so first, and then waits for the end of this.
            thread = self._thread
            if thread is None or may_hold_lock(sys._current_frames().get(thread)):
                return False
            _send(thread, KeyboardInterrupt)
            return True
        finally:
            self._sending = False


class _ReplacedError(BaseException):
    """Comes to a thread instead of what was sent to it before."""


def _send(thread: int, error: type[BaseException]) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error))
