"""Picture files to upright sRGB pixels."""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from texsynth.config.settings import MAX_PIXELS
from texsynth.errors import InputError
from texsynth.images.containers import split_samples
from texsynth.images.picture import FORMATS, Picture, Pixels

# Our own guard, --max-pixels, is checked on every header before any decoding.
Image.MAX_IMAGE_PIXELS = None

ORIENTATION_TAG = 0x0112

UPRIGHT: dict[int, Callable[[Pixels], Pixels]] = {
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a.swapaxes(0, 1), 2),
    8: np.rot90,
}
"""EXIF orientation -> what turns the pixels upright; 1 and unknown values need nothing."""

REFUSED_MODES = {
    "F": "floating-point pixels",
    "I": "32-bit or signed pixels",
    "LAB": "Lab pixels",
    "HSV": "HSV pixels",
}


@dataclass(frozen=True)
class Header:
    """What a file says about itself before it is decoded."""

    width: int
    height: int
    format: str
    frames: int


def read_bytes(path: Path) -> bytes:
    """The content of a file; InputError when there is none."""
    with _readable(path):
        _check_kind(path, str(path))
        return path.read_bytes()


def file_sha256(source: Path | bytes) -> str:
    """SHA-256 in hexadecimal of a file, read piece by piece, or of the bytes of one. Raises InputError."""
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    with _readable(source), source.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_kind(path: Path, name: str) -> None:
    """InputError for what would have to be waited for, or never ends."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise InputError(f"{name} is a pipe or a device; give a file, or - and pipe a picture into it")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from None


def probe(
    source: Path | bytes, *, name: str | None = None, max_pixels: int = MAX_PIXELS, frame: int | None = None
) -> Header:
    """Read only the header and raise InputError for whatever `read` would refuse because of it."""
    name = name or source_name(source)
    with opened(source, name) as image:
        return checked(image, name, max_pixels, frame)


def read(
    source: Path | bytes,
    *,
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
    frame: int | None = None,
    as_data: bool = False,
) -> Picture:
    """Decode a picture.

    source: a file or the bytes of one. name: what messages call it. max_pixels: refuse larger pictures.
    frame: which frame of an animated picture or page of a TIFF, from 0. as_data: the values are normals,
    roughness or the like and no colours, so a colour profile is ignored. Raises InputError.
    """
    name = name or source_name(source)
    data = read_bytes(source) if isinstance(source, Path) else source
    with opened(data, name) as image:
        header = checked(image, name, max_pixels, frame)
        if header.frames > 1:
            image.seek(frame or 0)
        if as_data:
            image.info.pop("icc_profile", None)
        deep = _deep_pixels(image, data, header.format, frame or 0)
        if deep is None:
            picture = from_pil(image, name, header.format)
        else:
            icc = image.info.get("icc_profile")
            turn = UPRIGHT.get(image.getexif().get(ORIENTATION_TAG, 1), np.asarray)
            picture = from_deep(*deep, icc, turn, source_format=header.format)
    return replace(picture, is_data=as_data)


def verify(path: Path) -> None:
    """InputError when the picture at `path` is damaged or cut off. A PNG is checked without decoding."""
    with opened(path, str(path)) as image:
        if image.format == "PNG":
            image.verify()
        else:
            image.load()


def read_rgb8(path: Path) -> Pixels:
    """The picture at `path` as (H, W, 3) uint8 sRGB, the first frame if it is animated."""
    rgb = read(path, frame=0).rgb
    return rgb if rgb.dtype == np.uint8 else (rgb >> 8).astype(np.uint8)


@contextmanager
def opened(source: Path | bytes, name: str) -> Iterator[Image.Image]:
    """The opened image; whatever goes wrong inside becomes an InputError."""
    with decoding(name):
        if isinstance(source, Path):
            _check_kind(source, name)
        with Image.open(
            io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS
        ) as image:
            yield image


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
        known = ", ".join(f.lower() for f in FORMATS)
        raise InputError(f"{name} is not a picture that can be read; use one of {known}") from None
    except IsADirectoryError:
        raise InputError(f"{name} is a folder, not a picture") from None
    except Exception as error:  # damaged files make decoders raise errors of every kind
        if isinstance(error, OSError) and error.strerror:
            raise InputError(f"{name} cannot be read: {error.strerror.lower()}") from None
        reason = str(error).split("\n")[0] or type(error).__name__
        raise InputError(f"{name} is damaged or incomplete: {reason}") from error


def source_name(source: Path | bytes) -> str:
    """What messages call a source without a name of its own."""
    return "standard input" if isinstance(source, bytes) else str(source)


def checked(image: Image.Image, name: str, max_pixels: int, frame: int | None) -> Header:
    """The header of an opened picture; InputError for what is refused because of it."""
    width, height = image.size
    if width * height > max_pixels:
        raise InputError(
            f"{name} has {width} x {height} = {width * height} pixels, more than --max-pixels {max_pixels}"
        )
    # An MPO file is a JPEG whose extra frames are thumbnails or depth maps, not an animation.
    kind = "JPEG" if image.format == "MPO" else str(image.format)
    frames = 1 if kind == "JPEG" else int(getattr(image, "n_frames", 1))
    if frames > 1 and frame is None:
        raise InputError(f"{name} has {frames} frames; name one with --frame 0 to --frame {frames - 1}")
    if frames > 1 and frame is not None and not 0 <= frame < frames:
        raise InputError(f"{name} has no frame {frame}; its frames are 0 to {frames - 1}")
    if image.mode in REFUSED_MODES:
        raise InputError(f"{name} has {REFUSED_MODES[image.mode]}; convert it to 8 or 16 bits per channel")
    return Header(width, height, kind, frames)


def from_pil(image: Image.Image, name: str, source_format: str) -> Picture:
    """The first 8 bits of the pixels of an opened picture, upright and in sRGB."""
    image.load()
    if image.mode.startswith("I;16"):
        raise InputError(f"{name} has an unusual bit depth; convert it to 8 or 16 bits per channel")
    icc = image.info.get("icc_profile")
    alpha = None
    colours = image
    if image.has_transparency_data:
        alpha = np.array(image.convert("RGBA").getchannel("A"))
        # A palette entry or key colour stays a colour; only the transparency leaves.
        colours = (
            image.convert("RGBA").convert("RGB") if image.mode not in ("LA", "La") else image.convert("L")
        )
    rgb, warning = to_srgb(colours, icc)
    turn = UPRIGHT.get(image.getexif().get(ORIENTATION_TAG, 1), np.asarray)
    return Picture(
        rgb=np.ascontiguousarray(turn(np.array(rgb))),
        alpha=None if alpha is None else np.ascontiguousarray(turn(alpha)),
        source_format=source_format,
        grey=image.mode in ("1", "L", "LA", "La"),
        warnings=(warning,) if warning else (),
    )


def from_deep(
    pixels: Pixels,
    alpha: Pixels | None,
    icc: bytes | None,
    turn: Callable[[Pixels], Pixels] = np.asarray,
    *,
    source_format: str,
) -> Picture:
    """16-bit pixels in sRGB. pixels: (H, W, 1 or 3) uint16; alpha: (H, W) uint16 or None; both as stored."""
    rgb, warning = to_srgb16(pixels, icc)
    return Picture(
        rgb=np.ascontiguousarray(turn(rgb)),
        alpha=None if alpha is None else np.ascontiguousarray(turn(alpha)),
        source_format=source_format,
        grey=pixels.shape[2] == 1,
        warnings=(warning,) if warning else (),
    )


def is_deep(image: Image.Image, head: bytes, source_format: str) -> bool:
    """True for 16 bits per channel. head: at least the first 25 bytes of the file."""
    if source_format == "PNG":
        return head[24] == 16
    return source_format == "TIFF" and set(image.tag_v2.get(258, (1,))) == {16}  # type: ignore[attr-defined]


def _deep_pixels(
    image: Image.Image, data: bytes, source_format: str, page: int
) -> tuple[Pixels, Pixels | None] | None:
    """16-bit colour and alpha, which Pillow would cut to 8 bits; None when the file has 8 bits or fewer."""
    if not is_deep(image, data, source_format):
        return None
    return _deep_png(image, data) if source_format == "PNG" else _deep_tiff(data, page)


def _deep_png(image: Image.Image, data: bytes) -> tuple[Pixels, Pixels | None]:
    array = imagecodecs.png_decode(data)
    colours, alpha = split_alpha(array.reshape(*array.shape[:2], -1))
    key = image.info.get("transparency")
    if alpha is None and key is not None:
        alpha = np.where((colours == np.asarray(key, np.uint16)).all(2), 0, 65535).astype(np.uint16)
    return colours, alpha


def split_alpha(samples: Pixels) -> tuple[Pixels, Pixels | None]:
    """Colours (H, W, 1 or 3) and alpha (H, W) of (H, W, 1 to 4) samples with alpha last."""
    count = 3 if samples.shape[2] >= 3 else 1
    return samples[..., :count], samples[..., -1] if samples.shape[2] > count else None


def _deep_tiff(data: bytes, number: int) -> tuple[Pixels, Pixels | None] | None:
    import tifffile  # a quarter of a second that only 16-bit TIFF pays

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[number].aspage()
        if page.sampleformat != 1 or page.photometric not in (0, 1, 2):
            return None
        array = page.asarray()
        if page.planarconfig == 2 and array.ndim == 3:
            array = np.moveaxis(array, 0, -1)
        return split_samples(array.reshape(page.imagelength, page.imagewidth, -1), page)


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
