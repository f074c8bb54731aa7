"""Pixels to picture files that carry their colour space and the settings they were made with."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image, PngImagePlugin

from texsynth.errors import InputError, OutputError
from texsynth.images.containers import KEYWORD, leading_chunks, tiff_tags
from texsynth.images.files import store
from texsynth.images.picture import (
    ALPHA_FORMATS,
    DEEP_FORMATS,
    GREY_FORMATS,
    Picture,
    Pixels,
    as_depth,
    output_format,
)
from texsynth.images.reader import opened, read_bytes, srgb_profile

FLATTENED = "{} cannot hold alpha; transparent parts were laid over white"


def sidecar(path: Path) -> Path | None:
    """Where the settings of `path` go when its format has no place for them."""
    return None if output_format(path) == "PNG" else path.with_name(path.name + ".yaml")


def write(
    picture: Picture, path: Path, *, settings: str = "", quality: int = 95, force: bool = False
) -> tuple[str, ...]:
    """Write `picture` in the format of the name, with `settings` inside (PNG) or beside it (`.yaml`).

    16-bit pixels stay 16-bit where the format can. quality: 1 to 100 for JPEG and WebP.
    Returns warnings. Raises OutputError.
    """
    name = output_format(path)
    data, warnings = encode(picture, name, settings=settings, quality=quality)
    with settings_beside(path, settings, force=force):
        store(data, path, force=force)
    return warnings


@contextmanager
def settings_beside(path: Path, settings: str, *, force: bool) -> Iterator[None]:
    """Write the sidecar of the picture that the block puts at `path`, if its format needs one.

    Where a run is killed, settings beside a picture must be those it was made with: they come before a new
    picture, and after one that replaces another. Raises OutputError.
    """
    beside = sidecar(path) if settings else None
    is_new = not path.exists()
    if beside and is_new:
        store(settings.encode(), beside, force=force)
    try:
        yield
    except BaseException:
        # Where another run was faster, they are the settings of its picture.
        if beside and is_new and not path.exists():
            with suppress(OSError):
                beside.unlink()
        raise
    # Another run that gave up, or took them for left over, may have removed those of a new picture.
    if beside and not (is_new and beside.exists()):
        store(settings.encode(), beside, force=force)


def encode(
    picture: Picture, name: str, *, settings: str = "", quality: int = 95
) -> tuple[bytes, tuple[str, ...]]:
    """The bytes of a file of format `name` and warnings about what the format could not keep."""
    warnings: tuple[str, ...] = ()
    if picture.alpha is not None and name not in ALPHA_FORMATS:
        picture = flattened(picture)
        warnings = (FLATTENED.format(name),)
    depth = picture.bit_depth if name in DEEP_FORMATS else 8
    grey = picture.grey and holds_grey(name, alpha=picture.alpha is not None)
    # The profile of sRGB describes three channels; grey without one is taken for sRGB everywhere.
    profile = None if grey or picture.is_data else srgb_profile()
    try:
        return ENCODERS[name](samples(picture, depth, grey=grey), settings, quality, profile), warnings
    except (OSError, ValueError) as error:  # for example a side beyond what JPEG or WebP can count
        size = f"{picture.width} x {picture.height}"
        raise OutputError(f"a {size} picture cannot be written as {name}: {error}") from error


def holds_grey(name: str, *, alpha: bool) -> bool:
    """True when a file of format `name` keeps grey as a single channel."""
    # Hardly any program reads grey TIFF with alpha, nor do we at 16 bits.
    return name in GREY_FORMATS and not (alpha and name == "TIFF")


def samples(picture: Picture, bit_depth: int, *, grey: bool) -> Pixels:
    """What a file stores: (H, W, 1 or 3, and 1 for alpha) uint8 or uint16."""
    pixels = as_depth(picture.rgb[..., :1] if grey else picture.rgb, bit_depth)
    if picture.alpha is not None:
        pixels = np.dstack([pixels, as_depth(picture.alpha, bit_depth)])
    # numpy calls a single pixel contiguous whatever its strides are; the PNG encoder does not.
    return pixels.copy() if pixels.shape[:2] == (1, 1) else np.ascontiguousarray(pixels)


def flattened(picture: Picture) -> Picture:
    """`picture` laid over white."""
    if picture.alpha is None:
        return picture
    top = np.iinfo(picture.rgb.dtype).max
    weight = picture.alpha[..., None] / top
    rgb = picture.rgb * weight + top * (1 - weight)
    return replace(picture, rgb=(rgb + 0.5).astype(picture.rgb.dtype), alpha=None)


def embedded_settings(path: Path) -> str:
    """The settings text that `write` left in or beside `path`; InputError when there is none."""
    beside = path.with_name(path.name + ".yaml")
    if beside.exists():
        return read_bytes(beside).decode(errors="replace")
    with opened(path, str(path)) as image:
        text = image.info.get(KEYWORD)
    if not isinstance(text, str):
        raise InputError(f"{path} carries no texsynth settings, and there is no {beside.name} beside it")
    return text


def _png(pixels: Pixels, settings: str, quality: int, profile: bytes | None) -> bytes:  # noqa: ARG001
    if pixels.dtype == np.uint16:
        png, header_end = bytes(imagecodecs.png_encode(pixels)), 8 + 25  # Pillow cannot write 16 bits
        return png[:header_end] + leading_chunks(settings, profile) + png[header_end:]
    info = PngImagePlugin.PngInfo()
    if settings:
        info.add_itxt(KEYWORD, settings)
    # The default, 6, takes twice as long for files that are one part in a hundred smaller.
    return _save(pixels, "PNG", profile, pnginfo=info, compress_level=4)


def _jpeg(pixels: Pixels, settings: str, quality: int, profile: bytes | None) -> bytes:  # noqa: ARG001
    return _save(pixels, "JPEG", profile, quality=quality, subsampling="4:4:4", optimize=True)


def _webp(pixels: Pixels, settings: str, quality: int, profile: bytes | None) -> bytes:  # noqa: ARG001
    return _save(pixels, "WEBP", profile, quality=quality, lossless=quality == 100, exact=True)


def _tiff(pixels: Pixels, settings: str, quality: int, profile: bytes | None) -> bytes:  # noqa: ARG001
    import tifffile  # a quarter of a second that only TIFF pays

    buffer = io.BytesIO()
    tifffile.imwrite(buffer, _plain(pixels), **tiff_tags(pixels.shape[2], profile))
    return buffer.getvalue()


def _save(pixels: Pixels, name: str, profile: bytes | None, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(_plain(pixels)).save(buffer, format=name, icc_profile=profile, **options)
    return buffer.getvalue()


def _plain(pixels: Pixels) -> Pixels:
    """(H, W) for a single channel, as libraries want it."""
    return pixels[..., 0] if pixels.shape[2] == 1 else pixels


ENCODERS: dict[str, Callable[[Pixels, str, int, bytes | None], bytes]] = {
    "PNG": _png,
    "JPEG": _jpeg,
    "WEBP": _webp,
    "TIFF": _tiff,
}
