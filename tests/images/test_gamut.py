"""Colours beyond sRGB: they stay in the space of their file, and come back from sRGB as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.artists_files import psd
from helpers.image_files import deep_png, grey_profile, linear_profile, saved, smooth, tiff, wide_profile
from PIL import Image

from texsynth.images import (
    Picture,
    encode,
    open_strips,
    pixel_hash,
    read,
    settings_inside,
    write,
    write_strips,
)
from texsynth.images.gamut import MOST, in_srgb, wide_space
from texsynth.images.light import to_light
from texsynth.images.picture import Pixels
from texsynth.images.profiles import decoded, srgb_profile
from texsynth.images.tensors import to_array, to_pil

P3 = wide_profile()
RED = np.full((4, 4, 3), (255, 0, 0), np.uint8)
RED_LIGHT = (1.2249, -0.0421, -0.0196)  # Red of Display P3 in linear sRGB


def cube(dtype: type = np.uint8) -> Pixels:
    """Colours from all over the space, (1, n, 3)."""
    steps = np.arange(0, 256, 15)
    values = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    return np.asarray(values * (257 if dtype == np.uint16 else 1), dtype)


@pytest.mark.parametrize("name", ["Display P3", "Adobe RGB"])
def test_colours_come_back_as_they_were(name: str) -> None:
    space = wide_space(wide_profile(name))
    assert space is not None
    values, saturation = space.to_srgb(cube(), keep=True)
    assert saturation is not None
    assert (values.min(), values.max()) == (0, pytest.approx(1, abs=1e-4))
    assert 1.2 < saturation.max() < MOST
    assert np.abs(space.from_srgb(values, saturation) * 255 - cube()).max() < 0.1
    greys = np.linspace(0, 65535, 999).round().astype(np.uint16)[None, :, None].repeat(3, 2)
    assert space.to_srgb(greys, keep=True)[1] == pytest.approx(1, abs=1e-3)


def test_colours_of_srgb_are_cut_by_nobody() -> None:
    space = wide_space(P3)
    assert space is not None
    values = (cube() / 255).astype(np.float32)
    own = (space.from_srgb(values) * 65535).round().astype(np.uint16)
    for keep in (True, False):
        back, saturation = space.to_srgb(own, keep=keep)
        assert np.abs(back - values).max() < 2e-3
        assert saturation is None or saturation == pytest.approx(1, abs=0.02)


def test_red_of_display_p3() -> None:
    data = saved(RED, icc_profile=P3)
    assert read(data).rgb.tolist() == RED.tolist()  # the nearest that sRGB has
    picture = read(data, own_space=True)
    assert (picture.rgb.tolist(), picture.profile) == (RED.tolist(), P3)
    assert to_light(picture)[0, 0] == pytest.approx(RED_LIGHT, abs=1e-3)
    assert in_srgb(picture).rgb.tolist() == RED.tolist()
    assert to_array(picture, RED).tolist() == RED.tolist()
    assert to_pil(picture).info == {"icc_profile": P3}
    half = read(saved(RED // 2 + np.uint8(60), icc_profile=P3), own_space=True)
    space = wide_space(P3)
    assert space is not None
    light = decoded(half.rgb / 255) @ space.matrix.T
    assert decoded(in_srgb(half).rgb / 255) == pytest.approx(light.clip(0, 1), abs=6e-3)


@pytest.mark.parametrize("icc", [srgb_profile(), linear_profile(), grey_profile(), b"", srgb_profile()[:200]])
def test_other_profiles_are_no_wide_ones(icc: bytes) -> None:
    assert wide_space(icc) is None


RGB, DEEP = smooth(40, 30, 3), smooth(40, 30, 3, np.uint16)
FILES = {
    "png": (saved(RGB, icc_profile=P3), RGB),
    "deep png": (deep_png(DEEP, (b"iCCP", b"p\0\0" + __import__("zlib").compress(P3))), DEEP),
    "tiff": (saved(RGB, "TIFF", icc_profile=P3), RGB),
    "deep tiff": (tiff(DEEP, icc=P3), DEEP),
    "webp": (saved(RGB, "WEBP", icc_profile=P3, lossless=True), RGB),
    "psd": (psd(RGB, icc=P3), RGB),
    "deep psd": (psd(DEEP, icc=P3), DEEP),
}


@pytest.mark.parametrize("kind", FILES)
def test_files_keep_their_space(kind: str) -> None:
    data, expected = FILES[kind]
    picture = read(data, own_space=True)
    assert np.array_equal(picture.rgb, expected)
    assert picture.profile == P3
    strips = open_strips(data, own_space=True)
    assert strips.kind.profile == P3
    assert np.array_equal(np.concatenate([strip.rgb for strip in strips.rows(7)]), expected)
    plain = read(data)
    assert plain.profile is None
    assert not np.array_equal(plain.rgb, expected)
    assert read(data, as_data=True, own_space=True).profile is None


@pytest.mark.parametrize("name", ["png", "jpg", "webp", "tif", "avif", "tga"])
def test_results_say_their_space(name: str, tmp_path: Path) -> None:
    picture = Picture(RGB, profile=P3)
    path = tmp_path / f"a.{name}"
    write(picture, path, settings="a: 1\n")
    with Image.open(path) as image:
        icc = image.info.get("icc_profile")
    assert icc == (None if name == "tga" else P3)
    assert np.abs(read(path).rgb.astype(int) - in_srgb(picture).rgb).mean() < 4
    strips = tmp_path / f"b.{name}"
    write_strips(picture.strips(7), strips, 30, 40, settings="a: 1\n", wide=P3)
    assert strips.read_bytes() == path.read_bytes()
    if name != "tga":
        # The hash is of what is stored, in whatever space.
        assert pixel_hash(path) == settings_inside(path)[1]


def test_light_has_room_for_all_colours() -> None:
    picture = Picture(np.uint16(257) * RED.astype(np.uint16), is_float=True, profile=P3)
    assert to_light(picture)[0, 0] == pytest.approx(RED_LIGHT, abs=1e-3)
    assert read(encode(picture, "TIFF")[0]).is_float
