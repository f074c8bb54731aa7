"""Ctrl-C, and polite kills, at moments when nothing is lost by them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

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
