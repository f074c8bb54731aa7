"""Peaks of sampled values, located between the samples."""

from __future__ import annotations

from torch import Tensor


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
