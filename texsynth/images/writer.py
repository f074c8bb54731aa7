"""Pixels to picture files that carry their colour space and the settings they were made with."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from texsynth.config.settings import QUALITY
from texsynth.errors import InputError, OutputError
from texsynth.images import exr, vips
from texsynth.images.files import store
from texsynth.images.gamut import in_srgb
from texsynth.images.light import to_light
from texsynth.images.metadata import Metadata, with_tags
from texsynth.images.picture import (
    ALPHA_FORMATS,
    DEEP_FORMATS,
    FLOAT_FORMATS,
    GREY_FORMATS,
    NotReadError,
    Picture,
    Pixels,
    as_depth,
    check_sides,
    output_format,
)
from texsynth.images.profiles import srgb_profile
from texsynth.images.reader import opened, read_bytes
from texsynth.images.records import INSIDE, inside, is_record, packet_options, put
from texsynth.images.seal import PIXEL_FORMATS, PixelHash, coded_hash, sealed, unsealed
from texsynth.paths import exists, is_taken
from texsynth.strict_yaml import as_ascii

CUT = "{} cannot hold light stronger than 1, which was cut; use .exr or .tif"

PROFILED = ("PNG", "JPEG", "WEBP", "TIFF", "AVIF", "EXR")
"""Formats that say which colours they have, or hold light outside of sRGB."""

FLATTENED = "{} cannot hold alpha; transparent parts were laid over white"


def write(
    picture: Picture,
    path: Path,
    *,
    settings: str = "",
    quality: int = QUALITY,
    force: bool = False,
    kept: Metadata | None = None,
    beside: bool = False,
) -> tuple[str, ...]:
    """Write `picture` in the format of the name, with `settings` inside or, with `beside`, in a `.yaml`.

    A format without a place for settings always has them beside it. 16-bit pixels stay 16-bit where the
    format can. quality: 1 to 100 for JPEG and WebP. kept: of its source. Returns warnings. Raises
    OutputError.
    """
    name = output_format(path)
    beside = beside or name not in INSIDE
    data, text, warnings = _encode(picture, name, settings, quality, kept, beside=beside)
    with settings_beside(path, text if beside else "", force=force):
        store(data, path, force=force)
    return warnings


@contextmanager
def settings_beside(path: Path, settings: str, *, force: bool) -> Iterator[None]:
    """Write the settings beside the picture that the block puts at `path`; none are written for ''.

    Where a run is killed, settings beside a picture must be those it was made with: they come before a new
    picture, and after one that replaces another. Those of a picture that is replaced by one without are
    removed. Raises OutputError.
    """
    beside = path.with_name(f"{path.name}.yaml")
    if not settings:
        yield
        if force and is_taken(beside):
            _remove_record(beside)
        return
    is_new = not is_taken(path)
    if is_new:
        store(settings.encode(), beside, force=force)
    try:
        yield
    except BaseException:
        # Where another run was faster, they are the settings of its picture.
        if is_new and not is_taken(path):
            with suppress(OSError):
                beside.unlink()
        raise
    # Another run that gave up, or took them for left over, may have removed those of a new picture.
    if not (is_new and is_taken(beside)):
        store(settings.encode(), beside, force=force)


def _remove_record(path: Path) -> None:
    """Remove a file of settings, if it is one."""
    with suppress(OSError):
        with path.open("rb") as file:
            is_ours = is_record(file.read(64))
        if is_ours:
            path.unlink()


def encode(
    picture: Picture, name: str, *, settings: str = "", quality: int = QUALITY, kept: Metadata | None = None
) -> tuple[bytes, tuple[str, ...]]:
    """The bytes of a file of format `name` and warnings about what the format could not keep."""
    beside = name not in INSIDE
    data, _, warnings = _encode(picture, name, settings, quality, kept, beside=beside)
    return data, warnings


def _encode(
    picture: Picture, name: str, settings: str, quality: int, kept: Metadata | None, *, beside: bool
) -> tuple[bytes, str, tuple[str, ...]]:
    """Return the bytes of a file, its settings with the hash of its pixels, and warnings."""
    check_sides(picture.width, picture.height, name)
    warnings: tuple[str, ...] = ()
    if picture.alpha is not None and name not in ALPHA_FORMATS:
        picture = flattened(picture)
        warnings = (FLATTENED.format(name),)
    if name not in PROFILED:
        picture = in_srgb(picture)
    depth = written_depth(picture.bit_depth, name)
    is_light = name == "EXR" or depth == 32
    if picture.highlights is not None and not is_light:
        warnings += (CUT.format(name),)
    # Hardly any program reads grey TIFF with alpha.
    grey = picture.grey and name in GREY_FORMATS and (picture.alpha is None or name != "TIFF")
    # The profile of sRGB describes three channels; grey without one is taken for sRGB everywhere.
    profile = None if grey or picture.is_data else picture.profile or srgb_profile()
    one_bit = picture.one_bit and grey and picture.alpha is None and name in ("PNG", "TIFF") and not is_light
    if is_light:
        profile = None
        pixels: Pixels = to_light(picture, grey=grey)
    else:
        pixels = samples(picture, depth, grey=grey)
    if one_bit:
        pixels = np.where(as_depth(pixels, 8) > 127, np.uint8(255), np.uint8(0))
    try:
        check_package(name)
        if name == "EXR":
            data = exr.encode(pixels, half=depth == 8 or picture.is_half)
        else:
            inner = "" if beside else settings
            data = _encoded(pixels, name, inner, quality, profile, kept or Metadata(), one_bit=one_bit)
    except (OSError, ValueError) as error:  # what an encoder refuses
        size = f"{picture.width} x {picture.height}"
        raise OutputError(f"a {size} picture cannot be written as {name}: {error}") from error
    if not settings:
        return data, "", warnings
    if name in PIXEL_FORMATS:
        pixel_hash = PixelHash(picture.width, picture.height)
        pixel_hash.add(pixels)
        digest = pixel_hash.digest
    else:
        digest = coded_hash(data)
    if not beside:
        data = put(data, name, settings, digest)
    return data, sealed(settings, digest), warnings


def check_package(name: str) -> None:
    """OutputError where the package that writes the format `name` is not there."""
    if name != "EXR":
        return
    try:
        exr.library()
    except NotReadError as error:
        raise OutputError(f"no results can be written: the format {error}") from None


def written_depth(bit_depth: int, name: str) -> int:
    """Return the bits per channel that a picture of `bit_depth` gets in the format `name`."""
    if bit_depth == 32 and name not in FLOAT_FORMATS:
        bit_depth = 16
    return bit_depth if name in DEEP_FORMATS else 8


def samples(picture: Picture, bit_depth: int, *, grey: bool) -> Pixels:
    """What a file stores: (H, W, 1 or 3, and 1 for alpha) uint8 or uint16."""
    pixels = as_depth(picture.rgb[..., :1] if grey else picture.rgb, bit_depth)
    if picture.alpha is not None:
        pixels = np.dstack([pixels, as_depth(picture.alpha, bit_depth)])
    return np.ascontiguousarray(pixels)


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
    return settings_and_hash(path)[0]


def settings_inside(path: Path) -> tuple[str, str]:
    """The settings in `path` itself and the hash of the pixels they came with; '' for none. InputError."""
    with opened(path, str(path)) as (image, file):
        return inside(image, file)


def settings_and_hash(path: Path) -> tuple[str, str]:
    """The settings in or beside `path`, and the hash of the pixels they came with, '' before version 0.3.

    Raises InputError.
    """
    beside = path.parent / f"{path.name}.yaml"
    text = digest = ""
    try:
        text, digest = settings_inside(path)
    except InputError:
        if not exists(beside):
            raise
    # A file beside a picture with settings is left from one that was there before.
    if not text and exists(beside):
        return unsealed(read_bytes(beside).decode(errors="replace"))
    if not text:
        raise InputError(f"{path} carries no texsynth settings, and there is no {beside.name} beside it")
    return text, digest


PILLOW_OPTIONS: dict[str, Callable[[int], dict[str, Any]]] = {
    "JPEG": lambda quality: {"quality": quality, "subsampling": "4:4:4"},
    "WEBP": lambda quality: {"quality": quality, "lossless": quality == 100, "exact": True},
    "AVIF": lambda quality: {"quality": quality, "subsampling": "4:4:4"},
    "TGA": lambda _: {"compression": "tga_rle"},
}
"""Format that libvips would write with other pixels -> options for a quality from 1 to 100."""


def _encoded(
    pixels: Pixels,
    name: str,
    settings: str,
    quality: int,
    profile: bytes | None,
    kept: Metadata,
    *,
    one_bit: bool,
) -> bytes:
    if name not in PILLOW_OPTIONS:
        data = vips.encode(pixels, name, as_ascii(settings), profile, one_bit=one_bit, dpi=kept.dpi)
        return with_tags(data, name, kept)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    options = PILLOW_OPTIONS[name](quality) | kept.options(name) | {"format": name, "icc_profile": profile}
    options |= packet_options(name, settings)
    buffer = io.BytesIO()
    try:
        image.save(buffer, optimize=name == "JPEG", **options)
    except OSError:
        # To optimise, libjpeg needs all of the file in a buffer, which Pillow makes too small for noise.
        buffer = io.BytesIO()
        image.save(buffer, **options)
    return buffer.getvalue()
