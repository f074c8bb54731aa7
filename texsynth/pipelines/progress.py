"""Progress events: pipelines report, the command line shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """`done` of `total` parts of `stage` are finished."""

    stage: str
    done: int
    total: int


OnStep = Callable[[Step], None]
