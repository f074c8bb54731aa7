"""TIFF files of plain pixels: 8 bits, or floats, which PNG cannot hold."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

SHORT, LONG = 3, 4  # Kinds of values in a directory

STRAIGHT = 2  # Opacity that has not been multiplied into the colours


def write_tiff(path: Path, pixels: np.ndarray[Any, Any]) -> None:
    """Write pixels, (H, W, 1, 3 or 4) uint8 or float32 from the top; the fourth channel is opacity.

    Floats are linear light, bytes sRGB. Raises OSError.
    """
    height, width, channels = pixels.shape
    data = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<")).tobytes()
    bits, is_float = 8 * pixels.dtype.itemsize, pixels.dtype.kind == "f"
    tags: list[tuple[int, int, list[int]]] = [
        (256, LONG, [width]),
        (257, LONG, [height]),
        (258, SHORT, [bits] * channels),
        (259, SHORT, [1]),  # No compression
        (262, SHORT, [1 if channels == 1 else 2]),  # Grey from black, or RGB
        (273, LONG, [8]),  # Where the pixels begin
        (277, SHORT, [channels]),
        (278, LONG, [height]),
        (279, LONG, [len(data)]),
        *([(338, SHORT, [STRAIGHT])] if channels == 4 else []),
        (339, SHORT, [3 if is_float else 1] * channels),
    ]
    begin = 8 + len(data) + len(data) % 2
    end = begin + 2 + 12 * len(tags) + 4
    directory, beside = struct.pack("<H", len(tags)), b""
    for tag, kind, values in tags:
        packed = struct.pack(f"<{len(values)}{'H' if kind == SHORT else 'L'}", *values)
        if len(packed) > 4:  # Longer values stand behind the directory
            packed, beside = struct.pack("<L", end + len(beside)), beside + packed
        directory += struct.pack("<HHL", tag, kind, len(values)) + packed.ljust(4, b"\0")
    with path.open("xb") as file:
        file.write(b"II*\0" + struct.pack("<L", begin) + data + b"\0" * (len(data) % 2))
        file.write(directory + struct.pack("<L", 0) + beside)
