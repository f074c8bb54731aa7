"""Markers of JPEG files, looked at before any library decodes them.

A decoder takes a file that ends early with an end mark for one of lower quality, and goes through the whole
picture for each of as many scans as a file names.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from mmap import mmap

from texsynth.images.picture import NotReadError

SOI, EOI, SOS = 0xD8, 0xD9, 0xDA
FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # Without a length

TEXTS = frozenset({*range(0xE0, 0xF0), 0xFE} - {0xEE})
"""Segments beside the pixels; one of Adobe's, 0xEE, says how colours are stored."""

MOST_SCANS = 100  # libvips has the same limit; encoders make about ten

MARKER = re.compile(rb"\xff+([^\x00\xff])", re.DOTALL)
MARKER_AFTER_PIXELS = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])", re.DOTALL)

LARGEST_CHECK = 1 << 26  # Pixels, each of which then takes eight bytes of memory

SEQUENTIAL = bytes((0, 63, 0))  # Coefficients of a scan that is not progressive

Bytes = bytes | mmap


@dataclass
class Jpeg:
    """What the markers say."""

    progressive: bool = False
    scans: int = 0
    left: dict[int, list[int]] = field(default_factory=dict)
    """Component -> bits of each coefficient that no scan has given yet; -1 for all."""
    frame: tuple[int, bytes] = (0, b"")  # Where the size and components stand, and what is there
    has_end: bool = False
    packets: list[bytes] = field(default_factory=list)  # Bodies of segments with XMP
    patches: dict[int, bytes] = field(default_factory=dict)
    """Where bytes stand that decoders complain about, though no pixel is wrong, and what they must be."""

    @property
    def fault(self) -> str:
        """What is missing; '' for nothing."""
        if not self.has_end:
            return "it is cut off"
        # The first coefficient of a block is its mean, without which there is nothing.
        if any(bits for rows in self.left.values() for bits in rows):
            return "it ends early"
        return ""


def parse(data: Bytes, *, to_pixels: bool = False) -> Jpeg:
    """Read the markers. to_pixels: only those before the pixels of a file that is not progressive.

    Raises NotReadError for too many scans.
    """
    jpeg = Jpeg()
    for kind, place, length in _segments(data):
        body = data[place : place + length]
        if kind in FRAMES and len(body) >= 6 and not jpeg.left:
            jpeg.progressive, jpeg.frame = kind in PROGRESSIVE, (place, body)
            count = 64 if jpeg.progressive else 1
            jpeg.left = {part: [-1] * count for part in body[6 : 6 + 3 * body[5] : 3]}
        elif kind == SOS and body:
            jpeg.scans += 1
            _add_scan(jpeg, body, place)
            if to_pixels and not jpeg.progressive:
                break
        elif kind == 0xE0 and body[:5] == b"JFIF\0" and body[5:6] != b"\1":
            jpeg.patches[place + 5] = b"\1"
        elif kind == 0xE1 and body.startswith(b"http://ns.adobe.com/x"):
            jpeg.packets.append(body)
        elif kind == 0xE2 and body.startswith(b"ICC_PROFILE\0"):
            jpeg.patches[place] = b"-"  # a profile that is read elsewhere
        elif kind == EOI:
            jpeg.has_end = True
    if jpeg.scans > MOST_SCANS:
        raise NotReadError(f"has {jpeg.scans} scans, more than the {MOST_SCANS} that are read; save it anew")
    return jpeg


def for_check(data: bytes, jpeg: Jpeg) -> bytes:
    """The file with components that no scan has, so that a decoder looks at what follows the last pixel.

    Where damaged data gives all pixels before its end, that is the only sign of it.
    """
    place, body = jpeg.frame
    components = len(jpeg.left)
    height, width = struct.unpack_from(">HH", body, 1) if body else (0, 0)
    if jpeg.progressive or jpeg.scans != 1 or components > 4 or height * width > LARGEST_CHECK:
        return data
    new = [number for number in range(256) if number not in jpeg.left][: max(1, 4 - components)]
    body = bytes([*body[:5], components + len(new), *body[6 : 6 + 3 * components]]) + b"".join(
        bytes([number, 0x11, body[8]]) for number in new
    )
    return data[: place - 2] + struct.pack(">H", len(body) + 2) + body + data[place + len(jpeg.frame[1]) :]


def coded_parts(data: bytes) -> Iterator[bytes]:
    """Yield what the pixels are decoded from: all but texts, profiles and the like."""
    start = 2
    for kind, place, length in _segments(data):
        if kind in TEXTS:
            yield data[start : place - 4]
            start = place + length
    yield data[start:]


def _segments(data: Bytes) -> Iterator[tuple[int, int, int]]:
    """Yield kind, place and length of the bodies of segments, up to the end mark."""
    place, pattern = 2, MARKER
    while mark := pattern.search(data, place):
        kind, place, pattern = mark[1][0], mark.end(), MARKER
        if kind == EOI:
            yield kind, place, 0
            return
        if kind in ALONE:
            continue
        if place + 2 > len(data):
            return
        (length,) = struct.unpack_from(">H", data, place)
        yield kind, place + 2, max(0, min(length - 2, len(data) - place - 2))
        place += max(length, 2)
        if kind == SOS:
            pattern = MARKER_AFTER_PIXELS


def _add_scan(jpeg: Jpeg, body: bytes, place: int) -> None:
    count = body[0]
    parts, tail = body[1 : 1 + 2 * count : 2], body[1 + 2 * count : 4 + 2 * count]
    if len(tail) < 3:
        return
    first, last, bits = tail
    if not jpeg.progressive:
        if tail != SEQUENTIAL:
            jpeg.patches[place + 1 + 2 * count] = SEQUENTIAL
        first, last, bits = 0, 0, 0
    for part in parts:
        rows = jpeg.left.get(part, [])
        for coefficient in range(first, min(last, len(rows) - 1) + 1):
            rows[coefficient] = bits & 15
