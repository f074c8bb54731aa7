"""Colour profiles: everything becomes sRGB, everything written says so."""

from __future__ import annotations

import io
import struct
from functools import cache

import imagecodecs
import numpy as np
from PIL import Image, ImageCms

from texsynth.images.picture import Pixels

SPACES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""Colour space in a profile's header -> mode of the pixels it applies to."""

DAMAGED = "the colour profile is damaged or of another kind and was ignored"


@cache
def srgb_profile() -> bytes:
    """ICC profile of sRGB, the same bytes on every day."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    # lcms stamps the current time into the header; a fixed date keeps outputs reproducible.
    profile[24:36] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
    return bytes(profile)


def to_srgb(image: Image.Image, icc: bytes | None) -> tuple[Image.Image, str | None]:
    """An 8-bit picture of any mode as RGB in sRGB, and a warning when its profile could not be used."""
    if not icc:
        return image.convert("RGB"), None
    mode = SPACES.get(_space(icc), "")
    if mode not in _usable_modes(image.mode):
        return image.convert("RGB"), DAMAGED
    source = image.convert(mode)
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        target = ImageCms.ImageCmsProfile(io.BytesIO(srgb_profile()))
        transform = ImageCms.buildTransform(profile, target, mode, "RGB")
        if mode == "RGB" and _is_identity(transform):
            return source, None
        out = ImageCms.applyTransform(source, transform)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image.convert("RGB"), DAMAGED
    return (out or source), None


def to_srgb16(pixels: Pixels, icc: bytes | None) -> tuple[Pixels, str | None]:
    """As `to_srgb` for 16-bit pixels. pixels: (H, W, 1 or 3) uint16. Returns (H, W, 3) uint16."""
    rgb = np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))
    if not icc:
        return rgb, None
    space = _space(icc)
    if space not in ("RGB ", "GRAY") or (space == "GRAY" and pixels.shape[2] != 1):
        return rgb, DAMAGED
    source, name = (rgb, "rgb") if space == "RGB " else (np.ascontiguousarray(pixels[..., 0]), "gray")
    try:
        out = imagecodecs.cms_transform(source, icc, srgb_profile(), colorspace=name, outcolorspace="rgb")
    except (RuntimeError, ValueError):
        return rgb, DAMAGED
    return np.asarray(out), None


def _space(icc: bytes) -> str:
    return icc[16:20].decode("latin-1")


def _usable_modes(mode: str) -> set[str]:
    if mode == "CMYK":
        return {"CMYK"}
    return {"RGB", "L"} if mode in ("1", "L", "LA", "La") else {"RGB"}


def _is_identity(transform: ImageCms.ImageCmsTransform) -> bool:
    """True for the many namings of sRGB itself, so that rounding does not touch their pixels."""
    ramp = np.arange(256, dtype=np.uint8)
    probe = np.stack([ramp, np.roll(ramp, 85), np.roll(ramp, 170)], 1)[None]
    out = ImageCms.applyTransform(Image.fromarray(probe), transform)
    return out is not None and int(np.abs(np.asarray(out).astype(int) - probe).max()) <= 1
