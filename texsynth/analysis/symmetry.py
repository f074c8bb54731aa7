"""Which turns and mirror images of a texture are the same texture, from its statistics."""

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.analysis.lattice import Lattice, self_correlation
from texsynth.analysis.self_similarity import good_size
from texsynth.ops.color import luma
from texsynth.ops.orientations import ORIENTATIONS, Orientation
from texsynth.ops.resample import box_mean

DIRECTIONS = 8

SCALES = 4  # Octaves at which gradients are measured

CELLS = 5  # Cells along each side of the exemplar, by whose statistics differences are judged

LEAST_PX = 4  # Pixels of a cell's side below which an octave is left out

SHARES = (0.5, 0.4)
"""Of the deviation between cells and of the mean, whose sum is the unit of differences of statistics.

A difference that is small beside both cannot be seen: parts of the exemplar differ more."""

LIKE = 0.55
"""Most difference of statistics, in that unit, of what is the same texture.

Of 89 textures that were looked at, it refuses quarter turns of wood, planks, walls, ripples and slanted
grass, half turns of leather, pebbles and dried mud under light from one side; it lets pass large stones under
soft light."""

LIKE_ON_LATTICE = 0.3
"""The same of two regular textures that lie on each other: shingles upside down are above, bricks below."""

REPEATS_LIKE = 0.32
"""Most difference of the correlation of a texture with itself at any shift; perspective is above."""

ALIGNED = 0.9
"""Least correlation of a regular texture with its turned self, over that with itself along its lattice."""


def same_orientations(
    image: Tensor, mask: Tensor | None = None, lattice: Lattice | None = None
) -> tuple[Orientation, ...]:
    """Return the orientations in which (1, 3, h, w) is the same texture; the untouched one is the first.

    mask: (1, 1, h, w), above 0.5 where the texture is. lattice: that of a regular texture, None for others.
    Gradients must be alike by direction and size, and so must their skewness, which tells the side of the
    light; a lattice must lie on itself.
    """
    if mask is not None:
        inside = mask > 0.5  # What is masked must not be seen, not even by gradients at the border
        mean = (image * inside).sum((2, 3), keepdim=True) / inside.sum().clamp_min(1)
        image, mask = torch.where(inside, image, mean), inside.to(image.dtype)
    repeats, same = _middle(self_correlation(image, mask)), [ORIENTATIONS[0]]
    for orientation in ORIENTATIONS[1:]:
        if float((orientation.apply(repeats) - repeats).abs().max()) > REPEATS_LIKE:
            continue
        pairs = [(planes, orientation.apply(planes)) for planes in (image, mask) if planes is not None]
        if lattice is not None:
            shift, likeness = alignment(*pairs[0])
            if likeness < ALIGNED * lattice.confidence:
                continue
            # What lies on each other, or a period that is cut in another place would count as a difference.
            pairs = [_overlap(*pair, shift) for pair in pairs]
        own, turned = (_statistics(*planes) for planes in zip(*pairs, strict=True))
        if _difference(own, turned) <= (LIKE if lattice is None else LIKE_ON_LATTICE):
            same.append(orientation)
    return tuple(same)


def _middle(score: Tensor) -> Tensor:
    """Cut a square about shift zero out of a map, as large as can be turned and is measured well."""
    top, left = score.shape[0] // 2, score.shape[1] // 2
    reach = int(0.6 * min(top, left))
    return score[top - reach : top + reach + 1, left - reach : left + reach + 1]


def _difference(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> float:
    """Return the largest difference of a group of statistics: means and deviations, (groups, DIRECTIONS)."""
    unit = SHARES[0] * (a[1] + b[1]) / 2 + SHARES[1] * (a[0].abs() + b[0].abs()) / 2
    return float(((a[0] - b[0]) / (unit + 1e-3)).square().mean(1).sqrt().max())


def _statistics(image: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Measure gradients of (1, 3, h, w) by direction, octave and side of the light, in cells.

    For every octave four groups: mean, mean square and mean cube of the rise of lightness in eight
    directions, and the lightness where it rises. Returns their means and deviations over cells, each
    (groups, DIRECTIONS).
    """
    grey = luma(image)
    inside = torch.ones_like(grey) if mask is None else mask
    angles = (torch.arange(DIRECTIONS) * (2 * torch.pi / DIRECTIONS)).view(1, -1, 1, 1)
    groups: list[tuple[Tensor, Tensor]] = []
    while (min(grey.shape[2:]) >= LEAST_PX * CELLS and len(groups) < 4 * SCALES) or not groups:
        free = -F.max_pool2d(-inside, 3, 1)
        smooth = F.avg_pool2d(F.pad(grey, (1, 1, 1, 1), mode="replicate"), 3, 1)
        gy = 0.5 * (smooth[:, :, 2:, 1:-1] - smooth[:, :, :-2, 1:-1])
        gx = 0.5 * (smooth[:, :, 1:-1, 2:] - smooth[:, :, 1:-1, :-2])
        rise = (torch.cos(angles) * gx - torch.sin(angles) * gy).clamp_min(0) * free
        share = free.mean().clamp_min(1e-9)
        rise = rise / (rise.square().mean() / share).sqrt().clamp_min(1e-9)
        light = smooth[:, :, 1:-1, 1:-1]
        light = (light - (light * free).mean() / share) * free
        light = light / (light.square().mean() / share).sqrt().clamp_min(1e-6)
        weight = F.adaptive_avg_pool2d(free, CELLS).flatten()
        for values in (rise, rise.square(), rise**3, rise * light):
            cells = F.adaptive_avg_pool2d(values, CELLS)[0].flatten(1) / weight.clamp_min(1e-3)
            mean = (cells * weight).sum(1) / weight.sum().clamp_min(1e-9)
            variance = ((cells - mean[:, None]).square() * weight).sum(1) / weight.sum().clamp_min(1e-9)
            groups.append((mean, variance.sqrt()))
        grey = F.avg_pool2d(grey, 2)
        inside = F.avg_pool2d(inside, 2).floor()
    means, deviations = zip(*groups, strict=True)
    return torch.stack(means), torch.stack(deviations)


def same_vectors(before: Tensor, after: Tensor) -> bool:
    """Tell whether two fields of vectors (2, ., .) have the same mean and the same spread by direction."""
    fields = [field.flatten(1) for field in (before, after)]
    spread = [field.cov(correction=0) for field in fields]
    unit = LIKE_ON_LATTICE * spread[0].trace()
    shift = (fields[0].mean(1) - fields[1].mean(1)).square().sum()
    flat = 1e-4  # Square of 1 / 100, less than anybody sees
    return bool((spread[0] - spread[1]).norm() <= unit + flat) and bool(
        shift <= LIKE_ON_LATTICE * unit + flat
    )


def _overlap(first: Tensor, second: Tensor, shift: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Cut two pictures to what lies on each other when the second is moved."""
    for dim, by in zip((2, 3), shift, strict=True):
        start = max(by, 0)
        length = min(first.shape[dim], second.shape[dim] + by) - start
        first, second = first.narrow(dim, start, length), second.narrow(dim, start - by, length)
    return first, second


def alignment(first: Tensor, second: Tensor) -> tuple[tuple[int, int], float]:
    """Find where two pictures (1, 3, ., .) of one texture agree best when laid over each other.

    Returns how far the second must be moved, rows and columns, and the correlation of their detail there, up
    to 1. At least half of each side overlaps.
    """
    details = []
    for image in (first, second):
        smooth = box_mean(luma(image), 1)[0]
        detail = smooth - box_mean(smooth, max(min(image.shape[2:]) // 8, 1))
        details.append(detail - detail.mean())
    a, b = details
    reach = (min(a.shape[1], b.shape[1]) // 2, min(a.shape[2], b.shape[2]) // 2)
    size = [good_size(max(n, m) + r) for n, m, r in zip(a.shape[1:], b.shape[1:], reach, strict=True)]
    ones = [torch.ones_like(a), torch.ones_like(b)]
    first_planes = torch.fft.rfft2(torch.cat([a, a.square(), ones[0]]), s=size)
    second_planes = torch.fft.rfft2(torch.cat([b, ones[1], b.square()]), s=size).conj()
    products = torch.fft.irfft2(first_planes * second_planes, s=size)
    products = products.roll(reach, (1, 2))[:, : 2 * reach[0] + 1, : 2 * reach[1] + 1]
    height = products[0] / (products[1] * products[2]).clamp_min(1e-12).sqrt()
    best = int(height.argmax())
    shift = (best // height.shape[1] - reach[0], best % height.shape[1] - reach[1])
    return shift, float(height.flatten()[best])
