"""Masks of regions: their size, how they share the picture, their soft borders."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.ops.resample import box_mean


def resize_mask(mask: Tensor, height: int, width: int, *, smooth: bool) -> Tensor:
    """Resize a mask (1, 1, h, w) to a picture. smooth: interpolate; else take the nearest pixel."""
    if mask.shape[2:] == (height, width):
        return mask
    if not smooth:
        return F.interpolate(mask, (height, width), mode="nearest-exact")
    return F.interpolate(mask, (height, width), mode="bilinear", antialias=True).clamp(0, 1)


def share_masks(masks: Sequence[Tensor], weights: Sequence[float]) -> list[Tensor]:
    """Scale masks (1, 1, H, W) until they add up to at most 1; where they overlap, the weights decide.

    What one mask alone covers it keeps, whatever its weight.
    """
    stack = torch.stack(list(masks))
    scale = stack.new_tensor(list(weights)).view(-1, 1, 1, 1, 1)
    weighted = stack * scale
    cover = torch.where(scale > 0, stack, torch.zeros_like(stack)).sum(0).clamp_max(1)
    total = weighted.sum(0)
    return list(weighted * (cover / total.clamp_min(1e-12)))


def complete_masks(masks: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
    """Scale masks (1, 1, H, W) to at most 1 in sum; beside others, one that is None takes the rest."""
    given = [mask for mask in masks if mask is not None]
    if not given:
        return masks
    total = torch.stack(given).sum(0)
    over, rest = total.clamp_min(1), (1 - total).clamp_min(0)
    return [rest if mask is None else mask / over for mask in masks]


def label_masks(labels: Tensor, values: Sequence[int], feather: int) -> list[Tensor]:
    """Make a mask of each label. labels: (1, 1, H, W) whole numbers. feather: px of the fading borders.

    Returns (1, 1, H, W) masks, which add up to 1 where every label is among the `values`.
    """
    masks = [(labels == value).float() for value in values]
    # Twice a box is a ramp without a kink in the middle of the border.
    radius = (feather + 3) // 4 if feather else 0
    return [box_mean(box_mean(mask, radius), radius) for mask in masks] if radius else masks
