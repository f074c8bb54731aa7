"""The hash below the settings of a file: that of its pixels, whoever wrote them, and of no others."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from helpers.image_files import smooth
from PIL import Image, PngImagePlugin

from texsynth.images import Picture, pixel_hash, settings_and_hash, write, write_strips
from texsynth.images.picture import ALPHA_FORMATS, output_format
from texsynth.images.seal import unsealed

SUFFIXES = [".png", ".tif", ".jpg", ".webp"]


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


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
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
