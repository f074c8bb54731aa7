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


def sub_progress(on_step: OnStep | None, number: int, count: int) -> OnStep:
    """Make the callback of the `number`-th of `count` equal parts, from 0: its steps become steps of all."""
    if on_step is None:
        return lambda _: None
    tell = on_step
    return lambda step: tell(Step(step.stage, number * step.total + step.done, count * step.total))
