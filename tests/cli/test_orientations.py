"""`--orientations` and `--variety` through the command, its records and Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.cli import run_cli
from helpers.texture_files import ok, record, save
from helpers.walls import wall
from numpy.typing import NDArray

import texsynth
from texsynth.images import read


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an exemplar, and the current one."""
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "slope.png", slope())
    return tmp_path


def slope(side: int = 40) -> NDArray[np.uint8]:
    """Grain whose red says how far right, whose green says how far down; (H, W, 3)."""
    y, x = np.mgrid[:side, :side] * (200 / side)
    grain = np.random.default_rng(0).integers(0, 255, (side, side))
    return np.stack([x, y, grain], -1).astype(np.uint8)


def kinds(path: Path) -> set[tuple[int, int, int, int]]:
    """Directions in which red and green rise where pieces are whole: (red x, red y, green x, green y)."""
    rgb = read(path).rgb.astype(int)
    across, down = rgb[:-1, 1:] - rgb[:-1, :-1], rgb[1:, :-1] - rgb[:-1, :-1]
    slopes = np.stack([across[..., 0], down[..., 0], across[..., 1], down[..., 1]], -1)
    whole = (np.abs(slopes) == 5).sum(-1) == 2
    whole &= (slopes == 0).sum(-1) == 2
    found, count = np.unique(slopes[whole] // 5, axis=0, return_counts=True)
    return {tuple(kind) for kind, n in zip(found.tolist(), count, strict=True) if n > 50}


QUICK = ("--method", "patch", "--set", "patch.iterations=[]", "--set", "patch.refine=0", "--threads", 1)


@pytest.mark.parametrize(("name", "count"), [("none", 1), ("mirror", 2), ("all", 8)])
def test_pieces_are_laid_in_the_orientations_that_are_named(place: Path, name: str, count: int) -> None:
    ok(
        "expand",
        "slope.png",
        "-o",
        "out.png",
        "--scale",
        4,
        "--orientations",
        name,
        "--even-light",
        "off",
        *QUICK,
    )
    assert record(place / "out.png").expand.orientations == name
    seen = kinds(place / "out.png")
    assert len(seen) == count
    assert (1, 0, 0, 1) in seen
    if name == "mirror":
        assert (-1, 0, 0, 1) in seen


def test_auto_leaves_alone_what_has_a_direction(place: Path) -> None:
    ok("expand", "slope.png", "-o", "auto.png", "--even-light", "off", *QUICK)
    ok("expand", "slope.png", "-o", "none.png", "--even-light", "off", "--orientations", "none", *QUICK)
    assert np.array_equal(read(place / "auto.png").rgb, read(place / "none.png").rgb)


def test_normals_of_turned_pieces_turn(place: Path) -> None:
    """Everywhere the normal map leans against the slope of red, whichever way a piece is turned."""
    flat = np.full((40, 40, 3), 128)
    flat[..., 0] = 68
    save(place / "slope_normal.png", flat)
    ok("expand", "slope.png", "-o", "out.png", "--with-normal", "slope_normal.png", "--orientations", "all",
       "--even-light", "off", *QUICK)  # fmt: skip
    normals = next(p for p in place.iterdir() if "normal" in p.name and p.name != "slope_normal.png")
    leans = read(normals).rgb.astype(int)[..., :2] - 128
    rgb = read(place / "out.png").rgb.astype(int)
    across, down = rgb[1:-1, 2:, 0] - rgb[1:-1, :-2, 0], rgb[2:, 1:-1, 0] - rgb[:-2, 1:-1, 0]
    inner = leans[1:-1, 1:-1]
    level, steep = (across == 10) & (down == 0), (across == 0) & (down == 10)
    assert level.sum() > 50
    assert steep.sum() > 50
    # But for a few seams that look like a slope.
    assert (np.abs(inner[level] - [-60, 0]) <= 1).all(1).mean() > 0.95
    assert (np.abs(inner[steep] - [0, 60]) <= 1).all(1).mean() > 0.95, "green is up"


def test_variety_is_recorded_changes_the_layout_and_replays(place: Path) -> None:
    for value in (0, 1):
        ok("expand", "slope.png", "-o", f"{value}.png", "--variety", value, *QUICK)
        assert record(place / f"{value}.png").expand.variety == value
    assert (place / "0.png").read_bytes() != (place / "1.png").read_bytes()
    ok("replay", "1.png", "-o", "again.png")
    assert np.array_equal(read(place / "again.png").rgb, read(place / "1.png").rgb)


def test_siblings_follow_bricks_that_change_places(place: Path) -> None:
    """Red and green of the sibling say where a pixel comes from; the dark brick is not everywhere."""
    colours = 0.6 + 0.1 * torch.rand(14, 8, 3, generator=torch.Generator().manual_seed(2))
    colours[6, 3] = 0
    image = (wall(14, 7, colours)[0].permute(1, 2, 0).clamp(0, 1) * 255).byte().numpy()
    y, x = np.mgrid[:168, :168]
    save(place / "wall.png", image)
    save(place / "place.png", np.stack([y, x, 0 * x], -1).astype(np.uint8))
    laid = {}
    for value in (0, 0.5):
        ok("expand", "wall.png", "-o", f"{value}.png", "--with", "place.png", "--even-light", "off",
           "--orientations", "none", "--variety", value, "--size", 200, *QUICK)  # fmt: skip
        sibling = next(p for p in place.iterdir() if "place" in p.name and p.name != "place.png")
        laid[value] = read(sibling).rgb.astype(int)
        sibling.unlink()
        copied = image[laid[value][..., 0], laid[value][..., 1]].astype(int)
        assert np.abs(copied - read(place / f"{value}.png").rgb).mean() < 8
    changed = (laid[0] != laid[0.5]).any(-1)
    assert changed.mean() > 0.02
    ok("replay", "0.5.png", "-o", "again.png")
    assert np.array_equal(read(place / "again.png").rgb, read(place / "0.5.png").rgb)


@pytest.mark.parametrize("flags", [["--orientations", "some"], ["--variety", "1.5"], ["--variety", "-1"]])
def test_what_is_refused(place: Path, flags: list[str]) -> None:
    result = run_cli("expand", "slope.png", *flags)
    assert result.exit_code == 2
    assert flags[0].strip("-") in result.stderr
    assert not (place / "slope.expand.png").exists()


def test_python_takes_both() -> None:
    image = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
    plain = texsynth.expand(image, method="patch", orientations="none", variety=0.0)
    turned = texsynth.expand(image, method="patch", orientations="all", variety=1.0)
    assert plain.shape == turned.shape == (3, 64, 64)
    assert not torch.equal(plain, turned)
    with pytest.raises(texsynth.UsageError, match="orientations"):
        texsynth.expand(image, orientations="some")
