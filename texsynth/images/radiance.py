"""Radiance HDR, PFM, and PPM of 16 bits: short formats that Pillow reads in part or not at all."""

import re
from typing import BinaryIO

import numpy as np

from texsynth.images.light import Samples, Unpacked
from texsynth.images.picture import NotReadError, Pixels

HDR_STARTS = (b"#?RADIANCE", b"#?RGBE")

LONGEST_HEADER = 1 << 16

SIZE = re.compile(rb"([-+])Y (\d{1,9}) ([-+])X (\d{1,9})\n")

PNM = re.compile(
    rb"(P[2356])(?:\s+|#[^\n]*\n)+(\d{1,9})(?:\s+|#[^\n]*\n)+(\d{1,9})(?:\s+|#[^\n]*\n)+(\d{1,5})\s"
)

PFM = re.compile(rb"(P[Ff])\s+(\d{1,9})\s+(\d{1,9})\s+([-+]?[0-9.eE+-]{1,20})\s")

RLE_WIDTHS = range(8, 32768)  # Of lines that are packed channel by channel


def parse(file: BinaryIO) -> Unpacked | None:
    """Read the header; None for a file of another format. ValueError: damage; NotReadError: a rare kind."""
    file.seek(0)
    head = file.read(LONGEST_HEADER)
    file.seek(0)
    if head.startswith(HDR_STARTS):
        return _hdr(head)
    if match := PFM.match(head):
        return _pfm(match)
    if (match := PNM.match(head)) and int(match[4]) > 255:
        return _pnm(match)
    return None


def _sized(width: int, height: int) -> tuple[int, int]:
    if not (0 < width < 1 << 31 and 0 < height < 1 << 31):
        raise ValueError("its size is missing or damaged")
    return width, height


def _hdr(head: bytes) -> Unpacked:
    text, mark, _ = head.partition(b"\n\n")
    size = SIZE.match(head, len(text) + 2) if mark else None
    if size is None:
        raise NotReadError("is a Radiance HDR that lies on its side or has no size; save it again")
    kind = re.search(rb"^FORMAT=(.*)$", text, re.MULTILINE)
    if kind and kind[1].strip() != b"32-bit_rle_rgbe":
        raise NotReadError(f"is a Radiance HDR of the kind {kind[1][:40].decode('latin-1')}; save it as RGB")
    shape, start = _sized(int(size[4]), int(size[2])), size.end()
    flips = slice(None, None, -1 if size[1] == b"+" else 1), slice(None, None, -1 if size[3] == b"-" else 1)

    def decode(data: bytes) -> Samples:
        width, height = shape
        rgbe = np.empty((height, width, 4), np.uint8)
        place = start
        for row in range(height):
            place = _line(data, place, rgbe[row])
        scale = np.ldexp(np.float32(1), rgbe[..., 3].astype(np.int32) - 136)
        scale[rgbe[..., 3] == 0] = 0
        # Ward's reader adds a half, since writers cut.
        light = (rgbe[..., :3] + np.float32(0.5)) * scale[..., None]
        return Samples(np.ascontiguousarray(light[flips]))

    return Unpacked("HDR", shape, decode)


def _line(data: bytes, place: int, line: Pixels) -> int:
    """Unpack one line, (W, 4) uint8, and return where the next begins."""
    width = len(line)
    start = data[place : place + 4]
    if width not in RLE_WIDTHS or start[:2] != b"\2\2" or len(start) < 4 or start[2] & 128:
        return _old_line(data, place, line)
    if start[2] << 8 | start[3] != width:
        raise ValueError("a line has another length")
    place += 4
    for channel in range(4):
        column = 0
        while column < width:
            count = data[place]
            run = count > 128
            count -= 128 if run else 0
            if count == 0 or column + count > width:
                raise ValueError("a line is too long")
            part = data[place + 1 : place + 2 if run else place + 1 + count]
            if len(part) != (1 if run else count):
                raise ValueError("the file ends early")
            line[column : column + count, channel] = part[0] if run else np.frombuffer(part, np.uint8)
            column += count
            place += 1 + len(part)
    return place


def _old_line(data: bytes, place: int, line: Pixels) -> int:
    """The same for a line without runs, or with those of the first version: pixels that repeat."""
    width, column, shift = len(line), 0, 0
    flat = np.frombuffer(data, np.uint8, min(width * 4, max(0, len(data) - place)), place)
    if len(flat) == width * 4 and not (flat.reshape(-1, 4)[:, :3] == 1).all(1).any():
        line[:] = flat.reshape(-1, 4)
        return place + width * 4
    while column < width:
        pixel = data[place : place + 4]
        if len(pixel) < 4:
            raise ValueError("the file ends early")
        place += 4
        if pixel[:3] == b"\1\1\1":
            count = pixel[3] << shift
            shift += 8
            if column == 0 or column + count > width or shift > 24:
                raise ValueError("a line is too long")
            line[column : column + count] = line[column - 1]
            column += count
        else:
            line[column] = np.frombuffer(pixel, np.uint8)
            column, shift = column + 1, 0
    return place


def _pfm(match: re.Match[bytes]) -> Unpacked:
    width, height = _sized(int(match[2]), int(match[3]))
    scale, channels, start = float(match[4]), 3 if match[1] == b"PF" else 1, match.end()
    if not np.isfinite(scale) or scale == 0:
        raise ValueError("its scale is no number")

    def decode(data: bytes) -> Samples:
        values = _values(data, "<f4" if scale < 0 else ">f4", width * height * channels, start)
        # The last row comes first.
        return Samples(np.ascontiguousarray(values.reshape(height, width, channels)[::-1], np.float32))

    return Unpacked("PFM", (width, height), decode)


def _pnm(match: re.Match[bytes]) -> Unpacked:
    width, height = _sized(int(match[2]), int(match[3]))
    top, channels, start = int(match[4]), 3 if match[1] in b"P3 P6" else 1, match.end()
    if top > 65535:
        raise ValueError("its largest value is above 65535")

    def decode(data: bytes) -> Samples:
        count, is_text = width * height * channels, match[1] in b"P2 P3"
        read = _words(data, count, start) if is_text else _values(data, ">u2", count, start)
        values = read.astype(np.uint32)
        if values.max() > top:
            raise ValueError("a value is above the largest that it names")
        deep = ((values * 65535 + top // 2) // top).astype(np.uint16)
        return Samples(deep.reshape(height, width, channels))

    return Unpacked("PPM", (width, height), decode, is_float=False)


def _values(data: bytes, kind: str, count: int, start: int) -> Pixels:
    if len(data) < start + count * np.dtype(kind).itemsize:
        raise ValueError("the file ends early")
    return np.frombuffer(data, kind, count, start)


def _words(data: bytes, count: int, start: int) -> Pixels:
    """Read whole numbers that are written as text, with remarks in between."""
    words = re.sub(rb"#[^\n]*", b"", data[start:]).split(None, count)[:count]
    if len(words) < count or not all(map(bytes.isdigit, words)):
        raise ValueError("the file ends early, or has something else than numbers")
    return np.array(words, "S9").astype(np.uint32)
