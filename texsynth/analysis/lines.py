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
    deviation = max(side * SMOOTHING, 0.5)
    across, inside = gradient(grey, deviation), 1 - F.max_pool2d(1 - usable, 2 * _reach(deviation) + 1, 1)
    level = float(((across.square() * inside).sum() / inside.sum().clamp_min(1) / 2).sqrt())
    length = max(round(side * LENGTH), 2) | 1
    if level < FLAT or min(across.shape[2:]) < length:
        return 0.0
    lines = line_kernels(length, DIRECTIONS)
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


def gradient(grey: Tensor, deviation: float) -> Tensor:
    """Differentiate (1, 1, h, w), smoothed by `deviation` pixels, along y and x: (1, 2, h', w').

    The sides are shorter by six deviations or so; a ramp of slope 1 gives 1.
    """
    at = torch.arange(-_reach(deviation), _reach(deviation) + 1, dtype=grey.dtype)
    smooth = torch.exp(-at.square() / (2 * deviation**2))
    smooth = smooth / smooth.sum()
    slope = at * smooth / (at.square() * smooth).sum()
    return F.conv2d(grey, torch.stack([slope[:, None] * smooth, smooth[:, None] * slope])[:, None])


def line_kernels(length: int, directions: int) -> Tensor:
    """Draw a line of `length` pixels, an odd number, through the middle of a square, in each direction.

    Returns (directions, length, length), each of sum 1; the first is level, others turn towards (1, 1).
    """
    middle = length // 2
    at = torch.arange(length, dtype=torch.float32)
    steps = torch.linspace(-middle, middle, 4 * length)
    angles = torch.arange(directions)[:, None] * (math.pi / directions)
    # Each of the many points of a line is shared out among the four pixels around it.
    rows, columns = (
        (1 - (middle + steps * wave - at[:, None, None]).abs()).clamp_min(0)
        for wave in (angles.sin(), angles.cos())
    )
    return torch.einsum("adp,bdp->dab", rows, columns) / (4 * length)


def _reach(deviation: float) -> int:
    """Return after how many pixels the Gaussian is cut off."""
    return math.ceil(3 * deviation)
