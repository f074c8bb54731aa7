"""Maps of one surface: folders that are a material, names of results, masks of one bit, and normals."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from helpers.cli import names, run_cli
from helpers.texture_files import ok, record, save, texture
from numpy.typing import NDArray
from PIL import Image

import texsynth
from texsynth.images import read
from texsynth.jobs.materials import MapName, material_in, sibling_stem


def slanted(side: int, degrees: float) -> NDArray[np.float64]:
    """A height whose ridges rise to the right by `degrees`, (side, side)."""
    y, x = np.mgrid[:side, :side]
    turn = math.radians(degrees)
    across = x * math.sin(turn) + y * math.cos(turn)
    height: NDArray[np.float64] = np.sin(across * 2 * np.pi / 16)
    return height


def normals_of(
    height: NDArray[np.float64], depth: float = 2.0, *, green_up: bool = True
) -> NDArray[np.uint8]:
    """The normal map of a height."""
    down, across = np.gradient(height * depth)
    vectors = np.stack([-across, down if green_up else -down, np.ones_like(height)], 2)
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    colours: NDArray[np.uint8] = ((vectors + 1) / 2 * 255).round().astype(np.uint8)
    return colours


def vectors_of(path: Path) -> NDArray[np.float64]:
    found: NDArray[np.float64] = read(path, as_data=True).rgb.astype(float) / 255 * 2 - 1
    return found


@pytest.fixture
def material(place: Path) -> Path:
    folder = place / "brick"
    folder.mkdir()
    save(folder / "Brick_Color.png", texture())
    save(folder / "Brick_NormalDX.png", np.full((32, 40, 3), (128, 128, 255)))
    save(folder / "Brick_Roughness.png", texture()[..., 1])
    return folder


def test_a_folder_of_maps_is_one_material(place: Path, material: Path, quick: list[object]) -> None:
    result = ok("expand", "brick/", "-o", "out/", *quick)
    assert result.stderr.count("\n") == 1
    assert (
        "brick is one material: Brick_Color.png with Brick_NormalDX.png, Brick_Roughness.png" in result.stderr
    )
    files = ["Brick.expand_Color.png", "Brick.expand_NormalDX.png", "Brick.expand_Roughness.png"]
    assert names(place / "out") == files
    carried = record(place / "out" / files[0])
    assert [sibling.kind for sibling in carried.siblings] == ["directx", "values"]
    rough, color = (read(place / "out" / files[k], as_data=True).rgb.astype(int) for k in (2, 0))
    assert np.abs(rough[..., 0] - color[..., 1]).mean() < 5, "steps of brightness are evened out in colours"
    assert material_in(place / "out") is not None, "results are a material again"
    again = ok("tile", "out", "--json", "-q", *quick)
    assert (json.loads(again.stdout)["output"], again.stderr) == ("Brick.expand.tile_Color.png", "")
    replayed = ok("replay", "out/Brick.expand_Color.png")
    assert len(replayed.stdout.split()) == 3
    for name in files:
        again_name = name.replace(".png", ".replay.png")
        assert (place / "out" / name).read_bytes() == (place / "out" / again_name).read_bytes()


@pytest.mark.parametrize(
    ("files", "colour"),
    [
        (["a_diff_1k", "a_nor_gl_1k", "a_rough_1k"], "a_diff_1k"),
        (["a", "a_normal", "a_height"], "a"),
        (["a b-albedo", "a b-metal"], "a b-albedo"),
        (["color", "normal"], "color"),
        (["a", "a_rough"], None),
        (["a_color", "b_rough"], None),
        (["a_color", "a_albedo", "a_rough"], None),
        (["a_color", "a", "a_normal"], None),
        (["a_color"], None),
        (["a_rough", "a_height"], None),
        (["a_color", "a_rough", "view"], None),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else str(value),
)
def test_what_is_a_material(place: Path, files: list[str], colour: str | None) -> None:
    (place / "set").mkdir()
    for name in files:
        save(place / "set" / f"{name}.png", texture(16, 16))
    material = material_in(place / "set")
    assert (material and material.colour.stem) == colour


def test_other_folders_stay_folders_of_exemplars(place: Path, material: Path, quick: list[object]) -> None:
    save(material / "view.png", texture())
    assert len(ok("expand", "brick", "-o", "out/", *quick).stdout.split()) == 4
    (material / "view.png").unlink()
    assert len(ok("expand", "brick", "-r", "-o", "all/", *quick).stdout.split()) == 3, "asked for singly"


def test_maps_are_named_after_the_output(place: Path, quick: list[object]) -> None:
    save(place / "wall_rough.png", texture()[..., 1])
    save(place / "bumps.png", texture()[..., 0])
    flags = ["--with", "wall_rough.png", "--with", "bumps.png", *quick]
    result = ok("expand", "wall.png", "-o", "new/big.tif", *flags)
    assert result.stdout.split() == ["new/big.tif", "new/big_rough.tif", "new/big_bumps.tif"]
    result = ok("expand", "wall.png", "-o", "new/big_color.png", "--count", 2, *flags)
    assert result.stdout.split()[:3] == ["new/big_color.1.png", "new/big_rough.1.png", "new/big_bumps.1.png"]
    result = ok("expand", "wall.png", "-o", "new/", *flags)
    assert result.stdout.split()[1:] == ["new/wall_rough.expand.png", "new/bumps.expand.png"]


def test_parts_of_names() -> None:
    assert MapName.of("rock_wall_nor_dx_2k") == MapName("rock_wall_2k", "_", "nor_dx")
    assert MapName.of("alcolor") == MapName("alcolor")
    assert sibling_stem("new-albedo", "old_color", "old_ao") == "new-ao"
    assert sibling_stem("new", "old_color", "old_ao") == "new_ao"
    assert sibling_stem("new", "old", "normal") == "new_normal"
    assert sibling_stem("color", "old", "normal") == "normal"


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("flags", [[], ["--upright"], ["--tileable"]], ids=str)
def test_masks_of_one_bit_stay_so(place: Path, quick: list[object], flags: list[str], suffix: str) -> None:
    ridges = ((slanted(64, 20) + 1) * 100).astype(np.uint8)
    save(place / "planks.png", np.repeat(ridges[..., None], 3, 2))
    Image.fromarray(ridges > 100).save(place / f"holes.{suffix}")
    save(place / "grey.png", (ridges > 100) * 200)
    siblings = ["--with", f"holes.{suffix}", "--with", "grey.png"]
    ok("expand", "planks.png", *siblings, "--size", "48x48", "-o", f"out.{suffix}", *flags, *quick)
    with Image.open(place / f"out_holes.{suffix}") as image:
        assert image.mode == "1"
        assert 0.2 < np.asarray(image).mean() < 0.8
    assert record(place / f"out.{suffix}").siblings[1].kind == "labels"


@pytest.mark.parametrize("green", ["opengl", "directx"])
@pytest.mark.parametrize("degrees", [20, -30])
def test_normals_turn_with_their_texture(place: Path, quick: list[object], green: str, degrees: int) -> None:
    height = slanted(160, degrees)
    grain = np.random.default_rng(0).normal(0, 0.05, (160, 160))
    save(place / "planks.png", np.repeat(((height + grain) * 60 + 128).clip(0, 255)[..., None], 3, 2))
    save(place / "bumps.png", normals_of(height, green_up=green == "opengl"))
    flags = ["--upright", "--size", "96x96", "--set", "patch.iterations=[]", *quick]
    ok("expand", "planks.png", "--with", "bumps.png", *flags)
    assert record(place / "planks.expand.png").siblings[0].kind == green
    vectors = vectors_of(place / "bumps.expand.png")
    across, down = np.square(vectors[..., :2]).mean((0, 1))
    assert down > 30 * across, "ridges are level, so nothing leans to the side"
    assert np.abs(np.linalg.norm(vectors, axis=2) - 1).mean() < 0.01


def test_constant_normals_are_turned_by_the_same_angle(place: Path, quick: list[object]) -> None:
    height = slanted(160, 20)
    save(place / "planks.png", np.repeat((height * 60 + 128)[..., None], 3, 2))
    save(place / "lean.png", np.full((160, 160, 3), (191, 128, 238)))
    flags = ["--upright", "--orientations", "none", "--size", "48x48", *quick]
    ok("expand", "planks.png", "--with", "lean.png", *flags)
    x, y, z = vectors_of(place / "lean.expand.png").mean((0, 1))
    turn = math.radians(20)
    assert np.allclose([x, y, z], [0.5 * math.cos(turn), -0.5 * math.sin(turn), 0.87], atol=0.03)


def test_said_to_be_normals(place: Path, quick: list[object]) -> None:
    save(place / "odd.png", np.full((32, 40, 3), (191, 128, 60)))
    ok("expand", "wall.png", "--with-normal", "odd.png", *quick)
    assert record(place / "wall.expand.png").siblings[0].kind == "opengl"
    ok("expand", "wall.png", "--with", "odd.png", "-f", *quick)
    assert record(place / "wall.expand.png").siblings[0].kind == "labels"
    save(place / "bump.png", texture()[..., 0])
    refused = run_cli("expand", "wall.png", "--with-normal", "bump.png", "-f", *quick)
    assert (refused.exit_code, "three channels" in refused.stderr) == (4, True)


def test_materials_in_manifests(place: Path, material: Path, quick: list[object]) -> None:
    (place / "all.yaml").write_text(
        "output: out\njobs:\n"
        "- {command: expand, exemplars: brick, set: {scale: 1}, presets: [a.yaml, b.yaml]}\n"
        "- {command: tile, exemplars: wall.png, with_normal: brick/Brick_NormalDX.png}\n"
    )
    for name in ("a.yaml", "b.yaml"):
        (place / name).write_text("expand: {method: patch, patch: {iterations: [], layouts: 1}}")
    ok("batch", "all.yaml", "--model", quick[1])
    made = names(place / "out")
    assert len(made) == 8, made
    assert "Brick_Color.expand.a_NormalDX.png" in made


def test_normals_from_python(model: Path) -> None:
    odd = np.full((32, 40, 3), (191, 128, 60), np.uint8)
    rough = texture()[..., 1].astype(np.uint8)
    pictures = texsynth.expand(
        texture().astype(np.uint8), scale=1, siblings=[rough], normals=[odd], model=str(model)
    )
    assert [picture.shape for picture in pictures] == [(32, 40, 3), (32, 40), (32, 40, 3)]
