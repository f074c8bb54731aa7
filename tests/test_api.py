"""texsynth from Python: the pixels of the command line, whatever kind of picture goes in."""

from __future__ import annotations

import doctest
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.cli import make_picture, run_cli
from PIL import Image

import texsynth
from texsynth.pipelines.progress import Step

EXPAND: dict[str, Any] = {
    "method": "patch",
    "changes": {"patch.iterations": [1], "patch.layouts": 1, "patch.refine": 0.1},
    "seed": 3,
}


QUICK = ("--set", "patch.iterations=[1]", "--set", "patch.layouts=1", "--set", "patch.refine=0.1")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with pictures of three kinds and masks, and the current one."""
    monkeypatch.chdir(tmp_path)
    make_picture(tmp_path / "wall.png", seed=1, height=40, width=48)
    make_picture(tmp_path / "rough.png", seed=2, height=40, width=48)
    make_picture(tmp_path / "wave.png", seed=3)
    hole = np.zeros((40, 48), np.uint8)
    hole[12:20, 12:20] = 255
    Image.fromarray(hole).save(tmp_path / "hole.png")
    Image.fromarray(np.repeat(hole[:1], 40, 0) + np.uint8(0)).save(tmp_path / "mask.png")
    return tmp_path


def pixels(path: str) -> Any:  # noqa: ANN401 (numpy's own types)
    return np.asarray(Image.open(path))


untyped: Any = texsynth


COMMANDS: dict[str, tuple[tuple[str, ...], Callable[..., Any]]] = {
    "expand": (
        ("expand", "wall.png", "--method", "patch", *QUICK, "--tileable"),
        lambda **more: texsynth.expand("wall.png", tileable=True, **{**EXPAND, **more}),
    ),
    "expand size": (
        ("expand", "wall.png", "--method", "patch", *QUICK, "--size", "60x50"),
        lambda **more: texsynth.expand("wall.png", size=(60, 50), **{**EXPAND, **more}),
    ),
    "expand mix": (
        ("expand", "wall.png", "rough.png", "--weights", "2,1", "--method", "patch", *QUICK),
        lambda **more: texsynth.expand("wall.png", mix=["rough.png"], weights=[2, 1], **{**EXPAND, **more}),
    ),
    "tile": (("tile", "wall.png"), lambda **more: texsynth.tile("wall.png", **more)),
    "fill": (
        ("expand", "wall.png", "--hole", "hole.png", "--method", "patch"),
        lambda **more: texsynth.fill("wall.png", "hole.png", method="patch", **more),
    ),
    "artistic": (
        ("stylize", "wall.png", "wave.png", "--strength", "0.8"),
        lambda **more: texsynth.stylize("wall.png", "wave.png", strength=0.8, **more),
    ),
    "photo": (
        ("stylize", "wall.png", "wave.png", "-p", "photo", "--transform", "ot"),
        lambda **more: texsynth.stylize("wall.png", "wave.png", preset="photo", transform="ot", **more),
    ),
    "blend": (
        ("blend", "wall.png", "--style", "wave.png:0.7", "--style", "rough.png:0.3"),
        lambda **more: texsynth.blend("wall.png", ["wave.png", "rough.png"], weights=[0.7, 0.3], **more),
    ),
    "blend masks": (
        (
            "blend",
            "wall.png",
            "--style",
            "wave.png",
            "--style",
            "rough.png",
            "--mask",
            "mask.png",
            "--mask",
            "rest",
        ),
        lambda **more: texsynth.blend(
            "wall.png", ["wave.png", "rough.png"], masks=["mask.png", None], **more
        ),
    ),
    "blend labels": (
        (
            *("blend", "wall.png", "--style", "rough.png", "--content-labels", "mask.png"),
            *("--style-labels", "hole.png", "--feather", "2"),
        ),
        lambda **more: texsynth.blend(
            "wall.png",
            ["rough.png"],
            content_labels="mask.png",
            style_labels=[pixels("hole.png")],
            feather=2,
            **more,
        ),
    ),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_same_pixels_as_the_command(name: str, place: Path, model: Path) -> None:
    command, call = COMMANDS[name]
    done = run_cli(*command, "--seed", 3, "--model", model, "--dtype", "float32", "-o", "out.png")
    assert done.exit_code == 0, done.stderr
    result = call(seed=3, model=str(model), dtype="float32")
    assert isinstance(result, Image.Image)
    assert np.array_equal(np.asarray(result), pixels("out.png"))


def kinds(array: Any) -> dict[str, Any]:  # noqa: ANN401 (numpy's own types)
    values = array.astype(np.float32) / 255
    return {
        "pil": Image.fromarray(array),
        "uint8": array,
        "uint16": array.astype(np.uint16) * np.uint16(257),
        "float32": values,
        "float64": values.astype(np.float64),
        "tensor": torch.from_numpy(values).permute(2, 0, 1),
        "batch": torch.from_numpy(values).permute(2, 0, 1)[None].double(),
    }


def as_floats(result: Any) -> Any:  # noqa: ANN401 (any picture)
    if isinstance(result, torch.Tensor):
        return result.reshape(result.shape[-3:]).permute(1, 2, 0).numpy()
    values = np.asarray(result)
    return values / np.iinfo(values.dtype).max if values.dtype.kind == "u" else values


@pytest.mark.parametrize("kind", ["pil", "uint8", "uint16", "float32", "float64", "tensor", "batch"])
def test_what_goes_in_comes_out(kind: str, place: Path, model: Path) -> None:
    image = kinds(pixels("wall.png"))[kind]
    whole = as_floats(texsynth.expand("wall.png", model=str(model), **EXPAND))
    result = texsynth.expand(image, name="wall.png", model=str(model), **EXPAND)
    assert type(result) is type(image)
    assert getattr(result, "dtype", None) == getattr(image, "dtype", None)
    if kind != "pil":
        assert len(result.shape) == len(image.shape)
    assert np.abs(as_floats(result) - whole).max() <= 1 / 255, "rounded to 8 bits, or not"


def test_grey_and_alpha(place: Path, model: Path) -> None:
    grey = pixels("wall.png")[..., 0]
    assert texsynth.tile(grey, model=str(model)).shape == (40, 48)
    assert texsynth.stylize(grey, "wave.png", model=str(model)).shape == (40, 48, 3), "a style has colours"
    clear = np.dstack([pixels("wall.png"), np.tile(np.linspace(50, 255, 48), (40, 1)).astype(np.uint8)])
    stylized = texsynth.stylize(clear, "wave.png", model=str(model))
    assert np.array_equal(stylized[..., 3], clear[..., 3])
    assert texsynth.stylize(Image.fromarray(clear), "wave.png", model=str(model)).mode == "RGBA"


def test_siblings_come_back_in_their_kinds(place: Path, model: Path) -> None:
    rough = pixels("rough.png").astype(np.float32) / 255
    texture, sibling = untyped.expand("wall.png", siblings=[rough], model=str(model), **EXPAND)
    assert texture.size == (96, 80)
    assert (sibling.shape, sibling.dtype) == ((80, 96, 3), np.float32)
    assert untyped.tile("wall.png", siblings=["rough.png"], model=str(model))[1].size == (48, 40)


@pytest.mark.parametrize("seamless", [False, True])
def test_a_material_is_what_the_command_makes_of_its_folder(seamless: bool, place: Path, model: Path) -> None:
    (place / "stone").mkdir()
    for file, ending in (("wall.png", "Color"), ("rough.png", "roughness")):
        (place / file).rename(place / "stone" / f"stone_{ending}.png")
    command = ["tile", "stone"] if seamless else ["expand", "stone", "--method", "patch", *QUICK]
    outcome = run_cli(*command, "--seed", "3", "-o", "more_color.png", "--model", model)
    assert outcome.exit_code == 0, outcome.stderr
    method = {"seed": 3} if seamless else EXPAND
    maps = texsynth.material("stone", seamless=seamless, model=str(model), **method)
    assert list(maps) == ["color", "roughness"]
    for name, file in zip(maps, ("more_color.png", "more_roughness.png"), strict=True):
        assert np.array_equal(np.asarray(maps[name]), pixels(file)), file


def test_a_folder_that_is_no_material(place: Path) -> None:
    with pytest.raises(texsynth.InputError, match="is no folder of one material"):
        texsynth.material(place)


@pytest.mark.slow
def test_a_stylizer_in_threads(place: Path, model: Path) -> None:
    loaded = texsynth.load_model(str(model), dtype="float32")
    frames = np.random.default_rng(0).random((6, 40, 56, 3)).astype(np.float32)
    alone = [texsynth.stylize(frame, "wave.png", model=str(model), dtype="float32") for frame in frames]
    stylizer = texsynth.Stylizer("wave.png", model=loaded)
    with ThreadPoolExecutor(4) as pool:
        for result, expected in zip(pool.map(stylizer, frames), alone, strict=True):
            assert np.array_equal(result, expected)
        textures = list(pool.map(lambda _: texsynth.expand("wall.png", model=loaded, **EXPAND), range(4)))
    assert len({texture.tobytes() for texture in textures}) == 1


def test_progress_settings_and_presets(place: Path, model: Path) -> None:
    steps: list[Step] = []
    texsynth.expand("wall.png", model=str(model), progress=steps.append, **EXPAND)
    assert steps
    assert all(0 <= step.done <= step.total for step in steps)
    settings = texsynth.load_preset("photo")
    assert isinstance(settings, texsynth.StylizeSettings)
    by_settings = texsynth.stylize("wall.png", "wave.png", settings=settings, model=str(model))
    by_preset = texsynth.stylize("wall.png", "wave.png", preset="photo", model=str(model))
    assert by_settings.tobytes() == by_preset.tobytes()
    assert texsynth.load_preset("fast", "expand").method == "transposer"


def test_describe_and_match(place: Path) -> None:
    description = texsynth.describe(pixels("wall.png"))
    assert (description.width, description.height) == (48, 40)
    matches = texsynth.match("wall.png", place, count=2)
    assert [match.rank for match in matches] == [1, 2]
    assert matches[0].path != place / "wall.png"
    itself = texsynth.match(pixels("wall.png"), place, count=1, include_self=True)[0]
    assert (itself.key, round(itself.similarity, 2)) == ("wall.png", 1.0)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: texsynth.expand("no.png"), texsynth.InputError, "no.png does not exist"),
        (lambda: texsynth.expand("wall.png", scale=-1), texsynth.UsageError, "scale"),
        (lambda: texsynth.expand("wall.png", preset="fats"), texsynth.UsageError, "did you mean 'fast'"),
        (lambda: texsynth.expand("wall.png", changes={"patch.x": 1}), texsynth.UsageError, "'x' of patch"),
        (lambda: texsynth.tile(np.zeros((8, 8, 3))), texsynth.InputError, "the exemplar has 8 x 8 pixels"),
        (lambda: texsynth.tile(np.full((20, 20, 3), 2.0)), texsynth.InputError, "outside of [0, 1]"),
        (lambda: texsynth.tile(np.zeros((20, 20, 2))), texsynth.InputError, "has the shape"),
        (lambda: texsynth.tile(np.zeros((20, 20, 3), int)), texsynth.InputError, "array of int64"),
        (lambda: texsynth.tile(torch.zeros(20, 20, 3)), texsynth.InputError, "has the shape (20, 20, 3)"),
        (lambda: texsynth.tile(torch.zeros(3, 20, 20).to_sparse()), texsynth.InputError, "is sparse"),
        (lambda: texsynth.tile(torch.zeros(3, 20, 20, device="meta")), texsynth.InputError, "device meta"),
        (lambda: texsynth.stylize("wall.png", "wave.png", model="x.safetensors"), texsynth.ModelError, "x."),
        (lambda: texsynth.blend("wall.png", ["wave.png"], weights=[1, 2]), texsynth.UsageError, "2 weights"),
        (lambda: texsynth.blend("wall.png", ["wave.png"], feather=-1), texsynth.UsageError, "feather is -1"),
        (lambda: texsynth.expand("wall.png", weights=[1, 2]), texsynth.UsageError, "1 exemplars have 2"),
        (lambda: texsynth.expand("wall.png", weights=[-1]), texsynth.UsageError, "negative"),
        (lambda: texsynth.match("wall.png", "nowhere"), texsynth.InputError, "nowhere does not exist"),
        (lambda: untyped.expand("wall.png", strenght=1), TypeError, "'strenght'"),
    ],
)  # fmt: skip
def test_errors(call: Callable[[], object], error: type[Exception], words: str, place: Path) -> None:
    with pytest.raises(error) as caught:
        call()
    assert words in str(caught.value)


def test_importing_is_light() -> None:
    code = (
        "import sys, texsynth; assert set(texsynth.__all__) <= set(dir(texsynth)); texsynth.UsageError; "
        "assert not {'torch', 'numpy', 'PIL', 'typer'} & set(sys.modules), sys.modules.keys()"
    )
    root = str(Path(texsynth.__file__).parents[1])
    subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": root}, check=True)
    with pytest.raises(AttributeError, match="no attribute 'expnad'"):
        texsynth.expnad  # noqa: B018


@pytest.mark.slow
def test_the_examples_of_the_docstrings() -> None:
    for name in ("api", "api_blend", "api_frames", "api_maps", "api_search"):
        assert doctest.testmod(import_module(f"texsynth.{name}")).failed == 0


def test_even_light_is_an_argument_of_all_functions_on_textures() -> None:
    y, x = np.mgrid[:64, :64]
    wall = 0.3 + 0.004 * x + 0.003 * y + np.random.default_rng(0).normal(0, 0.03, (64, 64))
    hole = np.zeros((64, 64))
    hole[20:36, 20:36] = 1
    quick = {"patch.layouts": 1, "patch.iterations": []}
    for make in (
        partial(texsynth.expand, size=(64, 64), method="patch"),
        texsynth.tile,
        partial(texsynth.fill, hole=hole),
    ):
        even, plain = (np.asarray(make(wall, even_light=share, changes=quick)) for share in ("auto", "off"))
        assert not np.array_equal(even, plain)
    even = texsynth.expand(wall, size=(64, 64), method="noise", even_light=1.0)
    assert abs(even[:, :32].mean() - even[:, 32:].mean()) < 0.02
    with pytest.raises(texsynth.UsageError, match="even_light is 2"):
        texsynth.expand(wall, even_light=2.0)
