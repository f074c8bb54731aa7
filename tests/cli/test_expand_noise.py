"""expand --method noise and --even-light through the program, with a random model that neither uses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.cli import run_cli
from helpers.texture_files import ok, record, redness, save, square, texture
from numpy.typing import NDArray

from texsynth.images import read

NOISE = ("--method", "noise", "--threads", 1)


@pytest.fixture
def flags(model: Path) -> tuple[object, ...]:
    return (*NOISE, "--model", model)


def test_noise_of_any_size_is_the_same_again(place: Path, flags: tuple[object, ...]) -> None:
    ok("expand", "wall.png", "--size", "150x70", "--tileable", *flags)
    pixels = read(place / "wall.expand.png").rgb.astype(float)
    assert pixels.shape == (70, 150, 3)
    assert pixels.mean((0, 1)) == pytest.approx(texture().mean((0, 1)), rel=0.1)
    assert pixels.std((0, 1)) == pytest.approx(texture().std((0, 1)), rel=0.15)
    found = record(place / "wall.expand.png")
    assert (found.expand.method, found.expand.transposer, found.expand.noise.spacing) == ("noise", None, 0.16)
    ok("replay", "wall.expand.png")
    assert (place / "wall.expand.replay.png").read_bytes() == (place / "wall.expand.png").read_bytes()
    for axis in (0, 1):
        ends = np.abs(pixels.take(0, axis) - pixels.take(-1, axis)).mean()
        assert ends < 1.2 * np.abs(np.diff(pixels, axis=axis)).mean(), "the borders meet"
    ok("expand", "wall.png", "--set", "noise.spacing=0.3", "-o", "other.png", *flags)
    assert record(place / "other.png").expand.noise.spacing == 0.3


def test_siblings_of_noise_are_copied_pixel_by_pixel(place: Path, flags: tuple[object, ...]) -> None:
    numbers = np.arange(32 * 40).reshape(32, 40) * 50
    save(place / "place.png", numbers, deep=True)
    save(place / "bit.png", square(32, 40, 4, 4, 20))
    ok("expand", "wall.png", "--with", "place.png", "--with", "bit.png", *flags)
    made = read(place / "place.expand.png").rgb[..., 0] // 50
    assert np.isin(read(place / "place.expand.png").rgb[..., 0], numbers).all()
    assert set(np.unique(read(place / "bit.expand.png").rgb)) == {0, 255}
    bits = square(32, 40, 4, 4, 20).flatten()[made]
    assert np.array_equal(bits, read(place / "bit.expand.png").rgb[..., 0]), "from the same places"


def test_noise_comes_from_where_the_mask_is_white(place: Path, flags: tuple[object, ...]) -> None:
    pixels = texture()
    pixels[:, 24:, 0] = 255
    save(place / "red.png", pixels)
    save(place / "mask.png", square(32, 40, 0, 0, 24))
    ok("expand", "red.png", "--mask", "mask.png", *flags)
    assert redness(read(place / "red.expand.png").rgb) == 0
    assert ok("expand", "red.png", "-o", "all.png", *flags)
    assert redness(read(place / "all.png").rgb) > 0.1


@pytest.mark.parametrize(
    ("command", "more", "reason"),
    [
        ("expand", ["--guide", "wall.png"], "a guide"),
        ("expand", ["two.png", "--mix"], "several exemplars"),
        ("expand", ["--hole", "hole.png"], "a hole"),
        ("tile", [], "`texsynth tile`"),
    ],
)
def test_what_noise_cannot_do_is_refused(
    place: Path, flags: tuple[object, ...], command: str, more: list[str], reason: str
) -> None:
    save(place / "two.png", texture(seed=1))
    save(place / "hole.png", square(32, 40, 4, 4, 9))
    result = run_cli(command, "wall.png", *more, *flags)
    assert result.exit_code == 2
    assert f"method noise cannot be used with {reason}; use --method patch+optimize" in result.stderr


def lit(height: int = 96, width: int = 120) -> NDArray[np.float64]:
    """A grainy wall that is brighter at the right and at the bottom, (H, W) in [0, 255]."""
    y, x = np.mgrid[:height, :width]
    grain = np.random.default_rng(0).normal(0, 10, (height, width))
    out: NDArray[np.float64] = (90 + 40 * y / height + 50 * x / width + grain).clip(0, 255)
    return out


def tilt(pixels: NDArray[np.generic]) -> float:
    """How much brighter the right half is than the left."""
    values, half = pixels[..., 0].astype(float), pixels.shape[1] // 2
    return float(values[:, half:].mean() - values[:, :half].mean())


def test_light_is_taken_out_before_more_is_made(place: Path, quick: list[object]) -> None:
    save(place / "lit.png", lit())
    save(place / "map.png", lit())
    layouts = ("--set", "patch.layouts=1", "--size", "120x96")
    result = ok("expand", "lit.png", "--with", "map.png", *layouts, *quick)
    assert "slow changes of its light were taken out" in result.stderr
    made = read(place / "lit.expand.png").rgb.astype(float)[..., 0]
    means = made.reshape(12, 8, 15, 8).mean((1, 3))
    assert means.std() < 4, "no patchwork"
    assert np.ptp(read(place / "map.expand.png").rgb) > 120, "maps keep their values"
    assert record(place / "lit.expand.png").expand.even_light == "auto"
    quiet = ok("expand", "lit.png", "--even-light", "off", "-o", "off.png", *layouts, *quick)
    assert "light" not in quiet.stderr
    assert record(place / "off.png").expand.even_light == "off"
    ok(
        "expand",
        "lit.png",
        "--even-light",
        "0.5",
        "--with",
        "map.png",
        "-o",
        "half.png",
        "-f",
        *layouts,
        *quick,
    )
    ok("replay", "half.png")
    assert (place / "half.replay.png").read_bytes() == (place / "half.png").read_bytes()


def test_a_tile_keeps_the_light_of_its_middle(place: Path, quick: list[object]) -> None:
    save(place / "lit.png", lit())
    ok("tile", "lit.png", *quick)
    before, after = lit().round(), read(place / "lit.tile.png").rgb[..., 0].astype(float)
    middle = np.s_[24:-24, 24:-24]
    assert np.abs(after - before)[middle].max() <= 1
    for axis, band in ((0, 12), (1, 12)):
        first, last = (after.take(range(*ends), axis).mean() for ends in ((0, 4), (-4, 0)))
        assert abs(first - last) < 10, "light passes over to the other side"
        was = [before.take(range(*ends), axis).mean() for ends in ((0, band), (-band, 0))]
        assert abs(was[0] - was[1]) > 30


def test_a_hole_is_filled_in_the_light_of_its_place(place: Path, quick: list[object]) -> None:
    hole = square(96, 120, 40, 75, 30)
    save(place / "hole.png", hole)
    results = []
    for mark in (0, 255):
        save(place / "lit.png", np.where(hole > 0, mark, lit()))
        ok("expand", "lit.png", "--hole", "hole.png", "-o", "filled.png", "-f", *quick)
        results.append(read(place / "filled.png").rgb[..., 0].astype(float))
    assert np.abs(results[0] - lit())[hole == 0].max() <= 1
    inside, around = results[0][45:65, 80:100], lit()[45:65, 80:100]
    assert inside.mean() == pytest.approx(around.mean(), abs=5)


@pytest.mark.parametrize("value", ["2", "-0.1", "nan", "maybe", ""])
def test_a_wrong_share_of_light_is_refused(place: Path, value: str) -> None:
    result = run_cli("expand", "wall.png", f"--even-light={value}")
    assert result.exit_code == 2
    assert f"--even-light {value!r} must be auto, off or a share from 0 to 1" in result.stderr
    assert not (place / "wall.expand.png").exists()


def test_a_wrong_setting_of_light_is_refused(place: Path) -> None:
    assert place.exists()
    for value, message in (("2", "a number from 0 to 1"), ("maybe", "one of auto, off")):
        result = run_cli("expand", "wall.png", "--set", f"even_light={value}")
        assert result.exit_code == 2
        assert f"must be {message}" in result.stderr
