"""The add-on in Blender itself, its module `bpy` or the program: the pixels are those of the command."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import blender_session
from helpers.cli import make_picture, run_cli
from PIL import Image

from texsynth.images import read
from texsynth.integrations.blender.addon.tiff import write_tiff

pytestmark = pytest.mark.slow

BLENDERS = {
    "bpy": [sys.executable, blender_session.__file__] if importlib.util.find_spec("bpy") else [],
    "blender": [
        "blender", "--background", "--factory-startup", "--python-exit-code", "1",
        "--python", blender_session.__file__, "--",
    ] if shutil.which("blender") else [],
}  # fmt: skip

ROOT = Path(__file__).parents[2]

SIDE = 48


@pytest.fixture(scope="module", params=BLENDERS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures after a session of Blender in it, and the add-on's zip."""
    if not (blender := BLENDERS[request.param]):
        pytest.skip(f"{request.param} is not installed")
    folder = tmp_path_factory.mktemp("session")
    for seed, name in enumerate(("wall", "photo", "painting")):
        make_picture(folder / f"{name}.png", seed=seed, height=40, width=SIDE)
    rng = np.random.default_rng(0)
    painted = np.ones((40, SIDE, 4), np.float32)
    painted[..., :3] = rng.integers(0, 256, (10, 12, 3)).repeat(4, 0).repeat(4, 1) / 255
    light = painted.copy()
    light[..., :3] = 1.5 * rng.random((40, SIDE, 3), np.float32)
    torn = painted.copy()
    torn[10:18, 10:18, 3] = 0
    for name, pixels in {"painted": painted, "light": light, "torn": torn}.items():
        np.save(folder / f"{name}.npy", pixels)
    (folder / "surface").mkdir()
    for seed, name in enumerate(("stone_color", "stone_NormalDX", "stone_height", "stone_arm")):
        make_picture(folder / "surface" / f"{name}.png", seed=seed)
    run_cli("blender", "-o", folder / "addon.zip")
    command = folder / "texsynth"
    command.write_text(
        f"#!/bin/sh\nPYTHONPATH='{ROOT}' OMP_NUM_THREADS=1 exec '{sys.executable}' -m texsynth \"$@\"\n"
    )
    command.chmod(0o755)
    # Each version keeps its settings and add-ons where one of these says.
    places = dict.fromkeys(("BLENDER_USER_RESOURCES", "BLENDER_USER_CONFIG"), str(folder / "blender"))
    places["BLENDER_USER_SCRIPTS"] = str(folder / "blender" / "scripts")
    subprocess.run(
        [*blender, folder / "addon.zip", command, folder],
        cwd=folder, check=True, capture_output=True, env={**os.environ, **places, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def told(folder: Path) -> dict[str, Any]:
    """What the session has noted."""
    told: dict[str, Any] = json.loads((folder / "session.json").read_text())
    return told


def pixels(folder: Path, name: str) -> np.ndarray[Any, Any]:
    """Pixels of an image in Blender, (H, W, 3) uint8."""
    eighth: np.ndarray[Any, Any] = np.rint(np.load(folder / f"{name}.npy")[..., :3] * 255).astype(np.uint8)
    return eighth


def command_pixels(folder: Path, *arguments: str) -> np.ndarray[Any, Any]:
    """Pixels of the command line, (H, W, 3) uint8."""
    out = folder / "out.png"
    assert run_cli(*arguments, "-o", out, "--force", "--threads", 1).exit_code == 0
    return np.asarray(Image.open(out).convert("RGB"))


def test_all_buttons_work(told: dict[str, Any]) -> None:
    errors = told["errors"]
    for button in (
        "check",
        "tile",
        "again",
        "packed",
        "expand",
        "light",
        "fill",
        "stylize",
        "maps",
        "material",
    ):
        assert errors[button] == "", button
    assert told["status"].endswith(" works")
    assert told["temporary"] == []
    assert told["gone"]


def test_errors_are_the_commands_own(told: dict[str, Any]) -> None:
    errors = told["errors"]
    assert errors["no style"] == "no style is chosen; choose an image that has it"
    assert errors["unsaved"].endswith("which is not saved yet; save it first")
    assert errors["none"] == "there is no image 'none'; open one"
    assert errors["preset"].startswith("unknown preset 'nonsense'")
    assert "set it in the preferences" in errors["command"]
    assert "no maps" in errors["no material"]
    assert errors["SEQUENCE"] == "photo.png: this is a sequence; set Source to Single Image"
    assert errors["TILED"] == "photo.png: these are UDIM tiles; set Source to Single Image"
    assert told["nothing new"]
    assert told["lost"] == [], "what Blender would not save"


def test_a_file_gives_the_pixels_of_the_command(
    folder: Path, told: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    for name, *words in (
        ("wall_tile", "tile", "wall.png", "-p", "fast"),
        ("photo_stylize", "stylize", "photo.png", "painting.png", "--strength", "0.5"),
    ):
        np.testing.assert_array_equal(pixels(folder, name), command_pixels(folder, *words))
        assert told[name] | {"path": ""} == {"space": "sRGB", "packed": True, "float": False, "path": ""}
    assert [name for name in told["names"] if "tile_tile" not in name] == ["wall_tile", "wall_tile.001"]


def test_what_is_packed_is_handed_over_as_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    Image.fromarray(pixels(folder, "wall_tile")).save("wall_tile.png")
    words = ("tile", "wall_tile.png", "-p", "fast")
    np.testing.assert_array_equal(pixels(folder, "wall_tile_tile"), command_pixels(folder, *words))


def test_what_is_painted_gives_the_pixels_of_the_command(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    eighth = np.rint(np.load("painted.npy")[..., :3] * 255).astype(np.uint8)
    Image.fromarray(eighth).save("painted.tif")
    words = ("expand", "painted.tif", "-p", "fast", "--size", "60x50", "--tileable", "--seed", "3")
    np.testing.assert_array_equal(pixels(folder, "painted_expand"), command_pixels(folder, *words))


def test_light_stays_light(folder: Path, told: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    write_tiff(folder / "light.tif", np.load("light.npy")[..., :3])
    words = ("expand", "light.tif", "-p", "fast", "--size", "60x50", "--tileable", "--seed", "3")
    assert run_cli(*words, "-o", "out.tif", "--threads", 1).exit_code == 0
    values = np.load("light_expand.npy")[..., :3]
    np.testing.assert_array_equal(values, np.asarray(tiff_floats(folder / "out.tif")))
    assert values.max() > 1.2
    assert told["light_expand"]["float"]
    assert told["light_expand"]["space"].startswith("Linear")


def tiff_floats(path: Path) -> np.ndarray[Any, Any]:
    """Floats of a TIFF as they are in the file, (H, W, 3)."""
    import pyvips

    values: np.ndarray[Any, Any] = pyvips.Image.new_from_file(str(path)).numpy()[..., :3]
    return values


def test_a_transparent_hole_is_filled_and_all_else_stays(folder: Path) -> None:
    torn, filled = np.load(folder / "torn.npy"), np.load(folder / "torn_fill.npy")
    outside = torn[..., 3] == 1
    np.testing.assert_allclose(filled[outside], torn[outside], atol=1e-6)
    assert (filled[..., 3] == 1).all()


def test_a_picture_becomes_a_material(
    folder: Path, told: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    maps = told["maps"]
    assert maps["images"] == {
        "colour": "wall.png",
        **{role: f"wall_{role}" for role in ("height", "normal", "roughness", "occlusion")},
    }
    assert maps["valid"]
    assert ["normals", "shader", "Normal"] in maps["links"]
    assert told["on the plane"] == "wall"
    assert told["wall_normal"] | {"path": ""} == {
        "space": "Non-Color", "packed": False, "float": True, "path": "",
    }  # fmt: skip
    kept = Path("kept/wall_normal.png")
    assert run_cli("maps", "wall.png", "-o", "own.png").exit_code == 0
    np.testing.assert_array_equal(read(kept).rgb, read(Path("own_normal.png")).rgb)
    np.testing.assert_allclose(np.load("wall_normal.npy")[..., :3], read(kept).rgb / 65535, atol=1e-6)


def test_a_folder_becomes_a_material(told: dict[str, Any]) -> None:
    material = told["material"]
    assert material["valid"]
    assert material["displaces"] == "DISPLACEMENT"
    assert ["relief", "output", "Displacement"] in material["links"]
    assert ["opengl", "normals", "Color"] in material["links"]
    assert told["spaces"] == {
        f"stone_{name}.png": "sRGB" if name == "color" else "Non-Color"
        for name in ("color", "NormalDX", "height", "arm")
    }


@pytest.mark.skipif(not BLENDERS["bpy"], reason="Blender's module bpy is not installed")
def test_the_zip_passes_the_rules_of_extensions(tmp_path: Path) -> None:
    """As `blender --command extension validate` checks them."""
    run_cli("blender", "-o", tmp_path / "addon.zip")
    spec = importlib.util.find_spec("bpy")
    assert spec
    assert spec.origin
    (rules,) = Path(spec.origin).parent.glob("*/scripts/addons_core/bl_pkg/cli/blender_ext.py")
    checked = subprocess.run(
        [sys.executable, rules, "validate", tmp_path / "addon.zip"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "No problems" in checked.stdout or "Success" in checked.stdout, checked.stdout
