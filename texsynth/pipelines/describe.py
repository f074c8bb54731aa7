"""Descriptors of pictures: what `match` compares."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.errors import InputError, ModelError
from texsynth.models.descriptor import Descriptor, load_descriptor
from texsynth.models.registry import Model, load_model
from texsynth.ops.resample import resize
from texsynth.pipelines.masks import resize_mask
from texsynth.pipelines.rasters import TensorRaster
from texsynth.pipelines.tiling import cut_tiles, encoder_reach

LONGEST = 512
"""Longer sides are reduced to this many pixels, so that pictures are compared at one scale."""

TILE = 512  # Pixels of a tile; larger pictures are described tile by tile, with the same result

TURNS = (0, 1, 2, 3)  # Quarters that a picture may be turned by


@dataclass(frozen=True)
class Describer:
    """An encoder and the head that reads its features."""

    model: Model
    descriptor: Descriptor


def load_describer(
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    descriptor: Descriptor | None = None,
) -> Describer:
    """Load the embedded descriptor, or take the one given, with the encoder it was trained on.

    Raises ModelError when the encoder that is there is another one.
    """
    descriptor = descriptor or load_descriptor(device=device)
    model = load_model(descriptor.model, device, dtype)
    if model.sha256 != descriptor.model_sha256:
        raise ModelError(
            f"the descriptor was trained on other weights of {descriptor.model}; train it again with "
            "`texsynth train descriptor`"
        )
    return Describer(model, descriptor)


@torch.no_grad()
def describe(
    image: Tensor,
    describer: Describer,
    *,
    mask: Tensor | None = None,
    turns: Sequence[int] = TURNS,
) -> Tensor:
    """Describe a picture and its turns by 90, 180 and 270 degrees by vectors of unit length.

    image: (1, 3, H, W) sRGB in [0, 1]; mask: (1, 1, H, W), the share with which each pixel counts. turns: in
    quarters. Returns (4, size) float32 on the CPU, the picture's own first, or as many as there are `turns`.
    Raises InputError for a picture of which nothing counts.
    """
    image, mask = limit_size(image, mask)
    if mask is not None and float(mask.amax()) <= 0:
        raise InputError("nothing of the picture is opaque, so it cannot be described")
    descriptors = []
    for quarters in turns:
        turned_mask = None if mask is None else mask.rot90(quarters, (2, 3))
        descriptors.append(_describe(image.rot90(quarters, (2, 3)), turned_mask, describer))
    return torch.cat(descriptors).float().cpu()


def limit_size(image: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Reduce a picture and its mask as `describe` does first; doing it twice changes nothing."""
    height, width = image.shape[2:]
    scale = LONGEST / max(height, width)
    if scale >= 1:
        return image, mask
    height, width = max(1, round(height * scale)), max(1, round(width * scale))
    small = None if mask is None else resize_mask(mask, height, width, smooth=True)
    return resize(image, height, width), small


def any_turn(descriptors: Tensor) -> Tensor:
    """Average the descriptors of all four turns: (..., 4, size) to (..., size) of unit length.

    Turning the picture by 90 degrees only changes their order, so it does not change this.
    """
    return F.normalize(descriptors.mean(-2), dim=-1)


def _describe(image: Tensor, mask: Tensor | None, describer: Describer) -> Tensor:
    """Describe a picture as it stands, (1, size), in tiles where it is larger than one."""
    model, head = describer.model, describer.descriptor.head
    deepest = head.levels[-1]
    size = (image.shape[2], image.shape[3])
    side = TILE if max(size) > TILE else None
    total: list[Tensor] | None = None
    for tile in cut_tiles(size, deepest, side, encoder_reach(model.encoder, deepest)):
        x = tile.read(TensorRaster(image)).to(model.device, model.dtype)
        features = model.encoder(x.contiguous(memory_format=torch.channels_last), deepest)
        inner = [tile.inner(f, size, 1 << level) for level, f in enumerate(features)]
        weights = None
        if mask is not None:
            part = tile.inner(tile.read(TensorRaster(mask)), size).to(model.device)
            weights = [F.avg_pool2d(part, 1 << level, ceil_mode=True) for level in range(deepest)]
        codes = head.codes(inner, weights)
        total = codes if total is None else [a + b for a, b in zip(total, codes, strict=True)]
    assert total is not None
    return head.descriptor(total)


def nearest(
    query: Tensor, descriptors: Tensor, count: int, *, without: Collection[int] = ()
) -> list[tuple[int, float]]:
    """Find the rows of the most similar descriptors and their cosines, best first; of equal ones the first.

    query: (size,) and descriptors: (n, size), both of unit length. count: return at most so many. without:
    rows that are left out.
    """
    similarity = descriptors.float() @ query.float()
    similarity[list(without)] = -torch.inf
    cosines, rows = similarity.sort(descending=True, stable=True)
    most = min(count, len(descriptors) - len(set(without)))
    return list(zip(rows[:most].tolist(), cosines[:most].clamp(-1, 1).tolist(), strict=True))
