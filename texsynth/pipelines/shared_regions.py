"""Regions that a content and its styles share, like sky and ground, from a reduced copy of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.analysis.clusters import SharedClusters, shared_clusters
from texsynth.models.registry import Model
from texsynth.ops.guided_filter import guide_masks
from texsynth.pipelines.rasters import EVERYTHING, Raster, TensorRaster, read_resized, strips
from texsynth.pipelines.transfer import tiled_encoder

SIDE = 256  # Pixels of the reduced copy along the longer side

LEVELS = (3, 4)  # Of the features; a cell of the finer one is what regions are made of

AXES = 12  # Principal axes of the features that are looked at

SEARCH, ROUNDS = 24, 2
"""Contours are finer than cells: so far around, in pixels of the reduced copy, a pixel of the colours of
another region goes over to it, so many times."""

RADIUS, FLATNESS = 8, 1e-3
"""Of the guided filter: pixels of the reduced copy, and variance of colours."""

LEAST_CONTRAST = 0.05  # Colours that differ less are not told apart more than they differ


@dataclass(frozen=True)
class Overview:
    """A picture reduced, and what its cells look like."""

    image: Tensor  # (1, 3, h, w)
    features: Tensor  # (1, C, rows, columns)
    opacity: Tensor  # (rows * columns,) in [0, 1]


@torch.inference_mode()
def look_over(picture: Raster, model: Model, opacity: Tensor | None = None) -> Overview:
    """Encode a reduced copy of a picture in [0, 1]. opacity: (1, 1, H, W)."""
    factor = min(1.0, SIDE / max(picture.size))
    height, width = (max(1, round(side * factor)) for side in picture.size)
    image = read_resized(picture, height, width)
    encoded = tiled_encoder(model, max(LEVELS)).features(TensorRaster(image))
    cells = int(encoded[min(LEVELS)].shape[2]), int(encoded[min(LEVELS)].shape[3])
    parts = []
    for level in LEVELS:
        # Compressed, so that the few strong responses are not all that counts.
        part = encoded[level].float().cpu()
        part = (part / part.square().mean().sqrt().clamp_min(1e-6)).log1p()
        parts.append(F.interpolate(part, cells, mode="bilinear"))
    opaque = torch.ones(1, 1, *cells) if opacity is None else F.adaptive_avg_pool2d(opacity.float(), cells)
    return Overview(image.cpu(), _smooth(torch.cat(parts, 1)), opaque.flatten().cpu())


@torch.inference_mode()
def shared_regions(content: Overview, styles: Sequence[Overview], seed: int = 0) -> SharedClusters:
    """Find the regions of a content that styles have, too. seed: of the clustering.

    Cells count as alike by features, by colour against the rest of their picture, and by height in it.
    """
    views = [content, *styles]
    weights = [view.opacity for view in views]
    samples = [view.features[0].flatten(1).T.double() for view in views]
    shares = [(w / w.sum().clamp_min(1e-12) / len(views))[:, None].double() for w in weights]
    mean = torch.stack([(s * w).sum(0) for s, w in zip(samples, shares, strict=True)]).sum(0)
    centred = [s - mean for s in samples]
    spread = torch.stack([s.T @ (s * w) for s, w in zip(centred, shares, strict=True)]).sum(0)
    variances, axes = torch.linalg.eigh(spread)
    axes = axes[:, -AXES:] / variances[-AXES:].sum().clamp_min(1e-12).sqrt()
    looks = [_look(view) for view in views]
    rows = [torch.cat([s @ axes, look.double()], 1) for s, look in zip(centred, looks, strict=True)]
    return shared_clusters(rows, weights, torch.Generator().manual_seed(seed))


def _smooth(cells: Tensor) -> Tensor:
    """Average each cell with its neighbours."""
    return F.avg_pool2d(cells, 3, 1, 1, count_include_pad=False)


def _look(view: Overview) -> Tensor:
    """Return colour and height of the cells, (n, 4), of about unit variance; less where all is one colour."""
    rows, columns = view.features.shape[2:]
    colour = _smooth(F.adaptive_avg_pool2d(view.image, (rows, columns)))[0].flatten(1).T
    colour = colour - colour.mean(0)
    spread = colour.square().mean().sqrt()
    contrast = spread.clamp_min(LEAST_CONTRAST)
    height = ((torch.arange(rows) + 0.5) / rows - 0.5) * 12**0.5 * spread / contrast
    return torch.cat([colour / contrast / 3**0.5, height.repeat_interleave(columns)[:, None]], 1)


@torch.inference_mode()
def region_masks(picture: Raster, view: Overview, labels: Tensor, count: int) -> list[Tensor]:
    """Make masks (1, 1, H, W) of the regions of a picture, which add up to 1 and follow its contours.

    labels: of the cells of `view`, from 0 to `count` - 1.
    """
    cells = F.one_hot(labels, count).T.float().unflatten(1, view.features.shape[2:])
    height, width = view.image.shape[2:]
    rough = F.interpolate(cells[None], (height, width), mode="bilinear")[0]
    for _ in range(ROUNDS):
        field = guide_masks(view.image, rough, (height, width), radius=SEARCH, flatness=FLATNESS)
        rough = F.one_hot(field.apply(view.image).argmax(0), count).permute(2, 0, 1).float()
    field = guide_masks(view.image, rough, picture.size, radius=RADIUS, flatness=FLATNESS)
    masks = torch.empty(count, 1, 1, *picture.size)
    for rows in strips(picture.size):
        masks[:, 0, 0, rows] = field.apply(picture.read(rows, EVERYTHING), rows.start)
    return list(masks)
