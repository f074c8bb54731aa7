"""What the addresses of the server share: reading requests, and work beside other requests."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from anyio.to_thread import run_sync
from starlette.requests import Request

from texsynth.serve.asking import MalformedError, S, read_asked
from texsynth.serve.state import State

T = TypeVar("T")


async def read_json(request: Request, kind: type[S]) -> S:
    """Return the body of a request. Raises MalformedError, UsageError."""
    return read_asked(kind, await request.body())


async def in_thread(function: Callable[..., T], *arguments: Any) -> T:  # noqa: ANN401 (those of the function)
    """Call what waits for a disk, without holding up other requests."""
    return await run_sync(partial(function, *arguments))


async def in_turn(state: State, function: Callable[..., T], *arguments: Any) -> T:  # noqa: ANN401 (likewise)
    """Call what takes long; few do so at once, for all threads together are few."""
    return await run_sync(partial(function, *arguments), limiter=state.turns)


def number_of(request: Request, name: str, most: int) -> int | None:
    """Return a number from 1 to `most` of the query, None where it is missing. Raises MalformedError."""
    text = request.query_params.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= most):
        raise MalformedError(f"{name} is {text[:20]!r} but must be a whole number from 1 to {most}")
    return int(text)
