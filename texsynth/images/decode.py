"""Picture files to upright sRGB pixels."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image, UnidentifiedImageError

from texsynth.errors import InputError
from texsynth.images.colour import to_srgb, to_srgb16
from texsynth.images.picture import FORMATS, Picture, Pixels
from texsynth.settings import MAX_PIXELS

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
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from None


def probe(
    source: Path | bytes, *, name: str | None = None, max_pixels: int = MAX_PIXELS, frame: int | None = None
) -> Header:
    """Read only the header and raise InputError for whatever `read` would refuse because of it."""
    name = name or _name(source)
    with opened(source, name) as image:
        return _checked(image, name, max_pixels, frame)


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
    name = name or _name(source)
    data = read_bytes(source) if isinstance(source, Path) else source
    with opened(data, name) as image:
        header = _checked(image, name, max_pixels, frame)
        if header.frames > 1:
            image.seek(frame or 0)
        if as_data:
            image.info.pop("icc_profile", None)
        deep = _deep_pixels(image, data, header.format, frame or 0)
        if deep is None:
            picture = _from_pil(image, name, header.format)
        else:
            picture = _from_deep(image, *deep, source_format=header.format)
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
    try:
        with Image.open(
            io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS
        ) as image:
            yield image
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
        reason = str(error).split("\n")[0] or type(error).__name__
        raise InputError(f"{name} is damaged or incomplete: {reason}") from error


def _name(source: Path | bytes) -> str:
    return "standard input" if isinstance(source, bytes) else str(source)


def _checked(image: Image.Image, name: str, max_pixels: int, frame: int | None) -> Header:
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


def _from_pil(image: Image.Image, name: str, source_format: str) -> Picture:
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


def _from_deep(image: Image.Image, pixels: Pixels, alpha: Pixels | None, *, source_format: str) -> Picture:
    """pixels: (H, W, 1 or 3) uint16; alpha: (H, W) uint16 or None; both as stored."""
    rgb, warning = to_srgb16(pixels, image.info.get("icc_profile"))
    turn = UPRIGHT.get(image.getexif().get(ORIENTATION_TAG, 1), np.asarray)
    return Picture(
        rgb=np.ascontiguousarray(turn(rgb)),
        alpha=None if alpha is None else np.ascontiguousarray(turn(alpha)),
        source_format=source_format,
        grey=pixels.shape[2] == 1,
        warnings=(warning,) if warning else (),
    )


def _deep_pixels(
    image: Image.Image, data: bytes, source_format: str, page: int
) -> tuple[Pixels, Pixels | None] | None:
    """16-bit colour and alpha, which Pillow would cut to 8 bits; None when the file has 8 bits or fewer."""
    if source_format == "PNG" and data[24] == 16:
        return _deep_png(image, data)
    if source_format == "TIFF" and set(image.tag_v2.get(258, (1,))) == {16}:  # type: ignore[attr-defined]
        return _deep_tiff(data, page)
    return None


def _deep_png(image: Image.Image, data: bytes) -> tuple[Pixels, Pixels | None]:
    array = imagecodecs.png_decode(data)
    array = array.reshape(*array.shape[:2], -1)
    colours = array[..., : 3 if array.shape[2] >= 3 else 1]
    alpha = array[..., -1] if array.shape[2] in (2, 4) else None
    key = image.info.get("transparency")
    if alpha is None and key is not None:
        alpha = np.where((colours == np.asarray(key, np.uint16)).all(2), 0, 65535).astype(np.uint16)
    return colours, alpha


def _deep_tiff(data: bytes, number: int) -> tuple[Pixels, Pixels | None] | None:
    import tifffile  # a quarter of a second that only 16-bit TIFF pays

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[number].aspage()
        names = ("MINISWHITE", "MINISBLACK", "RGB")
        if page.sampleformat != 1 or page.photometric not in (0, 1, 2):
            return None
        array = page.asarray()
        if page.planarconfig == 2 and array.ndim == 3:
            array = np.moveaxis(array, 0, -1)
        array = array.reshape(page.imagelength, page.imagewidth, -1)
        extra = tuple(int(kind) for kind in page.extrasamples)
    count = 3 if names[page.photometric] == "RGB" else 1
    colours = array[..., :count] if page.photometric else 65535 - array[..., :count]
    if not extra or extra[0] not in (1, 2):
        return colours, None
    alpha = array[..., count]
    if extra[0] == 1:
        divisor = np.maximum(alpha, 1)[..., None].astype(np.float64)
        colours = np.minimum(colours * (65535 / divisor) + 0.5, 65535).astype(np.uint16)
    return colours, alpha
