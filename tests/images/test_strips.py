"""Pictures read by strips: the same pixels, and the same errors, as reading them whole."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import zlib
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from helpers.image_files import (
    SIZES,
    check,
    chunk,
    deep_png,
    grey_profile,
    linear_profile,
    saved,
    smooth,
    tiff,
)
from PIL import Image

from texsynth.errors import InputError
from texsynth.images import file_sha256, open_strips, read
from texsynth.images.profiles import srgb_profile
from texsynth.images.vips import BAND_BYTES, has_small_segments, reads_tiff


def test_numbers_of_tags_may_have_one_byte() -> None:
    """Pillow gives such numbers as bytes, those of two and more as integers."""
    for tags in ({256: 16, 257: 12, 278: 4, 277: 3}, {256: 16, 257: 12, 322: 16, 323: 16}):
        short = {tag: bytes([value]) for tag, value in tags.items()}
        for ask in (reads_tiff, has_small_segments):
            assert ask(short) == ask(tags)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_png_of_8_bits(size: tuple[int, int], mode: str) -> None:
    check(saved(smooth(*size, 3), mode=mode))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_of_16_bits(size: tuple[int, int], channels: int) -> None:
    pixels = smooth(*size, channels, np.uint16)
    check(deep_png(pixels))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_png_palettes(bits: int) -> None:
    image = Image.fromarray(smooth(30, 21, 3)).quantize(2**bits)
    for options in ({}, {"transparency": 0}, {"transparency": bytes([0, 90])}):
        buffer = io.BytesIO()
        image.save(buffer, format="PNG", bits=bits, **options)
        check(buffer.getvalue())


def test_png_that_is_read_as_a_whole() -> None:
    pixels = smooth(30, 21, 3)
    check(saved(pixels, transparency=tuple(int(v) for v in pixels[3, 4])), whole=True)
    check(saved(pixels[..., :1], transparency=int(pixels[3, 4, 0])), whole=True)
    data = bytearray(saved(np.full((1, 1, 3), 7, np.uint8)))
    data[28:33] = b"\1" + chunk(b"IHDR", bytes(data[16:28]) + b"\1")[-4:]
    check(bytes(data), whole=True)


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_turned_pictures(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    for kind in ("PNG", "JPEG", "TIFF"):
        check(saved(smooth(9, 20, 3), kind, exif=exif), whole=orientation > 1)
    plain = saved(smooth(9, 20, 3))
    late = plain[:-12] + chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")) + plain[-12:]
    check(late, whole=orientation > 1)
    xmp = f'<x tiff:Orientation="{orientation}"/>'.encode()
    check(
        plain[:-12] + chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp) + plain[-12:],
        whole=orientation > 1,
    )
    check(plain[:-12] + chunk(b"tEXt", b"date:create\0now") + plain[-12:])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_jpeg(size: tuple[int, int], subsampling: str) -> None:
    for channels, quality in ((3, 40), (3, 95), (1, 80)):
        check(saved(smooth(*size, channels), "JPEG", subsampling=subsampling, quality=quality))


def test_other_kinds_are_read_as_a_whole() -> None:
    pixels = smooth(9, 20, 3)
    check(saved(pixels, "JPEG", progressive=True), whole=True)
    check(saved(pixels, "JPEG", mode="CMYK"), whole=True)
    for kind in ("WEBP", "GIF", "BMP"):
        check(saved(pixels, kind), whole=True)
    check(saved(pixels, "JPEG", keep_rgb=True))


@pytest.mark.parametrize(
    ("size", "dtype", "channels"),
    [
        *product((size for size in SIZES if size[0] < 1000), (np.uint8, np.uint16), (1, 3, 4)),
        # Its strips are many, whatever is in them.
        pytest.param((4000, 1), np.uint16, 3, marks=pytest.mark.slow),
    ],
)
def test_tiff_layouts(size: tuple[int, int], dtype: type, channels: int) -> None:
    pixels = smooth(*size, channels, dtype)
    for compression in ("none", "deflate"):
        for layout in ({}, {"rows": 4}, {"tile": (16, 32)}):
            check(tiff(pixels, compression=compression, **layout))
    for compression in ("tiff_lzw", "packbits"):
        if dtype == np.uint8:
            check(saved(pixels, "TIFF", compression=compression))
    check(tiff(pixels, compression="deflate", predictor=True, tile=(16, 16)))
    check(tiff(pixels, order=">", rows=3))
    check(tiff(pixels, big=True))
    if channels > 1:
        check(tiff(pixels, planar=True, rows=3))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_other_tiffs(dtype: type) -> None:
    pixels = smooth(40, 21, 4, dtype)
    check(tiff(pixels[..., :1], photometric=0, rows=6))
    check(tiff(pixels, extra=[1], rows=6), whole=True)
    check(tiff(pixels, extra=[0]), whole=dtype == np.uint8)
    check(tiff(pixels, compression="lzma", rows=6), whole=True)
    check(tiff(pixels, tile=(512, 512)), whole=True)
    pages = tiff(pixels[:9, :, :3], pixels[9:, :, :3], rows=5)
    for frame in (0, 1):
        check(pages, frame=frame)


def test_frames_of_a_png() -> None:
    pixels = smooth(9, 8, 3)
    data = saved(pixels, save_all=True, append_images=[Image.fromarray(pixels[::-1])])
    for frame in (0, 1):
        check(data, frame=frame, whole=True)


def test_one_large_segment_is_read_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    assert BAND_BYTES > 1 << 20
    monkeypatch.setattr("texsynth.images.vips.BAND_BYTES", 60 * 47 * 3 - 1)
    check(tiff(smooth(60, 47, 3), compression="deflate", rows=60), whole=True)
    check(tiff(smooth(60, 47, 3), rows=60))


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["linear", "grey", "damaged", "srgb"])
def test_profiles(profile: str) -> None:
    icc = {
        "linear": linear_profile(),
        "grey": grey_profile(),
        "damaged": b"not a profile",
        "srgb": srgb_profile(),
    }[profile]
    for channels in (1, 2, 3, 4):
        eight, deep = smooth(30, 21, channels), smooth(30, 21, channels, np.uint16)
        check(saved(eight, icc_profile=icc))
        if channels in (1, 3):
            check(saved(eight, "JPEG", icc_profile=icc))
        check(tiff(eight, icc=icc, rows=8))
        tagged = deep_png(deep, (b"iCCP", b"x\0\0" + zlib.compress(icc)))
        check(tagged)
        if channels != 2:  # which Pillow does not know
            check(tiff(deep, icc=icc, rows=8))
        is_used = profile == "linear" or (profile == "grey" and channels < 3)
        assert np.array_equal(read(tagged).rgb, read(deep_png(deep)).rgb) != is_used
        ignored = profile == "damaged" or (profile == "grey" and channels > 2)
        assert bool(read(tagged).warnings) == ignored


@pytest.mark.parametrize("kind", ["PNG", "deep PNG", "JPEG", "TIFF", "zlib TIFF", "WEBP"])
def test_damage_is_one_sentence(tmp_path: Path, kind: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (300, 200, 3), np.uint8)
    data = {
        "PNG": lambda: saved(pixels),
        "deep PNG": lambda: deep_png(pixels.astype(np.uint16) * 255),
        "JPEG": lambda: saved(pixels, "JPEG"),
        "TIFF": lambda: saved(pixels, "TIFF"),
        "zlib TIFF": lambda: tiff(pixels, compression="deflate", rows=9),
        "WEBP": lambda: saved(pixels, "WEBP"),
    }[kind]()
    path = tmp_path / "bad[1].png"
    path.write_bytes(data)
    check(path, whole=kind == "WEBP")
    cut = data[: len(data) * 2 // 3]
    path.write_bytes(cut)
    for source in (path, cut):
        with pytest.raises(InputError, match=r"is (damaged|not a)") as caught:
            list(open_strips(source, name="bad").rows(16))
        assert "\n" not in str(caught.value)
        assert str(caught.value).startswith("bad ")


def test_refused_before_decoding(tmp_path: Path) -> None:
    data = saved(smooth(30, 20, 3))
    for source, options, message in (
        (data, {"max_pixels": 599}, "more than --max-pixels 599"),
        (tmp_path / "none.png", {}, "does not exist"),
        (b"text", {}, "not a picture"),
        (
            saved(smooth(3, 2, 3), "GIF", save_all=True, append_images=[Image.new("RGB", (2, 3))]),
            {},
            "2 frames",
        ),
    ):
        with pytest.raises(InputError, match=message):
            open_strips(source, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["1", "RGB"])
def test_values_that_are_no_colours(mode: str) -> None:
    """A profile says nothing of them."""
    data = saved(smooth(30, 21, 3), mode=mode, icc_profile=linear_profile())
    strips, whole = open_strips(data, as_data=True), read(data, as_data=True)
    assert not strips.whole
    assert np.array_equal(np.concatenate([part.rgb for part in strips.rows(7)]), whole.rgb)
    for part in strips.rows(7):
        assert (part.is_data, part.one_bit) == (whole.is_data, whole.one_bit) == (True, mode == "1")


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    for side in (9, 9, 12):
        (tmp_path / "a.png").write_bytes(saved(smooth(side, side, 3)[::-1] + np.uint8(side)))
        check(tmp_path / "a.png")


def test_file_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc" * 100000)
    expected = hashlib.sha256(b"abc" * 100000).hexdigest()
    assert file_sha256(tmp_path / "a") == file_sha256(b"abc" * 100000) == expected
    with pytest.raises(InputError, match="does not exist"):
        file_sha256(tmp_path / "b")


def test_a_start_does_not_load_libvips() -> None:
    code = "import sys, texsynth.images; sys.exit(int('pyvips' in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
