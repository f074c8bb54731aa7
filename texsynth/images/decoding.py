"""The pixels of an opened file, at 8 or 16 bits, in sRGB."""

import io
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import numpy as np
from PIL import Image, ImagePalette

from texsynth.errors import InputError
from texsynth.images import tiff, vips
from texsynth.images.gamut import wide_space
from texsynth.images.light import Samples, from_light
from texsynth.images.picture import Picture, Pixels, split_alpha
from texsynth.images.profiles import deep_to_srgb, gamma_to_srgb, to_srgb
from texsynth.images.stored import Stored

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


def orientation(image: Image.Image) -> int:
    """The EXIF orientation of an opened picture, 1 to 8; 1 where it says none or cannot be read."""
    try:
        # The method of Image itself: that of PNG decodes the picture to see what follows the pixels.
        value = Image.Image.getexif(image).get(ORIENTATION_TAG, 1)
    except Exception:  # damaged metadata raises errors of every kind, and is no pixel
        return 1
    return value if isinstance(value, int) and value in UPRIGHT else 1


def with_profile(samples: Pixels, image: Image.Image) -> Image.Image:
    """(H, W, 1 or 3) uint8 as an image with the profile of another."""
    part = Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)
    part.info["icc_profile"] = image.info.get("icc_profile")
    return part


def wide_profile(image: Image.Image) -> bytes | None:
    """Return the profile of a picture in a space wider than sRGB; None for others."""
    icc = image.info.get("icc_profile")
    has_profile = isinstance(icc, bytes) and image.mode in ("RGB", "RGBA", "RGBX", "RGBa", "P", "PA")
    return icc if has_profile and wide_space(icc) is not None else None


def taken_out(image: Image.Image) -> bytes | None:
    """Take the profile of a space wider than sRGB from an opened picture: colours stay what they are."""
    return image.info.pop("icc_profile") if wide_profile(image) else None


def from_pil(image: Image.Image, name: str, source_format: str, gamma: float | None = None) -> Picture:
    """The first 8 bits of the pixels of an opened picture in sRGB."""
    if source_format == "TIFF" and image.mode in ("P", "PA"):
        _use_palette(image)
    image.load()
    icc = image.info.get("icc_profile")
    if image.mode.startswith("I;16") and source_format in ("JPEG2000", "JXL"):
        return from_deep(np.asarray(image).astype(np.uint16)[..., None], None, icc, source_format)
    if image.mode.startswith("I;16"):
        raise InputError(f"{name} has an unusual bit depth; convert it to 8 or 16 bits per channel")
    alpha = None
    colours = image
    if image.has_transparency_data:
        alpha = np.array(image.convert("RGBA").getchannel("A"))
        # A palette entry or key colour stays a colour; only the transparency leaves.
        colours = (
            image.convert("RGBA").convert("RGB") if image.mode not in ("LA", "La") else image.convert("L")
        )
    rgb, warnings = to_srgb(colours, icc)
    pixels = gamma_to_srgb(np.array(rgb), gamma)
    return Picture(pixels, alpha, source_format, image.mode in ("1", "L", "LA", "La"), warnings)


def from_deep(
    pixels: Pixels, alpha: Pixels | None, icc: bytes | None, source_format: str, gamma: float | None = None
) -> Picture:
    """16-bit pixels in sRGB. pixels: (H, W, 1 or 3) uint16; alpha: (H, W) uint16 or None; both as stored."""
    rgb, warnings = deep_to_srgb(pixels, icc)
    alpha = None if alpha is None else np.ascontiguousarray(alpha)
    return Picture(gamma_to_srgb(rgb, gamma), alpha, source_format, pixels.shape[2] == 1, warnings)


def from_samples(
    samples: Samples, source_format: str, *, as_data: bool = False, own_space: bool = False
) -> Picture:
    """Make a picture of 16-bit colours, or of linear light. The flags are those of `read`."""
    if samples.colours.dtype != np.uint16:
        return from_light(samples, source_format, as_data=as_data)
    icc = None if as_data else samples.icc
    is_wide = own_space and icc and samples.colours.shape[2] == 3 and wide_space(icc)
    picture = from_deep(samples.colours, samples.alpha, None if is_wide else icc, source_format)
    return replace(picture, profile=icc) if is_wide else picture


def is_deep(image: Image.Image, file: Stored) -> bool:
    """True for 16 bits per channel."""
    if file.png:
        return file.png.depth == 16
    return image.format == "TIFF" and set(image.tag_v2.get(258, (1,))) == {16}  # type: ignore[attr-defined]


def _use_palette(image: Image.Image) -> None:
    values = image.tag_v2.get(tiff.PALETTE)  # type: ignore[attr-defined]
    if values and max(values) < 256:
        image.palette = ImagePalette.raw("RGB;L", tiff.palette(values))


def deep_pixels(image: Image.Image, file: Stored, name: str) -> tuple[Pixels, Pixels | None] | None:
    """Colours and alpha at 16 bits, which Pillow would cut to 8; None when it knows better what is stored."""
    data = cast(bytes, file.data)
    if file.png:
        colours, alpha = split_alpha(vips.read_samples(data, "PNG"))
        key = image.info.get("transparency")
        if key is not None:
            alpha = np.where((colours == np.asarray(key, np.uint16)).all(2), 0, 65535).astype(np.uint16)
        return colours, alpha
    tags = image.tag_v2  # type: ignore[attr-defined]
    if set(tags.get(339, (1,))) != {1} or tags.get(262, 0) not in (0, 1, 2):
        return None
    if vips.reads_tiff(tags):
        samples = vips.read_samples(data, "TIFF")
    elif tags.get(284, 1) == 1:
        samples = _both_bytes(data, 0)
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


def split_tiff(samples: Pixels, extra: tuple[int, ...]) -> tuple[Pixels, Pixels | None]:
    """As `split_alpha` for a TIFF, whose tag `extra` says what the last sample means."""
    colours, alpha = split_alpha(samples)
    if alpha is None or extra not in ((1,), (2,)):
        return colours, None
    if extra == (1,):  # the colours are multiplied by it
        divisor = np.maximum(alpha, 1)[..., None].astype(np.float64)
        colours = np.minimum(colours * (65535 / divisor) + 0.5, 65535).astype(np.uint16)
    return colours, alpha
