"""Colour profiles to sRGB: by Little CMS at 8 bits, by the formula of the profile itself at 16."""

import io
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from texsynth.images import vips
from texsynth.images.picture import Pixels

SPACES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""Colour space in a profile's header -> mode of the pixels it applies to."""

SRGB_FILE = Path(__file__).with_name("srgb.icc")
"""ICC profile of sRGB as Little CMS makes it, dated 2000 so that it is the same on every day."""

DAMAGED = "the colour profile is damaged or of another kind and was ignored"

LEVELS = 65536
BLOCK_PIXELS = 1 << 20  # Converted at a time, in double precision
SAME = 0.5 / 255  # What differs less from sRGB everywhere is sRGB
SCREEN_GAMMA, SIGNIFICANT = 2.2, 0.05
"""Exponent that libpng takes for that of sRGB, and what it takes for no difference to it."""

Floats = NDArray[np.float32]

Curve = NDArray[np.float64]  # Linear light at each of the 65536 levels


class Shaper(NamedTuple):
    """A profile that is a curve for each channel and a matrix."""

    curves: tuple[Curve, ...]  # One for grey
    matrix: NDArray[np.floating[Any]]  # (3, 3) to linear sRGB, or (3, 1) for grey


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


def deep_to_srgb(pixels: Pixels, icc: bytes | None) -> tuple[Pixels, tuple[str, ...]]:
    """The same for (H, W, 1 or 3) uint16. Returns (H, W, 3) uint16."""
    rgb = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    if not icc:
        return np.ascontiguousarray(rgb), ()
    try:
        mode, _ = _transform(icc, "L" if pixels.shape[2] == 1 else "RGB")
        source = np.ascontiguousarray(rgb) if mode == "RGB" else pixels
        shaper = _shaper(icc)
        return (vips.to_srgb(source, icc, SRGB_FILE) if shaper is None else _shaped(source, shaper)), ()
    except (ImageCms.PyCMSError, OSError, ValueError, struct.error):
        return np.ascontiguousarray(rgb), (DAMAGED,)


def gamma_to_srgb(rgb: Pixels, gamma: float | None) -> Pixels:
    """Colours of a PNG that names the exponent of its encoding, for a screen like sRGB's, as libpng does."""
    if gamma is None or abs(gamma * SCREEN_GAMMA - 1) <= SIGNIFICANT:
        return rgb
    top = np.iinfo(rgb.dtype).max
    table = np.linspace(0, 1, top + 1) ** (1 / (gamma * SCREEN_GAMMA))
    return np.asarray((table * top + 0.5).astype(rgb.dtype)[rgb])


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


def shaper_of(icc: bytes) -> Shaper | None:
    """Return curves and matrix of a profile; None also for a damaged one."""
    try:
        return _shaper(icc)
    except (ValueError, struct.error, np.linalg.LinAlgError):
        return None


def _shaper(icc: bytes) -> Shaper | None:
    """Curves and matrix of a profile; None for one that is made of tables, or relates to Lab.

    libvips reads every profile through a table, which at 16 bits misses dark colours by up to 20 of 255.
    """
    tags = _tags(icc)
    if b"A2B0" in tags or icc[20:24] != b"XYZ ":
        return None
    if icc[16:20] == b"GRAY":
        return Shaper((_curve(tags[b"kTRC"]),), np.ones((3, 1))) if b"kTRC" in tags else None
    if not {b"rTRC", b"gTRC", b"bTRC", b"rXYZ", b"gXYZ", b"bXYZ"} <= tags.keys():
        return None
    matrix = np.linalg.solve(_colorants(_tags(srgb_profile())), _colorants(tags))
    return Shaper(tuple(_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")), matrix)


def _shaped(pixels: Pixels, shaper: Shaper) -> Pixels:
    """(H, W, 1 or 3) uint16 through the formula. Returns (H, W, 3) uint16."""
    levels = np.linspace(0, 1, LEVELS)
    is_srgb = pixels.shape[2] == 3 and np.abs(shaper.matrix - np.eye(3)).max() < SAME
    if is_srgb and all(np.abs(encoded(curve) - levels).max() < SAME for curve in shaper.curves):
        return pixels
    out = np.empty((*pixels.shape[:2], 3), np.uint16)
    step = max(1, BLOCK_PIXELS // pixels.shape[1])
    for top in range(0, len(pixels), step):
        rows = pixels[top : top + step]
        light = np.stack([curve[rows[..., c]] for c, curve in enumerate(shaper.curves)], -1)
        out[top : top + step] = encoded(light @ shaper.matrix.T) * (LEVELS - 1) + 0.5
    return out


def encoded(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values of sRGB (IEC 61966-2-1) for linear light, cut to [0, 1]."""
    light = light.clip(0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def decoded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear light for values of sRGB (IEC 61966-2-1), also above 1."""
    return np.where(values <= 0.04045, values / 12.92, ((np.maximum(values, 0) + 0.055) / 1.055) ** 2.4)


def linear_shaper(icc: bytes, *, grey: bool) -> Callable[[Floats], Floats] | None:
    """Make what brings floats of a profile, (H, W, 1 or 3), to linear sRGB.

    None for a profile that says that they are, or cannot be used so.
    """
    shaper = shaper_of(icc)
    if shaper is None or len(shaper.curves) != (1 if grey else 3):
        return None
    levels = np.linspace(0, 1, LEVELS)
    straight = [bool(np.abs(curve - levels).max() < SAME) for curve in shaper.curves]
    same_primaries = grey or np.abs(shaper.matrix - np.eye(3)).max() < SAME
    if all(straight) and same_primaries:
        return None

    def apply(values: Floats) -> Floats:
        light = values.astype(np.float64)
        for channel, curve in enumerate(shaper.curves):
            if not straight[channel]:
                x = light[..., channel]
                light[..., channel] = np.where(x <= 1, np.interp(x, levels, curve), decoded(x))
        return (light if same_primaries else light @ shaper.matrix.T).astype(np.float32)

    return apply


def _tags(icc: bytes) -> dict[bytes, bytes]:
    """Name -> body of the tags of a profile (ICC.1:2022, 7.3)."""
    (count,) = struct.unpack_from(">I", icc, 128)
    tags = {}
    for number in range(min(count, 100)):
        name, start, size = struct.unpack_from(">4sII", icc, 132 + 12 * number)
        tags[name] = icc[start : start + size]
    return tags


def _colorants(tags: dict[bytes, bytes]) -> NDArray[np.float64]:
    columns = [struct.unpack_from(">3i", tags[name], 8) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
    return np.array(columns, np.float64).T / 65536


def _curve(tag: bytes) -> Curve:
    """Light in [0, 1] at 65536 levels. Raises ValueError, struct.error."""
    with np.errstate(all="ignore"):
        values = _curve_values(tag, np.linspace(0, 1, LEVELS))
        return np.asarray(np.nan_to_num(values).clip(0, 1))


def _curve_values(tag: bytes, x: Curve) -> Curve:
    """Evaluate a curve at `x` (ICC.1:2022, 10.6 and 10.18)."""
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        if count == 0:
            return x
        if count == 1:
            return np.asarray(x ** (struct.unpack_from(">H", tag, 12)[0] / 256))
        table = np.frombuffer(tag, ">u2", count, 12) / 65535
        return np.interp(x, np.linspace(0, 1, count), table)
    if tag[:4] != b"para":
        raise ValueError("a curve of another kind")
    (kind,) = struct.unpack_from(">H", tag, 8)
    count = {0: 1, 1: 3, 2: 4, 3: 5, 4: 7}.get(kind, 0)
    if not count:
        raise ValueError("a curve of another kind")
    p = [value / 65536 for value in struct.unpack_from(f">{count}i", tag, 12)]
    if kind == 0:
        return np.asarray(x ** p[0])
    g, a, b = p[:3]
    power = np.maximum(a * x + b, 0) ** g
    if kind < 3:
        offset = p[3] if kind == 2 else 0.0
        return np.where(a * x + b >= 0, power, 0) + offset
    c, d, e, f = (*p[3:], 0.0, 0.0)[:4]
    return np.asarray(np.where(x >= d, power + e, c * x + f))
