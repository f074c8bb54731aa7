"""Photographs and textures of a space wider than sRGB, through the commands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.cli import make_model, make_picture, run_cli
from helpers.image_files import smooth, tiff, wide_profile
from PIL import Image

from texsynth.images import read
from texsynth.images.light import to_light
from texsynth.images.picture import Picture
from texsynth.jobs.memory import TilePlan

P3 = wide_profile()
RUN = ["--threads", 1, "--dtype", "float32", "--model", "m.safetensors"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a picture of 8 and one of 16 bits, saturated and with greys."""
    monkeypatch.chdir(tmp_path)
    make_model(tmp_path / "m.safetensors")
    make_picture(tmp_path / "ink.png")
    rgb = smooth(48, 44, 3)
    rgb[:16], rgb[16:24, :20] = (255, 0, 0), (0, 255, 40)
    Image.fromarray(rgb).save("a.png", icc_profile=P3)
    (tmp_path / "b.tif").write_bytes(tiff(rgb.astype(np.uint16) * np.uint16(257) + np.uint16(31), icc=P3))
    return tmp_path


def ok(*arguments: object) -> str:
    result = run_cli(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def own(path: str) -> Picture:
    picture = read(Path(path), own_space=True)
    assert picture.profile == P3
    return picture


@pytest.mark.parametrize(("name", "near"), [("a.png", 0), ("b.tif", 8)])
@pytest.mark.parametrize("spilled", [False, True])
def test_photographs_without_a_style_are_what_they_were(
    place: Path, name: str, near: int, spilled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if spilled:
        monkeypatch.setattr("texsynth.jobs.contents.LARGE_PIXELS", 1)
        monkeypatch.setattr("texsynth.jobs.stylize.plan_tiles", lambda *_, **__: TilePlan(64, True))
        near = max(near, 1 if name == "a.png" else 257)
    file = ok("stylize", name, "ink.png", "--photo", "--strength", 0, *RUN)
    assert np.abs(own(file).rgb.astype(int) - own(name).rgb).max() <= near


def test_photographs_keep_colours_that_srgb_has_not(place: Path) -> None:
    file = ok("stylize", "a.png", "ink.png", "--photo", *RUN)
    assert to_light(own(file)).min() < -0.01
    again = ok("replay", file, "-o", "again.png", "--threads", 1)
    assert (place / again).read_bytes() == (place / file).read_bytes()
    result = run_cli("stylize", "a.png", "ink.png", "--photo", *RUN, "--resume")
    assert (result.exit_code, "1 skipped" in result.stderr or not result.stderr) == (0, True), result.stderr


def test_paintings_have_the_space_of_their_content_or_srgb(place: Path) -> None:
    """The same colours, in other numbers."""
    wide = ok("stylize", "a.png", "ink.png", *RUN)
    plain = ok("stylize", "a.png", "ink.png", "--srgb", "-o", "plain.png", *RUN)
    with Image.open(plain) as image:
        assert image.info["icc_profile"] != P3
    assert not np.array_equal(own(wide).rgb, read(Path(plain)).rgb)
    assert np.abs(read(Path(wide)).rgb.astype(int) - read(Path(plain)).rgb).max() <= 3


def test_textures_are_made_of_the_pixels_of_their_exemplar(place: Path) -> None:
    Image.fromarray(smooth(60, 60, 3)).save("c.png", icc_profile=P3)
    flags = ("--size", "80x80", "--set", "method=patch", "--threads", 1)
    ok("expand", "c.png", *flags)
    texture, source = own("c.expand.png"), own("c.png")
    assert texture.rgb.mean((0, 1)) == pytest.approx(source.rgb.mean((0, 1)), abs=12)
    Image.fromarray(smooth(60, 60, 3)).save("d.png")
    file = ok("expand", "c.png", "d.png", "--mix", *flags, "-o", "mixed.png")
    assert read(Path(file), own_space=True).profile is None
