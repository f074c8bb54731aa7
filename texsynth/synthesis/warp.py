"""Resample exemplars: warp them to another lattice, turn them upright."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.analysis.lattice import Lattice
from texsynth.analysis.orientation import texture_orientations
from texsynth.ops.normals import carry_normals, normal_lengths
from texsynth.synthesis.exemplar import Exemplar

MIN_ANGLE = 1.0
"""Degrees below which a picture is left alone: resampling costs more than so small a slant."""

MAX_ANGLE = 45.0  # Degrees; from here on a line is nearer to the other axis

ROUNDS = 2
"""The angle is measured again on the turned picture: the histogram is most exact near the axes."""


def warp_to_lattice(exemplar: Exemplar, before: Lattice, after: Lattice) -> Exemplar:
    """Stretch and shear `exemplar` until the lattice `before` is `after`; what sticks out is masked.

    Siblings take the nearest pixel, as their values may not be mixed. Detail lies a fraction of a pixel off
    the grid of pixels afterwards, so this costs a little sharpness.
    """
    change = torch.linalg.solve(before.vectors, after.vectors)  # rows (dy, dx) times this
    height, width = exemplar.image.shape[2:]
    y, x = _centred(round(height * float(change[0, 0])), round(width * float(change[1, 1])))
    place = torch.stack(torch.broadcast_tensors(y, x), -1) @ torch.linalg.inv(change)
    grid = _sampling_grid(place, height, width).float()
    inside = (grid.abs() <= 1).all(-1)[None, None].float()
    given = torch.ones(1, 1, height, width) if exemplar.mask is None else exemplar.mask.float()
    return replace(
        exemplar,
        image=_sample(exemplar.image, grid).clamp(0, 1),
        # The lattice has rows (dy, dx), normals have columns (x, y).
        siblings=_moved_siblings(exemplar, partial(_sample, grid=grid), change.mT.flip(0, 1)),
        mask=inside * (_sample(given, grid) > 0.99),
        guide=None if exemplar.guide is None else _sample(exemplar.guide, grid),
    )


def turn_exemplar(exemplar: Exemplar, angle: float) -> Exemplar:
    """Turn `exemplar` and all its maps by `angle` degrees; where a mask is cut by a pixel it is closed."""
    if not angle:
        return exemplar
    mask = exemplar.mask
    sine, cosine = math.sin(math.radians(angle)), math.cos(math.radians(angle))
    change = torch.tensor([[cosine, sine], [-sine, cosine]], dtype=torch.float64)
    return replace(
        exemplar,
        image=rotate(exemplar.image, angle).clamp(0, 1),
        siblings=_moved_siblings(exemplar, partial(rotate, angle=angle), change),
        mask=None if mask is None else (rotate((mask > 0.5).float(), angle) > 0.99).float(),
        guide=None if exemplar.guide is None else rotate(exemplar.guide, angle).clamp(0, 1),
    )


def _moved_siblings(
    exemplar: Exemplar, resample: Callable[..., Tensor], change: Tensor
) -> tuple[Tensor, ...]:
    """Resample all siblings from the nearest pixels; normals, between pixels, turn and keep their lengths.

    resample: takes planes (1, C, H, W) and a `mode`. change: (2, 2) as for `carry_normals`.
    """
    moved = []
    for number, sibling in enumerate(exemplar.siblings):
        is_normal = number in exemplar.normals
        planes = resample(sibling, mode="bicubic" if is_normal else "nearest").clamp(0, 1)
        if is_normal:
            lengths = resample(normal_lengths(sibling[:, :3]), mode="bicubic").clamp_min(0)
            y_up = number not in exemplar.green_down
            normals = carry_normals(planes[:, :3], change, lengths, y_up=y_up)
            planes = torch.cat([normals, planes[:, 3:]], 1)
        moved.append(planes)
    return tuple(moved)


def upright_angle(image: Tensor, mask: Tensor | None = None) -> float | None:
    """Measure by how many degrees a texture must turn until its strongest lines are level or upright.

    Counter-clockwise, -45 to 45: to whichever axis is nearer. image: (1, 3, H, W) in [0, 1]. mask:
    (1, 1, H, W), above 0.5 where the texture is. Returns 0 for less than MIN_ANGLE, None where no direction
    stands out.
    """
    angle = 0.0
    for _ in range(ROUNDS):
        part = rotate(image, angle) if angle else image
        inside = None if mask is None else rotate((mask > 0.5).float(), angle) if angle else mask
        lines = texture_orientations(part, mask=inside)
        if not lines:
            return None
        slant = (lines[0].angle + MAX_ANGLE) % (2 * MAX_ANGLE) - MAX_ANGLE
        angle = max(-MAX_ANGLE, min(MAX_ANGLE, angle - slant))
    return angle if abs(angle) >= MIN_ANGLE else 0.0


def rotate(planes: Tensor, angle: float, mode: str = "bicubic") -> Tensor:
    """Turn `planes` (N, C, H, W) by `angle` degrees counter-clockwise about their middle, bicubically.

    mode: another one of `grid_sample`. Returns (N, C, h, w), the largest rectangle with nothing from beyond
    the picture; not clamped.
    """
    height, width = planes.shape[2:]
    y, x = _centred(*inner_rectangle(height, width, angle))
    sine, cosine = math.sin(math.radians(angle)), math.cos(math.radians(angle))
    place = torch.stack([x * sine + y * cosine, x * cosine - y * sine], -1)
    return _sample(planes, _sampling_grid(place, height, width), mode)


def inner_rectangle(height: int, width: int, angle: float) -> tuple[int, int]:
    """Return the rows and columns of the largest upright rectangle inside a picture turned by `angle`.

    Between the middles of the outer pixels, so that nothing is made up. angle: -45 to 45 degrees.
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


def _centred(rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """Return pixel positions from the middle, y (rows, 1) and x (1, columns), float64."""
    y, x = (torch.arange(n, dtype=torch.float64) - (n - 1) / 2 for n in (rows, columns))
    return y[:, None], x[None]


def _sampling_grid(place: Tensor, height: int, width: int) -> Tensor:
    """Convert positions (h, w, 2) of y and x from the middle of a picture to those of `grid_sample`."""
    # It takes x before y, with -1 and 1 at the middles of the outer pixels.
    size = torch.tensor([max(height - 1, 1), max(width - 1, 1)], dtype=torch.float64)
    return (2 * place / size).flip(-1)


def _sample(planes: Tensor, grid: Tensor, mode: str = "bicubic") -> Tensor:
    """Read planes (N, C, H, W) at a grid (h, w, 2) of `grid_sample`."""
    grid = grid.to(planes).expand(len(planes), -1, -1, -1)
    return F.grid_sample(planes, grid, mode=mode, padding_mode="border", align_corners=True)
