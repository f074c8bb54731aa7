"""Blends by label maps as people have them: noisy, antialiased, deep, indexed, and with many labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import pyvips
from helpers.cli import make_picture, run_cli
from PIL import Image, ImageDraw

from texsynth.images import read

BLUE, GREEN, BLACK, WHITE, GREY = (0, 0, 255), (0, 255, 0), (0, 0, 0), (255, 255, 255), (128, 128, 128)
WIDTH, HEIGHT = 240, 180


def drawn(scale: int, *colours: tuple[int, int, int]) -> Image.Image:
    """Draw a hill, a disk in the sky, and a box on the hill with another one in it, of up to five colours."""
    sky, hill, disk, box, inner = (*colours, *(colours[-1],) * 5)[:5]
    w, h = WIDTH * scale, HEIGHT * scale
    image = Image.new("RGB", (w, h), sky)
    draw = ImageDraw.Draw(image)
    draw.polygon([(0, h * 0.7), (w * 0.4, h * 0.4), (w, h * 0.6), (w, h), (0, h)], fill=hill)
    draw.ellipse([w * 0.6, h * 0.05, w * 0.9, h * 0.4], fill=disk)
    draw.rectangle([w * 0.1, h * 0.65, w * 0.5, h * 0.95], fill=box)
    draw.rectangle([w * 0.2, h * 0.75, w * 0.35, h * 0.9], fill=inner)
    return image


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A content and a style, with the same map saved in many ways."""
    monkeypatch.chdir(tmp_path)
    make_picture(tmp_path / "cat.png", seed=1, height=HEIGHT, width=WIDTH)
    make_picture(tmp_path / "oil.png", seed=2, height=HEIGHT, width=WIDTH)
    colours = BLUE, GREEN, BLACK, WHITE, GREY
    exact, soft = drawn(1, *colours), drawn(3, *colours).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    exact.save("exact.png")
    exact.save("75.jpg", quality=75)
    exact.save("90.jpg", quality=90)
    exact.convert("P", palette=Image.Palette.ADAPTIVE, colors=5).save("indexed.png")
    soft.save("soft.png")
    pyvips.Image.new_from_array(np.asarray(soft).astype(np.uint16) * 257).write_to_file(
        "deep.png", bitdepth=16
    )
    return tmp_path


def blend(model: Path, content_map: str, style_map: str, *flags: str) -> tuple[np.ndarray, str]:
    """Blend and return the picture and what was said."""
    labels = ("--content-labels", content_map, "--style-labels", style_map, *flags)
    command = ("blend", "cat.png", "--style", "oil.png", *labels, "-f", "-o", "out.png")
    result = run_cli(*command, "--model", model, "--dtype", "float32", "--photo")
    assert result.exit_code == 0, result.stderr
    return read(Path("out.png")).rgb.astype(int), result.stderr


def test_a_noisy_map_does_what_the_exact_one_does(place: Path, model: Path) -> None:
    exact, said = blend(model, "exact.png", "exact.png")
    assert said == ""
    for content_map, style_map in (("75.jpg", "deep.png"), ("soft.png", "90.jpg"), ("indexed.png", "75.jpg")):
        result, said = blend(model, content_map, style_map)
        assert np.abs(result - exact).mean() < 1.5
        noisy = [name for name in (content_map, style_map) if name != "indexed.png"]
        lines = said.splitlines()
        assert len(lines) == len(noisy)
        for name, line in zip(noisy, lines, strict=True):
            assert line.startswith(f"texsynth: {name}: ")
            assert "colours were merged into the 5 labels #" in line
    assert run_cli("replay", "out.png", "-o", "again.png").exit_code == 0
    assert Path("again.png").read_bytes() == Path("out.png").read_bytes()


def test_one_warning_says_all_that_has_no_partner(place: Path, model: Path) -> None:
    drawn(1, GREEN, BLACK, (255, 0, 0)).save("other.jpg")
    _, said = blend(model, "exact.png", "other.jpg")
    (line,) = said.splitlines()
    assert "colours were merged into the 3 labels" in line
    assert "next to nothing of #0000ff, #808080, #ffffff, for which all of oil.png stands in" in line
    assert "the content's map has no #fe0000" in line


def test_many_labels_and_too_many(place: Path, model: Path) -> None:
    """Grey values that are numbers; an earlier limit was 64."""
    for count in (72, 288):
        squares = np.arange(count).reshape(6, -1).repeat(30, 0).repeat(WIDTH * 6 // count, 1)
        pixels = np.stack([squares % 256, squares // 256, squares * 0], 2).astype(np.uint8)
        Image.fromarray(pixels).save(f"{count}.png")
    _, said = blend(model, "72.png", "72.png", "--feather", "0")
    assert said == ""
    labels = ("--content-labels", "288.png", "--style-labels", "288.png")
    result = run_cli("blend", "cat.png", "--style", "oil.png", *labels, "--model", model)
    assert result.exit_code == 4
    assert "288.png has 288 labels; give it at most 256" in result.stderr
