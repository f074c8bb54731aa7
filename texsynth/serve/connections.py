"""Connections that ask nothing: they are closed after a while, and the oldest ones when there are many."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE = 30.0  # Seconds that a client has for the headers of a request

MOST = 400
"""Connections at the same time; a process may have some 1000 files open."""


class Connection(H11Protocol):
    """A connection that must ask something."""

    _deadline: asyncio.TimerHandle | None = None

    @property
    def is_idle(self) -> bool:
        """Whether no request is on its way."""
        done = self.cycle is None or self.cycle.response_complete
        return done and self.conn.their_state in (h11.IDLE, h11.DONE)

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 (of asyncio)
        """Begin, and close the oldest of those that wait where there are too many."""
        super().connection_made(transport)
        self._born = self.loop.time()
        self._watch()
        others: list[Any] = [one for one in self.connections if not one.transport.is_closing()]
        if len(others) > MOST:
            idle = [one for one in others if one is not self and one.is_idle]
            min(idle, key=lambda one: one._born, default=self).transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take a part of a request."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        super().connection_lost(exc)
        self._unwatch()

    def _watch(self) -> None:
        if not self.is_idle:
            self._unwatch()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(PATIENCE, self._expire)

    def _unwatch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _expire(self) -> None:
        self._deadline = None
        if self.is_idle and not self.transport.is_closing():
            self.transport.close()
