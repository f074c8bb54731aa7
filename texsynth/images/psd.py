"""The merged picture of a Photoshop file: of 8, 16 and 32 bits, and with alpha only where it is transparency.

Adobe Photoshop File Formats Specification. Pillow reads the other colour modes, at 8 bits.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from texsynth.images.light import Samples, Unpacked
from texsynth.images.picture import NotReadError, Pixels

SIGNATURE = b"8BPS\0\1"
CHANNELS = {1: 1, 3: 3}
"""Colour mode (grey, RGB) -> channels of its colours."""

PROFILE = 1039  # Number of the resource with the colour profile
DEPTHS: dict[int, np.dtype[Any]] = {8: np.dtype(np.uint8), 16: np.dtype(">u2"), 32: np.dtype(">f4")}
RAW, RLE = 0, 1
TRANSPARENT = (b"Mtrn", b"Mt16", b"Mt32")  # Blocks of files whose merged picture is transparent
LAYERS = (b"Lr16", b"Lr32")  # Blocks with the layers of files with more than 8 bits


@dataclass(frozen=True)
class _Header:
    channels: int
    height: int
    width: int
    depth: int
    mode: int


def parse(file: BinaryIO) -> Unpacked | None:
    """Read the header; None for a file of another format, or that Pillow is to read. ValueError: damage."""
    file.seek(0)
    start = file.read(26)
    file.seek(0)
    if not start.startswith(SIGNATURE) or len(start) < 26:
        return None
    header = _Header(*struct.unpack(">HIIHH", start[12:26]))
    if header.mode not in CHANNELS:
        if header.depth > 8:
            raise NotReadError(f"is a Photoshop file of {header.depth} bits that is not RGB; save it as RGB")
        return None
    if header.depth == 1 or header.channels < CHANNELS[header.mode]:
        return None
    if header.depth not in DEPTHS or not (0 < header.width < 1 << 31 and 0 < header.height < 1 << 31):
        raise ValueError("its header is damaged")
    return Unpacked(
        "PSD", (header.width, header.height), lambda data: _decode(data, header), header.depth > 16
    )


def _decode(data: bytes, header: _Header) -> Samples | Image.Image:
    _, place = _section(data, 26)  # Of palettes
    resources, place = _section(data, place)
    layers, place = _section(data, place)
    colours = CHANNELS[header.mode]
    has_alpha = header.channels > colours and _is_transparent(layers)
    planes = _planes(data, place, header, colours + has_alpha)
    icc = next((body for number, body in _resources(resources) if number == PROFILE), None)
    top = 1.0 if header.depth == 32 else float(2**header.depth - 1)
    values, alpha = planes[..., :colours], planes[..., -1] if has_alpha else None
    if alpha is not None:
        # Photoshop lays what is transparent over white.
        opacity = np.maximum(alpha.astype(np.float64), top / 65535)[..., None] / top
        bare = (values - top * (1 - opacity)) / opacity
        whole = header.depth != 32
        values = (bare.clip(0, top) + 0.5 if whole else bare).astype(values.dtype)
    if header.depth != 8:
        return Samples(values, alpha, icc)
    samples = values if alpha is None else np.dstack([values, alpha])
    image = Image.fromarray(np.ascontiguousarray(samples[..., 0] if samples.shape[2] == 1 else samples))
    image.info["icc_profile"] = icc
    return image


def _section(data: bytes, place: int) -> tuple[bytes, int]:
    """Return a part of the file that begins with its length, and where the next begins."""
    length = int.from_bytes(data[place : place + 4], "big")
    end = place + 4 + length
    if end > len(data) - 2:
        raise ValueError("the file ends early")
    return data[place + 4 : end], end


def _resources(part: bytes) -> Iterator[tuple[int, bytes]]:
    place = 0
    while part[place : place + 4] == b"8BIM" and place + 12 <= len(part):
        (number,) = struct.unpack_from(">H", part, place + 4)
        name = place + 6
        size_at = name + (1 + part[name] + 1) // 2 * 2
        size = int.from_bytes(part[size_at : size_at + 4], "big")
        yield number, part[size_at + 4 : size_at + 4 + size]
        place = size_at + 4 + size + size % 2


def _is_transparent(part: bytes) -> bool:
    """Tell whether the first channel after the colours says what can be seen, and is no stored selection."""
    if len(part) < 4:
        return False
    length = int.from_bytes(part[:4], "big")
    if length >= 2:
        return int.from_bytes(part[4:6], "big", signed=True) < 0
    place = 4 + length
    place += 4 + int.from_bytes(part[place : place + 4], "big")
    while part[place : place + 4] in (b"8BIM", b"8B64"):
        key, size = part[place + 4 : place + 8], int.from_bytes(part[place + 8 : place + 12], "big")
        if key in TRANSPARENT:
            return True
        if key in LAYERS:
            return int.from_bytes(part[place + 12 : place + 14], "big", signed=True) < 0
        place += 12 + (size + 3) // 4 * 4
    return False


def _planes(data: bytes, place: int, header: _Header, count: int) -> Pixels:
    """Unpack the first channels. Returns (H, W, count) uint8, uint16 or float32."""
    (packing,) = struct.unpack_from(">H", data, place)
    kind, place = DEPTHS[header.depth], place + 2
    width, height = header.width, header.height
    row = width * kind.itemsize
    if packing == RAW:
        stored = data[place : place + row * height * count]
        if len(data) < place + row * height * header.channels:
            raise ValueError("the file ends early")
    elif packing == RLE:
        sizes = np.frombuffer(data, ">u2", height * header.channels, place)
        place += 2 * len(sizes)
        end = place + int(sizes[: height * count].sum(dtype=np.int64))
        if place + int(sizes.sum(dtype=np.int64)) > len(data):
            raise ValueError("the file ends early")
        # A line has at least two bytes for each 128 it stands for.
        if (sizes[: height * count].astype(np.int64) * 64 < row).any():
            raise ValueError("a line is too short")
        stored = Image.frombytes("L", (row, height * count), data[place:end], "packbits", "L").tobytes()
    else:
        raise NotReadError("is a Photoshop file whose merged picture is packed in a rare way; save it again")
    planes = np.frombuffer(stored, kind).reshape(count, height, width)
    return np.ascontiguousarray(planes.transpose(1, 2, 0), kind.newbyteorder("="))
