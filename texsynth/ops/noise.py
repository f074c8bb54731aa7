"""Noise that survives pooling."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def soft_noise(like: Tensor, rng: torch.Generator) -> Tensor:
    """Noise of mean 0 and deviation 1, correlated over about three pixels, nearly normal.

    Half of white noise is lost in the first pooling of an encoder, and what is left lies along its grid.
    like: (N, C, H, W), whose shape, type and device the result has. rng: on the CPU.
    """
    count, channels, height, width = like.shape
    white = torch.rand(count, channels, height + 4, width + 4, generator=rng) - 0.5
    soft = F.avg_pool2d(F.avg_pool2d(white, 3, 1), 3, 1)
    # Two box filters weigh a row (1, 2, 3, 2, 1) / 9, which leaves 19 / 81 of the deviation in the plane.
    return (soft * (math.sqrt(12) * 81 / 19)).to(like)
