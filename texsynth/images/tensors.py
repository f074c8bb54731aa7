"""Pixel arrays to image tensors and back. Apart from the rest so that reading headers needs no torch."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.images.picture import Picture, Pixels, as_depth


def to_image(picture: Picture) -> Tensor:
    """The colours of `picture`. Returns (1, 3, H, W) float32 in [0, 1]."""
    return _unit(picture.rgb).permute(2, 0, 1)[None].contiguous()


def to_weight(picture: Picture) -> Tensor | None:
    """The opacity of `picture`, (1, 1, H, W) float32 in [0, 1]; None when all of it is opaque."""
    if picture.alpha is None or bool((picture.alpha == np.iinfo(picture.alpha.dtype).max).all()):
        return None
    return _unit(picture.alpha)[None, None]


def to_picture(image: Tensor, alpha: Pixels | None, bit_depth: int) -> Picture:
    """image: (1, 3, H, W) in [0, 1]; alpha: (H, W) uint8 or uint16. Rounds to `bit_depth` 8 or 16."""
    top = 2**bit_depth - 1
    values = image[0].detach().float().clamp(0, 1).mul(top).round().permute(1, 2, 0).cpu().numpy()
    rgb = values.astype(np.uint16 if bit_depth == 16 else np.uint8)
    return Picture(np.ascontiguousarray(rgb), None if alpha is None else as_depth(alpha, bit_depth))


def fit_within(picture: Picture, max_side: int | None) -> Picture:
    """`picture` reduced so that its longer side has at most `max_side` pixels; never enlarged."""
    longer = max(picture.width, picture.height)
    if max_side is None or longer <= max_side:
        return picture
    size = (
        max(1, round(picture.height * max_side / longer)),
        max(1, round(picture.width * max_side / longer)),
    )
    resized = F.interpolate(to_image(picture), size, mode="bicubic", antialias=True, align_corners=False)
    alpha = picture.alpha
    if alpha is not None:
        smooth = F.interpolate(
            _unit(alpha)[None, None], size, mode="bilinear", antialias=True, align_corners=False
        )
        top = np.iinfo(alpha.dtype).max
        alpha = (smooth[0, 0] * top).round().clamp(0, top).numpy().astype(alpha.dtype)
    small = to_picture(resized, alpha, picture.bit_depth)
    return Picture(small.rgb, small.alpha, picture.source_format, picture.grey, picture.warnings)


def _unit(values: Pixels) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).div_(float(np.iinfo(values.dtype).max))
