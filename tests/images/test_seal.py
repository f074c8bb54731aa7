"""The hash below the settings of a file: that of its pixels, whoever wrote them, and of no others."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import pyvips
import yaml
from helpers.image_files import smooth
from PIL import ExifTags, Image, PngImagePlugin

from texsynth.errors import InputError
from texsynth.images import (
    Metadata,
    Picture,
    metadata,
    pixel_hash,
    settings_and_hash,
    write,
    write_strips,
)
from texsynth.images.metadata import add_tags
from texsynth.images.picture import ALPHA_FORMATS, output_format
from texsynth.images.seal import unsealed
from texsynth.images.tiff import parse

SUFFIXES = [".png", ".tif", ".jpg", ".webp", ".avif"]


def pictures() -> dict[str, Picture]:
    grey = np.repeat(smooth(21, 30, 1), 3, 2)
    bits = np.where(grey > 127, np.uint8(255), np.uint8(0))
    return {
        "8": Picture(smooth(21, 30, 3)),
        "16": Picture(smooth(21, 30, 3, np.uint16)),
        "alpha": Picture(smooth(21, 30, 3), smooth(21, 30, 1)[..., 0]),
        "alpha 16": Picture(smooth(21, 30, 3, np.uint16), smooth(21, 30, 1, np.uint16)[..., 0]),
        "grey": Picture(grey, grey=True),
        "grey alpha": Picture(grey, smooth(21, 30, 1)[..., 0], grey=True),
        "bits": Picture(bits, grey=True, is_data=True, one_bit=True),
        "data": Picture(smooth(21, 30, 3, np.uint16), is_data=True),
        "one": Picture(smooth(1, 1, 3)),
    }


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", pictures())
def test_a_file_has_the_hash_of_its_pixels(kind: str, suffix: str, tmp_path: Path) -> None:
    picture, path = pictures()[kind], tmp_path / f"a{suffix}"
    write(picture, path, settings="a: 1\n")
    settings, digest = settings_and_hash(path)
    assert settings == "a: 1\n"
    assert digest == pixel_hash(path)
    if kind in ("8", "16", "alpha", "alpha 16") and (
        picture.alpha is None or output_format(path) in ALPHA_FORMATS
    ):
        strips = tmp_path / f"b{suffix}"
        has_alpha, depth = picture.alpha is not None, picture.bit_depth
        write_strips(picture.strips(4), strips, 30, 21, alpha=has_alpha, bit_depth=depth, settings="a: 1\n")
        assert settings_and_hash(strips) == (settings, digest)


def test_pictures_have_hashes_of_their_own(tmp_path: Path) -> None:
    """One value more or less, other sides with the same values, 16 bits of the same colours, and alpha."""
    plain = smooth(12, 20, 3)
    brighter = plain.copy()
    brighter[3, 4, 1] ^= 1
    others = [
        Picture(plain), Picture(brighter), Picture(plain.reshape(20, 12, 3)),
        Picture(plain.astype(np.uint16) * np.uint16(257)), Picture(plain, np.full((12, 20), 255, np.uint8)),
    ]  # fmt: skip
    for number, picture in enumerate(others):
        write(picture, tmp_path / f"{number}.png", settings="a: 1\n")
    assert len({settings_and_hash(path)[1] for path in tmp_path.iterdir()}) == len(others)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_better_packing_changes_nothing(suffix: str, tmp_path: Path) -> None:
    path, packed = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    write(pictures()["alpha"], path, settings="a: 1\n")
    with Image.open(path) as image:
        options = {"compress_level": 9} if suffix == ".png" else {"compression": "raw"}
        image.save(packed, icc_profile=image.info["icc_profile"], **options)
    assert packed.read_bytes() != path.read_bytes()
    assert pixel_hash(packed) == pixel_hash(path)


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif"])
def test_texts_beside_the_pixels_change_nothing(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    write(Picture(smooth(21, 30, 3)), path)
    before, data = pixel_hash(path), path.read_bytes()
    if suffix == ".jpg":
        path.write_bytes(data[:2] + b"\xff\xfe\0\5abc" + b"\xff\xe1\0\x08Exif\0\0" + data[2:])
    else:
        path.write_bytes(data + b"EXIF\4\0\0\0abcd")
    assert pixel_hash(path) == before
    with Image.open(io.BytesIO(data)) as image:
        image.save(path, quality=40)
    assert pixel_hash(path) != before


def test_settings_without_a_hash_stay_as_they_are(tmp_path: Path) -> None:
    """Results of earlier versions have none."""
    texts = PngImagePlugin.PngInfo()
    texts.add_text("texsynth", "a: 1\nb: pixels_sha256\n")
    Image.new("RGB", (3, 3)).save(tmp_path / "a.png", pnginfo=texts)
    assert settings_and_hash(tmp_path / "a.png") == ("a: 1\nb: pixels_sha256\n", "")
    assert unsealed("") == ("", "")


LONG = "a: '" + "ink & <water> " * 9000 + "'\n"
"""More than a segment of a JPEG holds."""


@pytest.mark.parametrize("settings", ["a: 1\nb:\n  - 'x'\n", "a: \"\\xE9 \\u4E2D\"\nb: 'é 中'\n", LONG])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_settings_are_inside_and_change_no_pixel(suffix: str, settings: str, tmp_path: Path) -> None:
    """Whatever they are, other libraries decode what they decode without them."""
    picture, plain, path = Picture(smooth(21, 30, 3)), tmp_path / f"plain{suffix}", tmp_path / f"a{suffix}"
    write(picture, plain)
    write(picture, path, settings=settings)
    assert [p.name for p in tmp_path.iterdir() if p.suffix == ".yaml"] == []
    text, digest = settings_and_hash(path)
    assert yaml.safe_load(text) == yaml.safe_load(settings)
    assert digest == pixel_hash(path)
    first, second = (pyvips.Image.new_from_file(str(p)) for p in (plain, path))
    assert np.array_equal(first.numpy(), second.numpy())
    assert second.get_typeof("icc-profile-data")
    with Image.open(plain) as first_image, Image.open(path) as second_image:
        assert np.array_equal(np.asarray(first_image), np.asarray(second_image))
        if suffix != ".png" and settings != LONG:
            (property_,) = ElementTree.fromstring(second_image.info["xmp"]).findall(
                ".//{urn:texsynth:record#}*"
            )
            assert unsealed(property_.text or "") == (text, digest)


@pytest.mark.parametrize("suffix", [".tif", ".jpg", ".webp", ".avif"])
def test_settings_go_with_other_metadata(suffix: str, tmp_path: Path) -> None:
    """Copyright and resolution of the input are kept beside them, also when written by strips."""
    picture, path = Picture(smooth(21, 30, 3)), tmp_path / f"a{suffix}"
    kept = Metadata(((ExifTags.Base.Copyright, b"Ann"),), dpi=(300.0, 300.0))
    for strips in (False, True):
        if strips:
            write_strips(picture.strips(4), path, 30, 21, settings="a: 1\n", kept=kept, force=True)
        else:
            write(picture, path, settings="a: 1\n", kept=kept)
        assert settings_and_hash(path) == ("a: 1\n", pixel_hash(path))
        assert dict((metadata(path) or Metadata()).tags)[ExifTags.Base.Copyright] == b"Ann"


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("is_big", [False, True])
def test_tags_are_added_to_every_kind_of_tiff(order: str, is_big: bool) -> None:
    """Also to those with places of 8 bytes and of either order."""
    word, count, start = ("Q", "Q", 16) if is_big else ("I", "H", 8)
    entries = [(256, 5), (257, 5), (258, 8), (259, 1), (262, 1), (273, start), (278, 5), (279, 25)]
    tags = b"".join(
        struct.pack(f"{order}HH{word}", tag, 4, 1)
        + struct.pack(f"{order}I", value).ljust(struct.calcsize(word), b"\0")
        for tag, value in entries
    )
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}H", 43 if is_big else 42)
    head += struct.pack(f"{order}HHQ", 8, 0, start + 25) if is_big else struct.pack(f"{order}I", start + 25)
    file = io.BytesIO(
        head + bytes(range(25)) + struct.pack(order + count, len(entries)) + tags
        + bytes(struct.calcsize(word))
    )  # fmt: skip
    add_tags(file, {700: (1, b"packet"), 315: (2, b"Ann\0"), 33432: (2, b"Copyright of Ann\0")})
    file.seek(0)
    tiff = parse(file, None)
    assert bytes(tiff.tags[700]) == b"packet"
    if is_big and order == ">":
        return  # Pillow does not know these
    with Image.open(file) as image:
        assert np.array_equal(np.asarray(image).ravel(), np.arange(25))
        exif: Any = image.getexif()
        assert exif[315] == "Ann"
        assert exif[33432] == "Copyright of Ann"


REWRITTEN = [
    '<rdf:Description xmlns:ts="urn:texsynth:record#" ts:settings="a: 1&#xA;b: &quot;x&quot;&#10;"/>',
    "<rdf:Description xmlns:texsynth='urn:texsynth:record#'><texsynth:settings>a: 1\nb: \"x\"\n"
    "</texsynth:settings></rdf:Description>",
]


@pytest.mark.parametrize("packet", [*REWRITTEN, "", "<texsynth:settings>a: 1", "\x00\xff<<<", "&" * 1000])
def test_packets_of_other_programs_are_read(packet: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.new("RGB", (8, 8)).save(path, xmp=packet.encode())
    if packet in REWRITTEN:
        assert settings_and_hash(path)[0] == 'a: 1\nb: "x"\n'
    else:
        with pytest.raises(InputError, match="carries no texsynth settings"):
            settings_and_hash(path)


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".tga"])
def test_what_lies_beside_is_read_and_no_longer_than_it_counts(suffix: str, tmp_path: Path) -> None:
    """Results of earlier versions have their settings there; those of a picture that is replaced go."""
    picture, path = Picture(smooth(21, 30, 3)), tmp_path / f"a{suffix}"
    beside = tmp_path / f"a{suffix}.yaml"
    write(picture, path, settings="command: old\n", beside=True)
    assert settings_and_hash(path) == ("command: old\n", pixel_hash(path))
    write(picture, path, settings="command: new\n", force=True)
    assert settings_and_hash(path) == ("command: new\n", pixel_hash(path))
    assert beside.exists() == (suffix == ".tga")
    write(picture, path, force=True)
    assert not beside.exists()
    beside.write_text("notes of somebody")
    write(picture, path, force=True)
    assert beside.read_text() == "notes of somebody"
