"""JPEG XL and JPEG 2000 of more than 8 bits, and of floats: all bits are read, white is white."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from helpers.image_files import linear_profile, smooth

from texsynth.errors import InputError
from texsynth.images import open_strips, probe, read
from texsynth.images.picture import Pixels
from texsynth.images.profiles import encoded as srgb

MISSING = find_spec("imagecodecs") is None or find_spec("pillow_jxl") is None
pytestmark = pytest.mark.skipif(MISSING, reason="needs imagecodecs and pillow-jxl-plugin")

KINDS = ("jp2", "j2k", "jxl")


def steps(bits: int, channels: int) -> Pixels:
    """From black to white, (48, 64, channels)."""
    ramp = np.linspace(0, 2**bits - 1, 48 * 64).reshape(48, 64, 1).round().astype(np.uint16)
    return np.concatenate([ramp, ramp[::-1], ramp[:, ::-1], ramp[::-1, ::-1]], 2)[..., :channels]


def encoded(values: Pixels, kind: str, bits: int) -> bytes:
    """A file without loss."""
    codec: Any = __import__("imagecodecs")
    stored = values if values.shape[2] > 1 else values[..., 0]
    if kind == "jxl":
        return bytes(codec.jpegxl_encode(stored, lossless=True, bitspersample=bits))
    return bytes(codec.jpeg2k_encode(stored, level=0, codecformat=kind, bitspersample=bits))


@pytest.mark.parametrize("bits", [10, 12, 16])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_all_bits_are_read_and_white_is_white(kind: str, bits: int, channels: int) -> None:
    values = steps(bits, channels)
    data = encoded(values, kind, bits)
    # The package calls all of more than 8 bits in JPEG XL linear, which is heeded otherwise.
    picture, top = read(data, as_data=True), 2**bits - 1
    expected = ((values.astype(int) * 65535 + top // 2) // top).astype(np.uint16)
    assert (picture.bit_depth, picture.grey) == (16, channels == 1)
    colours = expected[..., :3].repeat(3 if channels == 1 else 1, 2)
    assert np.array_equal(picture.rgb, colours)
    assert (picture.alpha is None) == (channels < 4)
    if picture.alpha is not None:
        assert np.array_equal(picture.alpha, expected[..., 3])
    header = probe(data)
    assert (header.width, header.height) == (64, 48)
    strips = np.concatenate([strip.rgb for strip in open_strips(data).rows(7)])
    assert np.array_equal(strips, read(data).rgb)
    if kind == "jxl":
        light = srgb(colours / 65535)
        assert np.abs(strips / 65535 - light).max() < 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_limits_hold_before_decoding_and_damage_is_told(kind: str) -> None:
    data = encoded(smooth(48, 64, 3, np.uint16), kind, 16)
    for look in (probe, read):
        with pytest.raises(InputError, match="max-pixels 99"):
            look(data, max_pixels=99)
    for share in (0.02, 0.3, 0.6, 0.97):
        with pytest.raises(InputError, match=r"damaged|not a picture"):
            read(data[: int(len(data) * share)])


def test_a_size_that_no_memory_holds_is_refused_from_the_header() -> None:
    data = bytearray(encoded(smooth(48, 64, 3, np.uint16), "j2k", 16))
    data[8:16] = b"\x7f\xff\xff\xff" * 2
    with pytest.raises(InputError, match="max-pixels"):
        read(bytes(data))


def test_kinds_that_are_not_read_are_named() -> None:
    data = bytearray(encoded(smooth(48, 64, 3, np.uint16), "jp2", 16))
    signed, odd = data.copy(), data.copy()
    size = data.index(b"\xff\x4f\xff\x51")
    for channel in range(3):
        signed[size + 42 + 3 * channel] |= 128
        odd[size + 43 + 3 * channel] = 2
    for kind in (signed, odd):
        with pytest.raises(InputError, match="is JPEG 2000 of a rare kind; save it"):
            read(bytes(kind))
    colours = data.index(b"colr")
    data[colours + 4 : colours + 11] = b"\1\0\0\0\0\0\x0c"
    with pytest.raises(InputError, match="neither RGB nor grey"):
        read(bytes(data))


def test_profiles_of_jpeg_2000_are_heeded() -> None:
    values = smooth(48, 64, 3, np.uint16)
    data = encoded(values, "jp2", 16)
    place = data.index(b"jp2h") - 4
    length = int.from_bytes(data[place : place + 4], "big")
    colours = data.index(b"colr") - 4
    old = int.from_bytes(data[colours : colours + 4], "big")
    icc = linear_profile()
    box = (11 + len(icc)).to_bytes(4, "big") + b"colr\2\0\0" + icc
    new = data[:colours] + box + data[colours + old :]
    new = new[:place] + (length - old + len(box)).to_bytes(4, "big") + new[place + 4 :]
    assert read(new).rgb.astype(int).mean() > values.mean() + 9000
    assert np.array_equal(read(new, as_data=True).rgb, values)


def test_floats_of_jpeg_xl_are_light() -> None:
    codec: Any = __import__("imagecodecs")
    light = (smooth(48, 64, 3) / 255).astype(np.float32) ** 2 * 4
    picture = read(bytes(codec.jpegxl_encode(light, lossless=True)))
    assert picture.is_float
    assert picture.highlights is not None
    assert picture.highlights.max() == pytest.approx(light.max(), rel=1e-5)


def test_without_the_package_there_are_8_bits_or_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    values = steps(16, 3)
    files = {kind: encoded(values, kind, 16) for kind in KINDS}
    grey = encoded(values[..., :1], "jxl", 16)
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    assert np.abs(read(files["jxl"], as_data=True).rgb.astype(int) * 257 - values).max() <= 257
    assert np.array_equal(read(grey, as_data=True).rgb[..., 0], values[..., 0])
    for kind in ("jp2", "j2k"):
        with pytest.raises(InputError, match=r"of 16 bits, which needs another package: pip install"):
            read(files[kind])
