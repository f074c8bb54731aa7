"""Ctrl-C and polite kills, which may not break into what holds a lock, or into the start of libraries."""

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from types import FrameType
from typing import Any, NoReturn, Self

HANGUPS = {signal.SIGHUP} if hasattr(signal, "SIGHUP") else set()
"""Signals that come when a terminal is closed; who ignores them, as nohup does, wants the work to go on."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, *HANGUPS)

INTERRUPTED = 130
"""Exit code of a program that was told to end."""

SHOW_CURSOR = b"\x1b[?25h\n"  # A bar hides it

PATIENCE = 0.1
"""Seconds after which those who wait for news look whether a signal has come meanwhile."""

ONE_WISH = 0.5
"""Seconds within which signals count as one: launchers pass on what the terminal has sent to all."""

KEEP_LOCKS = {"concurrent", "importlib", "queue", "rich", "threading"}
"""Packages whose Python code holds locks that other threads wait for."""


def take_signals() -> None:
    """Let signals raise KeyboardInterrupt, and end the program at once where it imports.

    Libraries of C++ abort when an exception comes to them from a signal.
    """
    for number in SIGNALS:
        # Whoever ignores them, as a shell does for jobs in the background, wants the work to go on.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)


def leave_signals() -> None:
    """Let signals end the program as they end others, without a word, once its work is done."""
    for number in SIGNALS:
        if signal.getsignal(number) == _interrupt:
            signal.signal(number, signal.SIG_DFL)


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number
    # The first is its name until somebody has imported the second.
    if not {"_frozen_importlib", "importlib"}.isdisjoint(_packages(frame)):
        with suppress(OSError):
            os.write(2, b"texsynth: interrupted\n")
        leave()
    raise KeyboardInterrupt


def leave() -> NoReturn:
    """End the program at once, as a second Ctrl-C asks; what is being written stays as a temporary file."""
    with suppress(OSError):
        if os.isatty(2):
            os.write(2, SHOW_CURSOR)
    os._exit(INTERRUPTED)


class Signals:
    """While it is entered, the first signal does one thing, and later ones another."""

    def __init__(
        self, first: Callable[[FrameType | None], object], again: Callable[[], object] = lambda: None
    ) -> None:
        """Both are called at once, wherever the program is, so that they must not take locks.

        first: is told where the program is.
        """
        self._do_first, self._again = first, again
        self._before: dict[signal.Signals, Any] = {}
        self._first: float | None = None
        """When the first signal came, in seconds of a clock that only goes forward."""

    @property
    def has_come(self) -> bool:
        """Whether a signal has come."""
        return self._first is not None

    def __enter__(self) -> Self:
        """Receive signals from here."""
        # Only the main thread gets signals, and may say what becomes of them.
        if threading.current_thread() is threading.main_thread():
            self._before = {n: signal.signal(n, self._receive) for n in SIGNALS if not is_ignored(n)}
        return self

    def __exit__(self, *_: object) -> None:
        """Leave signals to whom they were left before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        del number
        now = time.monotonic()
        if self._first is None:
            self._first = now
            self._do_first(frame)
        elif now - self._first > ONE_WISH:
            self._again()


class Interrupts(Signals):
    """While it is entered, signals wait until they are asked for with `check`, or `allowed`.

    An exception that a signal raises anywhere may leave a lock locked for ever, so that the threads that read
    and write would wait for it, and the end of the program for them.
    """

    def __init__(self, again: Callable[[], object] = lambda: None) -> None:
        """again: what a further signal does, at once and wherever the program is; it must not take locks."""
        super().__init__(self._interrupt, again)
        self._allowed = False

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal has come."""
        if self.has_come:
            raise KeyboardInterrupt

    def allowed(self) -> AbstractContextManager[None]:
        """Let a signal raise KeyboardInterrupt inside, wherever no lock is held; also one that has come."""
        return _Allowed(self)

    def _interrupt(self, frame: FrameType | None) -> None:
        if self._allowed and not may_hold_lock(frame):
            self._allowed = False
            raise KeyboardInterrupt


def is_ignored(number: signal.Signals) -> bool:
    """Tell whether the work goes on when the terminal of `number` is closed."""
    return number in HANGUPS and signal.getsignal(number) == signal.SIG_IGN


class _Allowed(AbstractContextManager[None]):
    def __init__(self, interrupts: Interrupts) -> None:
        self._interrupts = interrupts

    def __enter__(self) -> None:
        self._interrupts._allowed = True
        self._interrupts.check()

    def __exit__(self, *_: object) -> None:
        self._interrupts._allowed = False


def may_hold_lock(frame: FrameType | None) -> bool:
    """Tell whether `frame`, or one that called it in its thread, is code of a package in KEEP_LOCKS."""
    packages = _packages(frame)
    # Every thread but the first begins in code of threading, which holds nothing there.
    while packages and packages[-1] == "threading":
        packages.pop()
    return not KEEP_LOCKS.isdisjoint(packages)


def _packages(frame: FrameType | None) -> list[str]:
    """Return the packages of the code that runs in `frame` and of all that called it, the last call first."""
    packages = []
    while frame:
        packages.append(frame.f_globals.get("__name__", "").partition(".")[0])
        frame = frame.f_back
    return packages
