"""How large the details of a texture are."""

import torch.nn.functional as F
from torch import Tensor

from texsynth.ops.color import luma


def coarseness(image: Tensor) -> float:
    """Measure how large the details of (1, 3, h, w) are: 0 for grain, near 1 for stones, 1 for one colour.

    It is the share of the deviation of lightness that is left in means over 1/32 of the shorter side.
    """
    grey = luma(image)
    left = F.avg_pool2d(grey, max(min(image.shape[2:]) // 32, 1)).std()
    return float((left + 1e-6) / (grey.std() + 1e-6))
