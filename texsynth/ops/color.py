"""Colour: luma and chroma of sRGB images."""

from __future__ import annotations

import torch
from torch import Tensor

LUMA = (0.2126, 0.7152, 0.0722)
"""Rec. 709 weights of red, green and blue."""


def luma(image: Tensor) -> Tensor:
    """image: (N, 3, H, W). Returns (N, 1, H, W)."""
    return torch.einsum("nchw,c->nhw", image, image.new_tensor(LUMA))[:, None]


def with_chroma_of(colours: Tensor, lightness: Tensor) -> Tensor:
    """Light and dark of `lightness` with the colours of `colours`. All (N, 3, H, W) in [0, 1].

    The colour differences from grey are kept as they are and shortened only where they would leave the cube.
    """
    grey = luma(lightness)
    difference = colours - luma(colours)
    # Largest share of the difference that stays within [0, 1], channel by channel.
    room = torch.where(difference > 0, 1 - grey, grey)
    share = (room / difference.abs().clamp_min(1e-6)).amin(1, keepdim=True).clamp(0, 1)
    return (grey + share * difference).clamp(0, 1)
