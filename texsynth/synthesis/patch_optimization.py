"""Patch optimization over a pyramid, coarse to fine: from a layout to pixels and sibling maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.synthesis.exemplar import Atlas, free_squares
from texsynth.synthesis.medoids import medoid_positions
from texsynth.synthesis.patch_search import PatchSearch, field_of_layout, upsample_field, vote

MEDOID = (0.15, 0.06, 0.03)
"""Deviations of the last votes: ever closer to one patch's own colour, so that nothing blurs."""


@dataclass(frozen=True)
class FixedPixels:
    """Pixels of an output that stay as they are."""

    fixed: Tensor  # (H, W) bool
    image: Tensor  # (3, H, W)

    def at_level(self, level: int) -> FixedPixels:
        """Reduce them to 1 / 2^level of the size."""
        fixed = downsample(self.fixed[None].float(), level)[0] > 0.999
        return FixedPixels(fixed, downsample(self.image, level))

    def restore(self, image: Tensor) -> Tensor:
        """Put the fixed pixels back into an image (3, H, W)."""
        return torch.where(self.fixed, self.image, image)


def optimize_patches(
    atlas: Atlas,
    layout: Tensor,
    patch: int,
    iterations: tuple[int, ...],
    rng: torch.Generator,
    *,
    wrap: bool,
    active: Tensor | None = None,
    fixed: FixedPixels | None = None,
    on_part: Callable[[], None] = lambda: None,
) -> Tensor:
    """Refine a layout by rounds of search and vote, coarse to fine.

    layout: (2, H, W) source positions. iterations: rounds per level, coarse to fine; levels at which the
    exemplar is smaller than three patches are skipped. active: (H, W) bool, where the layout may change.
    Returns all planes of the output, colours then siblings, (3 + s, H, W). Colours are voted; a pixel of all
    siblings is copied from one place. on_part: told of each of `optimization_parts`, or of less for a small
    exemplar.
    """
    levels = len(iterations)
    while levels > 1 and (atlas.side >> (levels - 1)) < 3 * patch:
        levels -= 1
    field = None
    for level, rounds in zip(reversed(range(levels)), iterations[len(iterations) - levels :], strict=True):
        image = downsample(atlas.image, level)
        valid = downsample(atlas.valid[None].float(), level)[0] > 0.999
        allowed = free_squares(valid, patch)
        if not bool(allowed.any()):
            continue
        restore = fixed.at_level(level).restore if fixed else _unchanged
        if field is None:
            # The layout at this level copies the middle of every scale x scale pixels.
            scale = 2**level
            rows, columns = (torch.arange(-(-n // scale)) * scale + scale // 2 for n in layout.shape[1:])
            rows, columns = rows.clamp_max(layout.shape[1] - 1), columns.clamp_max(layout.shape[2] - 1)
            coarse = layout[:, rows][:, :, columns] // scale
            field = field_of_layout(coarse, allowed, patch, wrap=wrap)
        else:
            size = tuple(-(-n // 2**level) for n in layout.shape[1:])
            field = upsample_field(field, (size[0], size[1]), allowed)
        search = PatchSearch(image, allowed, patch, rng)
        output = restore(vote(field, image))
        where = None if active is None else downsample(active[None].float(), level)[0] > 0
        on_part()
        for _ in range(rounds):
            field = search.improve(field, output, where)
            on_part()
            output = restore(vote(field, image))
            on_part()
    if field is None:
        field = field_of_layout(layout, free_squares(atlas.valid, patch), patch, wrap=wrap)
    # At full size the votes are ever sharper for one patch's own colours.
    restore = fixed.restore if fixed else _unchanged
    output = restore(vote(field, atlas.image))
    on_part()
    for deviation in MEDOID:
        output = restore(vote(field, atlas.image, output, deviation))
        on_part()
    if not len(atlas.siblings):
        return output
    at = medoid_positions(field, atlas.image, output, MEDOID[-1])
    if fixed:
        at = torch.where(fixed.fixed, layout, at)
    return torch.cat([output, atlas.siblings[:, at[0], at[1]]])


def optimization_parts(iterations: tuple[int, ...]) -> int:
    """Return the number of parts, similarly long, of an optimization with these rounds per level."""
    return len(iterations) + 2 * sum(iterations) + 1 + len(MEDOID)


def _unchanged(image: Tensor) -> Tensor:
    return image


def downsample(planes: Tensor, level: int) -> Tensor:
    """Reduce planes (C, H, W) to 1 / 2^level of the size, rounded up, by the means of what pixels cover."""
    if not level or not len(planes):
        return planes[:, :: 2**level, :: 2**level] if level else planes
    return F.avg_pool2d(planes[None], 2**level, ceil_mode=True, count_include_pad=False)[0]
