"""How far a run of pictures is, and how long it may still take."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from texsynth.pipelines.progress import Step

SOONEST = 1.0  # Seconds of work before which nothing is said of the time that is left

LEAST = 0.01  # Share of the work before which nothing is said either


def time_left(elapsed: float, share: float) -> float | None:
    """Return the seconds left after a `share`, 0 to 1, took `elapsed`; None where that says little."""
    if share >= 1:
        return 0.0
    return elapsed * (1 - share) / share if elapsed >= SOONEST and share >= LEAST else None


class Bar:
    """Progress over pictures and, within one, over the steps of its pipeline; this one is not seen."""

    def picture(self, name: str) -> None:
        """Begin a new picture."""

    def rename(self, name: str) -> None:
        """Call the picture in work otherwise."""

    def step(self, step: Step) -> None:
        """Show a part of a picture as done."""

    def advance(self, *, worked: bool = True) -> None:
        """Count a picture as finished. worked: work on it had begun."""


@dataclass
class Curve:
    """How the time of a picture went over its progress: stages may take more or less than was thought."""

    stages: list[str] = field(default_factory=list)
    shares: list[float] = field(default_factory=lambda: [0.0])
    seconds: list[float] = field(default_factory=lambda: [0.0])

    def add(self, stage: str, share: float, seconds: float) -> None:
        """Note that `share` was finished `seconds` after the begin, in `stage`."""
        if stage not in self.stages:
            self.stages.append(stage)
        if share > self.shares[-1]:
            self.shares.append(share)
            self.seconds.append(seconds)

    def ended(self, seconds: float) -> Curve | None:
        """Return it as shares of the time, 0 to 1; None where there is nothing to learn from."""
        if len(self.shares) < 2 or seconds <= 0:
            return None
        shares, times = [*self.shares], [min(s / seconds, 1.0) for s in self.seconds]
        if shares[-1] < 1:
            shares, times = [*shares, 1.0], [*times, 1.0]
        return Curve(self.stages, shares, times)

    def is_like(self, other: Curve) -> bool:
        """Tell whether `other`, which is not at its end, has had the same stages so far."""
        return self.stages[: len(other.stages)] == other.stages

    def __call__(self, share: float) -> float:
        """Return the part of the time that is over when `share` is finished, in between on a line."""
        right = min(max(bisect_left(self.shares, share), 1), len(self.shares) - 1)
        low, high = self.shares[right - 1], self.shares[right]
        begin, end = self.seconds[right - 1], self.seconds[right]
        return begin + (end - begin) * (min(share, high) - low) / (high - low)


@dataclass
class Pace:
    """The progress of a run of `total` pictures and of the picture in work; neither ever goes back.

    single: pictures are in work one at a time and tell their steps; otherwise finished ones count alone.
    """

    total: int
    single: bool = True
    now: Callable[[], float] = time.monotonic
    share: float = 0.0
    """How much of the picture in work is done, 0 to 1: of its time, where another one has been before it."""

    _begun: int = 0  # Pictures whose work has begun
    _ended: int = 0
    _idle: int = 0  # Pictures that ended without any work, like those of --resume
    _run_share: float = 0.0
    _start: float | None = None
    _picture_start: float = 0.0
    _curve: Curve = field(default_factory=Curve)
    _learned: Curve | None = None

    @property
    def is_preparing(self) -> bool:
        """True before the work on the first picture."""
        return self._start is None

    def begin(self) -> None:
        """Note that the work on a picture begins."""
        now = self.now()
        if self._begun:
            self._learned = self._curve.ended(now - self._picture_start) or self._learned
        self._start = now if self._start is None else self._start
        self._picture_start, self._curve, self.share = now, Curve(), 0.0
        self._begun += 1

    def step(self, stage: str, share: float) -> None:
        """Note that `share` of the picture is done, by what its stages should take; `stage` is at work."""
        self._curve.add(stage, share, self.now() - self._picture_start)
        if self._learned and self._learned.is_like(self._curve):
            share = self._learned(share)
        self.share = max(self.share, min(share, 1.0))

    def end(self, *, worked: bool = True) -> None:
        """Note that a picture is finished, skipped or failed. worked: its work had begun."""
        self._ended += 1
        self._idle += not worked

    @property
    def done(self) -> int:
        """How many pictures are done; of the last one perhaps the file is still being written."""
        return max(self._ended, self._idle + self._begun - 1) if self.single else self._ended

    @property
    def run_share(self) -> float:
        """How much of all pictures is done, 0 to 1."""
        worked = max(self._begun - 1, 0) + self.share if self.single else 0.0
        done = max(self._ended, self._idle + worked)
        self._run_share = max(self._run_share, min(done / max(self.total, 1), 1.0))
        return self._run_share

    def times(self) -> tuple[float, float | None]:
        """Return the seconds since the picture began, and those that it may still take."""
        elapsed = 0.0 if self._start is None else self.now() - self._picture_start
        return elapsed, time_left(elapsed, self.share)

    def run_times(self) -> tuple[float, float | None]:
        """The same for the run: the picture in work, and as long for each of the others as those before took.

        Those that are there already take no time.
        """
        if self._start is None:
            return 0.0, None
        elapsed, (spent, left) = self.now() - self._start, self.times()
        if self.single and left is not None:
            before = self._begun - 1
            each = (elapsed - spent) / before if before else spent + left
            return elapsed, left + max(self.total - self._idle - self._begun, 0) * each
        idle = self._idle / max(self.total, 1)
        rest = (self.run_share - idle) / (1 - idle) if idle < 1 else 1.0
        return elapsed, time_left(elapsed, rest)
