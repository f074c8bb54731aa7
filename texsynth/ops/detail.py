"""Fine detail, light and dark of one picture in another: what a coarse network has lost or moved."""

from torch import Tensor

from texsynth.ops.color import luma
from texsynth.ops.resample import soft_mean

FAINT = 0.03**2
"""Variance of lightness from which on detail counts; of this much half is kept, of noise nearly nothing."""


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
