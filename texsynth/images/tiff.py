"""Directories of TIFF files, looked at before any library decodes them.

Decoders take strips that are missing for anything that lies in memory, or for black, and count the pages of a
file again for each one that they read.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, NoReturn

from texsynth.images.picture import NotReadError

TYPES = {1: "B", 2: "B", 3: "H", 4: "I", 5: "II", 6: "b", 7: "B", 8: "h", 9: "i", 10: "ii", 11: "f", 12: "d",
         13: "I", 16: "Q", 17: "q", 18: "Q"}  # fmt: skip
"""Type of a tag -> letters of struct for a value."""

MOST_PAGES = 1 << 16
MOST_TAGS = 1 << 12
MOST_VALUES = 1 << 24
LARGEST_PACKET = 1 << 22  # Bytes of XMP, more than any record has
LARGEST_TILE = 1 << 26  # Pixels, of a tile that is larger than the picture
PIECE = 1 << 20  # Bytes unpacked at a time
SMALL_PIECE = 64  # Bytes whose pixels are lost where data is damaged

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, STRIPS, SAMPLES, ROWS, SIZES = (
    256, 257, 258, 259, 262, 273, 277, 278, 279
)  # fmt: skip
ORIENTATION, PROFILE, XMP = 274, 34675, 700
PLANAR, PALETTE, TILE_WIDTH, TILE_HEIGHT, TILES, TILE_SIZES, KINDS, DEPTH, TILE_DEPTH, EXTRA, FILL = (
    284, 320, 322, 323, 324, 325, 339, 32997, 32998, 338, 266
)  # fmt: skip
USED = frozenset({
    WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, STRIPS, SAMPLES, ROWS, SIZES, PLANAR, PALETTE, TILE_WIDTH,
    TILE_HEIGHT, TILES, TILE_SIZES, KINDS, DEPTH, TILE_DEPTH, EXTRA, FILL, ORIENTATION, PROFILE, XMP,
})  # fmt: skip
"""Tags that are read."""

COLOURS = {0: "grey", 1: "grey", 2: "RGB", 3: "a palette", 5: "CMYK", 6: "YCbCr", 8: "Lab", 9: "Lab"}
NOT_READ = {2: "signed pixels", 3: "floating-point pixels", 5: "complex pixels", 6: "complex pixels"}
"""Kind of samples -> what is told about it."""

FLOAT = 3  # Kind of samples

NONE, DEFLATE, YCBCR = 1, (8, 32946), 6


@dataclass(frozen=True)
class Segment:
    """A strip or tile in the file. size: bytes of it. full: of its samples, where it is whole."""

    start: int
    size: int
    needed: int  # Bytes of the samples in the picture
    full: int


@dataclass
class Tiff:
    """A page of a TIFF, and where the others are."""

    order: str
    is_big: bool
    pages: list[int]  # Where their directories begin
    length: int  # Of the file
    page: int = 0
    tags: dict[int, tuple[int, ...]] = field(default_factory=dict)
    entries: dict[int, int] = field(default_factory=dict)  # Tag -> where it stands in the file
    end: int = 0  # Where the page says which comes next

    @property
    def is_float(self) -> bool:
        """Floats, as whose kind whole numbers of 32 bits count, which Pillow does not know either."""
        kinds, bits = set(self.tags.get(KINDS, (1,))), set(self.tags.get(BITS, (1,)))
        return (kinds == {FLOAT} and bits <= {16, 32, 64}) or (kinds == {1} and bits == {32})

    @property
    def is_grey_with_alpha(self) -> bool:
        """Grey with alpha at 16 bits, which Pillow does not know."""
        depths = self.tags.get(KINDS, (1,))[:1] + self.tags.get(BITS, (1,))[:1]
        return (self.number(PHOTOMETRIC), self.number(SAMPLES, 1), *depths) == (1, 2, 1, 16)

    def number(self, tag: int, default: int = 0) -> int:
        """The first value of a tag."""
        return int((*self.tags.get(tag, ()), default)[0])


def parse(file: BinaryIO, page: int | None) -> Tiff:
    """Read the directory of a page, by default the first. ValueError: damage; NotReadError: a rare kind.

    Where there is no such page, it is the first.
    """
    length = file.seek(0, 2)
    file.seek(0)
    start = file.read(16).ljust(16, b"\0")
    order = "<" if start[:2] == b"II" else ">"
    is_big = struct.unpack(f"{order}H", start[2:4])[0] == 43
    (first,) = struct.unpack(f"{order}Q", start[8:16]) if is_big else struct.unpack(f"{order}I", start[4:8])
    tiff = Tiff(order, is_big, [], length)
    tiff.pages = list(_pages(file, tiff, first))
    tiff.page = page if page is not None and page < len(tiff.pages) else 0
    _read_tags(file, tiff)
    _refuse(tiff)
    return tiff


def patches(tiff: Tiff) -> dict[int, bytes]:
    """What makes the page the only one of a file: where bytes stand, and what they are."""
    word, place = ("Q", 8) if tiff.is_big else ("I", 4)
    packed = struct.Struct(tiff.order + word)
    return {place: packed.pack(tiff.pages[tiff.page]), tiff.end: packed.pack(0)}


def check(file: BinaryIO, tiff: Tiff) -> None:
    """Raise ValueError unless every strip or tile is there, and its checksum, where it has one, is right."""
    compression = tiff.number(COMPRESSION, NONE)
    for number, segment in enumerate(segments(tiff)):
        if segment.start < 8 or segment.size == 0 or segment.start + segment.size > tiff.length:
            raise ValueError(f"strip or tile {number} is not in the file")
        if compression == NONE and segment.size < segment.needed and tiff.number(PHOTOMETRIC) != YCBCR:
            raise ValueError(f"strip or tile {number} is too short")
        if compression in DEFLATE and tiff.number(FILL, 1) == 1:
            file.seek(segment.start)
            if not _is_sound(file.read(segment.size), segment):
                raise ValueError(f"strip or tile {number} is damaged")


def repaired(file: BinaryIO, tiff: Tiff) -> bytes:
    """The page as a file in which damaged strips are black from there on. ValueError where that cannot be."""
    compression = tiff.number(COMPRESSION, NONE)
    if compression not in (NONE, *DEFLATE):
        raise ValueError("strips of its compression cannot be replaced")
    file.seek(0)
    data = bytearray(file.read())
    starts, sizes = [], []
    for segment in segments(tiff):
        stored = bytes(data[segment.start : segment.start + segment.size]) if segment.start >= 8 else b""
        if compression != NONE:
            if not _is_sound(stored, segment):
                stored = zlib.compress(_padded(_unpacked(stored, segment.needed), segment), 1)
        elif len(stored) < segment.needed:
            stored = _padded(stored, segment)
        starts.append(len(data))
        sizes.append(len(stored))
        data += stored
    word, letter, kind = (8, "Q", 16) if tiff.is_big else (4, "I", 4)
    tags = (TILES, TILE_SIZES) if TILES in tiff.tags else (STRIPS, SIZES)
    for tag, values in zip(tags, (starts, sizes), strict=True):
        table = struct.pack(f"{tiff.order}{len(values)}{letter}", *values)
        place = tiff.entries.get(tag)
        if place is None:
            raise ValueError("it does not say where its strips are")
        struct.pack_into(f"{tiff.order}HH{letter}", data, place, tag, kind, len(values))
        value = place + 4 + word
        if len(table) <= word:
            data[value : value + word] = table.ljust(word, b"\0")
        else:
            struct.pack_into(tiff.order + letter, data, value, len(data))
            data += table
    return with_patches(bytes(data), patches(tiff))


def with_patches(data: bytes, changes: dict[int, bytes]) -> bytes:
    """The bytes with some of them replaced."""
    new = bytearray(data)
    for place, part in changes.items():
        new[place : place + len(part)] = part
    return bytes(new)


def segments(tiff: Tiff) -> Iterator[Segment]:
    """Yield the strips or tiles. ValueError where fewer or more are named than the picture needs."""
    width, height, samples = tiff.number(WIDTH), tiff.number(HEIGHT), tiff.number(SAMPLES, 1)
    bits, is_planar = tiff.number(BITS, 1), tiff.number(PLANAR, 1) == 2
    tiled = TILES in tiff.tags or TILE_WIDTH in tiff.tags
    across = tiff.number(TILE_WIDTH) if tiled else width
    down = tiff.number(TILE_HEIGHT) if tiled else min(tiff.number(ROWS, height) or height, height)
    if across < 1 or down < 1:
        raise ValueError("its strips or tiles have no size")
    if across * down > max(width * height, LARGEST_TILE):
        _not_read(f"tiles of {across} x {down} pixels")
    row = -(-across * bits * (1 if is_planar else samples) // 8)
    columns, rows = -(-width // across), -(-height // down)
    count = columns * rows * (samples if is_planar else 1)
    starts = tiff.tags.get(TILES if tiled else STRIPS, ())
    sizes = tiff.tags.get(TILE_SIZES if tiled else SIZES, ())
    if not sizes and tiff.number(COMPRESSION, NONE) == NONE:
        sizes = (
            (row * down,) * count
            if tiled
            else tuple(row * min(down, height - down * (n % rows)) for n in range(count))
        )
    if min(len(starts), len(sizes)) < count:
        raise ValueError(f"it has {min(len(starts), len(sizes))} of its {count} strips or tiles")
    if len(starts) > count:
        # One library shows the first of them, another one the last.
        raise ValueError(f"it has {len(starts)} strips or tiles, but its size says {count}")
    for number in range(count):
        there = down if tiled else min(down, height - down * (number % rows))
        yield Segment(starts[number], sizes[number], row * there, row * down)


def _pages(file: BinaryIO, tiff: Tiff, first: int) -> Iterator[int]:
    """Yield where directories begin, up to the first that is not in the file or comes again."""
    size, letter, room = (8, "Q", 20) if tiff.is_big else (2, "H", 12)
    link, word = (8, "Q") if tiff.is_big else (4, "I")
    place, seen = first, set[int]()
    while 8 <= place < tiff.length and place not in seen:
        if len(seen) == MOST_PAGES:
            raise ValueError(f"it has more than {MOST_PAGES} pages")
        seen.add(place)
        yield place
        file.seek(place)
        start = file.read(size)
        if len(start) < size:
            return
        file.seek(place + size + room * struct.unpack(tiff.order + letter, start)[0])
        following = file.read(link)
        if len(following) < link:
            return
        (place,) = struct.unpack(tiff.order + word, following)


def _read_tags(file: BinaryIO, tiff: Tiff) -> None:
    if not tiff.pages:
        raise ValueError("it has no page")
    size, letter = (8, "Q") if tiff.is_big else (2, "H")
    entry = struct.Struct(tiff.order + ("HHQ8s" if tiff.is_big else "HHI4s"))
    place = tiff.pages[tiff.page]
    file.seek(place)
    (count,) = struct.unpack(tiff.order + letter, file.read(size).ljust(size, b"\0"))
    directory = file.read(min(count, MOST_TAGS) * entry.size)
    if count > MOST_TAGS or len(directory) < count * entry.size:
        raise ValueError("its directory is cut off")
    tiff.end = place + size + count * entry.size
    for number in range(count):
        tag, kind, values, raw = entry.unpack_from(directory, number * entry.size)
        letters = TYPES.get(kind, "")
        bytes_ = struct.calcsize(f"={letters}") * values
        if bytes_ > len(raw):
            (start,) = struct.unpack(f"{tiff.order}{'Q' if tiff.is_big else 'I'}", raw)
            if start + bytes_ > tiff.length:
                raise ValueError(f"tag {tag} is cut off")
        kinds = (1, 7) if tag in (PROFILE, XMP) else (1, 3, 4, 16)
        if tag not in USED or tag in tiff.tags or kind not in kinds:
            continue
        if tag == XMP and values > LARGEST_PACKET:
            continue
        if values > MOST_VALUES:
            raise ValueError(f"tag {tag} has {values} values")
        if bytes_ > len(raw):
            file.seek(start)
            raw = file.read(bytes_)
        tiff.tags[tag] = struct.unpack_from(f"{tiff.order}{values}{letters}", raw)
        tiff.entries[tag] = tiff.pages[tiff.page] + size + number * entry.size


def _refuse(tiff: Tiff) -> None:
    """Raise NotReadError for a kind of pixels that is not read, ValueError for what contradicts itself."""
    samples, bits, kinds = tiff.number(SAMPLES, 1), tiff.tags.get(BITS, (1,)), tiff.tags.get(KINDS, (1,))
    photometric = tiff.number(PHOTOMETRIC, 0)
    for tag in (WIDTH, HEIGHT):
        if not 0 < tiff.number(tag) < 1 << 31 or len(tiff.tags[tag]) != 1:
            raise ValueError("its size is missing or damaged")
    if max(tiff.number(DEPTH, 1), tiff.number(TILE_DEPTH, 1)) > 1:
        _not_read("a picture of several layers (ImageDepth)")
    if photometric in COLOURS and COLOURS[photometric] == "Lab":
        _not_read("Lab pixels")
    if photometric not in COLOURS:
        _not_read(f"colours of kind {photometric}")
    if tiff.is_float:
        if photometric not in (1, 2) or len(set(bits)) > 1:
            _not_read(f"{bits[0]}-bit pixels in {COLOURS[photometric]}")
        kinds, bits = (1,), (16,) * len(bits)
    for kind in kinds:
        if kind in NOT_READ:
            _not_read(NOT_READ[kind])
    if len(set(bits)) > 1 or bits[0] not in (1, 2, 4, 8, 16):
        depth = " and ".join(map(str, sorted(set(bits))))
        _not_read(f"{depth} bits per channel" + (" (32-bit pixels)" if bits[0] == 32 else ""))
    is_tiled = TILES in tiff.tags or TILE_WIDTH in tiff.tags
    if samples > 1 and tiff.number(PLANAR, 1) == 2 and is_tiled and (tiff.is_float or bits[0] == 16):
        _not_read("tiles of separate colours with more than 8 bits")
    if not 0 < samples <= 64 or len(bits) not in (1, samples) or tiff.number(PLANAR, 1) not in (1, 2):
        raise ValueError("its samples are described in two ways")
    if samples < {"RGB": 3, "YCbCr": 3, "CMYK": 4}.get(COLOURS[photometric], 1):
        raise ValueError(f"it has {samples} of the samples of {COLOURS[photometric]}")
    if photometric == 3:
        if bits[0] > 8:
            _not_read(f"a palette of {bits[0]} bits")
        if len(tiff.tags.get(PALETTE, ())) < 3 << bits[0]:
            raise ValueError("its palette is missing or too short")


def _not_read(what: str) -> NoReturn:
    raise NotReadError(f"has {what}; save it as RGB or grey with 8 or 16 bits per channel, colours together")


def palette(values: Sequence[int]) -> bytes:
    """The colours of a palette: all red ones, all green ones, all blue ones, 8 bits each."""
    # Old writers give 8 bits where 16 are asked for.
    shift = 0 if max(values) < 256 else 8
    return bytes(value >> shift for value in values)


def _is_sound(stored: bytes, segment: Segment) -> bool:
    unpacker, count = zlib.decompressobj(), 0
    try:
        # What follows the last sample says whether all of them are right.
        while stored and not unpacker.eof and count <= segment.full:
            count += len(unpacker.decompress(stored, PIECE))
            stored = unpacker.unconsumed_tail
    except zlib.error:
        return False
    return count >= segment.needed


def _unpacked(stored: bytes, limit: int) -> bytes:
    """What can be unpacked of damaged bytes."""
    unpacker, out = zlib.decompressobj(), bytearray()
    try:
        for start in range(0, len(stored), SMALL_PIECE):
            piece = unpacker.unconsumed_tail + stored[start : start + SMALL_PIECE]
            out += unpacker.decompress(piece, max(1, limit - len(out)))
            if len(out) >= limit:
                break
    except zlib.error:
        pass  # from here on nothing is known
    return bytes(out)


def _padded(samples: bytes, segment: Segment) -> bytes:
    return samples[: segment.needed].ljust(segment.needed, b"\0")
