"""Flicker: how much a result changes from frame to frame where its content does not."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from texsynth.ops.resample import box_mean

RADIUS_PX = 2
"""Frames are blurred by squares of twice this and one, so that noise is no change of the content."""

THRESHOLD = 2.0
"""Levels of 255; a pixel whose blurred content changes by no more, in each channel, is still."""


@dataclass(frozen=True)
class Flicker:
    """Changes of pixels that are still, from one frame to the next, in levels of 255."""

    pairs: int  # Of consecutive frames
    still: float  # Share of pixels that are still, mean over pairs
    content: float | None  # RMS change of the content there; None where nothing is still
    result: float | None  # That of the result
    worst: float | None  # That of the result in the pair where it is largest


def flicker(frames: Iterable[tuple[Tensor, Tensor]], threshold: float = THRESHOLD) -> Flicker:
    """Measure content and result, each (1, 3, H, W) in [0, 1], frame after frame; two are held at a time.

    The root of the mean squared change over still pixels and channels; pairs count by their still pixels. In
    the blurred content, noise below `threshold` is still, and so is a move of what has no contrast.
    """
    before = None
    squares = {"content": 0.0, "result": 0.0}
    count, pairs, still, worst = 0.0, 0, 0.0, None
    for now in frames:
        if before is not None:
            changes = [255 * (b - a).double() for a, b in zip(before, now, strict=True)]
            mask = (box_mean(changes[0], RADIUS_PX).abs() <= threshold).all(1, keepdim=True)
            number = float(mask.sum()) * changes[0].shape[1]
            sums = [float((change.square() * mask).sum()) for change in changes]
            squares = {name: total + s for (name, total), s in zip(squares.items(), sums, strict=True)}
            count, pairs, still = count + number, pairs + 1, still + float(mask.double().mean())
            if number:
                worst = max(worst or 0.0, math.sqrt(sums[1] / number))
        before = now
    content, result = (math.sqrt(total / count) if count else None for total in squares.values())
    return Flicker(pairs, still / pairs if pairs else 0.0, content, result, worst)
