"""Self-similarity and transposed convolution, exact by FFT (paper 004, equation 1 and decoder).

The map of equation 1, -difference / energy, tells how well a texture agrees with itself moved by (p, q); the
transposed convolution lays copies of the features where the map says so. Both cost C N log N for N pixels.
The difference of equation 1 cancels almost completely at a good shift, hence float32 at least, and never
reduced precision, whatever autocast is on.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def self_difference(x: Tensor, reach: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Sum the squared difference of features and their shifted copy over the overlap, and the energy.

    x: (N, C, H, W); reach: (P, Q) with 0 <= P < H and 0 <= Q < W, the largest shifts along y and x.
    Returns (difference, energy), each (N, 2 P + 1, 2 Q + 1), with shift (p, q) at [P + p, Q + q]:
    sum |F(m, n) - F(m - p, n - q)|^2 and sum |F(m, n)|^2 over the (m, n) where both are inside. Both are
    non-negative; the difference is even in the shift, the energy is not. Float32, or float64 where x is.
    Raises ValueError when the reach is not below the size.
    """
    height, width = x.shape[2:]
    if not (0 <= reach[0] < height and 0 <= reach[1] < width):
        raise ValueError(f"the reach {reach} must be below the size {(height, width)} of the features")
    with torch.autocast(x.device.type, enabled=False):
        x = x if x.dtype == torch.float64 else x.float()
        # The difference does not see a constant; without one far less cancels.
        centred = x - x.mean((2, 3), keepdim=True)
        energy = _overlap_sums(centred.square().sum(1), reach)
        difference = energy + energy.flip(1, 2) - 2 * autocorrelation(centred, reach)
        difference = difference.clamp_min(0)
        middle = torch.zeros_like(difference)
        middle[:, reach[0], reach[1]] = 1
        return difference * (1 - middle), _overlap_sums(x.square().sum(1), reach)


def masked_overlap(values: Tensor, mask: Tensor, reach: tuple[int, int]) -> Tensor:
    """Sum `values` over the overlap with a mask moved by (p, q): sum of v(m, n) M(m - p, n - q).

    values, mask: (N, H, W); reach as in `self_difference`. Returns (N, 2 P + 1, 2 Q + 1). With a mask of ones
    it is the energy that `self_difference` returns, where the values are those of |F|^2.
    """
    size = [good_size(n + r) for n, r in zip(values.shape[1:], reach, strict=True)]
    product = torch.fft.rfft2(values, s=size) * torch.fft.rfft2(mask, s=size).conj()
    return _by_shift(torch.fft.irfft2(product, s=size), reach)


def transposed_convolution(weights: Tensor, filters: Tensor) -> Tensor:
    """Lay copies of `filters`, weighted by a map of one channel: out = sum over (p, q) of w(p, q) F(. - p).

    weights: (N, 1, a, b); filters: (N, C, h, w), each picture with its own.
    Returns (N, C, a + h - 1, b + w - 1). Float32 or float64.
    """
    a, b = weights.shape[2:]
    h, w = filters.shape[2:]
    with torch.autocast(weights.device.type, enabled=False):
        dtype = torch.promote_types(torch.promote_types(weights.dtype, filters.dtype), torch.float32)
        weights, filters = weights.to(dtype), filters.to(dtype)
        size = (good_size(a + h - 1), good_size(b + w - 1))
        product = torch.fft.rfft2(weights, s=size) * torch.fft.rfft2(filters, s=size)
        out: Tensor = torch.fft.irfft2(product, s=size)
        return out[..., : a + h - 1, : b + w - 1]


def good_size(least: int) -> int:
    """Return the smallest number from `least` on without prime factors above 5, where transforms are fast."""
    size = max(least, 1)
    while True:
        rest = size
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return size
        size += 1


def autocorrelation(x: Tensor, reach: tuple[int, int]) -> Tensor:
    """Compute R(p, q) = sum over the overlap of F(m, n) . F(m - p, n - q), as in `self_difference`.

    x: (N, C, H, W). Returns (N, 2 P + 1, 2 Q + 1).
    """
    size = [good_size(n + r) for n, r in zip(x.shape[2:], reach, strict=True)]
    spectrum = torch.fft.rfft2(x, s=size)
    power = (spectrum.real.square() + spectrum.imag.square()).sum(1)
    return _by_shift(torch.fft.irfft2(power, s=size), reach)


def _by_shift(wrapped: Tensor, reach: tuple[int, int]) -> Tensor:
    """Bring negative shifts from the end of `wrapped` to the front: the shift (-P, -Q) comes first."""
    return wrapped.roll(reach, (1, 2))[:, : 2 * reach[0] + 1, : 2 * reach[1] + 1]


def _overlap_sums(energy: Tensor, reach: tuple[int, int]) -> Tensor:
    """Sum (N, H, W) over the overlap with its copy moved by (p, q), from a summed-area table."""
    table = F.pad(energy.cumsum(1).cumsum(2), (1, 0, 1, 0))
    for dim, r in ((1, reach[0]), (2, reach[1])):
        length = table.shape[dim] - 1
        shift = torch.arange(-r, r + 1, device=energy.device)
        stop, start = (length + shift).clamp(max=length), shift.clamp(min=0)
        table = table.index_select(dim, stop) - table.index_select(dim, start)
    return table


def parabola_vertex(before: float, at: float, after: float) -> float:
    """Locate the maximum of the parabola through three values one apart, from the middle, within half a step.

    0 where it has no maximum.
    """
    bend = before - 2 * at + after
    return _within_half(0.5 * (before - after) / bend) if bend < 0 else 0.0


def quadratic_vertex(nine: Tensor) -> tuple[float, float]:
    """Locate the maximum of a quadratic through 3x3 values, (dy, dx) from the middle, within half a step.

    Skewed peaks, as of a slanted lattice, need the mixed derivative. (0, 0) where it has no maximum.
    """
    (nw, n, ne), (w, middle, e), (sw, s, se) = nine.tolist()
    slope_y, slope_x = (s - n) / 2, (e - w) / 2
    bend_y, bend_x, mixed = n - 2 * middle + s, w - 2 * middle + e, (nw - ne - sw + se) / 4
    determinant = bend_y * bend_x - mixed * mixed
    if bend_y >= 0 or determinant <= 0:
        return 0.0, 0.0
    dy = (mixed * slope_x - bend_x * slope_y) / determinant
    dx = (mixed * slope_y - bend_y * slope_x) / determinant
    return _within_half(dy), _within_half(dx)


def _within_half(step: float) -> float:
    return max(-0.5, min(0.5, step))
