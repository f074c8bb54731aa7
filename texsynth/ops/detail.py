"""Fine detail, light and dark of one picture in another: what a coarse network has lost or moved."""

import torch
from torch import Tensor

from texsynth.ops.color import luma
from texsynth.ops.resample import box_mean, soft_mean

FAINT = 0.03**2
"""Variance of lightness from which on detail counts; of this much half is kept, of noise nearly nothing."""


FAINTEST = 0.01**2
"""Variance of what is hardly there: of its detail half counts as kept where all is."""


def detail_gain(content: Tensor, result: Tensor, radius: int) -> Tensor:
    """Measure how much of the content's structure is in `result`, both (1, 3, H, W) in [0, 1].

    That is the slope of a straight line from one to the other over the square of `radius` px around each
    pixel (as in He, Sun, Tang 2013, eq. 5), times the share of the result's variance that this line
    explains: 1 where the result follows the content, 0 where it has structure of its own. Returns
    (1, 3, H, W) in [0, 1]: the gain of lightness, twice that of colours.
    """

    def gain(old: Tensor, new: Tensor) -> Tensor:
        old_mean, new_mean = box_mean(old, radius), box_mean(new, radius)
        shared, old_own, new_own = (
            (box_mean(a * b, radius) - mean).sum(1, keepdim=True).clamp_min(0)
            for a, b, mean in (
                (old, new, old_mean * new_mean),
                (old, old, old_mean.square()),
                (new, new, new_mean.square()),
            )
        )
        slope = (shared / (old_own + FAINTEST)).clamp_max(1)
        return slope * (shared.square() / (old_own * new_own + FAINTEST**2)).clamp_max(1)

    # float64: small variances are differences of large numbers.
    content, result = content.to(result).double(), result.double()
    light, new = luma(content), luma(result)
    colours = gain(content - light, result - new)
    return torch.cat([gain(light, new), colours, colours], 1).float()


def with_lost_detail(content: Tensor, result: Tensor, known: Tensor, gain: Tensor) -> Tensor:
    """Add to `result` what `known`, a blurred content, lacks of it, all (1, 3, H, W) in [0, 1].

    gain: of lightness and twice of colours, as `detail_gain` gives it. Returns (1, 3, H, W) in [0, 1].
    """
    lost = content.to(result) - known.to(result)
    light = luma(lost)
    return (result + gain[:, :1] * light + gain[:, 1:2] * (lost - light)).clamp(0, 1)


def with_detail_of(content: Tensor, result: Tensor, share: float, radius: int) -> Tensor:
    """Bring the fine detail of `result` towards that of `content`, both (1, 3, H, W) in [0, 1].

    Detail is lightness less its soft mean over `radius` px. share: 0 keeps the result, 1 gives it the
    content's detail where there is much; where the content is flat, the result's strokes stay. Every pixel
    depends on less than `2 * radius` px around it. Returns (1, 3, H, W) in [0, 1].
    """
    old = luma(content.to(result))
    energy = soft_mean((old - soft_mean(old, radius)).square(), radius)
    away = old - luma(result)
    lost = away - soft_mean(away, radius)
    return (result + share * energy / (energy + FAINT) * lost).clamp(0, 1)


def with_light_of(
    content: Tensor, result: Tensor, share: float, radius: int, gain: float, offset: float
) -> Tensor:
    """Bring light and dark of `result` towards where `content` has them, both (1, 3, H, W) in [0, 1].

    What counts is the soft mean over `radius` px of lightness, the content's times `gain` plus `offset`.
    Finer strokes, and colours as differences from grey, stay. share: 0 keeps the result, 1 takes all of
    the content's. Returns (1, 3, H, W) in [0, 1].
    """
    light = (gain * luma(content.to(result)) + offset).clamp(0, 1)
    return (result + share * soft_mean(light - luma(result), radius)).clamp(0, 1)
