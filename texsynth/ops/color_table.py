"""A 3D table of colours (LUT): the one smooth map from colour to colour that explains pairs of them best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.ops.bilateral_grid import NOISE_OF_ALL

SIZE = 33  # Knots along each channel of a finished table

BINS = 64  # Of colours along each channel: pairs within a bin count as their mean

STIFFNESS = 1e-3
"""Weight of the squared curvature of the table against the squared error of the colours.

Ten times less comes nearer to the pictures by some 0.5 dB, but turns back where places of one colour have
become unlike, which shows as bands in what the table is used on."""

PULL = 1e-3
"""Weight of the squared distance to the affine map, which decides where there are no colours near."""

_GRIDS = (5, 9, 17, SIZE)  # Each starts from the one before, so that far colours follow within few steps

_STEPS = 60  # Of conjugate gradients on each grid


@dataclass
class ColorPairs:
    """Colours before and after a change, summed up in bins of the colours before."""

    sums: Tensor  # (BINS ** 3, 7) float64: number of pixels, colours before, colours after

    @classmethod
    def empty(cls) -> ColorPairs:
        """Return no pairs."""
        return cls(torch.zeros(BINS**3, 7, dtype=torch.float64))

    def add(self, before: Tensor, after: Tensor, weight: Tensor | None = None) -> None:
        """Add pixels (1, 3, h, w) in [0, 1], place by place. weight: (1, 1, h, w), how much they count."""
        flat = [image.cpu().double().flatten(2)[0].T for image in (before, after)]
        count = torch.ones_like(flat[0][:, :1]) if weight is None else weight.cpu().double().reshape(-1, 1)
        steps = torch.tensor([1, BINS, BINS**2])
        bins = ((flat[0] * BINS).long().clamp(0, BINS - 1) * steps).sum(1)
        self.sums.index_add_(0, bins, torch.cat([torch.ones_like(count), *flat], 1) * count)


def fit_table(pairs: ColorPairs) -> Tensor:
    """Fit a table to `pairs`. Returns (SIZE, SIZE, SIZE, 3) in [0, 1], indexed by blue, green and red.

    Least squares with trilinear interpolation, regularised by curvature and by the distance to the affine map
    that explains all pairs best. Pairs of equal colours give the identity.
    """
    sums = pairs.sums[pairs.sums[:, 0] > 1e-3]
    before, after = (sums[:, 1:] / sums[:, :1]).split(3, 1)
    affine = _affine(before, after, sums[:, 0])
    error = after - _homogeneous(before) @ affine
    share = sums[:, 0] / sums[:, 0].sum().clamp_min(1e-9)
    values = torch.zeros(_GRIDS[0] ** 3, 3, dtype=torch.float64)
    previous = _GRIDS[0]
    for size in _GRIDS:
        volume = values.T.reshape(1, 3, previous, previous, previous)
        volume = F.interpolate(volume, (size, size, size), mode="trilinear", align_corners=True)
        values = _solve(volume.flatten(2)[0].T.contiguous(), before, error, share, size)
        previous = size
    axis = torch.linspace(0, 1, SIZE, dtype=torch.float64)
    blue, green, red = torch.meshgrid(axis, axis, axis, indexing="ij")
    knots = torch.stack([red, green, blue], -1).flatten(0, 2)
    return (_homogeneous(knots) @ affine + values).clamp(0, 1).view(SIZE, SIZE, SIZE, 3)


def apply_table(table: Tensor, image: Tensor) -> Tensor:
    """Look colours up in a table as `fit_table` makes it, with trilinear interpolation.

    image: (1, 3, H, W) in [0, 1]. Returns the same shape.
    """
    knots, weights = _corners(image.flatten(2)[0].T.to(table), len(table))
    colours = (table.flatten(0, 2)[knots] * weights[..., None]).sum(1)
    return colours.T.reshape(image.shape).to(image)


def to_cube(table: Tensor, title: str) -> str:
    """Write a table as text in the format of Adobe's .cube files, red first. title: of one line, any text."""
    name = " ".join(title.encode("ascii", "replace").decode().replace('"', "'").split())
    head = [
        f'TITLE "{name}"',
        f"LUT_3D_SIZE {len(table)}",
        "DOMAIN_MIN 0.0 0.0 0.0",
        "DOMAIN_MAX 1.0 1.0 1.0",
    ]
    rows = ["{:.6f} {:.6f} {:.6f}".format(*colour) for colour in table.flatten(0, 2).tolist()]
    return "\n".join([*head, *rows, ""])


def _homogeneous(colours: Tensor) -> Tensor:
    return torch.cat([colours, torch.ones_like(colours[:, :1])], 1)


def _affine(before: Tensor, after: Tensor, count: Tensor) -> Tensor:
    """Fit the affine map (4, 3) of all pairs; slopes that only noise supports follow the identity."""
    rows = _homogeneous(before)
    weighted = rows * (count / count.sum().clamp_min(1e-9))[:, None]
    damping = torch.tensor([NOISE_OF_ALL] * 3 + [1e-9], dtype=torch.float64).diag()
    left = rows.T @ weighted + damping
    affine: Tensor = torch.linalg.solve(left, weighted.T @ after + damping[:, :3])
    return affine


def _corners(colours: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return the 8 knots around each colour (n, 3), and their trilinear weights, both (n, 8)."""
    at = colours.clamp(0, 1) * (size - 1)
    low = at.floor().clamp_max(size - 2)
    near = at - low
    knots, weights = [], []
    for corner in range(8):
        up = torch.tensor([corner & 1, corner >> 1 & 1, corner >> 2])
        index = low.long() + up
        knots.append(index @ torch.tensor([1, size, size**2]))
        weights.append(torch.where(up > 0, near, 1 - near).prod(1))
    return torch.stack(knots, 1), torch.stack(weights, 1)


def _solve(start: Tensor, colours: Tensor, error: Tensor, share: Tensor, size: int) -> Tensor:
    """Solve for what the knots add to the affine map, (size ** 3, 3), from `start` on."""
    knots, weights = _corners(colours, size)
    stiff, pull = STIFFNESS * (size - 1), PULL / size**3

    def spread(values: Tensor) -> Tensor:
        flat = (values * share[:, None])[:, None] * weights[..., None]
        return torch.zeros_like(start).index_add_(0, knots.flatten(), flat.flatten(0, 1))

    def system(x: Tensor) -> Tensor:
        cube, bent = x.view(size, size, size, 3), pull * x.view(size, size, size, 3)
        for axis in range(3):
            curve = cube.diff(n=2, dim=axis)
            edge = torch.zeros_like(cube.narrow(axis, 0, 2))
            # The transpose of second differences: second differences with zeros around.
            bent = bent + stiff * torch.cat([edge, curve, edge], axis).diff(n=2, dim=axis)
        return bent.flatten(0, 2) + spread((x[knots] * weights[..., None]).sum(1))

    return _conjugate_gradients(system, spread(error), start)


def _conjugate_gradients(system: Callable[[Tensor], Tensor], right: Tensor, x: Tensor) -> Tensor:
    residual = right - system(x)
    direction, power = residual, residual.square().sum(0)
    least = 1e-16 * right.square().sum(0) + 1e-30
    for _ in range(_STEPS):
        if bool((power <= least).all()):
            break
        image = system(direction)
        step = power / (direction * image).sum(0).clamp_min(1e-300)
        x, residual = x + step * direction, residual - step * image
        before, power = power, residual.square().sum(0)
        direction = residual + power / before.clamp_min(1e-300) * direction
    return x
