"""Chunks of PNG files, looked at before any library decodes them.

Pillow refuses a picture for what is wrong beside its pixels, and takes damaged pixels for sound; libpng does
neither. So damage is found here, and a library is handed only what is sound and needed.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

SIGNATURE = b"\x89PNG\r\n\x1a\n"

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Type of colour -> samples of a pixel."""

DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
"""Type of colour -> bits that a sample can have."""

PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""First row and column, and steps down and across, of the passes of an interlaced picture."""

LAST_FILTER = 4

MOST_CHUNKS = 1 << 20
PIECE = 1 << 20  # Bytes read or unpacked at a time
LARGEST_SIDE = 1 << 26  # Bytes of a profile or text, also once unpacked
PLAIN_SIDE = 1 << 18  # Bytes beside the pixels that no library stumbles over
SMALL_PIECE = 256  # Bytes whose pixels are lost where data is damaged

TEXTS = (b"tEXt", b"zTXt", b"iTXt")
SEAL = b"texsynth-pixels"  # Keyword of the hash of the pixels
MEANING = (b"texsynth", SEAL, b"Raw profile type exif", b"Raw profile type APP1", b"XML:com.adobe.xmp")
"""Keywords of the texts that are read: settings, the hash beside them, and what can say how a picture is
turned."""

NOT_READ = "its {} is damaged and was ignored"


@dataclass(frozen=True)
class Chunk:
    """A part of a file."""

    kind: bytes
    start: int  # Of its body
    length: int  # Of its body


@dataclass
class Png:
    """What a PNG says about its pixels, and where these are."""

    width: int
    height: int
    depth: int  # Bits of a sample
    colour: int
    interlaced: bool
    sides: dict[bytes, bytes] = field(default_factory=dict)  # Bodies of sound chunks that Pillow is to see
    texts: list[bytes] = field(default_factory=list)  # Whole chunks
    frames: list[Chunk] = field(default_factory=list)  # The pixels, and those of the other frames
    icc: bytes | None = None
    gamma: float | None = None
    """Exponent of the encoding, where no profile says more."""
    side_bytes: int = 0
    has_end: bool = False
    warnings: list[str] = field(default_factory=list)

    @property
    def is_plain(self) -> bool:
        """True when a library can be given the file as it is."""
        return not self.warnings and self.side_bytes <= PLAIN_SIDE

    def passes(self) -> Iterator[tuple[int, int]]:
        """Yield the number of rows and the bytes of each, its filter included, for each pass."""
        for top, left, down, across in PASSES if self.interlaced else ((0, 0, 1, 1),):
            height, width = -(-(self.height - top) // down), -(-(self.width - left) // across)
            if height > 0 and width > 0:
                yield height, 1 + -(-width * CHANNELS[self.colour] * self.depth // 8)

    @property
    def raw_bytes(self) -> int:
        """Bytes of all rows."""
        return sum(count * length for count, length in self.passes())


def parse(file: BinaryIO) -> Png:
    """Read all but the pixels. ValueError: damage that no decoder could work around."""
    chunks = _chunks(file)
    first = next(chunks, None)
    header = first and first.kind == b"IHDR" and first.length == 13 and _body(file, first)
    if not header:
        raise ValueError("its header is damaged")
    width, height, depth, colour, packing, filters, interlace = struct.unpack(">IIBBBBB", header)
    is_known = depth in DEPTHS.get(colour, ()) and not packing and not filters and interlace <= 1
    if not (is_known and 0 < width < 1 << 31 and 0 < height < 1 << 31):
        raise ValueError("its header is of no kind of PNG")
    png = Png(width, height, depth, colour, bool(interlace), {b"IHDR": header})
    bodies: dict[bytes, bytes] = {}
    for chunk in chunks:
        if chunk.kind == b"IEND":
            png.has_end = _body(file, chunk) is not None
            break
        if chunk.kind in (b"IDAT", b"fdAT") or (chunk.kind == b"fcTL" and png.frames):
            png.frames.append(chunk)
            continue
        png.side_bytes += chunk.length
        if chunk.kind in TEXTS:
            _add_text(png, file, chunk)
            continue
        is_needed = chunk.kind in (b"tRNS", b"gAMA", b"sRGB", b"iCCP", b"eXIf", b"acTL", b"fcTL", b"PLTE")
        if not is_needed and not chunk.kind[0] & 0x20:
            raise ValueError(f"it has a part of the unknown kind {chunk.kind.decode('latin-1')!r}")
        if not is_needed and (chunk.length > PLAIN_SIDE or _body(file, chunk) is None):
            png.side_bytes += PLAIN_SIDE + 1
        if is_needed and chunk.kind not in bodies:
            body = _body(file, chunk)
            if body is None:
                png.warnings.append(NOT_READ.format(chunk.kind.decode("latin-1")))
            else:
                bodies[chunk.kind] = body
    _use(png, bodies)
    return png


def head(png: Png) -> bytes:
    """The file without its pixels, for those who read no further."""
    return _start(png) + struct.pack(">I4s", 0, b"IDAT") + bytes(4)


def sound(file: BinaryIO, png: Png) -> bytes:
    """The file without what is beside its pixels, and damaged or of no use."""
    return _start(png) + b"".join(_whole(file, chunk) for chunk in png.frames) + made(b"IEND", b"")


def add_seal(file: BinaryIO, digest: str) -> None:
    """Append the hash of the pixels to a file that ends with IEND: it may be known when all else is there."""
    add_chunk(file, b"tEXt", SEAL + b"\0" + digest.encode())


def add_chunk(file: BinaryIO, kind: bytes, body: bytes) -> None:
    """Append a chunk to a file that ends with IEND."""
    file.seek(-len(made(b"IEND", b"")), io.SEEK_END)
    file.write(made(kind, body) + made(b"IEND", b""))


def check(file: BinaryIO, png: Png) -> None:
    """Raise ValueError unless the pixels are those that were written."""
    if not png.has_end:
        raise ValueError("it is cut off")
    unpacker, count = zlib.decompressobj(), 0
    for chunk in png.frames:
        checksum = zlib.crc32(chunk.kind)
        for piece in _pieces(file, chunk, PIECE):
            checksum = zlib.crc32(piece, checksum)
            while chunk.kind == b"IDAT" and piece and not unpacker.eof and count <= png.raw_bytes:
                count += len(_unpacked(unpacker, piece, PIECE))
                piece = unpacker.unconsumed_tail
        if checksum.to_bytes(4, "big") != file.read(4):
            raise ValueError("its pixels are damaged: a checksum is wrong")
    if count < png.raw_bytes:
        raise ValueError("its pixels end early")


def repaired(file: BinaryIO, png: Png) -> bytes:
    """The file with the pixels that can be read, and zero for the others."""
    unpacker, raw = zlib.decompressobj(), bytearray()
    try:
        for chunk in png.frames:
            if chunk.kind == b"IDAT":
                for piece in _pieces(file, chunk, SMALL_PIECE):
                    raw += _unpacked(unpacker, unpacker.unconsumed_tail + piece, png.raw_bytes + 1 - len(raw))
    except ValueError:
        pass  # from here on nothing is known
    raw = raw[: png.raw_bytes].ljust(png.raw_bytes, b"\0")
    start = 0
    for count, length in png.passes():
        for row in range(start, start + count * length, length):
            if raw[row] > LAST_FILTER:
                raw[row] = 0
        start += count * length
    return _start(png, animated=False) + made(b"IDAT", zlib.compress(raw, 1)) + made(b"IEND", b"")


def made(kind: bytes, body: bytes) -> bytes:
    """Make a chunk, with its length and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _start(png: Png, *, animated: bool = True) -> bytes:
    order = (b"IHDR", b"PLTE", b"tRNS", b"eXIf", *((b"acTL", b"fcTL") if animated else ()))
    sides = [made(kind, png.sides[kind]) for kind in order if kind in png.sides]
    return SIGNATURE + b"".join(sides) + b"".join(png.texts)


def _chunks(file: BinaryIO) -> Iterator[Chunk]:
    """Yield the chunks that are there to their end."""
    end = file.seek(0, 2)
    position = len(SIGNATURE)
    for _ in range(MOST_CHUNKS):
        file.seek(position)
        start = file.read(8)
        if len(start) < 8:
            return
        length, kind = struct.unpack(">I4s", start)
        # What is left of the last chunk of a file that is cut off may still be read.
        yield Chunk(kind, position + 8, max(0, min(length, end - position - 12)))
        position += 12 + length
    raise ValueError(f"it has more than {MOST_CHUNKS} parts")


def _body(file: BinaryIO, chunk: Chunk) -> bytes | None:
    """Read a chunk; None for one that is damaged or too large to be of use."""
    if chunk.length > LARGEST_SIDE:
        return None
    file.seek(chunk.start)
    body = file.read(chunk.length)
    return body if file.read(4) == zlib.crc32(chunk.kind + body).to_bytes(4, "big") else None


def _whole(file: BinaryIO, chunk: Chunk) -> bytes:
    file.seek(chunk.start)
    return struct.pack(">I", chunk.length) + chunk.kind + file.read(chunk.length + 4)


def _pieces(file: BinaryIO, chunk: Chunk, size: int) -> Iterator[bytes]:
    """Yield the body of a chunk, and leave the file behind it."""
    file.seek(chunk.start)
    for start in range(0, chunk.length, size):
        yield file.read(min(size, chunk.length - start))


def _unpacked(unpacker: "zlib._Decompress", data: bytes, limit: int) -> bytes:
    try:
        return unpacker.decompress(data, max(1, limit))
    except zlib.error as error:
        raise ValueError("its pixels are damaged") from error


def _unpacked_side(data: bytes) -> bytes | None:
    """Unpack a text or profile; None for one that is damaged or too large."""
    unpacker = zlib.decompressobj()
    try:
        body = unpacker.decompress(data, LARGEST_SIDE)
    except zlib.error:
        return None
    return body if unpacker.eof else None


def _add_text(png: Png, file: BinaryIO, chunk: Chunk) -> None:
    """Keep a text that is read, unpacked: Pillow refuses a picture for one that is large."""
    file.seek(chunk.start)
    name = file.read(min(chunk.length, 80)).split(b"\0")[0]
    if name not in MEANING:
        return
    body = _body(file, chunk)
    kind, text = chunk.kind, None
    if body is not None and kind == b"tEXt":
        text = body
    elif body is not None and kind == b"zTXt":
        unpacked = _unpacked_side(body[len(name) + 2 :])
        kind, text = b"tEXt", None if unpacked is None else name + b"\0" + unpacked
    elif body is not None:
        packed, rest = body[len(name) + 1 : len(name) + 2], body[len(name) + 3 :]
        language, translated, value = (*rest.split(b"\0", 2), b"", b"")[:3]
        unpacked = _unpacked_side(value) if packed == b"\1" else value
        text = None if unpacked is None else b"\0".join((name, b"\0", language, translated, unpacked))
    if text is None:
        png.warnings.append(NOT_READ.format(f"text {name.decode('latin-1')!r}"))
    elif sum(map(len, png.texts)) + len(text) < LARGEST_SIDE // 2:
        png.texts.append(made(kind, text))


def _use(png: Png, bodies: dict[bytes, bytes]) -> None:
    """Take what is sound of the chunks beside the pixels, as libpng does. ValueError for a palette."""
    if png.colour == 3:
        palette = bodies.get(b"PLTE", b"")
        if not 3 <= len(palette) <= 768 or len(palette) % 3:
            raise ValueError("its palette is missing or damaged")
        png.sides[b"PLTE"] = palette
    if b"tRNS" in bodies:
        key = _key(png, bodies[b"tRNS"])
        if key is None:
            png.warnings.append(NOT_READ.format("tRNS"))
        else:
            png.sides[b"tRNS"] = key
    if b"iCCP" in bodies:
        name, _, packed = bodies[b"iCCP"].partition(b"\0")
        png.icc = _unpacked_side(packed[1:]) if name else None
        if not png.icc:
            png.warnings.append(NOT_READ.format("colour profile"))
    if b"gAMA" in bodies:
        value = int.from_bytes(bodies[b"gAMA"], "big") if len(bodies[b"gAMA"]) == 4 else 0
        if not 0 < value < 1 << 31:
            png.warnings.append(NOT_READ.format("gAMA"))
        elif not png.icc and b"sRGB" not in bodies:
            png.gamma = value / 100000
    for kind, length in {b"eXIf": None, b"acTL": 8, b"fcTL": 26}.items():
        if kind in bodies and length in (None, len(bodies[kind])):
            png.sides[kind] = bodies[kind]
    if b"acTL" not in png.sides:
        png.sides.pop(b"fcTL", None)
        png.frames = [chunk for chunk in png.frames if chunk.kind == b"IDAT"]


def _key(png: Png, body: bytes) -> bytes | None:
    """The transparent colour, or the alpha of the palette, as Pillow compares it; None for a damaged one."""
    if png.colour == 3:
        entries = len(png.sides[b"PLTE"]) // 3
        return body if 0 < len(body) <= entries else None
    count = {0: 1, 2: 3}.get(png.colour)
    if count is None or len(body) != 2 * count:
        return None
    top = (1 << png.depth) - 1
    # Samples of fewer than 8 bits come as 8.
    scale = 255 // top if png.depth < 8 else 1
    return struct.pack(f">{count}H", *((value & top) * scale for value in struct.unpack(f">{count}H", body)))
