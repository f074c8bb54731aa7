"""Soft masks that follow a picture's contours, from rough ones: the guided filter.

He, Sun and Tang 2013, "Guided Image Filtering", equations 13 to 16, with colours as the guide. It is fitted
on a reduced copy and applied at full size (He and Sun 2015, "Fast Guided Filter").
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.ops.resample import box_mean


@dataclass(frozen=True)
class MaskField:
    """Masks as affine functions of the colour, which vary with position."""

    coefficients: Tensor  # (4 K, h, w): for red, green, blue and 1, those of every mask
    size: tuple[int, int]  # Height and width of the picture that they belong to

    def apply(self, strip: Tensor, first: int = 0) -> Tensor:
        """Make the masks of whole rows of the picture, (1, 3, rows, W), from row `first` on.

        Returns (K, rows, W) in [0, 1], which add up to 1.
        """
        rows, width = strip.shape[2:]
        height = self.coefficients.shape[1]
        # Pixel centre to pixel centre, so that it does not matter which strip a row belongs to.
        at = (torch.arange(first, first + rows) + 0.5) * height / self.size[0] - 0.5
        at = at.clamp(0, height - 1).to(strip)
        near = at.floor().long()
        share = (at - near)[:, None]
        far = (near + 1).clamp_max(height - 1)
        maps = self.coefficients.to(strip)
        maps = torch.lerp(maps[:, near], maps[:, far], share)
        maps = F.interpolate(maps[None], (rows, width), mode="bilinear")[0].unflatten(0, (4, -1))
        masks = ((maps[:3] * strip[0][:, None]).sum(0) + maps[3]).clamp(0, 1)
        shares: Tensor = masks / masks.sum(0)
        return shares


@torch.no_grad()
def guide_masks(
    guide: Tensor, masks: Tensor, size: tuple[int, int], *, radius: int, flatness: float
) -> MaskField:
    """Fit masks to the contours of a picture.

    guide: (1, 3, h, w) in [0, 1], reduced from `size` (height, width). masks: (K, h, w) in [0, 1], which
    add up to 1. radius: of the squares in which a mask depends on the colour in one way, in pixels of the
    guide. flatness: variance of colours below which an area is flat, so that it keeps a mask's mean.
    """
    colours, values = guide[0].double(), masks.double()
    mean_colour, mean_value = box_mean(colours, radius), box_mean(values, radius)
    spread = box_mean(colours[:, None] * colours, radius) - mean_colour[:, None] * mean_colour
    shared = box_mean(colours[:, None] * values, radius) - mean_colour[:, None] * mean_value
    ridge = flatness * torch.eye(3, dtype=torch.float64, device=guide.device)
    slopes = torch.linalg.solve(spread.permute(2, 3, 0, 1) + ridge, shared.permute(2, 3, 0, 1))
    slopes = slopes.permute(2, 3, 0, 1)
    offsets = mean_value - (slopes * mean_colour[:, None]).sum(0)
    return MaskField(box_mean(torch.cat([slopes, offsets[None]]).flatten(0, 1), radius).float(), size)
