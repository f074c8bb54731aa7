"""Whether by-example noise would end the long lines of a texture."""

import math

import torch
from torch import Tensor

from texsynth.analysis.lines import gradient, line_kernels
from texsynth.config.base import NoiseSettings
from texsynth.ops.color import luma
from texsynth.ops.resample import resize
from texsynth.synthesis.exemplar import Exemplar
from texsynth.synthesis.noise import lay_noise

LENGTH = 1 / 3  # Of the lines, as a share of the shorter side: longer than patches, which are 0.28 wide

SMOOTHING = 1 / 128  # Deviation of the Gaussian before differences are taken, the same

DIRECTIONS = 32  # Lines half a step off are a pixel away at their ends; of half as many, some went unseen


def line_excess(image: Tensor, side: int) -> float:
    """Measure how much rarer and stronger long lines of (1, 3, h, w) are than those of noise made of it.

    Noise by example keeps autocorrelation and histogram, and with them any grain, but no line that is longer
    than a patch. So both are seen through the same long filters, at `side` pixels, and the kurtosis of what
    these answer is compared: 1 where nothing is lost, 5 for a leaf whose veins cross the picture.
    """
    scale = side / min(image.shape[2:])
    exemplar = resize(image, *(round(n * scale) for n in image.shape[2:]))
    settings = NoiseSettings()
    # Twice the side, and always the same noise: the figure depends on the picture alone.
    noise = lay_noise(
        Exemplar(exemplar), (2 * side, 2 * side), torch.Generator().manual_seed(0),
        spacing=settings.spacing * side, sharpness=settings.sharpness,
    )  # fmt: skip
    synthesis = torch.cat([colours for _, colours, _ in noise.strips()], 1)[None]
    own, its = (_kurtosis_along(luma(picture), side) for picture in (exemplar, synthesis))
    return own / its


def _kurtosis_along(grey: Tensor, side: int) -> float:
    """Return the kurtosis, over places and directions, of differences across and means along long lines.

    grey: (1, 1, h, w).
    """
    across = gradient(grey, side * SMOOTHING)[0]
    kernels = line_kernels(round(side * LENGTH) | 1, DIRECTIONS)
    length = kernels.shape[1]
    height, width = across.shape[1:]
    # Powers of two are the fastest; what wraps around is cut off below.
    size = tuple(1 << (n - 1).bit_length() for n in (height, width))
    down, right = torch.fft.rfft2(across, s=size)
    angles = torch.arange(DIRECTIONS)[:, None, None] * (math.pi / DIRECTIONS)
    # Across a line that runs (sin, cos) the gradient (dy, dx) is dy cos - dx sin.
    spectra = (angles.cos() * down - angles.sin() * right) * torch.fft.rfft2(kernels, s=size).conj()
    means = torch.fft.irfft2(spectra, s=size)[:, : height - length + 1, : width - length + 1]
    power = means.square()
    return float(power.square().mean() / power.mean().square().clamp_min(1e-24))
