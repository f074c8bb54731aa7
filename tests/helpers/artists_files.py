"""Files of formats that Pillow does not write."""

from __future__ import annotations

import struct

from texsynth.images.picture import Pixels


def psd(pixels: Pixels, *, packed: bool = False, layers: int = 0, icc: bytes = b"") -> bytes:
    """Merged picture of (H, W, C) uint8, uint16 or float32, with the number of layers that files have."""
    height, width, channels = pixels.shape
    kind = pixels.dtype.newbyteorder(">")
    depth, mode = pixels.dtype.itemsize * 8, 1 if channels < 3 else 3
    resource = (
        struct.pack(">4sHHI", b"8BIM", 1039, 0, len(icc)) + icc + b"\0" * (len(icc) % 2) if icc else b""
    )
    layer = struct.pack(">Ih", 2, layers) if layers else b""
    data = b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", channels, height, width, depth, mode) + bytes(4)
    data += struct.pack(">I", len(resource)) + resource + struct.pack(">I", len(layer)) + layer
    lines = [row.tobytes() for plane in pixels.transpose(2, 0, 1).astype(kind) for row in plane]
    if not packed:
        return data + b"\0\0" + b"".join(lines)
    # As runs of literal bytes.
    packs = [b"".join(bytes([len(c) - 1]) + c for c in parts(line)) for line in lines]
    return data + b"\0\1" + struct.pack(f">{len(packs)}H", *map(len, packs)) + b"".join(packs)


def parts(line: bytes) -> list[bytes]:
    return [line[at : at + 128] for at in range(0, len(line), 128)]


def hdr(rgbe: Pixels, *, packed: bool = False) -> bytes:
    """Radiance file of (H, W, 4) uint8."""
    height, width, _ = rgbe.shape
    start = f"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y {height} +X {width}\n".encode()
    if not packed:
        return start + rgbe.tobytes()
    line = struct.pack(">BBH", 2, 2, width)
    return start + b"".join(
        line + b"".join(b"".join(bytes([128 + 1]) + bytes([v]) for v in row[:, c]) for c in range(4))
        for row in rgbe
    )


def pfm(light: Pixels, order: str = "<") -> bytes:
    height, width, channels = light.shape
    scale = -1 if order == "<" else 1
    start = f"{'PF' if channels == 3 else 'Pf'}\n{width} {height}\n{scale}.0\n".encode()
    return start + light[::-1].astype(f"{order}f4").tobytes()


def ppm(pixels: Pixels, top: int = 65535) -> bytes:
    height, width, channels = pixels.shape
    start = f"P{6 if channels == 3 else 5}\n# a comment\n{width} {height}\n{top}\n".encode()
    return start + pixels.astype(">u2").tobytes()
