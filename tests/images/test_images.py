"""Pictures in and out: every kind that people have, and everything that is not a picture."""

from __future__ import annotations

import io
import zlib
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from helpers.image_files import chunk, deep_png, linear_profile, saved, tiff
from PIL import Image, ImageCms, PngImagePlugin

from texsynth.errors import InputError, OutputError, UsageError
from texsynth.images import (
    Picture,
    contact_sheet,
    embedded_settings,
    encode,
    output_format,
    probe,
    read,
    read_rgb8,
    sidecar,
    store,
    thumbnails,
    verify,
    write,
)
from texsynth.images.picture import Pixels
from texsynth.images.profiles import srgb_profile
from texsynth.images.tensors import fit_within, to_image, to_picture, to_weight


def noise(height: int = 6, width: int = 9, channels: int = 3, dtype: type = np.uint8) -> Pixels:
    rng = np.random.default_rng(0)
    return rng.integers(0, np.iinfo(dtype).max, (height, width, channels), dtype, endpoint=True)


@pytest.mark.parametrize(
    ("dtype", "cure"), [("float16", "--dtype float32"), ("bfloat16", "nearer"), ("float32", "nearer")]
)
def test_numbers_that_are_none_are_refused(dtype: str, cure: str) -> None:
    image = torch.full((1, 3, 4, 5), torch.nan, dtype=getattr(torch, dtype))
    with pytest.raises(UsageError, match=f"overflowed in {dtype}; use .*{cure}"):
        to_picture(image, None, 8)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_png_mode_becomes_rgb(mode: str) -> None:
    picture = read(saved(noise(), mode=mode))
    assert picture.rgb.shape == (6, 9, 3)
    assert picture.rgb.dtype == np.uint8
    assert (picture.alpha is not None) == (mode in ("LA", "RGBA"))
    assert picture.grey == (mode in ("1", "L", "LA"))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
@pytest.mark.parametrize("channels", [3, 4])
def test_write_and_read_again(tmp_path: Path, name: str, channels: int) -> None:
    pixels = np.full((16, 24, channels), 200, np.uint8)
    picture = Picture(pixels[..., :3], pixels[..., 3] if channels == 4 else None)
    warnings = write(picture, tmp_path / name, settings="a: 1\n")
    again = read(tmp_path / name)
    kept = name != "a.jpg"
    assert (again.alpha is not None) == (channels == 4 and kept)
    assert bool(warnings) == (channels == 4 and not kept)
    if kept:
        assert np.abs(again.rgb.astype(int) - picture.rgb).max() <= (2 if name == "a.webp" else 0)
    assert embedded_settings(tmp_path / name) == "a: 1\n"
    with Image.open(tmp_path / name) as image:
        assert image.info["icc_profile"] == srgb_profile()


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("alpha", [False, True])
def test_16_bits_survive(tmp_path: Path, name: str, alpha: bool) -> None:
    pixels = noise(channels=4, dtype=np.uint16)
    picture = Picture(pixels[..., :3], pixels[..., 3] if alpha else None)
    write(picture, tmp_path / name, settings="a: ü\n")
    again = read(tmp_path / name)
    assert np.array_equal(again.rgb, picture.rgb)
    assert (again.alpha is None) == (picture.alpha is None)
    if again.alpha is not None and picture.alpha is not None:
        assert np.array_equal(again.alpha, picture.alpha)
    assert yaml.safe_load(embedded_settings(tmp_path / name)) == {"a": "ü"}


def test_settings_of_earlier_versions(tmp_path: Path) -> None:
    """They stand in PNG as they are, and not with escapes in ASCII."""
    info = PngImagePlugin.PngInfo()
    info.add_itxt("texsynth", "a: ü\n")
    (tmp_path / "a.png").write_bytes(saved(noise(), pnginfo=info))
    assert embedded_settings(tmp_path / "a.png") == "a: ü\n"


def test_settings_are_text_for_every_program(tmp_path: Path) -> None:
    write(Picture(noise()), tmp_path / "a.png", settings='path: "/tmp/Größe/花.png"\n# no data\n')
    with Image.open(tmp_path / "a.png") as image:
        text = image.info["texsynth"]
    assert text.isascii()
    assert yaml.safe_load(text) == {"path": "/tmp/Größe/花.png"}


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bit_png_of_any_kind(channels: int) -> None:
    pixels = noise(channels=channels, dtype=np.uint16)
    picture = read(deep_png(pixels))
    assert picture.bit_depth == 16
    assert np.array_equal(picture.rgb[..., 0], pixels[..., 0])
    assert picture.grey == (channels < 3)
    assert (picture.alpha is not None) == (channels in (2, 4))


DEEP_TIFFS: tuple[dict[str, Any], ...] = (
    {},
    {"planar": True},
    {"order": ">"},
    {"tile": (16, 16)},
    {"tile": (512, 512)},  # larger than libvips accepts for a picture of this size
    {"compression": "deflate", "predictor": True, "rows": 3},
    {"compression": "lzma"},  # which libvips cannot read
    {"compression": "lzma", "tile": (16, 16), "order": ">"},
    {"big": True},
)


@pytest.mark.parametrize("options", DEEP_TIFFS)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bit_tiff_layouts(options: dict[str, Any], channels: int) -> None:
    pixels = noise(20, 40, channels, dtype=np.uint16)
    picture = read(tiff(pixels, **options))
    assert np.array_equal(picture.rgb[..., :channels], pixels[..., :3])
    assert (picture.alpha is not None) == (channels == 4)
    assert picture.alpha is None or np.array_equal(picture.alpha, pixels[..., 3])


@pytest.mark.parametrize("options", DEEP_TIFFS)
def test_16_bit_tiff_whose_colours_are_multiplied_by_alpha(options: dict[str, Any]) -> None:
    colours, alpha = noise(20, 40, 3, np.uint16), noise(20, 40, 1, np.uint16) | 1
    stored = np.minimum(np.dstack([colours, alpha]), alpha)
    data = tiff(stored, extra=[1], **options)
    if options.get("planar"):
        with pytest.raises(InputError, match="rare form; save it with LZW or deflate"):
            read(data)
        return
    picture = read(data)
    expected = (stored[..., :3] * (65535 / alpha) + 0.5).clip(max=65535).astype(np.uint16)
    assert np.array_equal(picture.rgb, expected)
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha, alpha[..., 0])


def test_unknown_channel_of_a_16_bit_tiff_is_left_out() -> None:
    pixels = noise(20, 40, 4, np.uint16)
    for compression in ("none", "lzma"):
        picture = read(tiff(pixels, extra=[0], compression=compression))
        assert picture.alpha is None
        assert np.array_equal(picture.rgb, pixels[..., :3])


@pytest.mark.parametrize("compression", ["none", "lzma"])
def test_16_bit_grey_tiff_where_zero_is_white(compression: str) -> None:
    pixels = noise(channels=1, dtype=np.uint16)
    picture = read(tiff(pixels, photometric=0, compression=compression))
    assert np.array_equal(picture.rgb[..., 1:2], 65535 - pixels)


@pytest.mark.parametrize("channels", [1, 3])
def test_16_bit_png_with_a_transparent_colour(channels: int) -> None:
    pixels = noise(channels=channels, dtype=np.uint16)
    picture = read(deep_png(pixels, (b"tRNS", pixels[2, 3].astype(">u2").tobytes())))
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha == 0, (pixels == pixels[2, 3]).all(2))
    assert np.array_equal(picture.rgb[..., :channels], pixels)


def test_interlaced_16_bit_png() -> None:
    pixels = noise(dtype=np.uint16)
    assert np.array_equal(read(deep_png(pixels, interlace=True)).rgb, pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_exif_orientation_is_applied(orientation: int, kind: str) -> None:
    stored = np.zeros((16, 32, 3), np.uint8)
    stored[:8, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(stored).save(buffer, format=kind, exif=exif)
    rgb = read(buffer.getvalue()).rgb[..., 0]
    rows, columns = np.nonzero(rgb > 128)
    corner = (bool(rows.mean() > rgb.shape[0] / 2), bool(columns.mean() > rgb.shape[1] / 2))
    assert rgb.shape == ((16, 32) if orientation < 5 else (32, 16))
    assert corner == {
        1: (False, False), 2: (False, True), 3: (True, True), 4: (True, False),
        5: (False, False), 6: (False, True), 7: (True, True), 8: (True, False),
    }[orientation]  # fmt: skip


def test_profile_is_converted_to_srgb() -> None:
    pixels = np.full((8, 8, 3), 64, np.uint8)
    eight = read(saved(pixels, icc_profile=linear_profile())).rgb
    deep = pixels.astype(np.uint16) * 257
    sixteen = read(tiff(deep, icc=linear_profile())).rgb
    assert eight.mean() > 120
    assert abs(sixteen.mean() / 257 - eight.mean()) < 2


def test_srgb_profile_leaves_pixels_alone() -> None:
    today = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(read(saved(noise(), icc_profile=today)).rgb, noise())


@pytest.mark.parametrize(
    "profile", [b"not a profile", b"\0" * 16 + b"RGB " + b"\0" * 200, b"\0" * 16 + b"CMYK"]
)
def test_damaged_profile_is_a_warning(profile: bytes) -> None:
    picture = read(saved(noise(), icc_profile=profile))
    assert "profile" in picture.warnings[0]
    assert np.array_equal(picture.rgb, noise())


def test_cmyk_jpeg() -> None:
    buffer = io.BytesIO()
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(buffer, format="JPEG")
    assert np.allclose(read(buffer.getvalue()).rgb[0, 0], (255, 0, 0), atol=6)


def test_transparent_palette_entry_becomes_alpha() -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 250, 10, 10])
    image.putpixel((0, 0), 0)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", transparency=0)
    picture = read(buffer.getvalue())
    assert picture.alpha is not None
    assert (picture.alpha[0, 0], picture.alpha[1, 1]) == (0, 255)
    assert tuple(picture.rgb[1, 1]) == (250, 10, 10)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_animation_needs_a_named_frame(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), (v, v, v)) for v in (0, 120, 240)]
    buffer = io.BytesIO()
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    frames[0].save(buffer, format=kind, save_all=True, append_images=frames[1:], **options)
    with pytest.raises(InputError, match="3 frames; name one with --frame 0 to --frame 2"):
        read(buffer.getvalue())
    with pytest.raises(InputError, match="no frame 3"):
        probe(buffer.getvalue(), frame=3)
    assert abs(read(buffer.getvalue(), frame=1).rgb.mean() - 120) < 3


def test_max_pixels_is_checked_before_decoding() -> None:
    bomb = bytearray(saved(noise()))
    bomb[16:24] = (30000).to_bytes(4, "big") * 2
    bomb[29:33] = zlib.crc32(bytes(bomb[12:29])).to_bytes(4, "big")
    with pytest.raises(InputError, match="900000000 pixels, more than --max-pixels 268435456"):
        read(bytes(bomb))
    with pytest.raises(InputError, match="max-pixels 53"):
        probe(saved(noise()), max_pixels=53)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"hello, I am text\n" * 20, "not a picture"),
        (saved(noise(64, 64))[:1500], "damaged or incomplete"),
        (saved(noise(64, 64), mode="P")[:40], "damaged or incomplete|not a picture"),
        (deep_png(noise(64, 64, dtype=np.uint16))[:2000], "damaged or incomplete"),
        (
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            "is an SVG drawing, which is not read; use one of png",
        ),
    ],
)
def test_bad_files_are_one_sentence(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "bad.jpg"
    path.write_bytes(data)
    with pytest.raises(InputError, match=message) as caught:
        read(path)
    assert "bad.jpg" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    for call in (read, probe):
        with pytest.raises(InputError, match="does not exist"):
            call(tmp_path / "none.png")
        with pytest.raises(InputError, match=r"folder|directory"):
            call(tmp_path)


def test_outputs_are_not_overwritten_without_force(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    store(b"old", path)
    with pytest.raises(OutputError, match="--force"):
        store(b"new", path)
    assert path.read_bytes() == b"old"
    store(b"new", path, force=True)
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_no_hard_links_still_means_no_overwrite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("os.link", refuse)
    store(b"old", tmp_path / "a.png")
    with pytest.raises(OutputError, match="exists already"):
        store(b"new", tmp_path / "a.png")
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"old"]


@pytest.mark.parametrize("stage", ["os.fsync", "os.replace"])
def test_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stage, full)
    with pytest.raises(OutputError, match="no space left on device"):
        store(b"data", tmp_path / "a.png", force=True)
    assert list(tmp_path.iterdir()) == []


def test_missing_output_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        store(b"data", tmp_path / "none" / "a.png")


def test_output_names(tmp_path: Path) -> None:
    assert output_format(Path("a.JPG")) == "JPEG"
    assert sidecar(Path("a.png")) is None
    assert sidecar(Path("a.jpg")) is None
    assert sidecar(Path("b/a.jpg"), asked=True) == Path("b/a.jpg.yaml")
    assert sidecar(Path("b/a.tga")) == Path("b/a.tga.yaml")
    for name in ("a", "a.gif", "a.txt"):
        with pytest.raises(UsageError, match="cannot write"):
            output_format(Path(name))


def test_same_pixels_same_bytes() -> None:
    for name in ("PNG", "JPEG", "WEBP", "TIFF"):
        assert encode(Picture(noise()), name)[0] == encode(Picture(noise()), name)[0]


def test_noise_is_written_as_jpeg() -> None:
    """It takes more bytes than Pillow expects."""
    pixels = noise(300, 400)
    for quality in (90, 100):
        data, _ = encode(Picture(pixels), "JPEG", quality=quality)
        assert len(data) > (1 if quality < 95 else 2) * 300 * 400
        assert np.abs(read(data).rgb.astype(int) - pixels).mean() < 8


def test_too_large_for_the_format() -> None:
    with pytest.raises(OutputError, match="20000 x 1 picture cannot be written as WEBP"):
        encode(Picture(np.zeros((1, 20000, 3), np.uint8)), "WEBP")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tensor_round_trip_is_exact(dtype: type) -> None:
    pixels = noise(channels=4, dtype=dtype)
    picture = Picture(pixels[..., :3], pixels[..., 3])
    again = to_picture(to_image(picture), picture.alpha, picture.bit_depth)
    assert np.array_equal(again.rgb, picture.rgb)
    weight = to_weight(picture)
    assert weight is not None
    assert weight.shape == (1, 1, 6, 9)
    assert to_weight(Picture(pixels[..., :3])) is None


def test_fit_within_only_reduces() -> None:
    picture = Picture(noise(20, 40), noise(20, 40)[..., 0])
    assert fit_within(picture, 40) is picture
    small = fit_within(picture, 10)
    assert small.rgb.shape == (5, 10, 3)
    assert small.alpha is not None
    assert small.alpha.shape == (5, 10)


def test_read_rgb8_cuts_16_bits(tmp_path: Path) -> None:
    write(Picture(np.full((4, 4, 3), 0x80FF, np.uint16)), tmp_path / "a.png")
    assert read_rgb8(tmp_path / "a.png").max() == 0x80


@pytest.mark.parametrize(("name", "depth"), [("PNG", 8), ("PNG", 16), ("TIFF", 8), ("TIFF", 16), ("JPEG", 8)])
@pytest.mark.parametrize("alpha", [False, True])
def test_grey_is_written_as_one_channel(name: str, depth: int, alpha: bool) -> None:
    kind = np.uint16 if depth == 16 else np.uint8
    grey = np.full((8, 9, 1), 200, kind)
    picture = Picture(grey.repeat(3, 2), grey[..., 0] // 2 if alpha else None, grey=True)
    data, _ = encode(picture, name, settings="a: 1")
    found = read(data)
    assert (found.grey, found.bit_depth) == (not (alpha and name == "TIFF"), depth)
    opaque = alpha and name == "JPEG"  # laid over white
    assert opaque or np.abs(found.rgb.astype(int) - 200).max() <= (2 if name == "JPEG" else 0)
    assert (found.alpha is not None) == (alpha and name != "JPEG")
    assert read(encode(picture, "WEBP")[0]).rgb.shape == (8, 9, 3)


def test_data_has_no_profile() -> None:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = icc.replace(b"rXYZ", b"tXYZ").replace(b"bXYZ", b"rXYZ").replace(b"tXYZ", b"bXYZ")
    for pixels in (noise(), noise(dtype=np.uint16)):
        data = deep_png(pixels) if pixels.dtype == np.uint16 else saved(pixels)
        tagged = data[:33] + chunk(b"iCCP", b"x\0\0" + zlib.compress(swapped)) + data[33:]
        assert not np.array_equal(read(tagged).rgb, pixels)
        picture = read(tagged, as_data=True)
        assert np.array_equal(picture.rgb, pixels)
        for name in ("PNG", "TIFF", "WEBP", "JPEG"):
            with Image.open(io.BytesIO(encode(picture, name)[0])) as image:
                assert not image.info.get("icc_profile")


def test_contact_sheet() -> None:
    small, deep, large = Picture(noise()), Picture(noise(dtype=np.uint16)), Picture(noise(700, 35))
    first = thumbnails([small, deep])
    assert np.array_equal(first[0], small.rgb), "never enlarged"
    second = thumbnails([small, large])
    assert [cell.shape for cell in second] == [(3, 4, 3), (320, 16, 3)], "one scale"
    sheet = contact_sheet([first, second])
    assert sheet.rgb.shape == (12 + 6 + 12 + 320 + 12, 12 + 4 + 12 + 16 + 12, 3)
    assert np.array_equal(sheet.rgb[12:18, 12:21], small.rgb)
    clear = Picture(noise(), np.zeros((6, 9), np.uint8))
    assert (thumbnails([clear])[0] == 255).all()


@pytest.mark.parametrize("is_new", [True, False])
def test_settings_beside_a_picture_are_never_those_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_new: bool
) -> None:
    path, written = tmp_path / "a.jpg", []

    def killed(data: bytes, path: Path, *, force: bool = False) -> None:
        written.append(path.name)
        if len(written) == 2:
            raise KeyboardInterrupt
        store(data, path, force=force)

    if not is_new:
        write(Picture(noise()), path, settings="old", beside=True)
    monkeypatch.setattr(import_module("texsynth.images.writer"), "store", killed)
    with pytest.raises(KeyboardInterrupt):
        write(Picture(noise()), path, settings="new", force=True, beside=True)
    assert written == (["a.jpg.yaml", "a.jpg"] if is_new else ["a.jpg", "a.jpg.yaml"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ([] if is_new else ["a.jpg", "a.jpg.yaml"])


def test_verify(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "a.webp", "a.tif"):
        write(Picture(noise(60, 60)), tmp_path / name)
        verify(tmp_path / name)
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) * 2 // 3])
        with pytest.raises(InputError, match=r"a\.\w+ is "):
            verify(tmp_path / name)
