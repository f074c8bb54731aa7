"""Whether by-example noise is good enough for a texture."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.analysis.lines import line_strength
from texsynth.ops.color import luma
from texsynth.ops.resample import resize
from texsynth.synthesis.noise import gaussian_texture

SIDE = 128  # Exemplars are judged at this size, with patches PATCH_PX apart

MIN_SIDE = 96  # Smaller exemplars would have to be enlarged much; patches on them are a few pixels

FLAT = 1 / 255  # Deviation of lightness below which there is nothing to measure

PATCH_PX = 20.0

BLURS = (1.0, 2.0, 4.0, 8.0)  # Deviations of Gaussians in pixels; a band lies between two of them

WEIGHTS, OFFSET = (-11.1, -25.4, -25.9, -50.3), 10.6
"""Of the figures, and 1 below that of the fit: noise where copies would do is worse than copies.

Fitted on irregular textures at two sizes, looked at at 100%. Of the 101 that were clear at 160 pixels it
takes 25 of 41 that noise suits and none of 60 that it spoils; of 42 held-out ones 10 of 17 and none of 25. At
full size, up to 512 pixels: 29 of 48 and 1 of 56, held out 11 of 19 and 1 of 26, a leaf whose veins end."""

LONG_LINES = 2.7
"""Strength of long lines from which on patches of noise would end them, as the veins of a leaf.

It takes from noise only such labelled textures as were neither right nor wrong."""

TWO_COLOURS = 2.0
"""Kurtosis of lightness below which there are two colours and little between, which blending would add."""


def noise_suits(image: Tensor) -> bool:
    """Return True when by-example noise will look like the texture (1, 3, h, w), rather too seldom.

    A logistic regression of four figures, see `noise_figures`, on 101 textures labelled by eye.
    """
    grey = luma(image)
    if min(image.shape[2:]) < MIN_SIDE or float(grey.std()) < FLAT:
        return False
    if float(((grey - grey.mean()) / grey.std()).pow(4).mean()) < TWO_COLOURS:
        return False
    if line_strength(image) > LONG_LINES:
        return False
    score = sum(w * f for w, f in zip(WEIGHTS, noise_figures(image), strict=True))
    return score + OFFSET > 0


def noise_figures(image: Tensor) -> tuple[float, float, float, float]:
    """Measure what patches of noise cannot keep of a texture (1, 3, h, w).

    All on the principal component of colours, made Gaussian. Returns the correlation of magnitudes in the two
    finest bands, which contours have; the unevenness of magnitudes of the second band from place to place,
    over their mean; the root mean square of the autocorrelation beyond the distance of patches; the variance
    of the third band, of blobs half as large as patches.
    """
    scale = SIDE / min(image.shape[2:])
    height, width = (round(n * scale) for n in image.shape[2:])
    values = gaussian_texture(
        resize(image, height, width), torch.ones(height, width, dtype=torch.bool)
    ).values
    field = values[..., -1] - values[..., -1].mean()
    blurred = [field, *(_blur(field, deviation) for deviation in BLURS)]
    bands = [a - b for a, b in pairwise(blurred)]
    sizes = [band.abs() for band in bands]
    pair = torch.stack([sizes[0].flatten(), sizes[1].flatten()])
    contours = float(torch.corrcoef(pair)[0, 1])
    uneven = float(_blur(sizes[1], BLURS[-1]).std() / sizes[1].mean().clamp_min(1e-6))
    return contours, uneven, _far_correlation(field), float(bands[2].var())


def _far_correlation(field: Tensor) -> float:
    """Return the root mean squared autocorrelation of (h, w), of mean 0, from PATCH_PX to half the sides."""
    doubled = tuple(2 * n for n in field.shape)
    power = torch.fft.rfft2(field, s=doubled).abs().square()
    overlap = torch.fft.rfft2(torch.ones_like(field), s=doubled).abs().square()
    sums, counts = (torch.fft.irfft2(p, s=doubled) for p in (power, overlap))
    correlation = sums / counts.clamp_min(1) / field.square().mean().clamp_min(1e-6)
    rows, columns = (torch.fft.fftfreq(n) * n for n in doubled)
    far = rows.square()[:, None] + columns.square() >= PATCH_PX**2
    far &= (rows.abs() <= field.shape[0] / 2)[:, None] & (columns.abs() <= field.shape[1] / 2)
    return float(correlation[far].square().mean().sqrt())


def _blur(field: Tensor, deviation: float) -> Tensor:
    """Convolve (h, w) with a Gaussian, reflected at the borders."""
    radius = int(3 * deviation) + 1
    taps = torch.exp(-torch.arange(-radius, radius + 1).square() / (2 * deviation**2))
    taps = taps / taps.sum()
    padded = F.pad(field[None, None], (radius,) * 4, mode="reflect")
    return F.conv2d(F.conv2d(padded, taps.view(1, 1, -1, 1)), taps.view(1, 1, 1, -1))[0, 0]
