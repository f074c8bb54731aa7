"""By-example noise: patches of an exemplar, blended without loss of contrast, for outputs of any size."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from texsynth.config.expand_rules import MIN_SIDE
from texsynth.errors import InputError
from texsynth.ops.linalg import symmetric_eigh
from texsynth.synthesis.exemplar import Exemplar, free_squares, largest_square

TABLE = 1 << 14  # Entries of the inverse tables; their quantiles are as fine as 16 bits need near the median

REACH = 4.5  # Deviations that the tables cover on both sides; beyond lies less than one pixel in 100,000

STRIP_PIXELS = 1 << 15  # Pixels that are computed at once: what is kept of them fits in a processor's cache


Floats = NDArray[np.float32]


@dataclass(frozen=True)
class GaussianTexture:
    """Colours of an exemplar, decorrelated and made Gaussian one by one, and the way back."""

    values: Tensor  # (h, w, k), each of mean 0 and deviation 1; k = 1 for grey, else up to 3
    tables: Tensor  # (k, TABLE), decorrelated colours by Gaussian values from -REACH to REACH
    axes: Tensor  # (k, 3), colours = mean + decorrelated @ axes; the strongest comes last
    mean: Tensor  # (3,)

    def colours(self, gaussian: Floats) -> Floats:
        """Return the colours, (3, n) in [0, 1], of Gaussian values (n, k)."""
        gaussian += np.float32(REACH)
        gaussian *= np.float32((TABLE - 1) / (2 * REACH))
        at = np.clip(gaussian, 0, TABLE - 1, out=gaussian).round().astype(np.int64)
        out = np.repeat(self.mean.numpy()[:, None], len(at), 1)
        for c, (table, axis) in enumerate(zip(self.tables.numpy(), self.axes.numpy(), strict=True)):
            out += axis[:, None] * table[at[:, c]]
        return np.clip(out, 0, 1, out=out)


def gaussian_texture(image: Tensor, valid: Tensor) -> GaussianTexture:
    """Decorrelate colours by their principal axes and make each a Gaussian by its ranks.

    image: (1, 3, h, w). valid: (h, w) bool, pixels that count. Equal values share their middle rank, so that
    a flat area stays flat. Heitz and Neyret 2018, section 3, with the principal axes of Deliot and Heitz
    2019, section 1.6, in place of optimal transport.
    """
    pixels = image[0].permute(1, 2, 0).double()
    chosen = pixels[valid]
    mean = chosen.mean(0)
    eigen = symmetric_eigh((chosen - mean).T @ (chosen - mean) / len(chosen))
    alive = eigen.values > eigen.cutoff
    alive[-1] = True
    axes = eigen.vectors.T[alive]
    # Rounded, so that what differs by the last bits of a product alone is one value still.
    plain = ((pixels - mean) @ axes.T).float().mul(1 << 18).round().div(1 << 18)
    quantile = torch.special.ndtr(torch.linspace(-REACH, REACH, TABLE, dtype=torch.float64))
    values, tables = torch.empty_like(plain), torch.empty(len(axes), TABLE)
    for c in range(len(axes)):
        ordered = plain[..., c][valid].sort().values
        below, up_to = (
            torch.searchsorted(ordered, plain[..., c].contiguous(), right=r) for r in (False, True)
        )
        middle = (below + up_to).double() / (2 * len(ordered))
        half = 0.5 / len(ordered)  # what the mask hides may lie outside of all ranks
        values[..., c] = torch.special.ndtri(middle.clamp(half, 1 - half)).float()
        tables[c] = ordered[(quantile * len(ordered)).long().clamp_max(len(ordered) - 1)]
    return GaussianTexture(values, tables, axes.float(), mean.float())


@dataclass(frozen=True)
class _Grid:
    """Centres of patches in rows, every other row moved by half a step: the corners of triangles."""

    step: float  # Pixels between neighbours of a row
    row_step: float  # Pixels between rows
    columns: int  # Of stored centres; the first column and row lie one step outside of the output
    bases: NDArray[np.int64]
    """(rows * columns,), what leads from a pixel's number, at the exemplar's width, to that in there."""
    width: int  # Columns of pixels of the exemplar

    def corners(
        self, rows: NDArray[np.int64], columns: NDArray[np.int64]
    ) -> list[tuple[NDArray[np.int64], Floats]]:
        """Return positions in the exemplar and weights, both (n,), of each of the three patches at pixels.

        rows: (a, 1), columns: (1, b); n = a * b, row by row. The weights are barycentric in the triangle of
        middles that a pixel lies in.
        """
        down = (rows / self.row_step).astype(np.float32)
        along = (columns / self.step - 0.5 * down).astype(np.float32)
        number = np.floor(down).astype(np.int64)
        place = np.floor(along).astype(np.int64)
        x, y = along - place.astype(np.float32), down - number.astype(np.float32)
        # Skewed to stored columns: a centre in row r lies r / 2 steps further on.
        above, below = ((r + 1) * self.columns + r // 2 + 1 for r in (number, number + 1))
        # Beyond the diagonal the corner at the lower right takes the place of that at the upper left.
        beyond = x + (y - 1)
        excess = np.maximum(beyond, 0)
        corner = np.where(beyond > 0, below + 1, above) + place
        pixel = rows * self.width + columns
        numbers = (corner, above + 1 + place, below + place)
        weights = (np.abs(beyond), x - excess, y - excess)
        return [((self.bases[n] + pixel).ravel(), w.ravel()) for n, w in zip(numbers, weights, strict=True)]


@dataclass(frozen=True)
class Noise:
    """By-example noise of one exemplar, laid out: every strip of rows can be made alone."""

    texture: GaussianTexture
    siblings: Tensor  # (h * w, s), the channels of all sibling maps
    grid: _Grid
    size: tuple[int, int]  # Rows and columns of the output
    sharpness: float

    def strips(self) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Yield rows, their colours (3, n, W) in [0, 1] and sibling maps (s, n, W), from the top down.

        Gaussian values are blended with weights whose squares add up to 1, which keeps their deviation (Heitz
        and Neyret 2018, equation 5). A sibling pixel is that of the patch with most weight. In NumPy: each
        step is too short to be shared among threads.
        """
        height, width = self.size
        columns = np.arange(width)[None]
        values, siblings = self.texture.values.flatten(0, 1).numpy(), self.siblings.numpy()
        count = max(1, STRIP_PIXELS // width)
        for top in range(0, height, count):
            rows = np.arange(top, min(top + count, height))[:, None]
            corners = self.grid.corners(rows, columns)
            weights = np.stack([w for _, w in corners])
            weights = np.square(weights) if self.sharpness == 2 else weights ** np.float32(self.sharpness)
            weights /= np.sqrt(np.square(weights).sum(0))
            blended = np.zeros((weights.shape[1], values.shape[1]), np.float32)
            for (at, _), weight in zip(corners, weights, strict=True):
                blended += values[at] * weight[:, None]
            shape = (-1, len(rows), width)
            maps = np.empty((0, len(rows), width), np.float32)
            if siblings.shape[1]:
                most = np.choose(weights.argmax(0), [at for at, _ in corners])
                maps = siblings[most].T.reshape(shape)
            colours = self.texture.colours(blended).reshape(shape)
            yield slice(top, top + len(rows)), torch.from_numpy(colours), torch.from_numpy(maps)


def lay_noise(
    exemplar: Exemplar,
    size: tuple[int, int],
    rng: torch.Generator,
    *,
    spacing: float,
    sharpness: float,
    wrap: bool = False,
) -> Noise:
    """Lay patches of an exemplar on the corners of triangles, each from a random place that is free.

    size: rows and columns of the output. spacing: pixels between the middles of patches, reduced where the
    exemplar or its mask has no room for them. sharpness: power of the blending weights. wrap: make the
    output periodic. Raises InputError for a mask that leaves too little.
    """
    height, width = exemplar.image.shape[2:]
    valid = torch.ones(height, width, dtype=torch.bool)
    if exemplar.mask is not None:
        valid = exemplar.mask[0, 0] > 0.5
    room = largest_square(valid, min(height, width))
    if room < MIN_SIDE:
        raise InputError(
            f"the largest free square of the exemplar has {room} px; it needs at least {MIN_SIDE}"
        )
    step, row_step = _steps(size, min(spacing, (room - 3) / 3), wrap=wrap)
    reach = ceil(step) + 1  # The box around a middle that its patch lies in
    free = free_squares(valid, 2 * reach + 1).nonzero() + reach
    rows, columns = (ceil(n / s) + 3 for n, s in zip(size, (row_step, step), strict=True))
    columns += 1
    place = torch.randint(len(free), (rows, columns), generator=rng)
    if wrap:
        period = [round(n / s) for n, s in zip(size, (row_step, step), strict=True)]
        row, column = ((torch.arange(n) - 1) % p for n, p in zip((rows, columns), period, strict=True))
        place = place[row[:, None], column[None]]
    row, column = torch.arange(rows)[:, None] - 1, torch.arange(columns)[None] - 1
    middle_row = (row * row_step).round().long()
    middle_column = ((column + 0.5 * (row % 2)) * step).round().long()
    start = free[place]
    bases = (start[..., 0] - middle_row) * width + start[..., 1] - middle_column
    planes = torch.cat([exemplar.image[:, :0], *exemplar.siblings], 1)[0].flatten(1).T.contiguous()
    grid = _Grid(step, row_step, columns, bases.flatten().numpy(), width)
    return Noise(gaussian_texture(exemplar.image, valid), planes, grid, size, sharpness)


def _steps(size: tuple[int, int], spacing: float, *, wrap: bool) -> tuple[float, float]:
    """Return the distances of middles along and between rows; on a torus whole pairs of rows fit."""
    row_spacing = spacing * sqrt(3) / 2
    if not wrap:
        return spacing, row_spacing
    return size[1] / ceil(size[1] / spacing), size[0] / (2 * ceil(size[0] / (2 * row_spacing)))
