"""Sibling maps as tensors and back, channel by channel."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from texsynth.images import Picture
from texsynth.images.tensors import to_image, to_picture


def map_values(picture: Picture) -> Tensor:
    """All channels of a map as they are, alpha among them. Returns (1, c, H, W) in [0, 1], c from 1 to 4."""
    image = to_image(picture)[:, : 1 if picture.grey else 3]
    if picture.alpha is None:
        return image
    alpha = picture.alpha.astype(np.float32) / np.iinfo(picture.alpha.dtype).max
    return torch.cat([image, torch.from_numpy(alpha)[None, None]], 1)


def map_picture(values: Tensor, like: Picture) -> Picture:
    """The inverse of `map_values`: a picture of the kind of `like`."""
    colours = 1 if like.grey else 3
    picture = to_picture(values[:, :colours].expand(-1, 3, -1, -1), None, like.bit_depth)
    alpha = None
    if like.alpha is not None:
        alpha = to_picture(values[:, colours:].expand(-1, 3, -1, -1), None, like.bit_depth).rgb[..., 0]
    return replace(
        picture, alpha=alpha, grey=like.grey, is_data=True, one_bit=like.one_bit, is_half=like.is_half
    )


def light_plane(picture: Picture) -> Tensor | None:
    """Make a map that carries light stronger than 1 along with the pixels: (1, 1, H, W), its inverse.

    None for a picture without such light.
    """
    if picture.highlights is None:
        return None
    return torch.from_numpy(1 / picture.highlights.astype(np.float32))[None, None]


def with_light(picture: Picture, plane: Tensor) -> Picture:
    """Give a picture the light of a map that `light_plane` has made."""
    strength = 1 / plane[0, 0].float().clamp(1e-30, 1).cpu().numpy()
    return replace(picture, highlights=strength)
