"""Borders between several textures in one picture: a cut that runs where it shows least.

Every texture is laid out on its own, a little beyond its regions. Where two overlap, the border is the
shortest in a metric in which steps between the layouts are long: a minimal cut, found as the minimum of a
weighted total variation (Chambolle and Pock 2011, section 6.3), which has no preferred directions of blocks.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

ROUNDS = 300  # Of the primal-dual iteration; more move the border by less than a pixel

PULL = 0.3  # How much a border is drawn to where its region ends, over the mean cost of a step

LENGTH = 0.15  # Cost of each pixel of the border, over the mean cost of a step

CONTRAST = 1e-3  # Squared contrast below which every difference is equally visible


def lead(potentials: Tensor, which: int) -> Tensor:
    """Measure by how much (H, W) one of the potentials (K, H, W) is above the highest of the others."""
    others = torch.cat([potentials[:which], potentials[which + 1 :]])
    return potentials[which] - others.amax(0)


def cut_regions(layouts: Sequence[Tensor], potentials: Tensor, reach: float, *, wrap: bool) -> Tensor:
    """Choose a layout for each pixel.

    layouts: (3, H, W) each. potentials: (K, H, W), the highest one owns a pixel; borders move only where
    two are within `reach`, and there all their layouts must be laid. wrap: on a torus. Returns (H, W) long.
    """
    pictures = torch.stack(list(layouts))
    if len(pictures) == 2:
        return (_share(pictures[0], pictures[1], lead(potentials, 0), reach, wrap=wrap) <= 0.5).long()
    shares = []
    for number, picture in enumerate(pictures):
        rest = potentials.clone()
        rest[number] = -torch.inf
        other = pictures.gather(0, rest.argmax(0)[None, None].expand(1, *picture.shape))[0]
        ahead = lead(potentials, number)
        share = _share(picture, other, ahead, reach, wrap=wrap)
        # In doubt the higher potential decides; beyond reach nothing may be laid.
        shares.append((share + 1e-3 * ahead.clamp(-1, 1)).masked_fill(ahead <= -reach, -torch.inf))
    return torch.stack(shares).argmax(0)


def _share(own: Tensor, other: Tensor, ahead: Tensor, reach: float, *, wrap: bool) -> Tensor:
    """Minimize the weighted total variation of a map (H, W) in [0, 1], which is 1 where `own` shows."""
    costs = [_step_costs(own, other, dim) for dim in (1, 2)]
    free = ahead.abs() < reach
    if not bool(free.any()):
        return (ahead > 0).float()
    unit = torch.stack(costs)[:, free].mean().clamp_min(1e-9)
    bounds = [cost / unit + LENGTH for cost in costs]
    for dim, bound in enumerate([] if wrap else bounds):
        bound.narrow(dim, bound.shape[dim] - 1, 1).zero_()  # nothing lies beyond
    pull = -PULL * (ahead / reach).clamp(-1, 1)
    held = (ahead > 0).float()
    share, ahead_share = held.clone(), held.clone()
    flows = [torch.zeros_like(held), torch.zeros_like(held)]
    step = 0.35  # Below 1 / sqrt(8), the norm of the gradient
    for _ in range(ROUNDS):
        for dim, bound in enumerate(bounds):
            rise = ahead_share.roll(-1, dim) - ahead_share
            flows[dim] = torch.maximum(torch.minimum(flows[dim] + step * rise, bound), -bound)
        spread = sum((f - f.roll(1, dim) for dim, f in enumerate(flows)), torch.zeros_like(held))
        new = torch.where(free, (share + step * (spread - pull)).clamp(0, 1), held)
        ahead_share, share = 2 * new - share, new
    return share


def _step_costs(own: Tensor, other: Tensor, dim: int) -> Tensor:
    """Measure how visible a border between each pixel and the next along `dim` is (Kwatra et al. 2003).

    own, other: (3, H, W). Returns (H, W).
    """
    apart = (own - other).square().sum(0)
    contrast = [(x.roll(-1, dim) - x).square().sum(0) for x in (own, other)]
    return (apart + apart.roll(-1, dim - 1)) / (contrast[0] + contrast[1] + CONTRAST).sqrt()
