"""Frames of a take: their order, and the frames that each takes its statistics from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from texsynth.config.settings import StylizeSettings
from texsynth.errors import UsageError
from texsynth.jobs.inputs import Input, Job, file_seed

WINDOW = 24
"""Frames from one measurement to the next; one second of a film."""

SAMPLES = 6
"""Frames that are measured at a time, spread over a window."""


@dataclass(frozen=True)
class Tween:
    """The two measurements that a frame is between."""

    before: tuple[Input, ...]  # Frames that were measured before it
    after: tuple[Input, ...] = ()  # Those after it; none where the first alone counts
    share: float = 0.0  # How far the statistics have faded into those after, in [0, 1)


@dataclass(frozen=True)
class FrameJob(Job):
    """A picture that may be a frame of a take."""

    vary: bool = field(default=False, kw_only=True)
    """Whether the key of the picture is mixed into the seed."""
    tween: Tween | None = field(default=None, kw_only=True)
    """Where its statistics come from; None for itself."""

    @property
    def block(self) -> object:
        """Frames between the same fits."""
        return self.tween and self.tween.before

    @property
    def held(self) -> int:
        """Number of frames that are measured at a time."""
        return max(len(self.tween.before), len(self.tween.after)) if self.tween else 0

    def seed(self, seed: int) -> int:
        """Return the seed of its noise. seed: of the run."""
        return file_seed(seed, self.picture.key) if self.vary else seed


def check_take(settings: StylizeSettings) -> None:
    """Raise UsageError for settings that look at each picture on its own."""
    if settings.transform.name == "optimize":
        raise UsageError(
            "transform optimize changes each picture on its own, so it does not go with --sequence"
        )
    if settings.regions == "auto":
        raise UsageError(
            "--regions auto finds other regions in each picture, so it does not go with --sequence"
        )


F = TypeVar("F", bound=FrameJob)


def as_take(jobs: Sequence[F], window: int) -> list[F]:
    """Put frames into the natural order of their names, 2 before 10, and give them shared statistics.

    window: frames from one fit to the next, about: fits are spread evenly over the take, its ends among them.
    """
    ordered = sorted(jobs, key=lambda job: natural_key(str(job.picture.path)))
    places = tweens([job.picture for job in ordered], window)
    return [replace(job, tween=tween) for job, tween in zip(ordered, places, strict=True)]


def natural_key(text: str) -> tuple[list[str | int], str]:
    """Return what sorts names as people do: numbers in them count as numbers."""
    return [int(part) if part.isdecimal() else part for part in re.split("([0-9]+)", text)], text


def tweens(frames: Sequence[Input], window: int) -> list[Tween]:
    """Return the fits that each frame is between; a single fit where the take is not much longer than one."""
    last = len(frames) - 1
    count = round(last / window)
    if count <= 0:
        return [Tween(_spread(frames, 0, last))] * len(frames)
    step = last / count
    fits = [_spread(frames, max(0, (k - 0.5) * step), min(last, (k + 0.5) * step)) for k in range(count + 1)]
    places = []
    for number in range(len(frames)):
        k, share = divmod(number * count, last)
        places.append(Tween(fits[k], fits[k + 1], share / last) if share else Tween(fits[k]))
    return places


def _spread(frames: Sequence[Input], first: float, last: float) -> tuple[Input, ...]:
    """Return SAMPLES frames, or all, spread evenly from one number to another."""
    numbers = [round(first + (last - first) * (k + 0.5) / SAMPLES) for k in range(SAMPLES)]
    if last - first < SAMPLES:
        numbers = list(range(-int(-first // 1), int(last) + 1))
    return tuple(frames[number] for number in dict.fromkeys(numbers))
