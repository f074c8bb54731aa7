"""Damaged and hostile pictures are found before they are taken for whole, read whole or by strips."""

from __future__ import annotations

import io
import random
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
from helpers.image_files import chunk, deep_png, grey_profile, linear_profile, saved, smooth, tiff
from PIL import Image

from texsynth.errors import InputError, OutputError
from texsynth.images import check_sides, open_strips, probe, read, read_bytes, verify
from texsynth.images.picture import Pixels
from texsynth.images.profiles import deep_to_srgb, srgb_profile

SMALL = smooth(20, 24, 3)


def outcomes(data: bytes, path: Path, **options: Any) -> list[Pixels | str]:  # noqa: ANN401
    """What the three readers say: whole, by strips, and of a file by strips."""
    path.write_bytes(data)
    results: list[Pixels | str] = []
    for source in (None, data, path):
        try:
            if source is None:
                results.append(read(data, **options).rgb)
            else:
                results.append(np.concatenate([s.rgb for s in open_strips(source, **options).rows(5)]))
        except InputError as error:
            results.append(str(error))
    return results


def flipped(data: bytes, start: int, end: int, rng: random.Random) -> bytes:
    changed = bytearray(data)
    changed[rng.randrange(start, end)] ^= 1 << rng.randrange(8)
    return bytes(changed)


PNGS = {
    "rgb": saved(SMALL),
    "grey": saved(SMALL[..., :1]),
    "palette": saved(SMALL, mode="P"),
    "one bit": saved(SMALL[..., :1], mode="1"),
    "alpha": saved(SMALL, mode="RGBA"),
    "key": saved(SMALL, transparency=(1, 2, 3)),
    "16 bits": deep_png(smooth(20, 24, 3, np.uint16)),
    "interlaced": deep_png(smooth(20, 24, 1, np.uint16), interlace=True),
}


@pytest.mark.parametrize("kind", PNGS)
def test_a_flipped_bit_of_a_png_is_found(kind: str, tmp_path: Path) -> None:
    data, rng = PNGS[kind], random.Random(0)
    start = data.index(b"IDAT")
    for _ in range(20):
        damaged = flipped(data, start, len(data) - 12, rng)
        assert all(isinstance(result, str) for result in outcomes(damaged, tmp_path / "a.png"))
        with pytest.raises(InputError):
            verify(tmp_path / "a.png")


@pytest.mark.parametrize("kind", PNGS)
def test_pixels_that_are_others_than_their_checksum(kind: str) -> None:
    """The checksum of the chunk is right, that of the packed pixels is not."""
    data = PNGS[kind]
    start = data.index(b"IDAT")
    (length,) = struct.unpack(">I", data[start - 4 : start])
    body = bytearray(data[start + 4 : start + 4 + length])
    body[-1] ^= 1
    with pytest.raises(InputError, match="damaged or incomplete"):
        read(data[: start - 4] + chunk(b"IDAT", bytes(body)) + chunk(b"IEND", b""))


def test_a_file_that_lacks_its_last_byte(tmp_path: Path) -> None:
    for name, data in {"a.png": PNGS["rgb"], "a.jpg": saved(SMALL, "JPEG")}.items():
        assert all(isinstance(result, str) for result in outcomes(data[:-1], tmp_path / name))
        with pytest.raises(InputError, match="damaged"):
            verify(tmp_path / name)


SIDES = {
    "wrong length": chunk(b"gAMA", b"\0"),
    "zero": chunk(b"gAMA", bytes(4)),
    "wrong checksum": chunk(b"gAMA", struct.pack(">I", 100000))[:-1] + b"x",
    "damaged profile": chunk(b"iCCP", b"icc\0\0damaged"),
    "damaged text": chunk(b"zTXt", b"texsynth\0\0damaged"),
    "damaged key": chunk(b"tRNS", b"\0\1"),
    "damaged unknown": chunk(b"abCd", b"12")[:-1] + b"x",
}


@pytest.mark.parametrize("kind", SIDES)
@pytest.mark.parametrize("deep", [False, True])
def test_damage_beside_the_pixels_of_a_png_changes_none(kind: str, deep: bool, tmp_path: Path) -> None:
    data = PNGS["16 bits" if deep else "rgb"]
    for result in outcomes(data[:33] + SIDES[kind] + data[33:], tmp_path / "a.png"):
        assert np.array_equal(result, read(data).rgb)


@pytest.mark.parametrize("deep", [False, True])
def test_gamma_of_a_png_is_that_of_its_pixels(deep: bool, tmp_path: Path) -> None:
    data = PNGS["16 bits" if deep else "rgb"]
    linear = data[:33] + chunk(b"gAMA", struct.pack(">I", 100000)) + data[33:]
    top = 65535 if deep else 255
    expected = ((read(data).rgb / top) ** (1 / 2.2) * top + 0.5).astype(int)
    for result in outcomes(linear, tmp_path / "a.png"):
        assert np.abs(result - expected).max() <= 1
    usual = data[:33] + chunk(b"gAMA", struct.pack(">I", 45455)) + data[33:]
    named = linear[:33] + chunk(b"sRGB", b"\0") + linear[33:]
    for plain in (usual, named):
        assert np.array_equal(read(plain).rgb, read(data).rgb)
    assert np.array_equal(read(linear, as_data=True).rgb, read(data).rgb)


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_key_of_grey_at_every_depth(depth: int) -> None:
    top, key = (1 << depth) - 1, 1
    values = np.arange(16).reshape(2, 8) % (top + 1)
    bits = ((values[..., None] >> np.arange(depth)[::-1]) & 1).reshape(2, -1).astype(np.uint8)
    rows = np.pad(np.packbits(bits, 1), ((0, 0), (1, 0))).tobytes()
    header = struct.pack(">IIBB3x", 8, 2, depth, 0)
    parts = (
        chunk(b"IHDR", header) + chunk(b"tRNS", struct.pack(">H", key)) + chunk(b"IDAT", zlib.compress(rows))
    )
    picture = read(b"\x89PNG\r\n\x1a\n" + parts + chunk(b"IEND", b""))
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha == 0, values == key)
    assert np.array_equal(picture.rgb[..., 0], values * 255 // top)


def test_large_texts_and_profiles_of_a_png(tmp_path: Path) -> None:
    data = saved(SMALL)
    text = chunk(b"zTXt", b"workflow\0\0" + zlib.compress(bytes(1 << 21)))
    profile = srgb_profile() + bytes(1 << 21)
    profile = struct.pack(">I", len(profile)) + profile[4:]
    icc = chunk(b"iCCP", b"icc\0\0" + zlib.compress(profile))
    for more in (text, icc):
        for result in outcomes(data[:33] + more + data[33:], tmp_path / "a.png"):
            assert np.array_equal(result, SMALL)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_that_ends_early_with_an_end_mark(progressive: bool, mode: str, tmp_path: Path) -> None:
    data = saved(smooth(120, 90, 3), "JPEG", mode=mode, progressive=progressive)
    assert isinstance(read(data).rgb, np.ndarray)
    for share in (0.5, 0.9, 0.98):
        damaged = data[: int(len(data) * share)] + b"\xff\xd9"
        assert all(isinstance(result, str) for result in outcomes(damaged, tmp_path / "a.jpg"))


def test_noise_in_a_jpeg(tmp_path: Path) -> None:
    """All but the rarest noise leaves too few or too many pixels."""
    data = saved(smooth(200, 200, 3), "JPEG", quality=95)
    rng, taken = np.random.default_rng(0), 0
    for _ in range(20):
        start = int(rng.integers(700, len(data) - 300))
        noisy = data[:start] + rng.bytes(200) + data[start + 200 :]
        taken += not isinstance(outcomes(noisy, tmp_path / "a.jpg")[0], str)
    assert taken <= 1


def test_a_jpeg_that_only_its_markers_are_wrong_of() -> None:
    data = saved(SMALL, "JPEG")
    start = data.index(b"\xff\xda")
    end = start + 2 + struct.unpack(">H", data[start + 2 : start + 4])[0]
    odd = data[: end - 2] + b"\0" + data[end - 1 :]
    assert np.array_equal(read(odd).rgb, read(data).rgb)


def test_too_many_scans() -> None:
    data = saved(smooth(64, 64, 3), "JPEG", progressive=True)
    start = data.rindex(b"\xff\xda")
    hostile = data[:start] + data[start:-2] * 200 + data[-2:]
    for reader in (read, probe, open_strips):
        with pytest.raises(InputError, match="scans, more than the 100"):
            reader(hostile)


def with_tag(data: bytes, tag: int, value: int | None = None, count: int | None = None) -> bytes:
    """A TIFF of `tiff` with another value or number of values of a tag."""
    changed = bytearray(data)
    (start,) = struct.unpack_from("<I", data, 4)
    for place in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", data, start)[0], 12):
        if struct.unpack_from("<H", data, place)[0] == tag:
            if count is not None:
                struct.pack_into("<I", changed, place + 4, count)
            if value is not None:
                struct.pack_into("<I", changed, place + 8, value)
            return bytes(changed)
    raise AssertionError(tag)


def segment_tables(data: bytes, tag: int) -> tuple[int, int]:
    """Where the values of a tag stand, and how many."""
    (start,) = struct.unpack_from("<I", data, 4)
    for place in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", data, start)[0], 12):
        number, _, count, value = struct.unpack_from("<HHII", data, place)
        if number == tag:
            return value, count
    raise AssertionError(tag)


@pytest.mark.parametrize("compression", ["none", "deflate", "lzma"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_tiff_with_missing_or_more_strips(compression: str, dtype: type, tmp_path: Path) -> None:
    data = tiff(smooth(40, 30, 3, dtype), rows=8, compression=compression)
    faults = [with_tag(data, 279, count=2), with_tag(data, 273, count=2), with_tag(data, 278, value=1)]
    # More of them than the size says: more rows in each, or fewer in all.
    faults += [with_tag(data, 278, value=50), with_tag(data, 257, value=8)]
    for tag, number in ((273, 0), (273, 1 << 30), (279, 0)):
        table, count = segment_tables(data, tag)
        changed = bytearray(data)
        struct.pack_into("<I", changed, table + 4 * (count - 1), number)
        faults.append(bytes(changed))
    for fault in faults:
        results = outcomes(fault, tmp_path / "a.tif")
        assert all(isinstance(result, str) for result in results), results
        with pytest.raises(InputError):
            verify(tmp_path / "a.tif")


def test_a_flipped_bit_of_a_deflated_tiff(tmp_path: Path) -> None:
    data, rng = tiff(smooth(20, 24, 3), compression="deflate", rows=5), random.Random(0)
    (start,) = struct.unpack_from("<I", data, 4)
    for _ in range(40):
        damaged = flipped(data, 8, start, rng)
        assert all(isinstance(result, str) for result in outcomes(damaged, tmp_path / "a.tif"))


@pytest.mark.parametrize(
    ("tag", "value", "reason"),
    [
        (339, 2, "signed pixels"),
        (339, 3, "floating-point pixels"),  # of 8 bits
        (262, 8, "Lab pixels"),
        (262, 4, "colours of kind 4"),
    ],
)
def test_tiffs_that_are_not_read_say_why(tag: int, value: int, reason: str) -> None:
    data = saved(SMALL[..., :1], "TIFF", tiffinfo={339: 1})
    with pytest.raises(InputError, match=reason):
        read(with_tag(data, tag, value))


def test_layers_of_a_tiff() -> None:
    data = saved(SMALL[..., :1], "TIFF", tiffinfo={32997: 5000})
    for reader in (read, probe, open_strips):
        with pytest.raises(InputError, match="ImageDepth"):
            reader(data)


def test_a_palette_of_a_tiff() -> None:
    image = Image.fromarray(SMALL).quantize(16)
    data = io.BytesIO()
    image.save(data, "TIFF")
    assert np.array_equal(read(data.getvalue()).rgb, np.asarray(image.convert("RGB")))


def test_every_page_and_frame_is_held_against_the_limit() -> None:
    pages = tiff(smooth(4, 4, 3), smooth(30, 30, 3))
    for reader in (read, probe, open_strips):
        assert reader(pages, frame=0, max_pixels=100)
        with pytest.raises(InputError, match="30 x 30 = 900 pixels, more than"):
            reader(pages, frame=1, max_pixels=100)


def test_many_pages(tmp_path: Path) -> None:
    pages = tiff(*[np.full((1, 1, 1), number % 256, np.uint8) for number in range(2000)])
    (tmp_path / "a.tif").write_bytes(pages)
    for source in (pages, tmp_path / "a.tif"):
        assert probe(source, frame=3).frames == 2000
        assert read(source, frame=1999).rgb[0, 0, 0] == 1999 % 256
        assert next(open_strips(source, frame=1998).rows(1)).rgb[0, 0, 0] == 1998 % 256


def test_verification_has_a_limit(tmp_path: Path) -> None:
    for name, kind in {"a.png": "PNG", "a.tif": "TIFF", "a.jpg": "JPEG"}.items():
        (tmp_path / name).write_bytes(saved(SMALL, kind))
        verify(tmp_path / name, max_pixels=SMALL.shape[0] * SMALL.shape[1])
        with pytest.raises(InputError, match="more than --max-pixels 9"):
            verify(tmp_path / name, max_pixels=9)


def test_the_size_of_a_file_is_asked_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with path.open("wb") as file:
        file.write(PNGS["rgb"])
        file.truncate(1 << 40)
    with pytest.raises(InputError, match="bytes, more than"):
        read(path)
    with pytest.raises(InputError, match="bytes, more than"):
        read_bytes(path)


@pytest.mark.parametrize("kind", ["rgb", "16 bits", "interlaced", "palette"])
def test_what_is_left_of_a_png(kind: str) -> None:
    data = PNGS[kind]
    cut = data[: data.index(b"IDAT") + (len(data) - data.index(b"IDAT")) // 2]
    picture = read(cut, lenient=True)
    assert picture.rgb.shape[:2] == (20, 24)
    assert any("read in part" in warning for warning in picture.warnings)
    if kind != "interlaced":
        assert np.array_equal(picture.rgb[:3], read(data).rgb[:3])
        assert np.array_equal(open_strips(cut, lenient=True).kind.rgb, picture.rgb)


def test_what_is_left_of_a_jpeg_and_a_tiff() -> None:
    data = saved(smooth(120, 90, 3), "JPEG")
    picture = read(data[: len(data) // 2], lenient=True)
    assert np.array_equal(picture.rgb[:16], read(data).rgb[:16])
    assert any("read in part" in warning for warning in picture.warnings)
    pixels = smooth(20, 24, 3, np.uint16)
    for compression in ("none", "deflate"):
        data = tiff(pixels, rows=5, compression=compression)
        table, _ = segment_tables(data, 273)
        changed = bytearray(data)
        struct.pack_into("<I", changed, table + 4, 0)
        picture = read(bytes(changed), lenient=True)
        assert np.array_equal(picture.rgb[:5], pixels[:5])
        assert not picture.rgb[5:10].any()
        assert np.array_equal(picture.rgb[10:], pixels[10:])


def test_16_bit_profiles_follow_their_formula() -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    light = values / 65535
    expected = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    for pixels, profile in ((np.dstack([values] * 3), linear_profile()), (values[..., None], grey_profile())):
        rgb, warnings = deep_to_srgb(pixels, profile)
        assert not warnings
        assert np.abs(rgb / 65535 - expected[..., None]).max() < 0.1 / 255


@pytest.mark.parametrize(("name", "longest"), [("WEBP", 16383), ("JPEG", 65500), ("PNG", 1 << 20)])
def test_sides_that_a_format_can_count(name: str, longest: int) -> None:
    check_sides(longest, 1, name)
    if name != "PNG":
        with pytest.raises(OutputError, match=f"at most {longest} pixels"):
            check_sides(1, longest + 1, name)


def test_nothing_is_logged_inside_libvips(caplog: pytest.LogCaptureFixture) -> None:
    """A garbage collection there has ended the process."""
    data = saved(SMALL, "JPEG")
    with caplog.at_level("INFO", "pyvips"):
        for place in range(len(data) - 60, len(data) - 20, 8):
            with suppress(InputError):
                read(data[:place] + b"\xff\xd0" + data[place:])
    assert not caplog.records


def test_libtiff_is_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    data = tiff(smooth(20, 24, 3), compression="lzma")
    changed = bytearray(data)
    changed[20:60] = bytes(40)
    with pytest.raises(InputError):
        read(bytes(changed))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("BMP", "RGB", {}),
        ("BMP", "P", {}),
        ("BMP", "1", {}),
        ("GIF", "P", {}),
        ("TIFF", "RGB", {"compression": "tiff_lzw"}),
        ("TIFF", "P", {"compression": "tiff_lzw"}),
        ("TIFF", "L", {"compression": "tiff_lzw"}),
    ],
)
def test_what_only_decoding_tells_is_read_in_part(kind: str, mode: str, options: dict[str, str]) -> None:
    """At least a third of the pixels is right, and the rest is nothing of the memory."""
    data = bytearray(saved(smooth(60, 80, 3), kind, mode, **options))
    whole = read(bytes(data)).rgb
    if kind == "TIFF":
        data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    else:
        data = data[: len(data) * 2 // 3]
    with pytest.raises(InputError, match="damaged"):
        read(bytes(data))
    first, second = (read(bytes(data), lenient=True) for _ in range(2))
    assert "read in part" in first.warnings[-1]
    assert first.rgb.shape == whole.shape
    assert (first.rgb == whole).all(-1).mean() > 1 / 3
    assert np.array_equal(first.rgb, second.rgb)


def test_a_tile_that_cannot_be_decoded(tmp_path: Path) -> None:
    image = pyvips.Image.new_from_memory(SMALL.tobytes(), 24, 20, 3, "uchar").copy(interpretation="srgb")
    data = bytes(image.tiffsave_buffer(tile=True, tile_width=16, tile_height=16, compression="lzw"))
    assert all(np.array_equal(pixels, SMALL) for pixels in outcomes(data, tmp_path / "a.tif"))
    start = image_offset(data)
    changed = data[:start] + b"\xff" * 200 + data[start + 200 :]
    assert all(isinstance(one, str) for one in outcomes(changed, tmp_path / "a.tif"))


def image_offset(data: bytes) -> int:
    """Where the first tile of a TIFF is."""
    with Image.open(io.BytesIO(data)) as image:
        return int(image.tag_v2[324][0])  # type: ignore[attr-defined]
