"""How far long straight edges stand out of a texture."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.ops.color import luma
from texsynth.ops.resample import resize

SIDE = 256  # Larger pictures are reduced to this shorter side

LENGTH = 1 / 6  # Of the lines, as a share of the shorter side

SMOOTHING = 1 / 170  # Deviation of the Gaussian before differences are taken, the same

DIRECTIONS = 16

RARE = 0.995  # Share of the places that a line has to stand out from

FLAT = 1e-4  # Root of the mean squared gradient below which there are no edges


def line_strength(image: Tensor, mask: Tensor | None = None) -> float:
    """Measure how far long straight edges of (1, 3, h, w) stand out from all others, 0 and more.

    The lightness across each of 16 directions is differentiated and averaged along it, over a sixth of the
    shorter side. Returns what one place in 200 exceeds, in the direction where that is most, over the root of
    the mean squared gradient: below 2 for grass, gravel and stones the size of peas, above 3 for planks,
    joints, veins and large stones. mask: (1, 1, h, w), above 0.5 where the texture is.
    """
    scale = min(SIDE / min(image.shape[2:]), 1.0)
    height, width = (round(n * scale) for n in image.shape[2:])
    grey = luma(resize(image, height, width))
    usable = torch.ones_like(grey) if mask is None else (resize(mask, height, width) > 0.5).to(grey.dtype)
    side = min(height, width)
    across, inside = _gradient(grey, usable, max(side * SMOOTHING, 0.5))
    level = float(((across.square() * inside).sum() / inside.sum().clamp_min(1) / 2).sqrt())
    length = max(round(side * LENGTH), 2) | 1
    if level < FLAT or min(across.shape[2:]) < length:
        return 0.0
    lines = _line_kernels(length)
    angles = torch.arange(DIRECTIONS) * (math.pi / DIRECTIONS)
    # Across a line that runs (sin, cos) the gradient (dy, dx) is dy cos - dx sin.
    normals = torch.stack([angles.cos(), -angles.sin()], 1)[:, :, None, None]
    means = F.conv2d(across * inside, lines[:, None] * normals, padding=length // 2).abs()[0]
    whole = F.conv2d(inside, lines[:, None], padding=length // 2)[0] > 0.999  # near borders few directions
    strengths = [_quantile(mean[use]) for mean, use in zip(means, whole, strict=True) if bool(use.any())]
    return max(strengths, default=0.0) / level


def _quantile(values: Tensor) -> float:
    """Return what all but the rarest of `values` (n,) stay below."""
    return float(values.kthvalue(min(int(RARE * len(values)) + 1, len(values))).values)


def _gradient(grey: Tensor, usable: Tensor, deviation: float) -> tuple[Tensor, Tensor]:
    """Differentiate the smoothed (1, 1, h, w) along y and x: (1, 2, h', w'), and 1 where it may be used.

    The sides are shorter by what the filter needs.
    """
    radius = math.ceil(3 * deviation)
    at = torch.arange(-radius, radius + 1, dtype=grey.dtype)
    smooth = torch.exp(-at.square() / (2 * deviation**2))
    smooth = smooth / smooth.sum()
    slope = at * smooth / (at.square() * smooth).sum()
    kernels = torch.stack([slope[:, None] * smooth, smooth[:, None] * slope])[:, None]
    span = 2 * radius + 1
    inside = 1 - F.max_pool2d(1 - usable, span, 1)
    return F.conv2d(grey, kernels), inside


def _line_kernels(length: int) -> Tensor:
    """Draw lines of `length` pixels through the middle of a square in each direction, (16, l, l), sum 1."""
    middle = length // 2
    at = torch.linspace(-middle, middle, 4 * length)
    kernels = torch.zeros(DIRECTIONS, length, length)
    for number in range(DIRECTIONS):
        angle = number * math.pi / DIRECTIONS
        y, x = middle + at * math.sin(angle), middle + at * math.cos(angle)
        top, left = y.floor().clamp(0, length - 2), x.floor().clamp(0, length - 2)
        for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
            share = (1 - (y - top - dy).abs()) * (1 - (x - left - dx).abs())
            kernels[number].index_put_(((top + dy).long(), (left + dx).long()), share, accumulate=True)
    return kernels / (4 * length)
