"""Orientation assignment as in SIFT (Lowe 2004, section 5; paper 001, problem 1), for whole textures.

Angles are in degrees, counter-clockwise as one looks at the picture, from the direction of its rows. So a
picture that is turned by `torch.rot90` has angles that are 90 larger.

Where we leave the paper: there is no window, all pixels count alike; derivatives are those of the Gaussian
itself, not differences of neighbours, which bend angles of fine detail towards the axes; every gradient
counts in its two nearest bins, and the histogram is smoothed, so that rounding at the border of a bin decides
nothing; pixels whose filter would reach beyond the picture, or its mask, do not count.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.analysis.self_similarity import parabola_vertex
from texsynth.ops.color import luma

TURN = 180
"""Degrees that the histogram covers: a stripe has gradients that point to both sides of it."""

BIN_DEGREES = 10  # Bins divide 90 degrees, so that quarter turns move whole bins

PEAK_SHARE = 0.8
"""Peaks of the histogram that are lower than this share of the highest are no orientations."""

REACH = 3  # Deviations after which the Gaussian's derivative is cut off

FLAT = 1e-6  # Mean gradient per pixel below which a picture is of one colour, but for rounding

DOMINANT = 1.5  # Weight from which on a direction of a texture stands out from the others


class Orientation(NamedTuple):
    """A peak of the histogram of directions."""

    angle: float  # Degrees
    weight: float  # Height of the peak over the mean of the histogram: 1 if no direction stands out


def texture_orientations(
    image: Tensor, *, sigma: float = 1.5, mask: Tensor | None = None
) -> tuple[Orientation, ...]:
    """Find the directions in which the lines of a texture run, 0 <= angle < 180, the strongest first.

    0 is level and 90 upright; 45 rises to the right. Two sets of lines that cross are both found; of two
    waves that overlap everywhere the sum has gradients of its own. Empty when no direction stands out, as on
    gravel or a picture of one colour.

    image: (1, 3, H, W) in [0, 1]. sigma: the picture is smoothed by it. mask: (1, 1, H, W), above 0.5 where
    the texture is.
    """
    peaks = _peaks(_histogram(*_gradients(image, sigma, mask)))
    lines = (Orientation(_within_turn(peak.angle + 90), peak.weight) for peak in peaks)
    return tuple(line for line in lines if line.weight >= DOMINANT)


def _gradients(image: Tensor, sigma: float, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Differentiate the smoothed lightness along y and x; third, 1 where it can be used. (H, W) float64."""
    grey = luma(image.double())
    radius = max(1, math.ceil(REACH * sigma))
    at = torch.arange(-radius, radius + 1, dtype=grey.dtype, device=grey.device)
    smooth = torch.exp(-at.square() / (2 * sigma**2))
    smooth = smooth / smooth.sum()
    # Correlated with it, a ramp of slope 1 gives exactly 1.
    slope = at * smooth
    slope = slope / (slope * at).sum()
    inside = torch.ones_like(grey) if mask is None else (mask > 0.5).to(grey)
    # A constant padding of zeros marks what is beyond the border as masked.
    usable = 1 - F.max_pool2d(F.pad(1 - inside, (radius,) * 4, value=1.0), 2 * radius + 1, 1)
    padded = F.pad(grey, (radius,) * 4, mode="replicate")
    dy = F.conv2d(F.conv2d(padded, slope.view(1, 1, -1, 1)), smooth.view(1, 1, 1, -1))
    dx = F.conv2d(F.conv2d(padded, smooth.view(1, 1, -1, 1)), slope.view(1, 1, 1, -1))
    return dy[0, 0], dx[0, 0], usable[0, 0]


def _histogram(dy: Tensor, dx: Tensor, weight: Tensor) -> Tensor:
    """Bin the lengths of gradients by their directions modulo TURN, (bins,); zeros if flat."""
    bins = TURN // BIN_DEGREES
    length = torch.hypot(dy, dx)
    if float((length * weight).sum()) <= FLAT * float(weight.sum()):
        return length.new_zeros(bins)
    # Rows count downwards, angles upwards.
    place = torch.rad2deg(torch.atan2(-dy, dx)) / BIN_DEGREES
    low = place.floor()
    share = place - low
    histogram = length.new_zeros(bins)
    for index, part in ((low, 1 - share), (low + 1, share)):
        histogram.scatter_add_(0, index.long().remainder(bins).flatten(), (part * length * weight).flatten())
    for _ in range(3):
        histogram = (histogram.roll(1) + 2 * histogram + histogram.roll(-1)) / 4
    return histogram


def _peaks(histogram: Tensor) -> tuple[Orientation, ...]:
    """Find local maxima of a circular histogram from PEAK_SHARE of the highest on, the strongest first."""
    values = histogram.tolist()
    highest, mean = max(values), sum(values) / len(values)
    peaks = []
    for k, at in enumerate(values):
        before, after = values[k - 1], values[(k + 1) % len(values)]
        # Of two equal neighbours the first is the peak, and the parabola lies between them.
        if at > before and at >= after and at >= PEAK_SHARE * highest > 0:
            angle = (k + parabola_vertex(before, at, after)) * BIN_DEGREES
            peaks.append(Orientation(_within_turn(angle), at / mean))
    return tuple(sorted(peaks, key=lambda peak: -peak.weight))


def _within_turn(angle: float) -> float:
    """Return `angle` as 0 <= angle < TURN; once more, because the rest of -1e-16 is rounded to TURN."""
    return angle % TURN % TURN
