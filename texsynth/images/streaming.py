"""Pictures read and written by strips of rows, so that large ones never lie in memory as a whole."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from texsynth.config.settings import MAX_PIXELS, QUALITY
from texsynth.errors import InputError
from texsynth.images import exr, vips
from texsynth.images.decoding import (
    from_deep,
    from_pil,
    from_samples,
    is_deep,
    orientation,
    split_tiff,
    taken_out,
)
from texsynth.images.files import taken, temporary, writing
from texsynth.images.light import to_light
from texsynth.images.metadata import Metadata
from texsynth.images.picture import ALPHA_FORMATS, Picture, Pixels, check_sides, output_format, split_alpha
from texsynth.images.profiles import srgb_profile
from texsynth.images.reader import (
    checked,
    damaged,
    decoding,
    file_limit,
    file_sha256,
    opened,
    read,
    read_bytes,
    source_name,
)
from texsynth.images.records import INSIDE, put_into, sidecar
from texsynth.images.seal import PIXEL_FORMATS, PixelHash, coded_hash, sealed
from texsynth.images.stored import Stored, complete
from texsynth.images.writer import (
    CUT,
    FLATTENED,
    flattened,
    samples,
    settings_beside,
    write,
    written_depth,
)
from texsynth.paths import is_taken
from texsynth.strict_yaml import as_ascii

ROWS = 256  # That are hashed at once


@dataclass(frozen=True)
class Strips:
    """A picture whose rows are decoded when they are asked for."""

    width: int  # In pixels, upright, as the height
    height: int
    kind: Picture
    """A picture with the depth, alpha and warnings of every strip: the first row, or all of it."""
    whole: bool  # The file cannot be read by strips, and all of it is in memory
    rows: Callable[[int], Iterator[Picture]]
    """Yields strips of so many rows, at least 1, from the top down, the last one shorter; each call starts at
    the top again. Raises InputError."""


def open_strips(
    source: Path | bytes,
    *,
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
    frame: int | None = None,
    as_data: bool = False,
    lenient: bool = False,
    own_space: bool = False,
) -> Strips:
    """Open a picture to be read by strips, which together equal what `read` returns for the same arguments.

    PNG without interlacing, baseline JPEG, OpenEXR and the usual kinds of TIFF are streamed: only a few
    strips are in memory at a time. Everything else is read as a whole. Raises InputError.
    """
    name = name or source_name(source)
    with opened(source, name, frame) as (image, file):
        header = checked(image, file, name, max_pixels, frame)
        profile = taken_out(image) if own_space and not as_data else None
        to_picture = _converter(image, file, name, as_data=as_data)
        one_bit = as_data and to_picture is not None and image.mode == "1"
        unpacked = file.unpacked if file.unpacked and file.unpacked.orientation == 1 else None
        if streamed := to_picture is not None or (unpacked is not None and unpacked.rows is not None):
            file = complete(file)
            data = file.data
            fault = file.fault
            if fault and not lenient:
                raise InputError(damaged(name, fault))
            streamed = not fault

    def whole() -> Strips:
        picture = read(
            source, name=name, max_pixels=max_pixels, frame=frame, as_data=as_data, lenient=lenient,
            own_space=own_space,
        )  # fmt: skip
        return Strips(picture.width, picture.height, picture, True, picture.strips)

    if not streamed:
        return whole()

    def parts(count: int) -> Iterator[Picture]:
        if to_picture is not None:
            yield from map(to_picture, vips.read_rows(data, header.format, count, file.page))
        elif unpacked is not None and unpacked.rows is not None:
            for stored in unpacked.rows(data, count):
                yield from_samples(stored, unpacked.format, as_data=as_data, own_space=own_space)

    def rows(count: int) -> Iterator[Picture]:
        with decoding(name):
            for part in parts(count):
                warnings = file.warnings + part.warnings
                own = profile or part.profile
                yield replace(part, is_data=as_data, one_bit=one_bit, warnings=warnings, profile=own)

    try:
        return Strips(header.width, header.height, next(rows(1)), False, rows)
    except InputError:
        # Of odd tags beside the pixels libvips makes more than Pillow does.
        return whole()


def pixel_hash(path: Path, *, max_pixels: int = MAX_PIXELS) -> str:
    """Return the hash that `write` puts below the settings of a file with these pixels. Raises InputError."""
    with opened(path, str(path)) as (image, file):
        source_format, is_float = str(image.format), file.unpacked is not None and file.unpacked.is_float
    if source_format == "TIFF" and is_float:
        return _float_hash(path, image.size)
    if source_format not in PIXEL_FORMATS:
        return coded_hash(read_bytes(path, limit=file_limit(max_pixels)))
    strips = open_strips(path, max_pixels=max_pixels, frame=0, own_space=True)
    digest = PixelHash(strips.width, strips.height)
    for strip in strips.rows(ROWS):
        digest.add(samples(strip, strip.bit_depth, grey=False))
    return digest.digest


def _float_hash(path: Path, size: tuple[int, int]) -> str:
    """Return the same for a TIFF of floats, from its numbers. Raises InputError."""
    digest = PixelHash(*size)
    with decoding(str(path)):
        for rows in vips.read_rows(path, "TIFF", ROWS):
            digest.add(rows)
    return digest.digest


def _converter(
    image: Image.Image, file: Stored, name: str, *, as_data: bool
) -> Callable[[Pixels], Picture] | None:
    """Make the function from rows of an opened picture, as libvips reads them, to a picture of them.

    None where libvips cannot read it by rows.
    """
    source_format, icc = str(image.format), None if as_data else image.info.get("icc_profile")
    gamma = file.png.gamma if file.png and not as_data else None

    def from_8_bits(stored: Pixels) -> Picture:
        part = Image.fromarray(stored[..., 0] if stored.shape[2] == 1 else stored)
        part.info["icc_profile"] = icc
        return from_pil(part, name, source_format, gamma)

    if file.unpacked or orientation(image) != 1:
        return None
    if source_format == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]
        extra = tuple(tags.get(338, ()))
        if not (vips.reads_tiff(tags) and vips.has_small_segments(tags) and set(tags.get(339, (1,))) == {1}):
            return None
        if is_deep(image, file):
            return lambda stored: from_deep(*split_tiff(stored, extra), icc, source_format)
        bits = set(tags.get(258, (1,)))
        is_usual = bits == {8} and extra in ((), (2,)) and image.mode in ("L", "LA", "RGB", "RGBA")
        return from_8_bits if is_usual else None
    if file.png:
        keyed = "transparency" in image.info and image.mode != "P"
        if keyed or file.png.interlaced or getattr(image, "n_frames", 1) > 1:
            return None
        if is_deep(image, file):
            return lambda stored: from_deep(*split_alpha(stored), icc, source_format, gamma)
        return from_8_bits
    is_baseline = source_format == "JPEG" and "progressive" not in image.info
    return from_8_bits if is_baseline and image.mode in ("L", "RGB") else None


def write_strips(
    strips: Iterable[Picture],
    path: Path,
    width: int,
    height: int,
    *,
    alpha: bool = False,
    bit_depth: int = 8,
    settings: str = "",
    quality: int = QUALITY,
    force: bool = False,
    kept: Metadata | None = None,
    beside: bool = False,
    wide: bytes | None = None,
    half: bool = False,
) -> tuple[str, ...]:
    """Write the file that `images.write` makes with the same arguments, or nothing.

    PNG, TIFF and OpenEXR keep a few strips in memory; other formats collect the picture and encode it at
    the end. strips: from the top down, of any number of rows. width, height: of the picture, in pixels.
    alpha: every strip has it. bit_depth: 8, 16 or 32. wide: profile of the strips, if they are not sRGB.
    half: floats are written with 16 bits where the format has such. Returns what the format cannot keep.
    Raises OutputError, for a file that exists before the first strip, and ValueError for strips that do
    not make up the picture; errors of `strips` stay what they are.
    """
    name = output_format(path)
    for output in filter(None, (path, sidecar(path, asked=beside) if settings else None)):
        if is_taken(output) and not force:
            raise taken(output)
    check_sides(width, height, name)
    keeps_alpha = alpha and name in ALPHA_FORMATS
    warnings = (FLATTENED.format(name),) if alpha and not keeps_alpha else ()
    depth = written_depth(bit_depth, name)
    shape, is_light = (height, width, 3 + keeps_alpha), name == "EXR" or depth == 32
    cut: tuple[str, ...] = ()

    def stored() -> Iterator[Pixels]:
        """Yield the samples of each strip."""
        nonlocal cut
        top = 0
        for strip in strips:
            if strip.width != width or (strip.alpha is not None) != alpha:
                raise ValueError(f"a strip {strip.width} wide or its alpha does not fit {path}")
            if top + strip.height > height:
                raise ValueError(f"{top + strip.height} rows were given for the {height} of {path}")
            top += strip.height
            if strip.highlights is not None and not is_light:
                cut = (CUT.format(name),)
            shown = strip if keeps_alpha else flattened(strip)
            yield to_light(shown) if is_light else samples(shown, depth, grey=False)
        if top < height:
            raise ValueError(f"{top} rows were given for the {height} of {path}")

    dtype = np.dtype(np.float32 if is_light else np.uint16 if depth == 16 else np.uint8)
    if name not in vips.SAVERS and name != "EXR":
        pixels, top = np.empty(shape, dtype), 0
        for rows in stored():
            pixels[top : top + len(rows)] = rows
            top += len(rows)
        picture = Picture(*split_alpha(pixels), profile=wide)
        written = write(
            picture, path, settings=settings, quality=quality, force=force, kept=kept, beside=beside
        )
        return warnings + cut + written
    beside = beside or name not in INSIDE
    with temporary(path, force=force) as (file, place):
        with writing(path):
            target = Path(file.name)
            kept = kept or Metadata()
            text, profile = "" if beside else as_ascii(settings), wide or srgb_profile()
            encoder: exr.RowEncoder | vips.RowEncoder | vips.FloatEncoder
            if name == "EXR":
                encoder = exr.RowEncoder(target, shape, half=depth == 8 or half)
            elif is_light:
                encoder = vips.FloatEncoder(target, shape, name, kept.dpi)
            else:
                encoder = vips.RowEncoder(target, shape, dtype, name, text, profile, kept.dpi)
        pixel_hash = PixelHash(width, height)
        with closing(encoder):
            for rows in stored():
                pixel_hash.add(rows)
                with writing(path):
                    encoder.add(rows)
            with writing(path):
                encoder.finish()
                digest = pixel_hash.digest if name in PIXEL_FORMATS else file_sha256(target)
                kept.add_to(file, name)
                if settings and not beside:
                    put_into(file, name, settings, digest)
        text = sealed(settings, digest) if beside and settings else ""
        with settings_beside(path, text, force=force):
            place()
    return warnings + cut
