"""Progress events: pipelines report, the command line shows."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """`done` of `total` parts of `stage` are finished."""

    stage: str
    done: int
    total: int


OnStep = Callable[[Step], None]

OnNote = Callable[[int, str], object]
"""Is told a level, 0 for none, and what is remarkable about the work there."""


def silent(step: Step) -> None:
    """Report nothing."""


def unnoted(level: int, note: str) -> None:
    """Pass nothing on."""


def sub_progress(on_step: OnStep, number: int, count: int) -> OnStep:
    """Make the callback of the `number`-th of `count` equal parts, from 0: its steps become steps of all."""
    return lambda step: on_step(Step(step.stage, number * step.total + step.done, count * step.total))
