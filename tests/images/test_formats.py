"""Formats of artists: each is read as it was written, or named or refused with a reason."""

from __future__ import annotations

import io
import struct
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import pyvips
from helpers.artists_files import hdr, pfm, ppm, psd
from helpers.image_files import linear_profile, saved, smooth
from PIL import Image

from texsynth.errors import InputError, OutputError
from texsynth.images import (
    Picture,
    encode,
    metadata,
    open_strips,
    output_format,
    probe,
    read,
    vips,
    write_strips,
)
from texsynth.images.exr import encode as exr_encode
from texsynth.images.formats import BY_SUFFIX, FOLLOWING, TABLE, Format, ResultFormat
from texsynth.images.light import Samples, from_light, to_light
from texsynth.images.picture import Pixels
from texsynth.images.profiles import decoded

RGB = smooth(20, 24, 3)
LIGHT = (smooth(20, 24, 3) / 255).astype(np.float32) ** 3 * 9

has_exr = find_spec("OpenEXR") is not None
needs = {
    "EXR": pytest.mark.skipif(not has_exr, reason="needs OpenEXR"),
    "HEIF": pytest.mark.skipif(find_spec("pillow_heif") is None, reason="needs pillow-heif"),
    "JXL": pytest.mark.skipif(find_spec("pillow_jxl") is None, reason="needs pillow-jxl-plugin"),
}


def lit(light: Pixels, name: str, alpha: Pixels | None = None) -> bytes:
    """File of linear light."""
    return encode(from_light(Samples(light, alpha), name), name)[0]


def with_extra(name: str) -> bytes:
    if name == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener()
    elif name == "JXL":
        import pillow_jxl  # noqa: F401
    return saved(RGB, name, quality=95)


DEEP = smooth(20, 24, 3, np.uint16)
RGBE = np.dstack([np.full((20, 24, 3), 128, np.uint8), np.arange(20 * 24).reshape(20, 24) % 20 + 120]).astype(
    "u1"
)

EXACT = {
    "tga": (saved(RGB, "TGA"), RGB),
    "packed tga": (saved(RGB, "TGA", compression="tga_rle"), RGB),
    "jp2": (saved(RGB, "JPEG2000"), RGB),
    "dds": (saved(RGB, "DDS"), RGB),
    "ppm": (saved(RGB, "PPM"), RGB),
    "deep ppm": (ppm(DEEP), DEEP),
    "deep pgm": (ppm(DEEP[..., :1]), DEEP[..., :1].repeat(3, 2)),
    "ppm of 10 bits": (ppm(DEEP >> 6, 1023), (((DEEP >> 6).astype(int) * 65535 + 511) // 1023).astype("u2")),
    "psd": (psd(RGB), RGB),
    "packed psd": (psd(RGB, packed=True), RGB),
    "deep psd": (psd(DEEP), DEEP),
    "packed deep psd": (psd(DEEP, packed=True), DEEP),
    "grey psd": (psd(RGB[..., :1]), RGB[..., :1].repeat(3, 2)),
    "psd with a selection": (psd(smooth(20, 24, 4), layers=1), smooth(20, 24, 4)[..., :3]),
}


@pytest.mark.parametrize("kind", EXACT)
def test_pixels_are_those_of_the_file(kind: str) -> None:
    data, expected = EXACT[kind]
    picture = read(data)
    assert picture.rgb.dtype == expected.dtype
    assert picture.alpha is None
    assert np.array_equal(picture.rgb, expected)
    header = probe(data)
    assert (header.width, header.height, header.frames) == (24, 20, 1)
    assert np.array_equal(np.concatenate([s.rgb for s in open_strips(data).rows(7)]), picture.rgb)


@pytest.mark.parametrize("name", ["AVIF", *(pytest.param(n, marks=needs[n]) for n in ("HEIF", "JXL"))])
def test_lossy_formats_are_near(name: str) -> None:
    data = with_extra(name)
    picture = read(data)
    assert np.abs(picture.rgb.astype(int) - RGB).mean() < 4
    assert probe(data).format == name
    with pytest.raises(InputError, match="max-pixels 9"):
        probe(data, max_pixels=9)
    with pytest.raises(InputError, match="damaged"):
        read(data[: len(data) // 2])


def fine(kind: str, bits: int, channels: int) -> tuple[bytes, Pixels]:
    """A file of this many bits per channel without loss, and its samples."""
    steps = np.linspace(0, 2**bits - 1, 48 * 64).reshape(48, 64, 1).round().astype(np.uint16)
    values = np.concatenate([steps, steps[::-1], steps[:, ::-1], steps[::-1, ::-1]], 2)[..., :channels]
    shifted = values << (16 - bits)
    if kind == "AVIF":
        image = pyvips.Image.new_from_array(shifted).copy(interpretation="rgb16")
        return image.heifsave_buffer(bitdepth=bits, lossless=True, compression="av1"), values
    import pillow_heif

    mode = "RGB;16" if channels == 3 else "RGBA;16"
    file = io.BytesIO()
    pillow_heif.from_bytes(mode, (64, 48), shifted.tobytes()).save(
        file, quality=-1, chroma=444, matrix_coefficients=0
    )
    return file.getvalue(), values


@pytest.mark.parametrize(
    ("kind", "bits"), [("AVIF", 10), ("AVIF", 12), pytest.param("HEIF", 10, marks=needs["HEIF"])]
)
@pytest.mark.parametrize("channels", [3, 4])
def test_more_than_8_bits_are_read_and_white_is_white(kind: str, bits: int, channels: int) -> None:
    data, values = fine(kind, bits, channels)
    picture, top = read(data), 2**bits - 1
    expected = ((values.astype(int) * 65535 + top // 2) // top).astype(np.uint16)
    assert (picture.bit_depth, picture.source_format) == (16, kind)
    assert np.array_equal(picture.rgb, expected[..., :3])
    assert picture.rgb.max() == 65535
    if channels == 4:
        assert picture.alpha is not None
        assert np.array_equal(picture.alpha, expected[..., 3])
    with pytest.raises(InputError, match="damaged"):
        read(data[: len(data) // 2])


def test_what_a_library_turns_is_not_turned_again() -> None:
    """AVIF of more than 8 bits come upright."""
    exif = Image.Exif()
    exif[0x112] = 6
    data = saved(smooth(20, 32, 3), "AVIF", exif=exif, quality=100, subsampling="4:4:4")
    turned = vips.read_samples(data, "HEIF")
    assert turned.shape == (32, 20, 3)
    assert np.abs(turned.astype(int) - read(data).rgb).max() <= 2
    assert (probe(data).width, probe(data).height) == (20, 32)


LIT = {
    "TIFF": lambda: lit(LIGHT, "TIFF"),
    "EXR": lambda: lit(LIGHT, "EXR"),
    "PFM": lambda: pfm(LIGHT),
    "PFM, high byte first": lambda: pfm(LIGHT, ">"),
    "PSD": lambda: psd(LIGHT),
}


@pytest.mark.parametrize("kind", [pytest.param(k, marks=needs["EXR"]) if k == "EXR" else k for k in LIT])
def test_light_is_linear_and_may_be_stronger_than_1(kind: str) -> None:
    picture = read(LIT[kind]())
    assert (picture.bit_depth, str(picture.rgb.dtype), picture.highlights is not None) == (32, "uint16", True)
    assert np.allclose(to_light(picture), LIGHT, rtol=2e-3, atol=1e-5)
    dark = LIGHT.max(2) <= 1
    assert np.allclose(decoded(picture.rgb / 65535)[dark], LIGHT[dark], rtol=2e-3, atol=1e-5)
    # The hue of a strong light stays.
    strong = np.unravel_index(LIGHT.max(2).argmax(), dark.shape)
    assert picture.rgb[strong].max() == 65535
    with pytest.raises(InputError, match="max-pixels 9"):
        probe(LIT[kind](), max_pixels=9)


@pytest.mark.parametrize("name", ["TIFF", pytest.param("EXR", marks=needs["EXR"])])
def test_light_with_alpha(name: str) -> None:
    alpha = np.linspace(0.1, 1, 20 * 24, dtype=np.float32).reshape(20, 24)
    picture = read(lit(LIGHT, name, alpha))
    assert picture.alpha is not None
    assert np.allclose(picture.alpha / 65535, alpha, atol=1e-4)
    assert np.allclose(to_light(picture)[..., :3], LIGHT, rtol=3e-3, atol=1e-4)


@pytest.mark.parametrize("packed", [False, True])
def test_radiance(packed: bool) -> None:
    picture = read(hdr(RGBE, packed=packed))
    expected = 128.5 * 2.0 ** (RGBE[..., 3].astype(int) - 136)
    assert np.allclose(to_light(picture)[..., 0], expected, rtol=2e-3, atol=1e-6)


def test_32_bit_whole_numbers_are_read_at_16() -> None:
    data = io.BytesIO()
    Image.fromarray((DEEP[..., 0].astype(np.uint32) << 16).astype(np.uint32).view(np.int32), "I").save(
        data, "TIFF"
    )
    changed = bytearray(data.getvalue())
    at = changed.find(struct.pack("<HHI", 339, 3, 1))
    changed[at + 8 : at + 10] = b"\1\0"
    assert np.array_equal(read(bytes(changed)).rgb[..., 0], DEEP[..., 0])


def test_numbers_that_are_none_are_replaced() -> None:
    light = LIGHT.copy()
    light[0, 0], light[1, 1], light[2, 2] = np.nan, np.inf, -1
    picture = read(pfm(light))
    assert picture.warnings
    assert (to_light(picture)[0, 0] == 0).all()
    assert np.isfinite(to_light(picture)).all()
    assert (picture.rgb[2, 2] == 0).all()


def test_transparency_of_a_psd_is_laid_over_nothing() -> None:
    """Photoshop stores colours over white."""
    colours, alpha = RGB.astype(float), np.full((20, 24, 1), 128)
    over = (colours * alpha + 255 * (255 - alpha)) / 255
    picture = read(psd(np.dstack([over.round(), alpha]).astype(np.uint8), layers=-1))
    assert picture.alpha is not None
    assert (picture.alpha == 128).all()
    assert np.abs(picture.rgb.astype(int) - RGB).max() <= 1


def test_profiles_of_psd_and_of_light() -> None:
    assert read(psd(RGB, icc=linear_profile())).rgb.mean() > read(psd(RGB)).rgb.mean() + 10
    picture = read(psd(LIGHT, icc=linear_profile()))
    assert np.allclose(to_light(picture), LIGHT, rtol=2e-3, atol=1e-5)


CUT = {
    **{k: v[0] for k, v in EXACT.items()},
    "hdr": hdr(RGBE),
    "rle": hdr(RGBE, packed=True),
    "pfm": pfm(LIGHT),
}


@pytest.mark.parametrize("kind", CUT)
def test_files_that_end_early_are_refused(kind: str) -> None:
    for share in (0.3, 0.6, 0.97):
        with pytest.raises(InputError, match=r"damaged|not a picture"):
            read(CUT[kind][: int(len(CUT[kind]) * share)])
    if not kind.startswith(("tga", "packed tga")):
        with pytest.raises(InputError, match="max-pixels 99"):
            read(CUT[kind], max_pixels=99)


UNREAD = {
    b"%PDF-1.7": "a PDF",
    b"gimp xcf v011\0": "GIMP project",
    b"BLENDER-v300": "Blender",
    b"8BPS\0\2": "PSB",
    b"PK\3\4" + bytes(26) + b"mimetypeapplication/x-krita": "Krita",
    b"PK\3\4" + bytes(60): "ZIP",
    b"<?xml version='1.0'?>\n<svg>": "SVG",
    b"II*\0\x10\0\0\0CR\2\0": "CR2",
    b"\0\0\0\x18ftypcrx ": "CR3",
    b"\0\0\0\x18ftypmp42": "video",
    b"\x1a\x45\xdf\xa3": "video",
    b"II*\0\x08\0\0\0\2\0" + struct.pack("<HHII", 254, 4, 1, 1) + struct.pack("<HHII", 330, 4, 1, 99): "raw",
}


@pytest.mark.parametrize("start", UNREAD)
def test_formats_that_are_not_read_are_named(start: bytes) -> None:
    with pytest.raises(InputError, match=f"{UNREAD[start]}.*is not read; use one of png, jpg"):
        read(start + bytes(40))


@pytest.mark.parametrize(
    ("start", "package"),
    [
        (b"v/1\x01" + bytes(20), "OpenEXR"),
        (b"\xff\x0a" + bytes(20), "pillow_jxl"),
        (b"\0\0\0\x18ftypheic", "pillow_heif"),
    ],
)
def test_missing_packages_are_named(start: bytes, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(InputError, match=r"another package: pip install 'texsynth\[formats\]'"):
        read(start)
    if package == "OpenEXR":
        with pytest.raises(OutputError, match="pip install"):
            encode(Picture(RGB), "EXR")


@pytest.mark.parametrize("one", [f for f in TABLE if f.writes], ids=lambda f: f.name)
def test_what_the_table_says_is_written(one: object) -> None:
    name, depths, alpha = one.name, one.depths, one.alpha  # type: ignore[attr-defined]
    if name == "EXR" and not has_exr:
        pytest.skip("needs OpenEXR")
    for pixels in (RGB, DEEP):
        seen = np.full((20, 24), np.iinfo(pixels.dtype).max // 3, pixels.dtype)
        data, warnings = encode(Picture(pixels, seen), name)
        picture = read(data)
        assert bool(warnings) != alpha
        assert (picture.alpha is not None) == alpha
        assert picture.bit_depth == (
            32 if name == "EXR" else 16 if pixels.dtype == np.uint16 and 16 in depths else 8
        )
    data, warnings = encode(from_light(Samples(LIGHT), name), name)
    assert (read(data).highlights is not None) == (32 in depths)
    assert bool(warnings) != (32 in depths)


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("a.PNG", ".png"), ("a.jpg", ".jpg"), ("a.JPEG", ".jpeg"), ("a.webp", ".webp"), ("a.avif", ".avif"),
     ("a.tiff", ".tiff"), ("a.b.tga", ".tga"), ("a.exr", ".exr"), ("a.hdr", ".tif"), ("a.pfm", ".tif"),
     ("a.psd", ".png"), ("a.jxl", ".png"), ("a.heic", ".png"), ("a.gif", ".png"), ("-", ".png"),
     ("a", ".png"), ("jpg", ".png")],
)  # fmt: skip
def test_results_follow_their_input_where_its_format_is_written(name: str, suffix: str) -> None:
    assert FOLLOWING.suffix(name) == suffix
    assert ResultFormat(".webp").suffix(name, exact=True) == ".webp", "what is asked for counts"
    kind = BY_SUFFIX[suffix]
    assert kind.name == output_format(Path(f"a{suffix}"))
    assert FOLLOWING.suffix(name, exact=True) == (".png" if kind.lossy else suffix)
    for depth in (8, 16, 32):
        deep = BY_SUFFIX[ResultFormat(bit_depth=depth).suffix(name)]
        assert depth in deep.depths
        assert deep is kind or depth not in kind.depths


@pytest.mark.parametrize("source", TABLE, ids=lambda one: one.name)
def test_results_of_floats_hold_floats(source: Format) -> None:
    """Of every format that may hold some, and nothing changes for others."""
    usual = FOLLOWING.suffix(f"a{source.suffixes[0]}")
    suffix = FOLLOWING.suffix(f"a{source.suffixes[0]}", is_float=True)
    holds_floats = source.name in {"TIFF", "PSD", "EXR", "HDR", "PFM", "JXL"}
    assert 32 in BY_SUFFIX[suffix].depths if holds_floats else suffix == usual


@needs["EXR"]
@pytest.mark.parametrize("channels", [2, 3])
def test_half_floats_stay_half_floats(tmp_path: Path, channels: int) -> None:
    path, light = tmp_path / "a.exr", np.full((5, 4, channels), 0.7, np.float32)
    has_alpha = channels == 2
    if has_alpha:
        light[..., -1] = 1
    for half in (True, False):
        path.write_bytes(exr_encode(light, half=half))
        picture = read(path)
        assert picture.is_half is half
        encoded, _ = encode(replace(picture, highlights=np.full((5, 4), 9e5, np.float32)), "EXR")
        again = read(encoded)
        assert again.is_half is half
        assert to_light(again).max() == pytest.approx(65504 if half else 9e5 * 0.7, rel=1e-3)
        by_strips = tmp_path / f"{half}.exr"
        write_strips([picture], by_strips, 4, 5, alpha=has_alpha, bit_depth=32, half=half)
        assert open_strips(by_strips).kind.is_half is half


def photo() -> bytes:
    exif = Image.Exif()
    exif.update({0x8298: "Ann", 0x13B: "Ann B", 0x132: "2020:01:01 00:00:00", 0x10F: "Cam", 0x112: 1})
    exif.get_ifd(0x8769)[36867] = "2019:02:03 00:00:00"
    exif.get_ifd(0x8825)[1] = "N"
    return saved(RGB, "JPEG", exif=exif, dpi=(300, 300))


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_metadata_is_kept(name: str) -> None:
    kept = metadata(photo())
    assert kept is not None
    plain, data = (encode(Picture(RGB), name, kept=k)[0] for k in (None, kept))
    assert np.array_equal(read(plain).rgb, read(data).rgb)
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        exif, dpi = image.getexif(), image.info.get("dpi")
        assert [exif.get(tag) for tag in (0x8298, 0x13B, 0x132, 0x10F)] == [
            "Ann",
            "Ann B",
            "2020:01:01 00:00:00",
            "Cam",
        ]
        assert exif.get(0x112, 1) == 1
        assert not exif.get_ifd(0x8825)
        assert name == "TIFF" or exif.get_ifd(0x8769)[36867] == "2019:02:03 00:00:00"
        assert [round(one) for one in dpi or ()] == ([] if name in ("WEBP", "AVIF") else [300, 300])
    assert metadata(data) is not None
    assert metadata(saved(RGB)) is None
