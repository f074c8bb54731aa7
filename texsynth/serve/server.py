"""The server itself: its address, its signals, and its end."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass

import uvicorn

from texsynth.config.settings import RunSettings
from texsynth.errors import UsageError
from texsynth.interrupts import Signals
from texsynth.paths import why
from texsynth.serve.app import make_app
from texsynth.serve.connections import Connection
from texsynth.serve.guard import Access, new_token
from texsynth.serve.models import Models
from texsynth.serve.state import Limits, Report, State
from texsynth.strict_json import shown

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

PATIENCE = 3  # Seconds that open connections have to end

IDLE = 30  # Seconds after which connections without requests are closed

LARGEST_HEADERS = 32 << 10  # Bytes of the headers of a request


@dataclass(frozen=True)
class Place:
    """Where a server listens, and who may ask."""

    host: str = "127.0.0.1"
    port: int = 8765
    hosts: tuple[str, ...] = ()  # Further names of this machine
    token: str | None = None

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it."""
        return self.host in LOOPBACK


def listen(place: Place) -> socket.socket:
    """Open the port. Raises UsageError when that cannot be done."""
    if not place.host:
        raise UsageError("--host is empty; give an address, like 127.0.0.1")
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    listener = socket.socket(family)
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((place.host, place.port))
        listener.listen(128)
    except (OSError, OverflowError, ValueError, TypeError) as error:
        listener.close()
        reason = why(error) if isinstance(error, OSError) else str(error)
        raise UsageError(
            f"port {place.port} of {shown(place.host)} cannot be used: {reason}; choose another with --port, "
            f"or 0 for any that is free"
        ) from None
    return listener


def serve(
    place: Place,
    run: RunSettings,
    limits: Limits,
    *,
    opened: Callable[[str], None],
    report: Report,
    second: Callable[[], object],
) -> None:
    """Serve until a signal comes. Raises UsageError when the port cannot be used, ModelError.

    opened: is told the address, with its token, once it answers. report: is told of bugs. second: ends the
    program, where a second signal comes.
    """
    listener = listen(place)
    try:
        port = int(listener.getsockname()[1])
        token = place.token or new_token()
        names = LOOPBACK | {place.host.lower()} | {name.lower() for name in place.hosts}
        # A network that cannot be loaded shall be told of before someone asks for it.
        models = Models(run)
        models.load()
        with (
            closing(State(run, limits, models, report)) as state,
            Signals(lambda _: state.stop(), second),
        ):
            access = Access(token, port, frozenset(names), limits.upload)
            config = uvicorn.Config(
                make_app(state, access), log_config=None, access_log=False, server_header=False, ws="none",
                timeout_keep_alive=IDLE, timeout_graceful_shutdown=PATIENCE, lifespan="off", loop="asyncio",
                h11_max_incomplete_event_size=LARGEST_HEADERS, http=Connection, proxy_headers=False,
            )  # fmt: skip
            host = f"[{place.host}]" if ":" in place.host else place.host
            server = _Server(config, state, lambda: opened(f"http://{host}:{port}/?token={token}"))
            server.run(sockets=[listener])
            state.close()
    finally:
        listener.close()


class _Server(uvicorn.Server):
    """A server that says when it answers, and ends with its state, whose work it ends."""

    def __init__(self, config: uvicorn.Config, state: State, opened: Callable[[], None]) -> None:
        super().__init__(config)
        self._state, self._opened = state, opened

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._opened()

    async def on_tick(self, counter: int) -> bool:
        return self._state.stopping or await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._state.cancel()
        await super().shutdown(sockets)

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        return nullcontext()
