"""What stands out in a texture, so that a second copy of it is noticed."""

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.ops.color import luma
from texsynth.ops.resample import box_mean

CELL = 1 / 32  # Side of the places that are compared, as a share of the exemplar's shorter side

LIKE = 0.03
"""Share of all places that are like a place that does not stand out."""

STRONG = 1.5  # Power that separates what stands out from the rest

MOST = 8.0  # Times the usual that a place may stand out


def salience(image: Tensor, mask: Tensor | None = None) -> Tensor:
    """Measure how far every place of (1, 3, h, w) is from the places that are most like it.

    Colour, contrast and fine contrast are compared, at two sizes. mask: (1, 1, h, w), above 0.5 where the
    texture is. Returns (h, w), 1 on average, up to MOST.
    """
    height, width = image.shape[2:]
    cell = max(round(CELL * min(height, width)), 1)
    inside = torch.ones(1, 1, height, width) if mask is None else (mask > 0.5).float()
    image = torch.where(
        inside > 0, image, (image * inside).sum((2, 3), keepdim=True) / inside.sum().clamp_min(1)
    )
    grey = luma(image)
    padded = F.pad(grey, (1, 1, 1, 1), mode="reflect")
    before = padded[:, :, :-2, 1:-1], padded[:, :, 1:-1, :-2]
    fine = torch.cat([grey - values for values in before], 1)
    planes = []
    for radius in (cell // 2, 3 * cell // 2 + 1):
        weight = box_mean(inside, radius).clamp_min(1e-6)
        mean = box_mean(image * inside, radius) / weight
        energy = box_mean(grey.square() * inside, radius) / weight - luma(mean).square()
        planes += [mean, energy.clamp_min(0).sqrt()]
        rough = box_mean(fine.square().sum(1, keepdim=True) * inside, radius) / weight
        planes.append(rough.clamp_min(0).sqrt())  # which rounding takes below zero on flat areas
    stacked = torch.cat(planes, 1)
    small = F.avg_pool2d(stacked, cell, ceil_mode=True)[0].flatten(1).T
    used = F.avg_pool2d(inside, cell, ceil_mode=True)[0, 0].flatten() > 0.5
    if int(used.sum()) < 2:
        return torch.ones(height, width)
    places = small[used]
    places = (places - places.mean(0)) / places.std(0).clamp_min(1e-4)
    distance = torch.cdist(places, places)
    near = max(round(LIKE * len(places)), 1)
    rarity = distance.kthvalue(min(near + 1, len(places)), 1).values
    strength = (rarity / rarity.median().clamp_min(1e-6)).pow(STRONG).clamp_max(MOST)
    field = torch.zeros(len(small))
    field[used] = strength
    rows, columns = -(-height // cell), -(-width // cell)
    full = F.interpolate(field.view(1, 1, rows, columns), (height, width), mode="bilinear")
    # A place beside something that stands out belongs to it.
    full = F.max_pool2d(full, 2 * cell + 1, 1, cell) * inside
    share = inside.mean().clamp_min(1e-6)
    return (full / (full.mean() / share).clamp_min(1e-6))[0, 0]
