"""What an AVIF says of itself: where the coded pixels are, and how many bits they have."""

from __future__ import annotations

import struct
from collections.abc import Iterator

CODED = b"av01"  # Kind of an item with pixels, or with alpha


def coded_parts(data: bytes) -> list[bytes]:
    """Return what the pixels and alpha are decoded from; all of the file where that is not said."""
    try:
        return list(_coded_items(data)) or [data]
    except (struct.error, IndexError):  # damaged
        return [data]


def stored_bits(data: bytes) -> int:
    """Return the bits per channel: 8, 10 or 12; the most, where the pictures in a file have several."""
    properties = dict(_boxes(_meta(data).get(b"iprp", b""))).get(b"ipco", b"")
    # A bit for more than 8, and one for 12 (AV1 Codec ISO Media File Format Binding).
    flags = [body[2] for kind, body in _boxes(properties) if kind == b"av1C" and len(body) > 2]
    return max((8 if not flag & 0x40 else 12 if flag & 0x20 else 10 for flag in flags), default=8)


def _meta(data: bytes) -> dict[bytes, bytes]:
    """Return the boxes with what is said of items."""
    return dict(_boxes(next((body[4:] for kind, body in _boxes(data) if kind == b"meta"), b"")))


def _coded_items(data: bytes) -> Iterator[bytes]:
    inner = _meta(data)
    coded = set(_coded_numbers(inner.get(b"iinf", b"")))
    for number, in_meta, places in _places(inner.get(b"iloc", b"")):
        home = inner.get(b"idat", b"") if in_meta else data
        if number in coded:
            yield from (home[start : start + length or None] for start, length in places)


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and content of each box."""
    place = 0
    while place + 8 <= len(data):
        length, head = int.from_bytes(data[place : place + 4], "big"), 8
        kind = data[place + 4 : place + 8]
        if length == 1:
            length, head = int.from_bytes(data[place + 8 : place + 16], "big"), 16
        end = place + length if length else len(data)
        if end < place + head:
            return
        yield kind, data[place + head : end]
        place = end


def _coded_numbers(body: bytes) -> Iterator[int]:
    """Yield the numbers of items with pixels, from the list of all items."""
    if not body:
        return
    for kind, entry in _boxes(body[6 if body[0] == 0 else 8 :]):
        if kind == b"infe" and entry[0] in (2, 3):
            width = 2 if entry[0] == 2 else 4
            if entry[6 + width : 10 + width] == CODED:
                yield int.from_bytes(entry[4 : 4 + width], "big")


def _places(body: bytes) -> Iterator[tuple[int, bool, list[tuple[int, int]]]]:
    """Yield number, whether its data stand among the metadata, and place and length of each part of it."""
    if not body:
        return
    version, at = body[0], 6
    sizes = body[4] >> 4, body[4] & 15, body[5] >> 4, body[5] & 15 if version else 0

    def take(width: int) -> int:
        nonlocal at
        at += width
        if at > len(body):
            raise IndexError
        return int.from_bytes(body[at - width : at], "big")

    offset_size, length_size, base_size, index_size = sizes
    wide = 4 if version == 2 else 2
    for _ in range(take(wide)):
        number = take(wide)
        method = take(2) & 15 if version else 0
        take(2)  # The file the data are in: this one
        base, places = take(base_size), []
        for _ in range(take(2)):
            take(index_size)
            start = base + take(offset_size)
            places.append((start, take(length_size)))
        yield number, method == 1, places
