"""The eight orientations of a picture on its grid of pixels: quarter turns, and mirror images of them."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Orientation:
    """A mirror image left to right, or none, and then quarter turns counter-clockwise."""

    turns: int = 0  # 0 to 3
    mirror: bool = False

    def apply(self, planes: Tensor) -> Tensor:
        """Bring planes (..., h, w) into this orientation; odd turns give (..., w, h)."""
        return torch.rot90(planes.flip(-1) if self.mirror else planes, self.turns, (-2, -1))


ORIENTATIONS = tuple(Orientation(turns, mirror) for mirror in (False, True) for turns in range(4))
"""All eight, the untouched one first."""

MIRROR = (Orientation(), Orientation(mirror=True))  # What keeps its top and bottom


def turn_normals(normals: Tensor, orientation: Orientation, *, green_down: bool = False) -> Tensor:
    """Turn the vectors of a normal map (..., c, h, w), c >= 2, whose pixels are in `orientation` already.

    Red is x to the right and green y upwards, 0.5 standing for zero. green_down: green is y downwards.
    """
    x, y = normals[..., 0:1, :, :], normals[..., 1:2, :, :]
    x = 1 - x if orientation.mirror else x
    # Counter-clockwise (x, y) becomes (-y, x); seen with green downwards the turn is clockwise.
    for _ in range(-orientation.turns % 4 if green_down else orientation.turns):
        x, y = 1 - y, x
    return torch.cat([x, y, normals[..., 2:, :, :]], -3)
