"""Measures of what repeats in a texture: spectra, the lattice of a regular one."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.analysis.self_similarity import autocorrelation, masked_overlap, quadratic_vertex
from texsynth.ops.color import luma
from texsynth.ops.resample import box_mean


class Displacement(NamedTuple):
    """The peak that stands for a lattice vector of the exemplar in the output.

    relative: distance from the vector to the nearest peak, over its length; bars say at most 0.02. height:
    correlation of the output with itself at that peak, -1 to 1; a low one means no lattice is left.
    """

    relative: float
    height: float


def spectrum_distance(output: Tensor, truth: Tensor) -> float:
    """Compare power spectra, in powers of ten: by frequency and, apart from that, by direction.

    Root-mean-square difference of the logarithms of the mean power in 16 rings of frequency, plus the same
    of the shares of 18 directions, of lightness under a Hann window. Sizes may differ. 0 is best.

    Rewards the right contrast at every size of detail. It lies by ignoring where anything is: phase-shuffled
    noise has a perfect spectrum, and tiling a good one.
    """
    lowest = 4 / min(*output.shape[2:], *truth.shape[2:])
    a, b = _log_spectrum(output, lowest), _log_spectrum(truth, lowest)
    return sum(float((x - y).square().mean().sqrt()) for x, y in zip(a, b, strict=True))


def lattice_displacements(image: Tensor, vectors: Tensor, search: float = 0.15) -> list[Displacement]:
    """Find the peaks of the autocorrelation of `image` next to lattice vectors of its exemplar.

    vectors: (K, 2) rows (dy, dx) in pixels. A peak is looked for within `search` of a vector's length, and
    placed by a quadratic between pixels. (inf, 0) where there is none, or the vector is too long to measure.

    It lies when the output is a verbatim tiling with another period: the peak inside each copy remains.
    """
    table = _autocorrelation(_detail(image))
    return [_nearest_peak(table, vector, search) for vector in vectors.tolist()]


def regularity(image: Tensor) -> float:
    """Return the height of the autocorrelation's highest peak beyond an eighth of the shorter side, -1 to 1.

    1 for a picture that repeats exactly, 0 when no shift resembles the picture. A texture without a lattice
    should get none, so compare it with the truth's. It lies on pictures with few large features, whose
    correlation is high somewhere by chance.
    """
    table = _autocorrelation(_detail(image))
    dy, dx = (torch.arange(n, device=table.device) - n // 2 for n in table.shape)
    far = torch.hypot(dy[:, None].double(), dx[None].double()) >= min(image.shape[2:]) / 8
    peak = table >= F.max_pool2d(table[None, None], 7, 1, 3)[0, 0]
    return float(table[far & peak].max()) if bool((far & peak).any()) else 0.0


def _detail(image: Tensor) -> Tensor:
    """Take from the lightness (H, W) its mean over a quarter of the picture, whose changes drown peaks."""
    grey = luma(image.double())[0, 0]
    return grey - box_mean(grey, max(1, min(grey.shape) // 8))


def _log_spectrum(image: Tensor, lowest: float, rings: int = 16, sectors: int = 18) -> tuple[Tensor, Tensor]:
    """Return log10 of the power per ring (rings,) and of the share per sector (sectors,)."""
    grey = luma(image.double())[0, 0]
    height, width = grey.shape
    rows, cols = (torch.hann_window(n, dtype=grey.dtype, device=grey.device) for n in (height, width))
    window = torch.outer(rows, cols)
    # Weighted mean: under the window nothing of the mean colour is left at low frequencies.
    centred = (grey - (grey * window).sum() / window.sum()) * window
    power = torch.fft.fft2(centred).abs().square() / window.square().sum()
    fy = torch.fft.fftfreq(height, dtype=grey.dtype, device=grey.device)[:, None]
    fx = torch.fft.fftfreq(width, dtype=grey.dtype, device=grey.device)[None]
    radius = torch.hypot(fy, fx)
    inside = (radius >= lowest) & (radius <= 0.5)
    ring = ((radius / lowest).log() / math.log(0.5 / lowest) * rings).clamp(0, rings - 1).long()
    sector = (torch.atan2(fy, fx).remainder(math.pi) / math.pi * sectors).long() % sectors
    # The power that rounding to 8 bits leaves everywhere; less cannot be told apart.
    floor = 1 / 12 / 255**2
    by_ring = _binned(power[inside], ring[inside], rings) + floor
    by_sector = _binned(power[inside], sector[inside], sectors) + floor
    return by_ring.log10(), (by_sector / by_sector.mean()).log10()


def _binned(values: Tensor, index: Tensor, bins: int) -> Tensor:
    """Average `values` per bin; empty bins are 0."""
    zero = values.new_zeros(bins)
    count = zero.scatter_add(0, index, torch.ones_like(values))
    total: Tensor = zero.scatter_add(0, index, values)
    return total / count.clamp_min(1)


def _nearest_peak(table: Tensor, vector: list[float], search: float) -> Displacement:
    """Find the peak next to a vector in `table` (H, W), correlation by shift, shift 0 in the middle."""
    length = math.hypot(*vector)
    reach = max(2, round(search * length))
    top, left = (round(v) + size // 2 - reach for v, size in zip(vector, table.shape, strict=True))
    # One ring more than is searched, so that a peak has neighbours.
    size = 2 * reach + 1
    if min(top, left) < 1 or top + size >= table.shape[0] or left + size >= table.shape[1]:
        return Displacement(math.inf, 0.0)
    part = table[top - 1 : top + size + 1, left - 1 : left + size + 1]
    inside = part[1:-1, 1:-1]
    # The nearest one that is about as high as any: fine detail makes ripples on the slopes of a peak.
    good = (inside >= F.max_pool2d(part[None, None], 3, 1)[0, 0]) & (inside >= 0.9 * inside.max())
    rows, cols = good.nonzero().unbind(1)
    if not len(rows):
        return Displacement(math.inf, 0.0)
    off = torch.hypot(
        rows + top - table.shape[0] // 2 - vector[0], cols + left - table.shape[1] // 2 - vector[1]
    )
    y, x = top + int(rows[off.argmin()]), left + int(cols[off.argmin()])
    fine_y, fine_x = quadratic_vertex(table[y - 1 : y + 2, x - 1 : x + 2])
    dy = y + fine_y - table.shape[0] // 2 - vector[0]
    dx = x + fine_x - table.shape[1] // 2 - vector[1]
    return Displacement(math.hypot(dy, dx) / length, float(table[y, x]))


def _autocorrelation(x: Tensor) -> Tensor:
    """Correlate `x` (H, W) with itself at every shift up to half its size, normalised over the overlap.

    Returns (2 * (H // 2) + 1, 2 * (W // 2) + 1), shift 0 in the middle.
    """
    half = x.shape[0] // 2, x.shape[1] // 2
    product = autocorrelation(x[None, None], half)[0]
    energy = masked_overlap(x.square()[None], torch.ones_like(x)[None], half)[0]
    # The energies of the two parts that overlap; turned about the middle, one is the other's.
    table: Tensor = product / (energy * energy.flip(0, 1)).clamp_min(1e-12).sqrt()
    return table
