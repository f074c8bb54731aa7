"""Colours of a picture: the few that stand for all, how light they are and how much they differ."""

from typing import NamedTuple

import torch
from torch import Tensor

from texsynth.ops.color import luma, to_lab

SAMPLES = 1 << 14  # Pixels that are looked at

ROUNDS = 12  # Rounds of k-means

NOTICEABLE = 2.3
"""Distance in L*a*b* that can just be seen (Mahy et al. 1994); colours closer together are one."""


class Colour(NamedTuple):
    """A colour that stands for all that are nearest to it."""

    rgb: tuple[int, int, int]  # sRGB, 0 to 255: the mean of what it stands for
    share: float  # Share of the pixels, 0 to 1


def palette(image: Tensor, mask: Tensor | None = None, *, most: int = 5) -> tuple[Colour, ...]:
    """Pick at most `most` colours that stand for all, and their shares, which add up to 1, the largest first.

    image: (1, 3, H, W) in [0, 1]. mask: (1, 1, H, W), above 0.5 for the pixels that count; a mask without
    any gives no colours. K-means in L*a*b*, begun with groups split where they are widest, so it is the same
    every time; groups whose colours look alike are not split.
    """
    rgb = _pixels(image, mask)
    if not len(rgb):
        return ()
    if len(rgb) > SAMPLES:
        # A stride would meet stripes and weaves in step.
        picked = torch.randint(len(rgb), (SAMPLES,), generator=torch.Generator().manual_seed(0))
        rgb = rgb[picked.to(rgb.device)]
    rgb = rgb.double()
    lab = to_lab(rgb)
    centres = _split(lab, most)
    for _ in range(ROUNDS):
        near = torch.cdist(lab, centres).argmin(1)
        centres = torch.stack(
            [lab[near == k].mean(0) for k in range(len(centres)) if bool((near == k).any())]
        )
    near = torch.cdist(lab, centres).argmin(1)
    groups = [rgb[near == k] for k in range(len(centres))]
    colours = [Colour(_as_bytes(group.mean(0)), len(group) / len(rgb)) for group in groups if len(group)]
    return tuple(sorted(colours, key=lambda colour: (-colour.share, colour.rgb)))


def tone(image: Tensor, mask: Tensor | None = None) -> tuple[float, float]:
    """Measure the mean of the luma, 0 to 1, and its deviation, 0 to 0.5; image and mask as in `palette`.

    Both are 0 without pixels.
    """
    values = _pixels(luma(image), mask).double()
    return (float(values.mean()), float(values.std(correction=0))) if len(values) else (0.0, 0.0)


def _pixels(image: Tensor, mask: Tensor | None) -> Tensor:
    """List the pixels under the mask, (n, C)."""
    flat = image[0].flatten(1).T
    return flat if mask is None else flat[mask[0, 0].flatten() > 0.5]


def _split(lab: Tensor, most: int) -> Tensor:
    """Cut the group of most variance across its longest axis, again and again. Returns up to `most` means."""
    groups = [lab]
    while len(groups) < most:
        spread = [float((group - group.mean(0)).square().sum()) for group in groups]
        widest = max(range(len(groups)), key=spread.__getitem__)
        group = groups[widest]
        if spread[widest] <= NOTICEABLE**2 * len(group):
            break
        away = group - group.mean(0)
        axis = torch.linalg.eigh(away.T @ away).eigenvectors[:, -1]
        above = away @ axis > 0
        groups[widest : widest + 1] = [group[above], group[~above]]
    return torch.stack([group.mean(0) for group in groups])


def _as_bytes(rgb: Tensor) -> tuple[int, int, int]:
    red, green, blue = (int(v) for v in (rgb * 255).round().clamp(0, 255).tolist())
    return red, green, blue
