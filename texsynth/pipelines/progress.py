"""Progress events: pipelines report, the command line shows."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise


@dataclass(frozen=True)
class Step:
    """`done` of `total` parts of `stage` are finished."""

    stage: str
    done: int
    total: int
    overall: float | None = None
    """How much of the whole picture is finished, 0 to 1; None where the stage is all of it."""

    @property
    def share(self) -> float:
        """How much of the whole picture is finished, 0 to 1, as far as it is known."""
        if self.overall is not None:
            return self.overall
        return self.done / self.total if self.total else 1.0


OnStep = Callable[[Step], None]

OnNote = Callable[[int, str], object]
"""Is told a level, 0 for none, and what is remarkable about the work there."""


def silent(step: Step) -> None:
    """Report nothing."""


def unnoted(level: int, note: str) -> None:
    """Pass nothing on."""


def sub_progress(on_step: OnStep, number: int, count: int) -> OnStep:
    """Make the callback of the `number`-th of `count` equal parts, from 0: its steps become steps of all."""
    return lambda step: on_step(
        Step(
            step.stage, number * step.total + step.done, count * step.total, (number + step.share) / count
        )
    )  # fmt: skip


def parts(on_step: OnStep, *times: float) -> list[OnStep]:
    """Make the callbacks of parts that come one after the other. times: what they take, in any unit."""
    ends = [end / (sum(times) or 1.0) for end in accumulate(times, initial=0.0)]

    def part(begin: float, end: float) -> OnStep:
        return lambda step: on_step(replace(step, overall=begin + (end - begin) * step.share))

    return [part(*both) for both in pairwise(ends)]
