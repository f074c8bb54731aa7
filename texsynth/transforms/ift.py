"""Iterative feature transformation: gradient descent from the content to the style's second moment.

Chiu and Gurari 2020, "Iterative Feature Transformation for Fast and Versatile Universal Style Transfer". The
paper iterates on the C x n features F. From F = F0 every step multiplies them from the left, so F = A F0 and
the same iteration runs on the C x C matrix A:

    loss(A) / n = tr((A - A0) Sigma (A - A0)^T) + lambda' |A Sigma A^T - S|^2          (supplement, eq. 24-27)
    direction   = -2 (A - A0) - 4 lambda' (A Sigma A^T - S) A,    lambda' = lambda / n

with Sigma and S the second moments of content and style and A0 the anchor, at first the identity. Several
styles equal one whose second moment is their weighted mean.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from texsynth.config.settings import IFTSettings
from texsynth.ops.linalg import symmetric_eigh
from texsynth.transforms.affine import AffineMap
from texsynth.transforms.moments import Moments

_DIMMEST = 1e-6  # a style with a smaller share of the content's second moment counts as one with this share


def fit(content: Moments, style: Moments, settings: IFTSettings) -> AffineMap:
    """Map after `n_iter` anchors of `n_upd` steps.

    One pixel on either side gives the shift of the mean alone. No step increases the loss, so for second
    moments Sigma and S the mapped features have a second moment of norm at most |S| + |Sigma - S|, and one
    anchor moves them by at most sqrt(lambda') |Sigma - S| in the root mean square. A note tells of steps that
    would have diverged.
    """
    if content.n <= 1 or style.n <= 1 or (settings.centred and not content.has_spread):
        return AffineMap.between_means(content, style)
    notes: list[str] = []
    if settings.centred:
        matrix, _ = descend(content.covariance, style.covariance, settings, notes.append)
        return replace(AffineMap.between_means(content, style, matrix), notes=tuple(notes))
    matrix, _ = descend(content.second, style.second, settings, notes.append)
    return AffineMap(matrix, torch.zeros_like(content.sum), tuple(notes))


def mixed(styles: Sequence[Moments], weights: Sequence[float], settings: IFTSettings) -> Moments:
    """Return the one style that pulls like several: the loss is that of their weighted mean second moment.

    Centred, the second moments are covariances. weights: non-negative, not all zero.
    """
    return Moments.average(styles, weights) if settings.centred else Moments.blend(styles, weights)


def style_weight(sigma: Tensor, target: Tensor, pull: float) -> float:
    """lambda' = pull / (tr(S) / C), a weight per pixel that is free of the scale of the features.

    sigma, target: (C, C) second moments of content and style. The paper's lambda = lambda' n is tied to the
    size of the picture and to the scale of the features.
    """
    scale = max(float(target.trace()), _DIMMEST * float(sigma.trace())) / len(target)
    return pull / scale if scale > 0 else 0.0


def descend(
    sigma: Tensor, target: Tensor, settings: IFTSettings, on_note: Callable[[str], object] = lambda _: None
) -> tuple[Tensor, list[float]]:
    """Descend on A by gradients, ending early when rounding leaves nothing to gain.

    sigma, target: (C, C) float64 second moments of content and style. Returns A and loss / n before the first
    and after every step; a new anchor adds the loss against itself, which is lower, and its own steps. A step
    that would increase the loss becomes a safe one. on_note: told once at most, of a fixed rate above the
    bound 2 / L, or of a loss that is not finite. Raises ValueError for settings of several levels.
    """
    pull, n_upd = settings.pull, settings.n_upd
    if isinstance(pull, dict) or isinstance(n_upd, dict):
        raise ValueError(f"pull {pull} and n_upd {n_upd} must be numbers; `at_level` gives those of a level")
    # In the eigenbasis V of sigma, with B = A V, and there only in directions that the content has. In the
    # others A would grow without any effect on the loss: after hundreds of steps even rounding that leaks
    # into them has exploded. They are left as they are.
    eigen = symmetric_eigh(sigma)
    alive = eigen.values > eigen.cutoff
    basis, spectrum = eigen.vectors[:, alive], eigen.values[alive]
    weight = style_weight(sigma, target, pull)
    mapped, losses = basis, list[float]()
    bound, refused = math.inf, 0
    for _ in range(settings.n_iter):
        problem = _Problem(spectrum, target, weight, mapped)
        point = problem.start()
        losses.append(point.loss)
        for _ in range(n_upd):
            line = problem.steepest(point)
            t = STEPS[settings.step](line, settings.rate)
            bound = min(bound, 2 * line.safe)
            if t > 2 * line.safe and line.change(t) > 0:
                t, refused = line.safe, refused + 1
            moved = problem.move(point, line, t)
            if not moved.loss < point.loss:
                break
            point = moved
            losses.append(point.loss)
        mapped = point.mapped
    if not math.isfinite(moved.loss):
        on_note(
            f"the objective of IFT is not finite after {len(losses) - 1} steps, where it was left; use a "
            f"transform.pull below {pull:g}"
        )
    elif settings.step == "fixed" and settings.rate > bound:
        on_note(
            f"the rate {settings.rate:g} of IFT is above {bound:.2g}, up to which no step can diverge; "
            f"{refused or 'none'} of {settings.n_iter * n_upd} steps would have raised the objective"
            f"{' and became safe ones' * bool(refused)}; use a lower transform.rate, or transform.step=line"
        )
    identity = torch.eye(len(target), dtype=torch.float64, device=target.device)
    return identity + (mapped - basis) @ basis.T, losses


@dataclass(frozen=True)
class _Point:
    """B, (C, r) for r directions, with what the loss is made of."""

    mapped: Tensor
    gap: Tensor  # A Sigma A^T - S, (C, C)
    loss: float  # divided by n


@dataclass(frozen=True)
class Line:
    """The loss along a direction D: loss(B + t D) - loss(B) = n (c1 t + c2 t^2 + c3 t^3 + c4 t^4)."""

    direction: Tensor
    cross: Tensor  # A Sigma D^T + D Sigma A^T, (C, C)
    square: Tensor  # D Sigma D^T, (C, C)
    coefficients: tuple[float, float, float, float]
    safe: float  # no step below 2 * safe increases the loss

    def change(self, t: float) -> float:
        """Return the change of loss / n by the step t; infinite where it overflows."""
        c1, c2, c3, c4 = self.coefficients
        value = t * (c1 + t * (c2 + t * (c3 + t * c4)))
        return value if math.isfinite(value) else math.inf


@dataclass(frozen=True)
class _Problem:
    """The loss against one anchor, with sigma as its positive eigenvalues (r,)."""

    spectrum: Tensor
    target: Tensor
    weight: float
    anchor: Tensor

    def start(self) -> _Point:
        """Begin at the anchor itself."""
        gram = (self.anchor * self.spectrum) @ self.anchor.T
        return self._point(self.anchor, (gram + gram.T) / 2 - self.target)

    def _point(self, mapped: Tensor, gap: Tensor) -> _Point:
        away = mapped - self.anchor
        loss = _inner(away * self.spectrum, away) + self.weight * _inner(gap, gap)
        return _Point(mapped, gap, loss)

    def steepest(self, point: _Point) -> Line:
        """Return the direction of the negative gradient, and the quartic that the loss follows along it."""
        weight, gap = self.weight, point.gap
        towards = torch.addmm(self.anchor, gap, point.mapped, beta=2, alpha=-4 * weight)
        direction = torch.sub(towards, point.mapped, alpha=2)
        by_sigma = direction * self.spectrum
        half, square = point.mapped @ by_sigma.T, direction @ by_sigma.T
        cross, square = half + half.T, (square + square.T) / 2
        # The slope is also 2 tr((A - A0) Sigma D^T) + 2 lambda' <gap, cross>, but that cancels near the end.
        slope = -float(square.trace())
        coefficients = (
            slope,
            -slope + weight * (_inner(cross, cross) + 2 * _inner(gap, square)),
            2 * weight * _inner(cross, square),
            weight * _inner(square, square),
        )
        # Wherever the loss is no higher than here, |gap| <= sqrt(loss / lambda') = R, and the Hessian at most
        # 2 + 4 lambda' (2 |S| + 3 R). The Frobenius norm of S is above the spectral one and costs nothing.
        radius = math.sqrt(point.loss / weight) if weight else 0.0
        bound = 2 + 4 * weight * (2 * float(self.target.norm()) + 3 * radius)
        return Line(direction, cross, square, coefficients, 1 / bound)

    def move(self, point: _Point, line: Line, t: float) -> _Point:
        """Take the step t along a line, on which the gap is a polynomial and need not be computed anew."""
        gap = torch.add(point.gap, line.cross, alpha=t).add_(line.square, alpha=t * t)
        return self._point(torch.add(point.mapped, line.direction, alpha=t), gap)


def _inner(a: Tensor, b: Tensor) -> float:
    """Sum of the products of two matrices."""
    return float(torch.dot(a.flatten(), b.flatten()))


def _line_step(line: Line, rate: float) -> float:
    """Search the line exactly: take the quartic's best stationary point, or the safe step if that is better.

    The published code takes the largest root that an absolute test finds real; with three roots that may be a
    maximum, and rounding may leave none. Here the real parts of all roots compete by the loss they reach.
    """
    del rate
    # In units of the safe step the coefficients are of like size, whatever the features.
    c1, c2, c3, c4 = (c * line.safe ** (i + 1) for i, c in enumerate(line.coefficients))
    if not c1 < 0:
        return 0.0
    slope = np.array([4 * c4, 3 * c3, 2 * c2, c1]) / -c1
    roots = np.roots(slope).real if np.isfinite(slope).all() else np.empty(0)
    return min([line.safe, *(line.safe * float(r) for r in roots if r > 0)], key=line.change)


def _safe_step(line: Line, rate: float) -> float:
    """Return 1 / L for the bound L of the Hessian on the set of lower loss."""
    del rate
    return line.safe


def _fixed_step(line: Line, rate: float) -> float:
    """Return the paper's constant rate."""
    del line
    return rate


STEPS: dict[str, Callable[[Line, float], float]] = {
    "line": _line_step,
    "safe": _safe_step,
    "fixed": _fixed_step,
}
"""Ways to choose the step size, by the name in the settings."""
