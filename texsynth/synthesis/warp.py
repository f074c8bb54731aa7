"""Resample an exemplar so that its lattice becomes another one."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.analysis.lattice import Lattice
from texsynth.analysis.orientation import texture_orientations
from texsynth.synthesis.exemplar import Exemplar


def warp_to_lattice(exemplar: Exemplar, before: Lattice, after: Lattice) -> Exemplar:
    """`exemplar` stretched and sheared until the lattice `before` is `after`; what sticks out is masked.

    Detail lies a fraction of a pixel off the grid of pixels afterwards, so this costs a little sharpness.
    """
    change = torch.linalg.solve(before.vectors, after.vectors)  # rows (dy, dx) times this
    height, width = exemplar.image.shape[2:]
    rows, columns = round(height * float(change[0, 0])), round(width * float(change[1, 1]))
    y = torch.arange(rows, dtype=torch.float64)[:, None] - (rows - 1) / 2
    x = torch.arange(columns, dtype=torch.float64)[None] - (columns - 1) / 2
    place = torch.stack(torch.broadcast_tensors(y, x), -1) @ torch.linalg.inv(change)
    # grid_sample wants x before y, with -1 and 1 at the middles of the outer pixels.
    size = torch.tensor([max(height - 1, 1), max(width - 1, 1)], dtype=torch.float64)
    grid = (2 * place / size).flip(-1).float()[None]
    inside = (grid.abs() <= 1).all(-1)[:, None].float()
    given = torch.ones(1, 1, height, width) if exemplar.mask is None else exemplar.mask.float()
    mask = inside * (_sampled(given, grid) > 0.99)

    return Exemplar(
        _sampled(exemplar.image, grid).clamp(0, 1),
        tuple(_sampled(s, grid).clamp(0, 1) for s in exemplar.siblings),
        mask,
        None if exemplar.guide is None else _sampled(exemplar.guide, grid),
        exemplar.weight,
    )


def _sampled(planes: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(planes, grid, mode="bicubic", padding_mode="border", align_corners=True)


LEAST = 1.0
"""Degrees below which a picture is left alone: resampling costs more than so small a slant."""

MOST = 45.0
"""Degrees; from here on a line is nearer to the other axis."""

ROUNDS = 2
"""The angle is measured again on the turned picture: the histogram is most exact near the axes."""


def turn_upright(image: Tensor, mask: Tensor | None = None) -> tuple[Tensor, float]:
    """`image` with its strongest lines level or upright, and the degrees it was turned counter-clockwise.

    image: (1, 3, H, W) in [0, 1]. mask: as in `upright_angle`. Returns the largest rectangle inside the
    turned picture, which is smaller, or the picture itself and 0 where no direction stands out or it is
    upright already.
    """
    angle = upright_angle(image, mask)
    return (rotate(image, angle).clamp(0, 1), angle) if angle else (image, 0.0)


def turn_exemplar(exemplar: Exemplar, angle: float) -> Exemplar:
    """`exemplar` and all its maps turned by `angle` degrees; where a mask is cut by a pixel it is closed."""
    if not angle:
        return exemplar
    mask = exemplar.mask
    return Exemplar(
        rotate(exemplar.image, angle).clamp(0, 1),
        tuple(rotate(s, angle).clamp(0, 1) for s in exemplar.siblings),
        None if mask is None else (rotate((mask > 0.5).float(), angle) > 0.99).float(),
        None if exemplar.guide is None else rotate(exemplar.guide, angle).clamp(0, 1),
        exemplar.weight,
    )


def upright_angle(image: Tensor, mask: Tensor | None = None) -> float | None:
    """Degrees, counter-clockwise, -45 to 45, that make the strongest lines of a texture level or upright.

    Whichever axis is nearer. image: (1, 3, H, W) in [0, 1]. mask: (1, 1, H, W), above 0.5 where the texture
    is. 0 for less than LEAST; None where no direction stands out.
    """
    angle = 0.0
    for _ in range(ROUNDS):
        part = rotate(image, angle) if angle else image
        inside = None if mask is None else rotate((mask > 0.5).float(), angle) if angle else mask
        lines = texture_orientations(part, mask=inside)
        if not lines:
            break
        angle = max(-MOST, min(MOST, angle - ((lines[0].angle + MOST) % (2 * MOST) - MOST)))
    else:
        return angle if abs(angle) >= LEAST else 0.0
    return None


def rotate(planes: Tensor, angle: float) -> Tensor:
    """`planes` (N, C, H, W) turned by `angle` degrees counter-clockwise about their middle, not clamped.

    Returns (N, C, h, w), the largest rectangle with nothing from beyond the picture. Bicubic.
    """
    height, width = planes.shape[2:]
    rows, columns = inner_rectangle(height, width, angle)
    y = torch.arange(rows, dtype=torch.float64)[:, None] - (rows - 1) / 2
    x = torch.arange(columns, dtype=torch.float64)[None] - (columns - 1) / 2
    sine, cosine = math.sin(math.radians(angle)), math.cos(math.radians(angle))
    # grid_sample wants x before y, with -1 and 1 at the middles of the outer pixels.
    across = (x * cosine - y * sine) * 2 / max(width - 1, 1)
    down = (x * sine + y * cosine) * 2 / max(height - 1, 1)
    grid = torch.stack([across, down], -1)
    grid = grid.to(planes).expand(len(planes), -1, -1, -1)
    return F.grid_sample(planes, grid, mode="bicubic", padding_mode="border", align_corners=True)


def inner_rectangle(height: int, width: int, angle: float) -> tuple[int, int]:
    """Rows and columns of the largest upright rectangle of pixels inside a picture turned by `angle` degrees.

    Between the middles of the outer pixels, so that nothing is made up. angle: -45 to 45.
    """
    sine, cosine = abs(math.sin(math.radians(angle))), math.cos(math.radians(angle))
    h, w = height - 1, width - 1
    if sine and min(h, w) <= 2 * sine * cosine * max(h, w):
        # Two corners touch the long sides, the others are inside.
        across, along = (min(h, w) / 2 / side for side in (cosine, sine))
        rows, columns = (across, along) if w >= h else (along, across)
    else:
        rest = cosine * cosine - sine * sine
        rows, columns = (h * cosine - w * sine) / rest, (w * cosine - h * sine) / rest
    # Rounding must not lose a row of a picture that is not turned.
    return int(rows + 1e-6) + 1, int(columns + 1e-6) + 1
