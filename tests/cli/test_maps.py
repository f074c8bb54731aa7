"""texsynth maps from end to end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.cli import names, run_cli
from helpers.texture_files import ok, save, texture

import texsynth
from texsynth.config.records import Embedded, MapsRecord
from texsynth.images import embedded_settings, read
from texsynth.strict_yaml import parse

FLAGS = ["--threads", 1]
ROLES = ("height", "normal", "roughness", "ao")


def test_four_maps_of_16_bits(place: Path) -> None:
    result = ok("maps", "wall.png", *FLAGS)
    files = [f"wall_{role}.png" for role in ROLES]
    assert (result.stdout.split(), result.stderr) == (files, "")
    for role, name in zip(ROLES, files, strict=True):
        picture = read(place / name)
        assert (picture.bit_depth, picture.grey, picture.width) == (16, role != "normal", 40)
        record = Embedded.model_validate(parse(embedded_settings(place / name), source=name)).root
        assert isinstance(record, MapsRecord)
        assert (record.role, record.picture.path) == (role, "wall.png")


@pytest.mark.parametrize("flags", [["--tileable"], ["--no-tileable"], ["--depth", "0.1", "--green", "down"]])
def test_normals_are_the_gradient_of_the_height(place: Path, flags: list[str]) -> None:
    done = json.loads(ok("maps", "wall.png", *flags, "--json", *FLAGS).stdout)
    assert done["depth_px"] == ("3.20" if "0.1" in flags else "0.96")
    height = read(place / "wall_height.png").rgb[..., 0] / 65535 * float(done["depth_px"])
    if done["tileable"] == "yes":
        wide = np.pad(height, 1, mode="wrap")
        down, across = (np.gradient(wide, axis=axis)[1:-1, 1:-1] for axis in (0, 1))
    else:
        down, across = (np.gradient(height, axis=axis) for axis in (0, 1))
    vectors = read(place / "wall_normal.png").rgb / 65535 * 2 - 1
    sign = -1 if "down" in flags else 1
    want = np.stack([-across, sign * down, np.ones_like(height)], 2)
    want /= np.linalg.norm(want, axis=2, keepdims=True)
    assert np.abs(vectors - want).max() < 2e-4
    assert np.abs(np.linalg.norm(vectors, axis=2) - 1).max() < 1e-4


def test_a_flat_picture_has_flat_maps(place: Path) -> None:
    save(place / "flat.png", np.full((20, 24, 3), (90, 140, 30)))
    ok("maps", "flat.png", "--format", "tif", *FLAGS)
    height, normal, roughness, ao = (read(place / f"flat_{role}.tif").rgb for role in ROLES)
    assert (height == 32768).all()
    assert (normal == (32768, 32768, 65535)).all()
    assert np.ptp(roughness) == 0
    assert (ao == 65535).all()


def test_names(place: Path) -> None:
    save(place / "brick_Color.png", texture())
    for output, path, first in (
        (None, "brick_Color.png", "brick_height.png"),
        ("new/", "wall.png", "new/wall_height.png"),
        ("new/stone.tif", "wall.png", "new/stone_height.tif"),
        ("new/stone_height.png", "wall.png", "new/stone_height.png"),
        ("new/my_stone.png", "wall.png", "new/my_stone_height.png"),
    ):
        flags = [] if output is None else ["-o", output]
        assert ok("maps", path, *flags, "-f", *FLAGS).stdout.split()[0] == first


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["wall.png", "-o", "-"], 2, "cannot share standard output"),
        (["wall.png", "-o", "a.jpg"], 2, "do not survive .jpg"),
        (["wall.png", "--format", "webp"], 2, "do not survive .webp"),
        (["wall.png", "--depth", "0"], 2, "depth"),
        (["wall.png", "--green", "left"], 2, "green"),
        (["wall.png", "-p", "photo"], 2, "has no settings for maps"),
        (["wall.png", "--set", "bands=[1,2,3]"], 2, "bands"),
        (["tiny.png"], 4, "at least 16"),
        (["gone.png"], 4, "does not exist"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else None,
)
def test_refused(place: Path, arguments: list[str], code: int, message: str) -> None:
    save(place / "tiny.png", texture(15, 40))
    before = names(place)
    result = run_cli("maps", *arguments, *FLAGS)
    assert (result.exit_code, result.stdout) == (code, "")
    assert message in result.stderr
    assert names(place) == before


def test_many_pictures_resume_and_replay(place: Path) -> None:
    (place / "in" / "sub").mkdir(parents=True)
    for number, name in enumerate(("a.png", "sub/b.png")):
        save(place / "in" / name, texture(seed=number))
    (place / "in" / "bad.png").write_text("I am text")
    run = ("maps", "in", "-r", "-o", "out", "--set", "even_light=0.5", *FLAGS)
    assert run_cli(*run, "--report", "page.html").exit_code == 3
    assert len(names(place / "out")) == 8
    assert "a_height.png" in (place / "page.html").read_text()
    before = {name: (place / "out" / name).read_bytes() for name in names(place / "out")}
    (place / "out" / "a_ao.png").unlink()
    again = run_cli(*run, "--resume", "--json")
    assert sum("skipped" in line for line in again.stdout.splitlines()) == 1
    assert {name: (place / "out" / name).read_bytes() for name in names(place / "out")} == before
    other = run_cli("maps", "in/a.png", "-o", "out/", "--resume", *FLAGS)
    assert (other.exit_code, "exists already (made with maps.even_light 0.5" in other.stderr) == (5, True)
    assert ok("replay", "out/a_normal.png").stdout.split() == ["out/a_normal.replay.png"]
    assert (place / "out" / "a_normal.replay.png").read_bytes() == before["a_normal.png"]


def test_maps_and_their_picture_are_a_material(place: Path, quick: list[object]) -> None:
    (place / "set").mkdir()
    save(place / "set" / "wall.png", texture())
    ok("maps", "set/wall.png", "-o", "set/", *FLAGS)
    result = ok("expand", "set", "-o", "out/", *quick)
    assert len(result.stdout.split()) == 5
    assert "is one material: wall.png with" in result.stderr


def test_presets_have_settings_for_maps(place: Path) -> None:
    (place / "mine.yaml").write_text("maps: {depth: 0.2}")
    done = json.loads(ok("maps", "wall.png", "-p", "mine.yaml", "--json", *FLAGS).stdout)
    assert done["depth_px"] == "6.40"


def test_from_python(place: Path) -> None:
    pixels = texture().astype(np.uint8)
    maps = texsynth.maps(pixels, depth=0.05, threads=1)
    assert {role: values.shape for role, values in maps.items()} == {
        "height": (32, 40), "normal": (32, 40, 3), "roughness": (32, 40), "ao": (32, 40),
    }  # fmt: skip
    assert {values.dtype for values in maps.values()} == {np.dtype(np.uint8)}
    ok("maps", "wall.png", "--depth", 0.05, "--bit-depth", 8, *FLAGS)
    assert np.array_equal(read(place / "wall_height.png").rgb[..., 0], maps["height"])
    deep = texsynth.maps("wall.png", threads=1, settings=texsynth.MapsSettings(depth=0.05))
    assert (deep["height"].mode, deep["normal"].mode) == ("I;16", "RGB")
