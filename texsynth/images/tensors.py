"""Pixel arrays to image tensors and back. Apart from the rest so that reading headers needs no torch."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from texsynth.errors import InputError, overflow
from texsynth.images.decoding import wide_profile
from texsynth.images.gamut import in_srgb
from texsynth.images.picture import Picture, Pixels, as_depth
from texsynth.images.writer import samples

STRIP_ROWS = 256  # Rows that are rounded at once


def to_image(picture: Picture) -> Tensor:
    """The colours of `picture`. Returns (1, 3, H, W) float32 in [0, 1]."""
    return _unit(picture.rgb).permute(2, 0, 1)[None].contiguous()


def to_weight(picture: Picture) -> Tensor | None:
    """The opacity of `picture`, (1, 1, H, W) float32 in [0, 1]; None when all of it is opaque."""
    if picture.alpha is None or bool((picture.alpha == np.iinfo(picture.alpha.dtype).max).all()):
        return None
    return _unit(picture.alpha)[None, None]


def to_picture(image: Tensor, alpha: Pixels | None, bit_depth: int) -> Picture:
    """image: (1, 3, H, W) in [0, 1]; alpha: (H, W) uint8 or uint16. bit_depth: 8, 16, or 32, rounded to 16.

    Raises UsageError for numbers that are not finite.
    """
    top = 2 ** min(bit_depth, 16) - 1
    rgb = np.empty((*image.shape[2:], 3), np.uint8 if bit_depth == 8 else np.uint16)
    # By strips: of a large picture, copies in floats would take most of the memory.
    for start in range(0, len(rgb), STRIP_ROWS):
        part = image[0, :, start : start + STRIP_ROWS].detach().float()
        if not bool(part.isfinite().all()):
            raise overflow("the picture has", image.dtype)
        rgb[start : start + STRIP_ROWS] = part.clamp(0, 1).mul_(top).round_().permute(1, 2, 0).cpu().numpy()
    alpha = None if alpha is None else as_depth(alpha, bit_depth)
    return Picture(rgb, alpha, is_float=bit_depth == 32)


def fit_within(picture: Picture, max_side: int | None) -> Picture:
    """`picture` reduced so that its longer side has at most `max_side` pixels; never enlarged."""
    longer = max(picture.width, picture.height)
    if max_side is None or longer <= max_side:
        return picture
    size = [max(1, round(side * max_side / longer)) for side in (picture.height, picture.width)]
    resized = F.interpolate(to_image(picture), size, mode="bicubic", antialias=True, align_corners=False)
    alpha = picture.alpha
    if alpha is not None:
        smooth = F.interpolate(
            _unit(alpha)[None, None], size, mode="bilinear", antialias=True, align_corners=False
        )
        top = np.iinfo(alpha.dtype).max
        alpha = (smooth[0, 0] * top).round().clamp(0, top).numpy().astype(alpha.dtype)
    highlights = picture.highlights
    if highlights is not None:
        plane = torch.from_numpy(np.ascontiguousarray(highlights))[None, None]
        smooth = F.interpolate(plane, size, mode="bilinear", antialias=True, align_corners=False)
        highlights = smooth[0, 0].clamp(min=1).numpy()
    rgb = to_picture(resized, None, picture.bit_depth).rgb
    return replace(picture, rgb=rgb, alpha=alpha, highlights=highlights)


def _unit(values: Pixels) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).div_(float(np.iinfo(values.dtype).max))


InMemory = Image.Image | np.ndarray[Any, Any] | torch.Tensor
"""PIL image; array (H, W), (H, W, 3) or (H, W, 4); tensor (H, W), (C, H, W) or (1, C, H, W) of 1, 3 or 4
channels. Their values are bool, uint8, uint16 or floats in [0, 1]."""

ROUNDING = 0.5 / 65535  # What rounds to values in [0, 1] is in it, as after a resize


def from_memory(image: InMemory, role: str) -> tuple[Picture, Callable[[Picture], Any]]:
    """Return a picture with the pixels of `image`, and what turns a result into its kind.

    Floats are held at 16 bits. role: what messages call the picture. Raises InputError.
    """
    if isinstance(image, Image.Image):
        return replace(from_array(_pil_values(image, role), role), profile=wide_profile(image)), to_pil
    if isinstance(image, torch.Tensor):
        values = _tensor_values(image, role)
        return from_array(values, role), lambda result: _to_tensor(to_array(result, values), image)
    if not isinstance(image, np.ndarray):
        raise InputError(
            f"the {role} is of {type(image).__name__}; give a path, a PIL image, an array or a tensor"
        )
    return from_array(image, role), lambda result: to_array(result, image)


def from_array(values: Pixels, role: str) -> Picture:
    """Return a picture with the pixels of an array. role: what messages call it. Raises InputError."""
    if values.ndim == 2:
        values = values[..., None]
    if values.ndim != 3 or values.shape[2] not in (1, 3, 4) or 0 in values.shape:
        raise InputError(f"the {role} has the shape {values.shape}; give (H, W), (H, W, 3) or (H, W, 4)")
    if values.dtype == bool:
        values = values.astype(np.uint8) * np.uint8(255)
    if np.issubdtype(values.dtype, np.floating):
        if not (values.min() >= -ROUNDING and values.max() <= 1 + ROUNDING):  # Neither is true of NaN
            raise InputError(f"the {role} has values outside of [0, 1]; scale or clip them")
        # Half floats end at 65504.
        wide = values.astype(np.promote_types(values.dtype, np.float32), copy=False)
        values = (wide.clip(0, 1) * 65535).round().astype(np.uint16)
    values = values.astype(values.dtype.newbyteorder("="), copy=False)  # Files may hold the other order
    if values.dtype not in (np.uint8, np.uint16):
        raise InputError(
            f"the {role} is an array of {values.dtype}; give bool, uint8, uint16 or floats in [0, 1]"
        )
    grey = values.shape[2] == 1
    rgb = np.repeat(values, 3, 2) if grey else values[..., :3]
    alpha = np.ascontiguousarray(values[..., 3]) if values.shape[2] == 4 else None
    return Picture(np.ascontiguousarray(rgb), alpha, grey=grey)


def to_array(picture: Picture, like: Pixels) -> Pixels:
    """Return the pixels in the type of `like`, and in its shape where both are grey, with alpha if any."""
    is_grey, picture = picture.grey and (like.ndim == 2 or like.shape[2] == 1), in_srgb(picture)
    values = samples(picture, picture.bit_depth, grey=is_grey)
    if like.ndim == 2 and values.shape[2] == 1:
        values = values[..., 0]
    if np.issubdtype(like.dtype, np.floating):
        return (values / np.iinfo(values.dtype).max).astype(like.dtype)
    return as_depth(values, 8 if like.dtype in (np.uint8, bool) else 16).astype(like.dtype)


def to_pil(picture: Picture) -> Image.Image:
    """Return a PIL image of 8 bits per channel; of 16 where the picture is grey and has so many.

    That of a space wider than sRGB has its profile.
    """
    if picture.grey and picture.alpha is None:
        return Image.fromarray(np.ascontiguousarray(picture.rgb[..., 0]))
    image = Image.fromarray(samples(picture, 8, grey=False))
    if picture.profile:
        image.info["icc_profile"] = picture.profile
    return image


def _pil_values(image: Image.Image, role: str) -> Pixels:
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)
    if image.mode in ("I", "F"):  # Of any range; PIL would cut them off at 255
        raise InputError(
            f"the {role} is a PIL image of mode {image.mode}, whose range is unknown; "
            f"give an array of uint16 or of floats in [0, 1]"
        )
    if image.mode in ("La", "RGBa"):  # Multiplied by their opacity
        image = image.convert(image.mode.upper())
    if image.mode not in ("L", "RGB", "RGBA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    return np.asarray(image)


def _tensor_values(image: torch.Tensor, role: str) -> Pixels:
    shape = tuple(image.shape)
    *batch, channels = shape[:-2] or (1,)
    if len(shape) < 2 or channels not in (1, 3, 4) or batch not in ([], [1]):
        raise InputError(
            f"the {role} has the shape {shape}; give one picture as (3, H, W), (1, 3, H, W) or (H, W)"
        )
    if image.layout != torch.strided or image.is_meta:
        kind = "on the device meta" if image.is_meta else "sparse"
        raise InputError(f"the {role} is a tensor that is {kind}; give a dense one with values")
    planes = image.detach().reshape(channels, *shape[-2:]).cpu()
    values: Pixels = (planes.float() if image.is_floating_point() else planes).permute(1, 2, 0).numpy()
    return values


def _to_tensor(values: Pixels, like: torch.Tensor) -> torch.Tensor:
    tensor = torch.from_numpy(values).permute(2, 0, 1)
    if like.ndim == 2 and len(tensor) == 1:
        tensor = tensor[0]
    return (tensor[None] if like.ndim == 4 else tensor).to(like.device, like.dtype)
