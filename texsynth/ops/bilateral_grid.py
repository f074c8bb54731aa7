"""Edge-aware finishing: replace a result by the smooth field of colour maps that explains it best.

The field lives in a bilateral grid (Chen, Paris and Durand 2007; fitted as in Chen et al. 2016, "Bilateral
Guided Upsampling"): position times lightness of the content. Within a cell the result is an affine function
of the content's colour, so every contour of the output is one of the content, and haloes along skylines and
blotches, which the content does not have, average out.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.ops.color import luma
from texsynth.ops.resample import resize

NOISE = 0.1**2
"""Variance that the content of a cell may have from noise, such as JPEG's around bright flat areas.

Slopes that only noise of this size supports follow the map of the whole picture."""

NOISE_OF_ALL = 0.03**2
"""Variance that the whole content may have from noise.

Slopes that only this supports follow the identity, which leaves noise as it is; else a style of strong
colours would show the blocks of a pale JPEG sky."""

CELLS = 12  # Cells of the grid along the longer side

TONES = 8  # Steps of lightness

PRIOR = 0.02
"""Pull towards the one colour map of the whole picture, as a share of the mean weight of a cell."""

CHUNK_PIXELS = 1 << 16  # Pixels that the maps are applied to at a time

FIT_SIDE = 192
"""The field is fitted on pictures reduced to this many pixels on the longer side; it is smooth anyway."""


@dataclass(frozen=True)
class ColorField:
    """Colour maps that vary with position and lightness."""

    knots: Tensor  # (rows, columns, 3, TONES * 4) at every knot of the grid
    cell_px: int

    def apply(self, strip: Tensor, first: int = 0) -> Tensor:
        """Apply the maps to whole rows of a picture, (1, 3, h, W), from row `first` on; not clamped."""
        parts, row, last = [], first, first + strip.shape[2]
        while row < last:
            # Within a row of cells, and not so many that they would leave the processor's cache.
            end = (row // self.cell_px + 1) * self.cell_px
            count = min(end - row, last - row, max(1, CHUNK_PIXELS // strip.shape[3]))
            parts.append(self._in_cells(strip[0, :, row - first : row - first + count], row))
            row += count
        return torch.cat(parts, 1)[None, :, :, : strip.shape[3]]

    def _in_cells(self, rows: Tensor, first: int) -> Tensor:
        """Apply the maps to (3, h, W) within a row of cells. Returns it padded to whole cells.

        Within a cell the map is a bilinear mix of those at its four corners, so each corner's maps are
        applied to all pixels of the cell in one matrix product.
        """
        height, count = rows.shape[1], self.knots.shape[1] - 1
        rows = F.pad(rows[None], (0, count * self.cell_px - rows.shape[2], 0, 0), mode="replicate")[0]
        index, offset = divmod(first, self.cell_px)
        down = (torch.arange(height) + offset).to(rows) / self.cell_px
        right = torch.arange(self.cell_px).to(rows) / self.cell_px
        ends = [torch.stack([1 - near, near]) for near in (down, right)]
        corner_weight = torch.einsum("ay,bx->abyx", *ends).flatten(2).flatten(0, 1)
        # (cells, 3, pixels, 1): as pictures one pixel wide
        cells = rows.unflatten(2, (count, self.cell_px)).permute(2, 0, 1, 3).flatten(2)[..., None]
        homogeneous = torch.cat([cells, torch.ones_like(cells[:, :1])], 1)
        inputs = _tone_hats(cells)[:, :, None] * homogeneous[:, None]
        corners = torch.stack([self.knots[index + a, b : count + b] for a in (0, 1) for b in (0, 1)], 1)
        mapped = corners.flatten(1, 2) @ inputs.flatten(1, 2)[..., 0]
        mapped = (mapped.unflatten(1, (4, 3)) * corner_weight[:, None]).sum(1)
        out: Tensor = mapped.unflatten(2, (height, self.cell_px)).permute(1, 2, 0, 3).flatten(2)
        return out


@torch.no_grad()
def local_affine(content: Tensor, result: Tensor) -> Tensor:
    """Replace `result` by the edge-aware field of colour maps that explains it best.

    content, result: (1, 3, H, W) in [0, 1]. Returns the same shape, not clamped. result == content gives
    content back.
    """
    size = int(content.shape[2]), int(content.shape[3])
    small = fit_size(size)
    field = fit_field(resize(content, *small), resize(result.clamp(0, 1), *small), size)
    return field.apply(content.contiguous())


def fit_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return the size that a picture of `size` (height, width) is reduced to for `fit_field`."""
    factor = min(1.0, FIT_SIDE / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def fit_field(
    content: Tensor,
    result: Tensor,
    size: tuple[int, int],
    *,
    plain: Tensor | None = None,
    weight: Tensor | None = None,
) -> ColorField:
    """Fit the maps that explain `result` by `plain`, by default `content`, at its places and tones.

    All (1, 3, h, w) in [0, 1], reduced from `size`. plain: what the way to the result makes of the content
    without any change. The field is for the content, so it changes nothing where `result` and `plain` agree.
    weight: (1, 1, h, w), how much each pixel counts. Differentiable by `result` and `plain`.
    """
    cell_px = -(-max(size) // CELLS)
    knots = (-(-size[0] // cell_px) + 1, -(-size[1] // cell_px) + 1)
    hats = []
    for count, n, full in zip(knots, content.shape[2:], size, strict=True):
        # Sample positions of the reduced pictures in units of cells, pixel centre to pixel centre.
        at = (((torch.arange(n) + 0.5) * full / n - 0.5) / cell_px).to(content)
        # Weights of linear interpolation, (count, n).
        hats.append((1 - (at - torch.arange(count).to(at)[:, None]).abs()).clamp_min(0))
    parts = _tone_hats(content)
    if weight is not None:
        # Where nothing counts, the little that is left decides.
        parts = parts * weight.clamp_min(1e-6)
    maps = _fit(content if plain is None else plain, result, parts[0], hats)
    return ColorField(maps.permute(3, 4, 0, 2, 1).flatten(3), cell_px)


def _fit(plain: Tensor, result: Tensor, parts: Tensor, hats: list[Tensor]) -> Tensor:
    """Solve least squares per knot of the grid. Returns the maps (3, 4, TONES, rows, columns).

    parts: (TONES, h, w), how much each pixel counts for the knots of a tone.
    """
    both = torch.cat([plain[0], torch.ones_like(plain[0, :1]), result[0]])
    products = torch.einsum("ihw,jhw->ijhw", both[:4], both).flatten(0, 1)
    rows, columns = hats
    sums = torch.stack([rows @ (products * part) @ columns.T for part in parts], 1)
    # The grid is small, and not every device has float64.
    sums = _blur(sums).cpu().double()
    square, cross = sums.unflatten(0, (4, 7)).split([4, 3], 1)
    whole = sums.sum((1, 2, 3)).unflatten(0, (4, 7))
    eye = torch.eye(4, dtype=torch.float64)
    slopes = torch.tensor([1, 1, 1, 0], dtype=torch.float64).diag()
    scale = float(whole[3, 3].detach())
    damping = scale * (NOISE_OF_ALL * slopes + 1e-6 * eye)
    middle = torch.linalg.solve(whole[:, :4] + damping, whole[:, 4:] + damping[:, :3])
    # Pull towards the global map: its own normal equations, shrunk to a fraction of a mean knot's weight.
    knots = TONES * len(rows) * len(columns)
    anchor = PRIOR / knots * (whole[:, :4] + 0.05 * scale * eye)
    # Where the content is flat, its noise must not be taken for the cause of what the result does there.
    anchor = anchor + square[3, 3, ..., None, None] * NOISE * slopes
    left = square.permute(2, 3, 4, 0, 1) + anchor
    right = cross.permute(2, 3, 4, 0, 1) + anchor @ middle
    field: Tensor = torch.linalg.solve(left, right)
    return field.permute(4, 3, 0, 1, 2).to(plain)


def _tone_hats(image: Tensor) -> Tensor:
    """Return linear interpolation weights of every pixel's lightness, (N, TONES, h, w)."""
    steps = torch.arange(TONES).to(image).view(1, -1, 1, 1)
    return (1 - (luma(image) * (TONES - 1) - steps).abs()).clamp_min(0)


def _blur(sums: Tensor) -> Tensor:
    """Blur 1-2-1 along the three axes of the grid: neighbours share evidence. sums: (K, t, r, c)."""
    for axis in (1, 2, 3):
        last = sums.shape[axis] - 1
        before = sums.index_select(axis, torch.arange(-1, last).clamp(min=0).to(sums.device))
        after = sums.index_select(axis, torch.arange(1, last + 2).clamp(max=last).to(sums.device))
        sums = (before + 2 * sums + after) / 4
    return sums
