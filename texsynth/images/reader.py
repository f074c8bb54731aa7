"""Picture files to upright sRGB pixels."""

import hashlib
import io
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from texsynth.config.settings import MAX_PIXELS
from texsynth.errors import InputError
from texsynth.images import vips
from texsynth.images.picture import FORMATS, Picture, Pixels
from texsynth.paths import Place, listing, status, why

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
        deep = _deep_pixels(image, data, name, frame or 0) if is_deep(image, data) else None
        if deep is None:
            picture = from_pil(image, name, header.format)
        else:
            picture = from_deep(*deep, image.info.get("icc_profile"), header.format)
        one_bit = as_data and image.mode == "1"
        turn = UPRIGHT.get(image.getexif().get(ORIENTATION_TAG, 1))
    rgb, alpha = picture.rgb, picture.alpha
    if turn:
        rgb = np.ascontiguousarray(turn(rgb))
        alpha = None if alpha is None else np.ascontiguousarray(turn(alpha))
    return replace(picture, rgb=rgb, alpha=alpha, is_data=as_data, one_bit=one_bit)


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
            if image.format == "TIFF":
                _check_tiff_tags(cast(BinaryIO, image.fp))
            yield image


TIFF_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8,
                   17: 8, 18: 8}  # fmt: skip
"""Bytes of a value by the type of a TIFF tag."""


def _check_tiff_tags(file: BinaryIO) -> None:
    """Raise ValueError when a tag is cut off: Pillow would go on without it, and without a colour profile."""
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    is_big = struct.unpack(f"{order}H", head[2:4])[0] == 43
    (start,) = struct.unpack(f"{order}Q", head[8:16]) if is_big else struct.unpack(f"{order}I", head[4:8])
    file.seek(start)
    (count,) = struct.unpack(f"{order}{'Q' if is_big else 'H'}", file.read(8 if is_big else 2))
    entry = struct.Struct(f"{order}HH{'QQ' if is_big else 'II'}")
    for _ in range(min(count, 1 << 16)):
        tag, kind, number, place = entry.unpack(file.read(entry.size))
        size = TIFF_TYPE_BYTES.get(kind, 0) * number
        if size > (8 if is_big else 4) and place + size > length:
            raise ValueError(f"tag {tag} is cut off")


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
            raise InputError(f"{name} cannot be read: {why(error)}") from None
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
    """The first 8 bits of the pixels of an opened picture in sRGB."""
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
    rgb, warnings = to_srgb(colours, icc)
    return Picture(np.array(rgb), alpha, source_format, image.mode in ("1", "L", "LA", "La"), warnings)


def from_deep(pixels: Pixels, alpha: Pixels | None, icc: bytes | None, source_format: str) -> Picture:
    """16-bit pixels in sRGB. pixels: (H, W, 1 or 3) uint16; alpha: (H, W) uint16 or None; both as stored."""
    rgb = np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))
    warnings: tuple[str, ...] = ()
    is_grey = pixels.shape[2] == 1
    if icc:
        try:
            mode, _ = _transform(icc, "L" if is_grey else "RGB")
            rgb = vips.to_srgb(rgb if mode == "RGB" else pixels, icc, SRGB_FILE)
        except (ImageCms.PyCMSError, OSError, ValueError):
            warnings = (DAMAGED,)
    alpha = None if alpha is None else np.ascontiguousarray(alpha)
    return Picture(rgb, alpha, source_format, is_grey, warnings)


def is_deep(image: Image.Image, head: bytes) -> bool:
    """True for 16 bits per channel. head: at least the first 25 bytes of the file."""
    if image.format == "PNG":
        return head[24] == 16
    return image.format == "TIFF" and set(image.tag_v2.get(258, (1,))) == {16}  # type: ignore[attr-defined]


def _deep_pixels(
    image: Image.Image, data: bytes, name: str, page: int
) -> tuple[Pixels, Pixels | None] | None:
    """Colours and alpha at 16 bits, which Pillow would cut to 8; None when it knows better what is stored."""
    if image.format == "PNG":
        colours, alpha = split_alpha(vips.read_samples(data, "PNG"))
        key = image.info.get("transparency")
        if key is not None:
            alpha = np.where((colours == np.asarray(key, np.uint16)).all(2), 0, 65535).astype(np.uint16)
        return colours, alpha
    tags = image.tag_v2  # type: ignore[attr-defined]
    if set(tags.get(339, (1,))) != {1} or tags.get(262, 0) not in (0, 1, 2):
        return None
    if vips.reads_tiff(tags):
        samples = vips.read_samples(data, "TIFF", page)
    elif tags.get(284, 1) == 1:
        samples = _both_bytes(data, page)
    else:
        raise InputError(f"{name} has 16-bit colour planes in a rare form; save it with LZW or deflate")
    return split_tiff(samples, tuple(tags.get(338, ())))


def _both_bytes(data: bytes, page: int) -> Pixels:
    """The stored 16-bit samples of a TIFF page by Pillow, which gives a single byte of each at a time."""
    halves = []
    for order in ("B", "L"):  # orders in which the first byte is the high one, and the second
        with Image.open(io.BytesIO(data), formats=["TIFF"]) as image:
            image.seek(page)
            tags = image.tag_v2  # type: ignore[attr-defined]
            if image.mode.startswith("I;16"):
                grey = np.asarray(image).astype(np.uint16)[..., None]
                return grey if tags.get(262, 0) else 65535 - grey
            layout = f"{image.tile[0].args[0].split(';')[0].upper()};16{order}"  # type: ignore[index]
            image.tile = [t._replace(args=(layout, *t.args[1:])) for t in image.tile]  # type: ignore[index]
            # libtiff hands out numbers of this machine, Pillow's own decoder the bytes of the file.
            stored = "=" if image.tile[0].codec_name == "libtiff" else {b"II": "<", b"MM": ">"}[tags.prefix]
            halves.append(np.asarray(image))
    return np.stack(halves, -1).view(f"{stored}u2")[..., 0].astype(np.uint16)


def split_alpha(samples: Pixels) -> tuple[Pixels, Pixels | None]:
    """Colours (H, W, 1 or 3) and alpha (H, W) of (H, W, 1 to 4) samples with alpha last."""
    count = 3 if samples.shape[2] >= 3 else 1
    return samples[..., :count], samples[..., -1] if samples.shape[2] > count else None


def split_tiff(samples: Pixels, extra: tuple[int, ...]) -> tuple[Pixels, Pixels | None]:
    """As `split_alpha` for a TIFF, whose tag `extra` says what the last sample means."""
    colours, alpha = split_alpha(samples)
    if alpha is None or extra not in ((1,), (2,)):
        return colours, None
    if extra == (1,):  # the colours are multiplied by it
        divisor = np.maximum(alpha, 1)[..., None].astype(np.float64)
        colours = np.minimum(colours * (65535 / divisor) + 0.5, 65535).astype(np.uint16)
    return colours, alpha


SPACES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""Colour space in a profile's header -> mode of the pixels it applies to."""

SRGB_FILE = Path(__file__).with_name("srgb.icc")
"""ICC profile of sRGB as Little CMS makes it, dated 2000 so that it is the same on every day."""

DAMAGED = "the colour profile is damaged or of another kind and was ignored"


@cache
def srgb_profile() -> bytes:
    """ICC profile of sRGB."""
    return SRGB_FILE.read_bytes()


def to_srgb(image: Image.Image, icc: bytes | None) -> tuple[Image.Image, tuple[str, ...]]:
    """An 8-bit picture of any mode as RGB in sRGB, and a warning when its profile could not be used."""
    if not icc:
        return image.convert("RGB"), ()
    try:
        mode, transform = _transform(icc, image.mode)
        source = image.convert(mode)
        if mode == "RGB" and _is_identity(transform):
            return source, ()
        out = ImageCms.applyTransform(source, transform)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image.convert("RGB"), (DAMAGED,)
    return (out or source), ()


def _transform(icc: bytes, mode: str) -> tuple[str, ImageCms.ImageCmsTransform]:
    """The mode that a profile applies to in place of `mode`, and what converts it to sRGB.

    Raises ValueError for a profile of another kind, OSError or PyCMSError for a damaged one.
    """
    space = SPACES.get(icc[16:20].decode("latin-1"))
    usable = {"CMYK": ("CMYK",), "1": ("RGB", "L"), "L": ("RGB", "L"), "LA": ("RGB", "L"), "La": ("RGB", "L")}
    if space not in usable.get(mode, ("RGB",)):
        raise ValueError(f"a profile for {space} pixels")
    profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    target = ImageCms.ImageCmsProfile(io.BytesIO(srgb_profile()))
    return space, ImageCms.buildTransform(profile, target, space, "RGB")


def _is_identity(transform: ImageCms.ImageCmsTransform) -> bool:
    """True for the many namings of sRGB itself, so that rounding does not touch their pixels."""
    ramp = np.arange(256, dtype=np.uint8)
    probe = np.stack([ramp, np.roll(ramp, 85), np.roll(ramp, 170)], 1)[None]
    out = ImageCms.applyTransform(Image.fromarray(probe), transform)
    return out is not None and int(np.abs(np.asarray(out).astype(int) - probe).max()) <= 1
