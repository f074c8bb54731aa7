"""Picture files to upright sRGB pixels."""

import ctypes
import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from PIL import Image, UnidentifiedImageError

from texsynth.config.settings import MAX_PIXELS
from texsynth.errors import InputError
from texsynth.images import formats, heif, kinds, vips
from texsynth.images.decoding import (
    UPRIGHT,
    deep_pixels,
    from_deep,
    from_pil,
    from_samples,
    is_deep,
    orientation,
    taken_out,
    with_profile,
)
from texsynth.images.light import Unpacked
from texsynth.images.picture import NotReadError, Picture, Pixels
from texsynth.images.plugins import fault_of, pillow_formats
from texsynth.images.stored import Stored, complete, stored
from texsynth.paths import Place, listing, status, why

# Our own guard, --max-pixels, is checked on every header before any decoding.
Image.MAX_IMAGE_PIXELS = None

REFUSED_MODES = {
    "F": "floating-point pixels",
    "I": "32-bit or signed pixels",
    "LAB": "Lab pixels",
    "HSV": "HSV pixels",
}


CONVERT = "convert it to 8 or 16 bits per channel"

READ_IN_PART = "the file is damaged and was read in part: {}"


LARGEST_FILE = 1 << 32
"""Bytes that are read of any file at once."""

BESIDE_PIXELS = 1 << 28
"""Bytes of a file of a picture for profiles, texts and the like."""


@dataclass(frozen=True)
class Header:
    """What a file says about itself before it is decoded."""

    width: int
    height: int
    format: str
    frames: int
    is_float: bool = False


LYING = (5, 6, 7, 8)  # EXIF orientations of pictures whose rows become columns


def read_bytes(path: Path, *, limit: int = LARGEST_FILE) -> bytes:
    """The content of a file; InputError when there is none, or more of it than `limit` bytes."""
    with _readable(path):
        _check_kind(path, str(path))
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > limit:
                raise InputError(
                    f"{path} has {size} bytes, more than the {limit} that are read of such a file"
                )
            return file.read()


def file_limit(max_pixels: int) -> int:
    """The bytes that a file of a picture can have, uncompressed at 16 bits, with all that is beside it."""
    return max_pixels * 8 + BESIDE_PIXELS


def file_sha256(source: Path | bytes) -> str:
    """SHA-256 in hexadecimal of a file, read piece by piece, or of the bytes of one. Raises InputError."""
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    with _readable(source):
        _check_kind(source, str(source))
        file = source.open("rb")
    with _readable(source), file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_kind(path: Path, name: str) -> None:
    """InputError for what cannot be read: a pipe would have to be waited for, and a device never ends."""
    kind, reason = status(path)
    if kind is Place.DEVICE:
        raise InputError(f"{name} is a pipe or a device; give a file, or - and pipe a picture into it")
    if kind is Place.FOLDER:
        closed = "".join(refusal for _, refusal in listing(path).refused)
        fault = f"cannot be read: {closed}" if closed else "is a folder, not a picture"
        raise InputError(f"{name} {fault}")
    if kind is Place.REFUSED:
        raise InputError(f"{name} cannot be read: {reason}")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {why(error)}") from None


def probe(
    source: Path | bytes, *, name: str | None = None, max_pixels: int = MAX_PIXELS, frame: int | None = None
) -> Header:
    """Read only the header, whose sides are those of the upright picture.

    Raises InputError for whatever `read` would refuse because of it.
    """
    name = name or source_name(source)
    with opened(source, name, frame) as (image, file):
        header = checked(image, file, name, max_pixels, frame)
        header = to_frame(image, file, name, header, frame, max_pixels)
        lies = orientation(image) in LYING
        return replace(header, width=header.height, height=header.width) if lies else header


def read(
    source: Path | bytes,
    *,
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
    frame: int | None = None,
    as_data: bool = False,
    lenient: bool = False,
    own_space: bool = False,
) -> Picture:
    """Decode a picture.

    source: a file or the bytes of one. name: what messages call it. max_pixels: refuse larger pictures.
    frame: which frame of an animated picture or page of a TIFF, from 0. as_data: the values are normals,
    roughness or the like and no colours, so a colour profile is ignored. lenient: of a damaged file read
    what can be read, with a warning; of WebP nothing can. own_space: colours of a profile wider than sRGB
    stay what they are, with the profile in the picture. Raises InputError.
    """
    name = name or source_name(source)
    data = read_bytes(source, limit=file_limit(max_pixels)) if isinstance(source, Path) else source
    with opened(data, name, frame) as (image, file):
        header = checked(image, file, name, max_pixels, frame)
        header = to_frame(image, file, name, header, frame, max_pixels)
        profile = taken_out(image) if own_space and not as_data else None
        fault = file.fault or fault_of(image, data)
        if not fault:
            try:
                picture = _decoded(
                    image, file, header, name, as_data=as_data, lenient=lenient, own_space=own_space
                )
                return replace(picture, profile=picture.profile or profile)
            except (OSError, SyntaxError, ValueError, EOFError, IndexError) as error:
                # Of these formats only decoding tells.
                if not lenient or file.unpacked or not _has_parts(image, header):
                    raise
                fault = str(error)
        elif not lenient:
            raise InputError(damaged(name, fault))
        if header.format == "JPEG2000":
            picture = _decoded(image, file, header, name, as_data=as_data, lenient=True)
            return replace(picture, warnings=(*picture.warnings, READ_IN_PART.format(fault)))
        if not file.fault:
            return replace(_decoded_in_part(image, file, header, frame or 0, name, fault), profile=profile)
        repaired = file.repaired()
    with opened(repaired, name) as (image, file):
        header = checked(image, file, name, max_pixels, 0)
        profile = taken_out(image) if own_space and not as_data else None
        picture = _decoded(image, file, header, name, as_data=as_data, lenient=True)
    return replace(picture, warnings=(*picture.warnings, READ_IN_PART.format(fault)), profile=profile)


def damaged(name: str, fault: str) -> str:
    """The sentence about a picture that `lenient` would read."""
    return f"{name} is damaged or incomplete: {fault}; --lenient reads what is left of it"


def _decoded(
    image: Image.Image, file: Stored, header: Header, name: str, *, as_data: bool,
    lenient: bool, own_space: bool = False,
) -> Picture:  # fmt: skip
    if as_data:
        image.info.pop("icc_profile", None)
    gamma = None if as_data or not file.png else file.png.gamma
    warnings = file.warnings
    if file.unpacked:
        return _from_unpacked(file, file.unpacked, name, as_data=as_data, own_space=own_space)
    # Pillow knows nothing of a file but its first 8 bits.
    deep, is_upright = None, False
    if is_deep(image, file):
        deep = deep_pixels(image, file, name)
    elif isinstance(file.source, bytes) and (bits := heif.stored_bits(image, file.source)) > 8:
        is_upright, deep = True, heif.deep_pixels(image, file.source, bits)
    if deep is not None:
        picture = from_deep(*deep, image.info.get("icc_profile"), header.format, gamma)
    else:
        source = image
        if header.format == "JPEG" and image.mode in ("L", "RGB"):
            fail_on = "none" if lenient else "error"
            source = with_profile(vips.read_samples(file.data, "JPEG", fail_on=fail_on), image)
        picture = from_pil(source, name, header.format, gamma)
    one_bit = as_data and image.mode == "1"
    picture = replace(picture, is_data=as_data, one_bit=one_bit, warnings=warnings + picture.warnings)
    # Not asked before: decoding a TIFF turns it.
    return picture if is_upright else _upright(picture, orientation(image))


def _upright(picture: Picture, turned: int) -> Picture:
    """Turn a picture by its EXIF orientation."""
    turn = UPRIGHT.get(turned)
    if not turn:
        return picture
    planes = (picture.rgb, picture.alpha, picture.highlights)
    rgb, alpha, highlights = (None if p is None else np.ascontiguousarray(turn(p)) for p in planes)
    assert rgb is not None
    return replace(picture, rgb=rgb, alpha=alpha, highlights=highlights)


def _from_unpacked(file: Stored, unpacked: Unpacked, name: str, *, as_data: bool, own_space: bool) -> Picture:
    """Decode a picture whose samples Pillow does not give."""
    data = file.data
    samples = unpacked.decode(data if isinstance(data, bytes) else data.read_bytes())
    profile = None
    if isinstance(samples, Image.Image):
        if as_data:
            samples.info.pop("icc_profile", None)
        elif own_space:
            profile = taken_out(samples)
        picture = from_pil(samples, name, unpacked.format)
    else:
        picture = from_samples(samples, unpacked.format, as_data=as_data, own_space=own_space)
    picture = replace(picture, is_data=as_data, profile=picture.profile or profile)
    return _upright(picture, unpacked.orientation)


def _has_parts(image: Image.Image, header: Header) -> bool:
    """Return whether `_decoded_in_part` can be tried."""
    return header.format in ("BMP", "GIF") or (
        header.format == "TIFF" and image.mode in ("1", "L", "LA", "P", "RGB", "RGBA")
    )


def _decoded_in_part(
    image: Image.Image, file: Stored, header: Header, frame: int, name: str, fault: str
) -> Picture:
    """Decode what can be decoded of a BMP, GIF or TIFF; the rest is black or transparent."""
    if header.format == "BMP":
        assert isinstance(file.source, bytes)
        whole = io.BytesIO(file.source + bytes(header.width * header.height * 4))
        picture = from_pil(Image.open(whole, formats=("BMP",)), name, "BMP")
    else:
        samples = vips.read_samples(file.data, header.format, frame, fail_on="none")
        picture = from_pil(with_profile(samples, image), name, header.format)
    return replace(picture, warnings=(*file.warnings, *picture.warnings, READ_IN_PART.format(fault)))


def verify(path: Path, *, max_pixels: int = MAX_PIXELS) -> None:
    """InputError when the picture at `path` is damaged or cut off. A PNG is checked without decoding."""
    name = str(path)
    with opened(path, name) as (image, file):
        header = checked(image, file, name, max_pixels, 0)
        fault = complete(file).fault
        if fault:
            raise InputError(damaged(name, fault))
    if header.format not in ("PNG", "JPEG"):
        read(path, frame=0, max_pixels=max_pixels)


def read_rgb8(path: Path) -> Pixels:
    """The picture at `path` as (H, W, 3) uint8 sRGB, the first frame if it is animated."""
    rgb = read(path, frame=0).rgb
    return rgb if rgb.dtype == np.uint8 else (rgb >> 8).astype(np.uint8)


@contextmanager
def opened(source: Path | bytes, name: str, frame: int | None = None) -> Iterator[tuple[Image.Image, Stored]]:
    """The opened image, of a TIFF that page, and its file; what goes wrong inside becomes an InputError."""
    with decoding(name):
        if isinstance(source, Path):
            _check_kind(source, name)
        _quiet_libtiff()
        with stored(source, frame) as (file, view):
            if file.unpacked:
                yield file.unpacked.header, file
                return
            with _pillow_image(view) as image:
                if file.png:
                    image.info["icc_profile"] = file.png.icc
                yield image, file


def _pillow_image(view: BinaryIO) -> Image.Image:
    names, head = pillow_formats(view), view.read(kinds.HEAD)
    view.seek(0)
    try:
        return Image.open(view, formats=names)
    except UnidentifiedImageError:
        if head[4:].startswith(kinds.PICTURES):
            raise ValueError("its header cannot be read") from None
        raise


@cache
def _quiet_libtiff() -> None:
    """Keep the libtiff that Pillow brings from writing to standard error; what it says is in no error."""
    core = ctypes.CDLL(cast(Any, Image).core.__file__)
    for kind in ("Error", "Warning"):
        # Not where it is part of Pillow's own library.
        if handler := getattr(core, f"TIFFSet{kind}Handler", None):
            handler.argtypes, handler.restype = (ctypes.c_void_p,), ctypes.c_void_p
            handler(None)


@contextmanager
def decoding(name: str) -> Iterator[None]:
    """Whatever goes wrong inside becomes an InputError about `name`."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except FileNotFoundError:
        raise InputError(f"{name} does not exist") from None
    except UnidentifiedImageError:
        raise InputError(f"{name} is not a picture that can be read; use one of {formats.READ}") from None
    except IsADirectoryError:
        raise InputError(f"{name} is a folder, not a picture") from None
    except NotReadError as error:
        raise InputError(f"{name} {error}") from None
    except Exception as error:  # damaged files make decoders raise errors of every kind
        if isinstance(error, OSError) and error.strerror:
            raise InputError(f"{name} cannot be read: {why(error)}") from None
        reason = str(error).split("\n")[0] or type(error).__name__
        raise InputError(f"{name} is damaged or incomplete: {reason}") from error


def source_name(source: Path | bytes) -> str:
    """What messages call a source without a name of its own."""
    return "standard input" if isinstance(source, bytes) else str(source)


def checked(image: Image.Image, file: Stored, name: str, max_pixels: int, frame: int | None) -> Header:
    """The header of an opened picture; InputError for what is refused because of it."""
    width, height = image.size
    # An MPO file is a JPEG whose extra frames are thumbnails or depth maps, not an animation.
    kind = "JPEG" if image.format == "MPO" else str(image.format)
    _check_pixels(image, name, max_pixels)
    frames = len(file.tiff.pages) if file.tiff else int(getattr(image, "n_frames", 1))
    frames = 1 if kind in ("JPEG", "PSD") else frames  # The frames of a PSD are its layers.
    if frames > 1 and frame is None:
        raise InputError(f"{name} has {frames} frames; name one with --frame 0 to --frame {frames - 1}")
    if frames > 1 and frame is not None and not 0 <= frame < frames:
        raise InputError(f"{name} has no frame {frame}; its frames are 0 to {frames - 1}")
    if image.mode in REFUSED_MODES:
        raise InputError(f"{name} has {REFUSED_MODES[image.mode]}; {CONVERT}")
    is_float = file.unpacked is not None and file.unpacked.is_float
    return Header(width, height, kind, frames, is_float)


def to_frame(
    image: Image.Image, file: Stored, name: str, header: Header, frame: int | None,
    max_pixels: int,
) -> Header:  # fmt: skip
    """Go to a frame of an animation, which may be larger than those before it. Raises InputError."""
    if header.frames > 1 and not file.tiff:
        # One by one: to draw a frame, Pillow makes those before it.
        for number in range(1, (frame or 0) + 1):
            image.seek(number)
            _check_pixels(image, name, max_pixels)
    return replace(header, width=image.width, height=image.height)


def _check_pixels(image: Image.Image, name: str, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise InputError(
            f"{name} has {width} x {height} = {width * height} pixels, more than --max-pixels {max_pixels}"
        )
