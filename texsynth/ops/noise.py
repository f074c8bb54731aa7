"""Noise that survives pooling."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def soft_noise(like: Tensor, rng: torch.Generator) -> Tensor:
    """Noise of mean 0 and deviation 1, correlated over about three pixels, nearly normal.

    Half of white noise is lost in the first pooling of an encoder, and what is left lies along its grid.
    like: (N, C, H, W), whose shape, type and device the result has. rng: on the CPU.
    """
    count, channels, height, width = like.shape
    noise = torch.rand(count, channels, height + 4, width + 4, generator=rng) - 0.5
    for dim in (2, 3, 2, 3):
        size = noise.shape[dim] - 2
        noise = noise.narrow(dim, 0, size) + noise.narrow(dim, 1, size) + noise.narrow(dim, 2, size)
    # Two box filters weigh a row 1, 2, 3, 2, 1, whose squares add up to 19 along either axis.
    return (noise * (math.sqrt(12) / 19)).to(like)
