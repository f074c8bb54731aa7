"""Fine detail of one picture in another: small faces and lettering that a coarse network has lost."""

from torch import Tensor

from texsynth.ops.color import luma
from texsynth.ops.resample import box_mean

FAINT = 0.03**2
"""Variance of lightness from which on detail counts; of this much half is kept, of noise nearly nothing."""


def with_detail_of(content: Tensor, result: Tensor, share: float, radius: int) -> Tensor:
    """Bring the fine detail of `result` towards that of `content`, both (1, 3, H, W) in [0, 1].

    Detail is lightness less its mean over two boxes of 2 * radius + 1 px. share: 0 keeps the result, 1 gives
    it the content's detail where there is much; where the content is flat, the result's strokes stay.
    Every pixel depends on `4 * radius` px around it. Returns (1, 3, H, W) in [0, 1].
    """

    def smooth(values: Tensor) -> Tensor:
        return box_mean(box_mean(values, radius), radius)

    old, new = luma(content.to(result)), luma(result)
    detail = old - smooth(old)
    energy = smooth(detail.square())
    weight = share * energy / (energy + FAINT)
    return (result + weight * (detail - (new - smooth(new)))).clamp(0, 1)
