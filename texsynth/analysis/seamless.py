"""Whether a picture is seamless already: its borders go on at the opposite ones."""

import torch
from torch import Tensor

USUAL = 1.25  # Largest step across the border, over the usual step between two lines
NEAR = 2  # Lines beside the border whose steps are usual there, too: a joint may lie at it
ROUNDING = 1 / 255


def is_seamless(image: Tensor) -> bool:
    """Tell whether the step across both pairs of opposite borders is a usual one. image: (1, C, H, W)."""
    return all(_meets(image[0], dim) for dim in (1, 2))


def _meets(planes: Tensor, dim: int) -> bool:
    steps = (planes - planes.roll(1, dim)).abs().mean(tuple(d for d in range(3) if d != dim))
    near = torch.cat([steps[1 : 1 + NEAR], steps[-NEAR:]])
    usual = max(float(steps[1:].median()), float(near.max()))
    return float(steps[0]) <= USUAL * usual + ROUNDING
