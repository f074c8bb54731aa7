"""Search and vote: every patch of the output becomes like some patch of the exemplar.

Patch-based texture optimization (Kwatra et al. 2005) with the field of nearest neighbours of PatchMatch
(Barnes et al. 2009). The field starts from a layout: from random positions it collapses to blur.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.ops.resample import box_mean

STRIDE = 2
"""Pixels between neighbouring output patches; each pixel gets votes of (patch / STRIDE)^2 of them."""

COMPONENTS = 24  # Principal components in which patches are compared

EXHAUSTIVE = 2e7  # Products of output and source patches up to which all pairs are compared

DOUBT = 1e-6  # Trust in the worst patch; it decides only where there is no other


@dataclass(frozen=True)
class PatchField:
    """Source positions of the output's patches, and the trust with which they vote."""

    at: Tensor
    """(2, qy, qx) long, top left corners in the atlas of the patches at rows and columns 0, 2, 4, ..."""
    weight: Tensor  # (qy, qx), trust in a patch
    patch: int
    size: tuple[int, int]  # Rows and columns of the output
    wrap: bool

    @property
    def margin(self) -> int:
        """Canvas beyond the output on every side, so that border pixels get all votes; none on a torus."""
        return 0 if self.wrap else self.patch


def canvas_grid(size: tuple[int, int], patch: int, *, wrap: bool) -> tuple[Tensor, Tensor]:
    """Return output rows (qy,) and columns (qx,) of the top left corners of all patches, from -margin."""
    margin = 0 if wrap else patch
    ends = [n if wrap else n + 2 * margin - patch + 1 for n in size]
    rows, columns = (torch.arange(0, end, STRIDE) - margin for end in ends)
    return rows, columns


def field_of_layout(layout: Tensor, allowed: Tensor, patch: int, *, wrap: bool) -> PatchField:
    """Make the field that copies a layout (2, H, W). allowed: (rows, columns) bool, corners of patches."""
    size = (int(layout.shape[1]), int(layout.shape[2]))
    rows, columns = canvas_grid(size, patch, wrap=wrap)
    middle = patch // 2
    y, x = rows + middle, columns + middle
    if wrap:
        near_y, near_x, off_y, off_x = y % size[0], x % size[1], torch.zeros_like(y), torch.zeros_like(x)
    else:
        near_y, near_x = y.clamp(0, size[0] - 1), x.clamp(0, size[1] - 1)
        off_y, off_x = y - near_y, x - near_x
    centre = layout[:, near_y][:, :, near_x]
    at = centre + torch.stack(torch.broadcast_tensors(off_y[:, None], off_x[None])) - middle
    moved = nearest_allowed(at, allowed)
    # A patch that would stick out of the exemplar had to move, and says nothing about its place any more.
    weight = torch.where((moved == at).all(0), 1.0, DOUBT)
    return PatchField(moved, weight, patch, size, wrap)


def upsample_field(field: PatchField, size: tuple[int, int], allowed: Tensor) -> PatchField:
    """Carry a field to the next finer level, whose output has `size`."""
    p = field.patch
    rows, columns = canvas_grid(size, p, wrap=field.wrap)
    coarse_rows, coarse_columns = canvas_grid(field.size, p, wrap=field.wrap)
    picks, offsets = [], []
    for fine, coarse in ((rows, coarse_rows), (columns, coarse_columns)):
        centre = fine + p // 2
        pick = ((centre / 2 - p // 2 - coarse[0]) / STRIDE).round().long().clamp(0, len(coarse) - 1)
        picks.append(pick)
        offsets.append(centre - 2 * (coarse[pick] + p // 2))
    base = field.at[:, picks[0]][:, :, picks[1]]
    step = torch.stack(torch.broadcast_tensors(offsets[0][:, None], offsets[1][None]))
    at = nearest_allowed((base + p // 2) * 2 + step - p // 2, allowed)
    return PatchField(at, torch.ones(at.shape[1:]), p, size, field.wrap)


def nearest_allowed(at: Tensor, allowed: Tensor) -> Tensor:
    """Move positions to the nearest that is allowed. allowed: (rows, columns) bool."""
    limit = torch.tensor(allowed.shape).view(2, 1, 1) - 1
    at = at.clamp_min(0).minimum(limit)
    bad = ~allowed[at[0], at[1]]
    if bool(bad.any()):
        # The nearest one has a neighbour that is not allowed, on the way.
        closed = F.max_pool2d((~allowed).float()[None, None], 3, 1, 1)[0, 0] > 0
        free = (allowed & closed).nonzero()
        wrong = at[:, bad].T
        nearest = torch.cat([torch.cdist(part.float(), free.float()).argmin(1) for part in wrong.split(1024)])
        at = at.clone()
        at[:, bad] = free[nearest].T
    return at


def vote(
    field: PatchField, planes: Tensor, reference: Tensor | None = None, deviation: float = 1.0
) -> Tensor:
    """Average what overlapping patches say about each pixel, those in their middle counting most.

    planes: (C, h, w) of the atlas. reference: (C', H, W), with which a patch's pixel must agree within
    `deviation` on the first C' planes to count. Returns (C, H, W).
    """
    p, (qy, qx) = field.patch, field.at.shape[1:]
    shape = (len(planes), (qy - 1) * STRIDE + p, (qx - 1) * STRIDE + p)
    total, norm = torch.zeros(shape), torch.zeros(shape[1:])
    flat, width = planes.flatten(1), planes.shape[2]
    index = (field.at[0] * width + field.at[1]).flatten()
    falloff = torch.exp(-((torch.arange(p) - (p - 1) / 2).square()) / (2 * (p / 3) ** 2))
    padded = None if reference is None else _canvas(reference, field)
    for dy in range(p):
        for dx in range(p):
            rows = slice(dy, dy + (qy - 1) * STRIDE + 1, STRIDE)
            columns = slice(dx, dx + (qx - 1) * STRIDE + 1, STRIDE)
            values = flat[:, dy * width + dx :].index_select(1, index).view(-1, qy, qx)
            weight = field.weight * (falloff[dy] * falloff[dx])
            if padded is not None:
                error = (values[: len(padded)] - padded[:, rows, columns]).square().mean(0)
                weight = weight * torch.exp(-error / (2 * deviation**2)) + 1e-12
            total[:, rows, columns] += values * weight
            norm[rows, columns] += weight
    return _fold(total, field) / _fold(norm[None], field).clamp_min(1e-12)


def _canvas(image: Tensor, field: PatchField) -> Tensor:
    """Put an image (C, H, W) on the canvas of `field`: continued around the torus, or by its border."""
    qy, qx = field.at.shape[1:]
    height, width = (qy - 1) * STRIDE + field.patch, (qx - 1) * STRIDE + field.patch
    m = field.margin
    rows = torch.arange(height) - m
    columns = torch.arange(width) - m
    if field.wrap:
        return image[:, rows % field.size[0]][:, :, columns % field.size[1]]
    return image[:, rows.clamp(0, field.size[0] - 1)][:, :, columns.clamp(0, field.size[1] - 1)]


def _fold(canvas: Tensor, field: PatchField) -> Tensor:
    """Cut the output out of a canvas; on a torus what sticks out is added at the other side."""
    (height, width), m = field.size, field.margin
    if not field.wrap:
        return canvas[:, m : m + height, m : m + width]
    for dim, length in ((1, height), (2, width)):
        parts = canvas.split(length, dim)
        whole = parts[0].clone()
        for part in parts[1:]:
            whole.narrow(dim, 0, part.shape[dim]).add_(part)
        canvas = whole
    return canvas


class PatchSearch:
    """Compares patches of one pyramid level of the atlas with those of an output."""

    def __init__(self, planes: Tensor, allowed: Tensor, patch: int, rng: torch.Generator):
        """Prepare planes (C, h, w). allowed: (h - patch + 1, w - patch + 1) bool, top left corners."""
        self.allowed, self.patch, self.rng = allowed, patch, rng
        basis, mean = _components(planes, allowed, patch, rng)
        self._filters = basis.T.reshape(-1, len(planes), patch, patch)
        self._shift = mean @ basis
        # Rows, so that one patch's components lie together in memory.
        self._source = self._project(planes, 1).flatten(1).T.contiguous()
        self._norm = self._source.square().sum(1)

    def _project(self, planes: Tensor, stride: int) -> Tensor:
        return F.conv2d(planes[None], self._filters, stride=stride)[0] - self._shift[:, None, None]

    def improve(self, field: PatchField, planes: Tensor, active: Tensor | None = None) -> PatchField:
        """Find a better source patch for every patch of the output, and trust it by its distance: one round.

        planes: (C, H, W) of the output. active: (H, W) bool, patches without any such pixel stay.
        """
        query = self._project(_canvas(planes, field), STRIDE).flatten(1).T.contiguous()
        penalty = self._penalty(field)
        index = (field.at[0] * self.allowed.shape[1] + field.at[1]).flatten()
        distance = self._distance(query, index)
        typical = distance.median() + 1e-8
        penalty = typical * penalty
        moving = torch.ones(len(index), dtype=torch.bool)
        if active is not None:
            touched = F.max_pool2d(_canvas(active[None].float(), field)[None], field.patch, STRIDE)
            moving = (touched > 0).flatten()
        if int(moving.sum()) * len(self._source) <= EXHAUSTIVE:
            offset, parts = self._norm + penalty, query[moving].split(1024)
            closest = [torch.addmm(offset, part, self._source.T, alpha=-2).argmin(1) for part in parts]
            index[moving] = torch.cat(closest)
        else:
            index = self._propagate(query, field, index, distance + penalty[index], penalty, moving)
        distance = self._distance(query, index)
        scale = 1.0
        if bool(moving.any()):
            moved = distance[moving]  # of which there may be too many for torch.quantile
            scale = 2 * float(moved.kthvalue(max(1, int(0.75 * len(moved)))).values) + 1e-8
        weight = torch.exp(-distance / scale) * _inside(field).flatten() + DOUBT
        width, shape = self.allowed.shape[1], field.at.shape[1:]
        at = torch.stack([index // width, index % width]).view(2, *shape)
        return PatchField(at, weight.view(shape), field.patch, field.size, field.wrap)

    def _distance(self, query: Tensor, index: Tensor) -> Tensor:
        return (query - self._source[index]).square().sum(1)

    def _penalty(self, field: PatchField) -> Tensor:
        """Penalise source patches that are used, with their neighbours, beyond their share, (positions,)."""
        rows, columns = self.allowed.shape
        used = torch.zeros(rows * columns)
        index = (field.at[0] * columns + field.at[1]).flatten()
        used.index_add_(0, index, torch.ones(len(index)))
        size = min(self.patch | 1, (rows - 1) | 1, (columns - 1) | 1)
        mean = box_mean(used.view(rows, columns), size // 2)
        share = mean.flatten() / mean.mean().clamp_min(1e-9)
        penalty = (share - 1).clamp_min(0)
        return penalty.masked_fill(~self.allowed.flatten(), torch.inf)

    def _propagate(
        self, query: Tensor, field: PatchField, index: Tensor, best: Tensor, penalty: Tensor, moving: Tensor
    ) -> Tensor:
        """Try neighbours' offsets and small random steps for the `moving` patches, all at once."""
        rows, columns = self.allowed.shape
        who = moving.nonzero()[:, 0]
        query, best = query[who], best[who]
        candidates = [(d * y, d * x) for d in (1, 2, 4) for y, x in _AROUND] + [1, 2, 4, 8]
        index = index.clone()
        for candidate in candidates:
            if isinstance(candidate, tuple):
                at = torch.stack([index // columns, index % columns]).view(2, *field.at.shape[1:])
                step = at.new_tensor(candidate)[:, None]
                at = at.roll(candidate, (1, 2)).flatten(1)[:, who] + step * STRIDE
            else:
                here = index[who]
                at = torch.stack([here // columns, here % columns])
                at = at + torch.randint(-candidate, candidate + 1, at.shape, generator=self.rng)
            inside = (at[0] >= 0) & (at[0] < rows) & (at[1] >= 0) & (at[1] < columns)
            other = at[0].clamp(0, rows - 1) * columns + at[1].clamp(0, columns - 1)
            error = self._distance(query, other) + penalty[other]
            better = (error < best) & inside
            index[who], best = torch.where(better, other, index[who]), torch.where(better, error, best)
        return index


def _inside(field: PatchField) -> Tensor:
    """Rate trust in patches that stick out of the output, where part of the search is a guess, (qy, qx)."""
    shares = []
    for start, length in zip(canvas_grid(field.size, field.patch, wrap=field.wrap), field.size, strict=True):
        covered = (start + field.patch).clamp_max(length) - start.clamp_min(0)
        shares.append(covered / field.patch if not field.wrap else torch.ones(len(start)))
    return (shares[0][:, None] * shares[1][None]) ** 6


_AROUND = ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (-1, -1), (1, -1), (-1, 1))


def _components(planes: Tensor, allowed: Tensor, patch: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Compute principal directions (C * p * p, K) and mean (C * p * p,) of up to 8,000 allowed patches."""
    free = allowed.nonzero()
    chosen = free[torch.randperm(len(free), generator=rng)[:8000]]
    span = torch.arange(patch)
    rows = chosen[:, 0, None, None] + span[:, None]
    columns = chosen[:, 1, None, None] + span[None]
    patches = planes[:, rows, columns].transpose(0, 1).flatten(1)
    mean = patches.mean(0)
    centred = patches - mean
    vectors = torch.linalg.eigh(centred.T @ centred / len(centred)).eigenvectors
    return vectors[:, -COMPONENTS:], mean
