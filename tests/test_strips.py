"""Pictures by strips: the same pixels as reading and writing them whole, and far less memory."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin
from test_images import chunk, linear_profile

from texsynth.errors import InputError, OutputError
from texsynth.images import (
    Picture,
    StripWriter,
    embedded_settings,
    encode,
    file_sha256,
    open_strips,
    placed,
    read,
    sidecar,
    write,
)
from texsynth.images.picture import Pixels
from texsynth.images.png import filtered
from texsynth.images.tiff import BAND_BYTES

SIZES = [(1, 1), (1, 4000), (4000, 1), (5, 3), (60, 47)]


def smooth(height: int, width: int, channels: int, dtype: type = np.uint8) -> Pixels:
    """Waves and noise, so that every PNG filter is the best somewhere."""
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(0).integers(0, 9, (height, width, channels))
    wave = 110 + 90 * np.sin(x / 9)[..., None] * np.cos(y / 7)[..., None] + noise + 5 * np.arange(channels)
    values = wave if dtype == np.uint8 else wave * 256 + noise * 29
    return np.asarray(values, dtype)


def saved(pixels: Pixels, kind: str = "PNG", mode: str | None = None, **options: Any) -> bytes:  # noqa: ANN401
    buffer = io.BytesIO()
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    (image.convert(mode) if mode else image).save(buffer, format=kind, **options)
    return buffer.getvalue()


def tiff(pixels: Pixels, **options: Any) -> bytes:  # noqa: ANN401
    buffer = io.BytesIO()
    options = {"photometric": "rgb" if pixels.shape[2] >= 3 else "minisblack", "metadata": None} | options
    if pixels.shape[2] in (2, 4):
        options = {"extrasamples": ["unassalpha"]} | options
    tifffile.imwrite(buffer, pixels[..., 0] if pixels.shape[2] == 1 else pixels, **options)
    return buffer.getvalue()


def same(one: Picture, other: Picture) -> bool:
    """Equal in everything, bit for bit."""
    assert replace(one, rgb=0, alpha=None) == replace(other, rgb=0, alpha=None)  # type: ignore[arg-type]
    assert (one.rgb.dtype, one.alpha is None) == (other.rgb.dtype, other.alpha is None)
    no_alpha = one.alpha is None or other.alpha is None
    return np.array_equal(one.rgb, other.rgb) and (no_alpha or np.array_equal(one.alpha, other.alpha))  # type: ignore[arg-type]


def check(source: Path | bytes, *, whole: bool = False, frame: int | None = None) -> None:
    """Strips of any height are the rows of the whole picture."""
    picture = read(source, frame=frame)
    with open_strips(source, frame=frame) as strips:
        assert strips.whole == whole
        assert (strips.width, strips.height) == (picture.width, picture.height)
        assert (strips.bit_depth, strips.grey) == (picture.bit_depth, picture.grey)
        assert strips.has_alpha == (picture.alpha is not None)
        assert (strips.warnings, strips.source_format) == (picture.warnings, picture.source_format)
        for count in (1, 7, 5000):
            top = 0
            for strip in strips.rows(count):
                part = slice(top, top + count)
                alpha = None if picture.alpha is None else picture.alpha[part]
                assert same(strip, replace(picture, rgb=picture.rgb[part], alpha=alpha))
                top += strip.height
            assert top == picture.height


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_png_of_8_bits(size: tuple[int, int], mode: str) -> None:
    check(saved(smooth(*size, 3), mode=mode))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_of_16_bits(size: tuple[int, int], channels: int) -> None:
    pixels = smooth(*size, channels, np.uint16)
    check(bytes(imagecodecs.png_encode(pixels if channels > 1 else pixels[..., 0])))


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
    check(late, whole=True)
    xmp = f'<x tiff:Orientation="{orientation}"/>'.encode()
    check(plain[:-12] + chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp) + plain[-12:], whole=True)
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


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_tiff_layouts(size: tuple[int, int], dtype: type, channels: int) -> None:
    pixels = smooth(*size, channels, dtype)
    for compression in (None, "lzw", "zlib", "packbits", "zstd"):
        for layout in ({}, {"rowsperstrip": 4}, {"tile": (16, 32)}):
            check(tiff(pixels, compression=compression, **layout))
    check(tiff(pixels, compression="zlib", predictor=True, tile=(16, 16)))
    check(tiff(pixels, byteorder=">", rowsperstrip=3))
    check(tiff(pixels, bigtiff=True))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_other_tiffs(dtype: type) -> None:
    pixels = smooth(40, 21, 4, dtype)
    check(tiff(pixels[..., :1], photometric="miniswhite", rowsperstrip=6))
    check(tiff(pixels, extrasamples=["assocalpha"], rowsperstrip=6), whole=dtype == np.uint8)
    check(tiff(pixels, extrasamples=["unspecified"]), whole=True)
    planes = np.ascontiguousarray(np.moveaxis(pixels[..., :3], 2, 0))
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, planes, photometric="rgb", planarconfig="separate")
    check(buffer.getvalue(), whole=True)
    pages = io.BytesIO()
    with tifffile.TiffWriter(pages) as writer:
        for page in (pixels[:9, :, :3], pixels[9:, :, :3]):
            writer.write(page, photometric="rgb", rowsperstrip=5)
    for frame in (0, 1):
        check(pages.getvalue(), frame=frame)


def test_one_large_segment_is_read_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    assert BAND_BYTES > 1 << 20
    monkeypatch.setattr("texsynth.images.tiff.BAND_BYTES", 60 * 47 * 3 - 1)
    check(tiff(smooth(60, 47, 3), compression="zlib", rowsperstrip=60), whole=True)
    check(tiff(smooth(60, 47, 3), rowsperstrip=60))


@pytest.mark.parametrize("profile", ["linear", "grey", "damaged", "srgb"])
def test_profiles(profile: str) -> None:
    icc = {
        "linear": linear_profile(),
        "grey": bytes(imagecodecs.cms_profile("gray", whitepoint=(0.3127, 0.329, 1), gamma=1.0)),
        "damaged": b"not a profile",
        "srgb": bytes(imagecodecs.cms_profile("srgb")),
    }[profile]
    for channels in (1, 2, 3, 4):
        eight, deep = smooth(30, 21, channels), smooth(30, 21, channels, np.uint16)
        check(saved(eight, icc_profile=icc))
        if channels in (1, 3):
            check(saved(eight, "JPEG", icc_profile=icc))
        check(tiff(eight, iccprofile=icc, rowsperstrip=8))
        if channels != 2:  # which Pillow does not know
            check(tiff(deep, iccprofile=icc, rowsperstrip=8))
        data = bytes(imagecodecs.png_encode(deep if channels > 1 else deep[..., 0]))
        tagged = saved(eight, icc_profile=icc)
        start = tagged.index(b"iCCP") - 4
        check(
            data[:33]
            + tagged[start : start + 12 + int.from_bytes(tagged[start : start + 4], "big")]
            + data[33:]
        )


@pytest.mark.parametrize("kind", ["PNG", "deep PNG", "JPEG", "TIFF", "zlib TIFF", "WEBP"])
def test_damage_is_one_sentence(tmp_path: Path, kind: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (300, 200, 3), np.uint8)
    data = {
        "PNG": lambda: saved(pixels),
        "deep PNG": lambda: bytes(imagecodecs.png_encode(pixels.astype(np.uint16) * 255)),
        "JPEG": lambda: saved(pixels, "JPEG"),
        "TIFF": lambda: saved(pixels, "TIFF"),
        "zlib TIFF": lambda: tiff(pixels, compression="zlib", rowsperstrip=9),
        "WEBP": lambda: saved(pixels, "WEBP"),
    }[kind]()
    path = tmp_path / "bad[1].png"
    path.write_bytes(data)
    check(path, whole=kind == "WEBP")
    cut = data[: len(data) * 2 // 3]
    path.write_bytes(cut)
    for source in (path, cut):
        with (
            pytest.raises(InputError, match=r"is (damaged|not a)") as caught,
            open_strips(source, name="bad") as strips,
        ):
            list(strips.rows(16))
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
        with pytest.raises(InputError, match=message), open_strips(source, **options):  # type: ignore[arg-type]
            pass


def test_errors_of_the_caller_stay_its_own() -> None:
    with pytest.raises(PermissionError, match="mine"), open_strips(saved(smooth(30, 20, 3))) as strips:
        fail(PermissionError("mine"), next(strips.rows(4)))


def fail(error: Exception, *_: object) -> None:
    raise error


def test_file_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc" * 100000)
    expected = hashlib.sha256(b"abc" * 100000).hexdigest()
    assert file_sha256(tmp_path / "a") == file_sha256(b"abc" * 100000) == expected
    with pytest.raises(InputError, match="does not exist"):
        file_sha256(tmp_path / "b")


def cut(picture: Picture, count: int) -> Iterator[Picture]:
    for top in range(0, picture.height, count):
        part = slice(top, top + count)
        alpha = None if picture.alpha is None else picture.alpha[part]
        yield replace(picture, rgb=picture.rgb[part], alpha=alpha)


def write_strips(picture: Picture, path: Path, count: int, **options: Any) -> tuple[str, ...]:  # noqa: ANN401
    with StripWriter(
        path, picture.width, picture.height, grey=picture.grey, alpha=picture.alpha is not None,
        bit_depth=picture.bit_depth, **options,
    ) as out:  # fmt: skip
        for strip in cut(picture, count):
            out.write(strip)
    return out.warnings


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_file_is_what_write_makes(
    tmp_path: Path, size: tuple[int, int], suffix: str, dtype: type
) -> None:
    for grey in (False, True):
        for alpha in (False, True):
            pixels = smooth(*size, 4, dtype)
            rgb = pixels[..., :1].repeat(3, 2) if grey else pixels[..., :3]
            picture = Picture(rgb, pixels[..., 3] if alpha else None, grey=grey)
            path = tmp_path / f"whole{grey}{alpha}{suffix}"
            warnings = write(picture, path, settings="a: ü\n")
            for count in (1, 7, 5000):
                by_strips = tmp_path / f"{count}{grey}{alpha}{suffix}"
                assert write_strips(picture, by_strips, count, settings="a: ü\n") == warnings
                assert same(read(by_strips), read(path))
                assert embedded_settings(by_strips) == "a: ü\n"
                with Image.open(path) as expected, Image.open(by_strips) as found:
                    assert np.array_equal(np.asarray(expected), np.asarray(found))
                    assert found.info.get("icc_profile") == expected.info.get("icc_profile")
                if suffix == ".tif":
                    assert np.array_equal(tifffile.imread(by_strips), tifffile.imread(path))
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_tags_are_those_of_write(tmp_path: Path, suffix: str, dtype: type) -> None:
    pixels = smooth(700, 300, 4, dtype)
    picture = Picture(pixels[..., :3], pixels[..., 3])
    write_strips(picture, tmp_path / f"a{suffix}", 64)
    write(picture, tmp_path / f"b{suffix}")
    check(tmp_path / f"a{suffix}")
    if suffix == ".tif":
        offsets = (273, 279)
        with tifffile.TiffFile(tmp_path / "a.tif") as one, tifffile.TiffFile(tmp_path / "b.tif") as other:
            tags = [{t.code: t.value for t in f.pages[0].tags if t.code not in offsets} for f in (one, other)]  # type: ignore[union-attr]
        assert tags[0] == tags[1]


def test_bigtiff_where_offsets_do_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("texsynth.images.tiff.CLASSIC_LIMIT", 1000)
    picture = Picture(smooth(60, 47, 3))
    write_strips(picture, tmp_path / "a.tif", 8)
    assert (tmp_path / "a.tif").read_bytes()[2] == 43
    assert np.array_equal(read(tmp_path / "a.tif").rgb, picture.rgb)
    check(tmp_path / "a.tif")


def test_every_filter_is_chosen_somewhere() -> None:
    rng = np.random.default_rng(0)
    ramp = np.arange(64, dtype=np.uint8)
    first = rng.integers(0, 256, 64, np.uint8)
    rows = np.stack(
        [np.zeros(64, np.uint8), ramp * 3, first, first, (first >> 1) + 3, smooth(1, 64, 1)[0, :, 0]]
    )
    kinds = filtered(rows, np.zeros(64, np.uint8), 1)[:, 0]
    assert {0, 1, 2} <= set(kinds.tolist())
    wave = smooth(60, 47, 3)
    assert {3, 4} & set(filtered(wave.reshape(60, -1), np.zeros(141, np.uint8), 3)[:, 0].tolist())


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg"])
def test_nothing_is_left_after_an_error(tmp_path: Path, name: str) -> None:
    picture, path = Picture(smooth(60, 47, 3)), tmp_path / name
    half = next(cut(picture, 30))
    with (
        pytest.raises(PermissionError, match="mine"),
        StripWriter(path, 47, 60, settings="a: 1") as out,
    ):
        fail(PermissionError("mine"), out.write(picture))  # type: ignore[func-returns-value]
    with pytest.raises(ValueError, match="30 rows were given for the 60"), StripWriter(path, 47, 60) as out:
        out.write(half)
    with pytest.raises(ValueError, match="30 rows were given for the 29"), StripWriter(path, 47, 29) as out:
        out.write(half)
    with pytest.raises(ValueError, match="does not fit"), StripWriter(path, 46, 60) as out:
        out.write(picture)
    with pytest.raises(ValueError, match="does not fit"), StripWriter(path, 47, 60, alpha=True) as out:
        out.write(picture)
    with pytest.raises(ValueError, match="not open"):
        StripWriter(path, 47, 60).write(picture)
    assert list(tmp_path.iterdir()) == []


def test_no_overwriting_without_force(tmp_path: Path) -> None:
    picture = Picture(smooth(60, 47, 3))
    path = tmp_path / "a.tif"
    path.write_bytes(b"old")
    with pytest.raises(OutputError, match="exists already"), StripWriter(path, 47, 60):
        pytest.fail("refused before the first strip")
    write_strips(picture, path, 9, force=True, settings="new")
    assert embedded_settings(path) == "new"
    path.unlink()
    with pytest.raises(OutputError, match=r"a\.tif\.yaml exists already"):
        write_strips(picture, path, 9, settings="other")
    (tmp_path / "a.tif.yaml").unlink()
    late = StripWriter(path, 47, 60, settings="late")
    with pytest.raises(OutputError, match="exists already"), late:
        fail_to_place(late, picture, path)
    assert path.read_bytes() == b"another run's"
    assert [p.name for p in tmp_path.iterdir()] == ["a.tif"]


def fail_to_place(out: StripWriter, picture: Picture, path: Path) -> None:
    out.write(picture)
    path.write_bytes(b"another run's")


@pytest.mark.parametrize("stage", ["os.fsync", "os.link", "texsynth.images.png.zlib.crc32"])
def test_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stage, full)
    if stage == "os.link":
        monkeypatch.setattr("os.replace", full)
    with pytest.raises(OutputError, match="no space left on device"):
        write_strips(Picture(smooth(60, 47, 3)), tmp_path / "a.png", 9, force=stage == "os.link")
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        write_strips(Picture(smooth(6, 4, 3)), tmp_path / "none" / "a.png", 9)
    with (
        pytest.raises(OutputError, match="at most 16383 pixels; use"),
        StripWriter(tmp_path / "a.webp", 16384, 1),
    ):
        pytest.fail("refused before the first strip")
    with pytest.raises(OutputError, match="cannot be written"), placed(tmp_path / "a") as file:
        fail(OSError(5, "Input/output error"), file.write(b"half"))
    assert list(tmp_path.iterdir()) == []


def test_settings_of_a_text_reader(tmp_path: Path) -> None:
    """The chunks have correct checksums and stand where Pillow finds them without decoding."""
    write_strips(Picture(smooth(6, 4, 3)), tmp_path / "a.png", 2, settings="x: 1")
    assert sidecar(tmp_path / "a.png") is None
    with Image.open(tmp_path / "a.png") as image:
        assert isinstance(image, PngImagePlugin.PngImageFile)
        assert image.info["texsynth"] == "x: 1"
        image.verify()
    again = encode(Picture(smooth(6, 4, 3)), "PNG", settings="x: 1")[0]
    assert same(read(again), read(tmp_path / "a.png"))


MEMORY = """
import resource, sys
from pathlib import Path
import numpy as np
from texsynth.images import Picture, StripWriter, open_strips, read

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

def through(source, target, settings=""):
    with open_strips(source) as strips, StripWriter(target, strips.width, strips.height) as out:
        assert not strips.whole
        for strip in strips.rows(64):
            out.write(strip)

folder, side, suffix = Path(sys.argv[1]), 6000, sys.argv[2]
rng = np.random.default_rng(0)
tile = rng.integers(100, 140, (40, side, 3), np.uint8)
for name, height in (("small", 80), ("large", side)):
    with StripWriter(folder / f"{name}{suffix}", side, height) as out:
        for top in range(0, height, 40):
            out.write(Picture(np.roll(tile, top, 1)))
    through(folder / f"{name}{suffix}", folder / f"{name}_again{suffix}")
    print(peak())
with open_strips(folder / f"large_again{suffix}") as strips:
    for index, strip in enumerate(strips.rows(40)):
        assert np.array_equal(strip.rgb, np.roll(tile, 40 * index, 1)), index
"""


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_memory_does_not_grow_with_the_picture(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("resource")
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path), suffix], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    small, large = map(int, done.stdout.split())
    assert large - small < 6000 * 6000 * 3 / 5


def test_a_start_does_not_load_libvips() -> None:
    code = "import sys, texsynth.images; sys.exit(int('pyvips' in sys.modules or 'tifffile' in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
