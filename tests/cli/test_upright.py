"""Exemplars that are turned upright, alone and by `expand --upright`."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.cli import names, run_cli
from helpers.texture_files import ok, record, save, square, texture
from numpy.typing import NDArray
from torch import Tensor

from texsynth.analysis.orientation import texture_orientations
from texsynth.images import read
from texsynth.images.tensors import to_image
from texsynth.strict_yaml import parse
from texsynth.synthesis.exemplar import Exemplar
from texsynth.synthesis.warp import inner_rectangle, rotate, turn_exemplar, upright_angle


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an exemplar, and the current one."""
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "wall.png", texture())
    return tmp_path


def bricks(height: int, width: int, slope: float) -> NDArray[np.float64]:
    """Courses 16 pixels high that rise to the right by `slope` degrees, (H, W) in [0, 1], smooth edges."""
    step = 4
    y, x = (np.mgrid[: height * step, : width * step] + 0.5) / step
    turn = math.radians(slope)
    along, across = x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)
    course = np.floor(across / 16)
    mortar = (across % 16 < 3) | ((along + 16 * (course % 2)) % 32 < 3)
    fine = np.where(mortar, 0.8, 0.35)
    out: NDArray[np.float64] = fine.reshape(height, step, width, step).mean((1, 3))
    return out


def picture(height: int, width: int, slope: float) -> Tensor:
    return torch.from_numpy(bricks(height, width, slope)).float().expand(1, 3, -1, -1)


def slant(image: Tensor) -> float:
    """Degrees by which the strongest lines miss the nearest axis."""
    return (texture_orientations(image)[0].angle + 45) % 90 - 45


@pytest.mark.parametrize("slope", [-40, -10, -2.5, 4, 10, 33])
def test_courses_come_out_level(slope: float) -> None:
    slanted = picture(128, 140, slope)
    angle = upright_angle(slanted)
    assert angle is not None
    assert angle == pytest.approx(-slope, abs=0.7)
    image = turn_exemplar(Exemplar(slanted), angle).image
    assert abs(slant(image)) < 0.7
    assert image.shape[2] * image.shape[3] > 0.45 * 128 * 140
    assert 0 <= float(image.min()) <= float(image.max()) <= 1


@pytest.mark.parametrize("slope", [0, 0.6])
def test_what_is_upright_stays_as_it_is(slope: float) -> None:
    assert upright_angle(picture(96, 100, slope)) == 0


def test_what_has_no_direction_stays_as_it_is() -> None:
    rough = torch.rand(1, 3, 96, 90, generator=torch.Generator().manual_seed(0))
    assert upright_angle(rough) is None
    assert upright_angle(torch.full((1, 3, 30, 30), 0.5)) is None


def test_the_smaller_turn_is_taken() -> None:
    upright_lines = torch.rot90(picture(128, 128, 10), 1, (2, 3))
    assert upright_angle(upright_lines) == pytest.approx(-10, abs=0.7)


@pytest.mark.parametrize("angle", [-45.0, -30.0, -3.0, 0.0, 8.0, 45.0])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (20, 90), (90, 20), (64, 64), (50, 70)])
def test_nothing_beyond_the_picture_is_in_the_rectangle(size: tuple[int, int], angle: float) -> None:
    rows, columns = inner_rectangle(*size, angle)
    turn = math.radians(angle)
    for y in (-(rows - 1) / 2, (rows - 1) / 2):
        for x in (-(columns - 1) / 2, (columns - 1) / 2):
            assert abs(x * math.cos(turn) - y * math.sin(turn)) <= (size[1] - 1) / 2 + 1e-4
            assert abs(x * math.sin(turn) + y * math.cos(turn)) <= (size[0] - 1) / 2 + 1e-4
    if angle == 0:
        assert (rows, columns) == size
    # A picture of positions shows where every pixel came from.
    ramp = torch.linspace(0, 1, size[0])[:, None].expand(*size)[None, None]
    assert rotate(ramp, angle).shape == (1, 1, rows, columns)


def test_turning_is_counter_clockwise_and_keeps_the_middle() -> None:
    image = torch.zeros(1, 1, 41, 41)
    image[0, 0, 20, 30] = 1  # to the right of the middle
    found = rotate(image, 45.0)
    row, column = divmod(int(found.argmax()), found.shape[3])
    assert (row - found.shape[2] // 2, column - found.shape[3] // 2) == (-7, 7)
    assert torch.allclose(rotate(image, 0.0), image, atol=1e-5)


def test_maps_and_masks_are_turned_along() -> None:
    image = picture(100, 100, 20)
    mask = torch.ones(1, 1, 100, 100)
    mask[:, :, :, 70:] = 0
    given = Exemplar(image, siblings=(image[:, :1],), mask=mask, guide=image[:, :2], weight=0.3)
    found = turn_exemplar(given, -20.0)
    assert set(found.siblings[0].unique().tolist()) <= set(image[:, :1].unique().tolist()), (
        "copied, not mixed"
    )
    assert float((found.siblings[0] - found.image[:, :1]).abs().mean()) < 0.05
    assert found.guide is not None
    assert torch.equal(found.guide, found.image[:, :2])
    assert found.mask is not None
    assert set(found.mask.unique().tolist()) == {0.0, 1.0}
    assert found.weight == 0.3
    assert turn_exemplar(given, 0.0) is given


@pytest.mark.slow
def test_expand_lays_slanting_bricks_level(place: Path, quick: list[object]) -> None:
    save(place / "wall.png", bricks(96, 96, 10) * 255)
    ok("expand", "wall.png", *quick)
    ok("expand", "wall.png", "--upright", "-o", "level.png", *quick)
    slanting, level = (to_image(read(place / name)) for name in ("wall.expand.png", "level.png"))
    assert slant(slanting) == pytest.approx(10, abs=1.5)
    assert slant(level) == pytest.approx(0, abs=1)
    assert level.shape[2:] == (192, 192), "twice what was given, not twice what is left"
    assert record(place / "level.png").expand.upright
    ok("replay", "level.png")
    assert (place / "level.replay.png").read_bytes() == (place / "level.png").read_bytes()


def test_upright_is_a_setting_and_says_when_it_does_nothing(place: Path, quick: list[object]) -> None:
    shown = parse(run_cli("presets", "show", "balanced", "--all").stdout, source="balanced")
    assert isinstance(shown, dict)
    assert shown["expand"]["upright"] is False
    save(place / "noise.png", np.random.default_rng(0).random((64, 64)) * 255)
    done = ok("expand", "noise.png", "--set", "upright=true", *quick)
    assert "no direction stands out" in done.stderr
    ok("expand", "noise.png", "--no-upright", "-o", "plain.png", *quick)
    assert np.array_equal(read(place / "noise.expand.png").rgb, read(place / "plain.png").rgb)


def test_upright_is_refused_where_it_cannot_be(place: Path, quick: list[object]) -> None:
    save(place / "hole.png", square(32, 40, 4, 26, 8))
    save(place / "small.png", bricks(20, 20, 30) * 255)
    before = names(place)
    for arguments, code, message in (
        (["expand", "wall.png", "--hole", "hole.png", "--upright"], 2, "--hole keeps it as it is"),
        (["tile", "wall.png", "--set", "upright=true"], 2, "keeps its middle as it is"),
        (["expand", "small.png", "--upright"], 4, "leave out upright"),
    ):
        done = run_cli(*arguments, *quick)
        assert (done.exit_code, message in done.stderr) == (code, True), done.stderr
    assert names(place) == before


def test_every_exemplar_of_a_mixture_is_turned(place: Path, quick: list[object]) -> None:
    save(place / "a.png", bricks(96, 96, 12) * 255)
    save(place / "b.png", bricks(96, 100, -9) * 255)
    done = ok("expand", "a.png", "b.png", "--mix", "--upright", "--scale", 1, "-o", "mix.png", *quick)
    assert done.stderr == ""
    assert abs(slant(to_image(read(place / "mix.png")))) < 1
