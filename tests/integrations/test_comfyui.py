"""Nodes for ComfyUI: its interface as documented, and the pixels of the command line."""

from __future__ import annotations

import importlib.util
import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.cli import make_picture, run_cli
from PIL import Image
from torch import Tensor

import texsynth
from texsynth.integrations import comfyui
from texsynth.integrations.comfyui import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

SPEED = ("--set", "patch.iterations=[1]", "--set", "patch.layouts=1", "--set", "patch.refine=0.1")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with pictures, a hole and a preset of nodes, and the current one."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("wall", "rough", "photo", "painting", "ink")):
        make_picture(tmp_path / f"{name}.png", seed=seed, height=40, width=48)
    hole = np.zeros((40, 48), np.uint8)
    hole[12:20, 12:20] = 255
    Image.fromarray(hole).save("hole.png")
    return tmp_path


def loaded(*names: str) -> Tensor:
    """Pictures as ComfyUI's `Load Image` gives them: (B, H, W, 3) float32 in [0, 1]."""
    arrays = [np.asarray(Image.open(f"{name}.png").convert("RGB")).astype(np.float32) / 255 for name in names]
    return torch.from_numpy(np.stack(arrays))


def mask(name: str) -> Tensor:
    return torch.from_numpy(np.asarray(Image.open(f"{name}.png")).astype(np.float32) / 255)[None]


def saved(image: Tensor) -> np.ndarray[Any, Any]:
    """Pixels of a picture as ComfyUI's `Save Image` writes them."""
    return np.clip(255.0 * image.cpu().numpy(), 0, 255).astype(np.uint8)


def run_node(name: str, /, **inputs: Any) -> tuple[Any, ...]:  # noqa: ANN401
    """Run a node as ComfyUI does: in inference mode, with the values it shows for what is not given."""
    node = NODE_CLASS_MAPPINGS[name]
    shown = node.INPUT_TYPES()["required"].items()
    values = {key: field[1]["default"] for key, field in shown if "default" in field[1]}
    with torch.inference_mode():
        given = {key: value.clone() if isinstance(value, Tensor) else value for key, value in inputs.items()}
        result = getattr(node(), node.FUNCTION)(**{**values, **given})
    assert len(result) == len(node.RETURN_TYPES)
    return tuple(result)


@pytest.mark.parametrize("name", NODE_CLASS_MAPPINGS)
def test_a_node_has_the_documented_interface(name: str) -> None:
    node = NODE_CLASS_MAPPINGS[name]
    shown = node.INPUT_TYPES()
    assert NODE_DISPLAY_NAME_MAPPINGS[name]
    assert node.CATEGORY == "texsynth"
    assert node.DESCRIPTION
    assert len(node.RETURN_TYPES) == len(node.RETURN_NAMES) == len(node.OUTPUT_TOOLTIPS)
    assert set(shown) <= {"required", "optional"}
    for kind, options in (shown["required"] | shown.get("optional", {})).values():
        assert options["tooltip"].endswith("."), options
        if isinstance(kind, list):
            assert options["default"] in kind
        elif kind in ("INT", "FLOAT"):
            assert options["min"] <= options["default"] <= options["max"]
        json.dumps(options)
    # Every input is a keyword of the function, and every one that must be given has no other source.
    keywords = inspect.signature(getattr(node, node.FUNCTION)).parameters.values()
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in keywords)
    names = {parameter.name for parameter in keywords}
    assert takes_all or names - {"self"} == set(shown["required"]) | set(shown.get("optional", {}))


def test_ranges_are_those_of_the_settings() -> None:
    """What a slider can say is no error."""
    for name, settings in (
        ("TexsynthExpand", texsynth.ExpandSettings),
        ("TexsynthStylize", texsynth.StylizeSettings),
    ):
        for key, (kind, options) in NODE_CLASS_MAPPINGS[name].INPUT_TYPES()["required"].items():
            if kind == "FLOAT":
                for value in (options["min"], options["max"]):
                    settings.model_validate({key: value})


COMMANDS: dict[str, tuple[tuple[str, ...], Callable[[], tuple[Any, ...]]]] = {
    "expand": (
        ("expand", "wall.png", "-p", "fast", "--tileable", "--seed", "3"),
        lambda: run_node("TexsynthExpand", exemplar=loaded("wall"), preset="fast", tileable=True, seed=3,
                         name="wall.png"),
    ),
    "expand to a size": (
        ("expand", "wall.png", "-p", "fast", "--size", "60x50"),
        lambda: run_node("TexsynthExpand", exemplar=loaded("wall"), preset="fast", width=60, height=50,
                         name="wall.png"),
    ),
    "tile": (
        ("tile", "wall.png"),
        lambda: run_node("TexsynthTile", image=loaded("wall"), name="wall.png"),
    ),
    "fill": (
        ("expand", "wall.png", "--hole", "hole.png"),
        lambda: run_node("TexsynthFill", image=loaded("wall"), hole=mask("hole"), name="wall.png"),
    ),
    "stylize": (
        ("stylize", "photo.png", "painting.png", "--strength", "0.5", "--seed", "4"),
        lambda: run_node("TexsynthStylize", content=loaded("photo"), style=loaded("painting"), strength=0.5,
                         seed=4),
    ),
    "stylize a photo": (
        ("stylize", "photo.png", "painting.png", "--photo"),
        lambda: run_node("TexsynthStylize", content=loaded("photo"), style=loaded("painting"), photo=True),
    ),
    "blend": (
        ("blend", "photo.png", "--style", "painting.png:2", "--style", "ink.png:1"),
        lambda: run_node("TexsynthBlend", content=loaded("photo"), style_1=loaded("painting"),
                         style_3=loaded("ink"), weight_1=2.0),
    ),
    "blend by region": (
        ("blend", "photo.png", "--style", "painting.png", "--style", "ink.png",
         "--mask", "hole.png", "--mask", "rest"),
        lambda: run_node("TexsynthBlend", content=loaded("photo"), style_1=loaded("painting"),
                         style_2=loaded("ink"), mask_1=mask("hole")),
    ),
}  # fmt: skip


@pytest.fixture
def presets(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of presets beside the pictures: one of a run alone, and one with styles."""
    folder = place / "presets"
    folder.mkdir()
    monkeypatch.setenv("TEXSYNTH_PRESETS", str(folder))
    (folder / "mine.yaml").write_text("run: {seed: 7, max_side: 32}")
    (folder / "two.yaml").write_text(
        "stylize: {grain: 0.2}\nrun: {seed: 7}\n"
        "blend: {styles: [../painting.png, ../ink.png], sequential: true}"
    )
    return folder


def test_presets_of_a_run_and_of_styles_count_in_nodes(presets: Path) -> None:
    for name in ("Stylize", "Blend", "Expand"):
        shown = NODE_CLASS_MAPPINGS[f"Texsynth{name}"].INPUT_TYPES()["required"]["preset"][0]
        assert "mine" in shown
        assert ("two" in shown) is (name != "Expand")
    commands: dict[str, Callable[[], tuple[Any, ...]]] = {
        "stylize photo.png painting.png -p mine": lambda: run_node(
            "TexsynthStylize", content=loaded("photo"), style=loaded("painting"), preset="mine"
        ),
        "blend photo.png -p two": lambda: run_node("TexsynthBlend", content=loaded("photo"), preset="two"),
        "blend photo.png -p two --style ink.png --seed 2": lambda: run_node(
            "TexsynthBlend", content=loaded("photo"), style_2=loaded("ink"), preset="two", seed=2
        ),
    }
    for command, node in commands.items():
        assert run_cli(*command.split(), "-o", "out.png", "-f").exit_code == 0
        np.testing.assert_array_equal(saved(node()[0])[0], np.asarray(Image.open("out.png").convert("RGB")))
    with pytest.raises(texsynth.UsageError, match="no style is given"):
        run_node("TexsynthBlend", content=loaded("photo"))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_node_gives_the_pixels_of_the_command(name: str, place: Path) -> None:
    arguments, node = COMMANDS[name]
    run_cli(*arguments, "-o", "out.png")
    np.testing.assert_array_equal(saved(node()[0])[0], np.asarray(Image.open("out.png").convert("RGB")))


def test_what_needs_gradients_runs_in_inference_mode(place: Path) -> None:
    (image,) = run_node("TexsynthStylize", content=loaded("photo"), style=loaded("ink"), preset="best")
    assert image.shape == (1, 40, 48, 3)
    assert bool(image.isfinite().all())


def test_batches_are_done_one_by_one(place: Path) -> None:
    both = run_node("TexsynthStylize", content=loaded("photo", "wall"), style=loaded("ink"))[0]
    alone = run_node("TexsynthStylize", content=loaded("wall"), style=loaded("ink"))[0]
    assert torch.equal(both[1:], alone)
    with pytest.raises(texsynth.InputError, match="2 pictures have 3 masks"):
        run_node("TexsynthFill", image=loaded("photo", "wall"), hole=mask("hole").repeat(3, 1, 1))


def test_maps_are_laid_out_alike(place: Path) -> None:
    """They are the command's, and what does not go in does not come out."""
    run_cli("expand", "wall.png", "-p", "fast", "--with", "rough.png", "-o", "out.png")
    texture, normal, height, roughness, other = run_node(
        "TexsynthExpand", exemplar=loaded("wall"), preset="fast", roughness=loaded("rough"), name="wall.png"
    )
    assert normal is height is other is None
    for image, path in ((texture, "out.png"), (roughness, "out_rough.png")):
        np.testing.assert_array_equal(saved(image)[0], np.asarray(Image.open(path).convert("RGB")))
    with pytest.raises(texsynth.InputError, match="1 textures have 2 maps height"):
        run_node("TexsynthTile", image=loaded("wall"), height=loaded("wall", "rough"))


def test_fine_values_and_alpha_stay(place: Path) -> None:
    fine = torch.rand(1, 40, 48, 4, generator=torch.Generator().manual_seed(1))
    (image,) = run_node("TexsynthStylize", content=fine, style=loaded("ink"), strength=0.0)
    assert image.shape == fine.shape
    torch.testing.assert_close(image[..., 3], fine[..., 3], atol=1 / 65535, rtol=0)
    outside = fine[..., :3] * 3 - 1
    assert torch.equal(
        run_node("TexsynthStylize", content=outside, style=loaded("ink"))[0],
        run_node("TexsynthStylize", content=outside.clamp(0, 1), style=loaded("ink"))[0],
    )


class Host:
    """What nodes use of ComfyUI: a bar, an interruption and two folders."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, int]] = []
        self.is_interrupted = False

    def bar(self, total: int) -> SimpleNamespace:
        def update_absolute(value: int, total: int | None = None, preview: object = None) -> None:
            self.steps.append((value, total or 0))

        return SimpleNamespace(update_absolute=update_absolute)

    def check(self) -> None:
        if self.is_interrupted:
            raise InterruptedError


@pytest.fixture
def comfy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Host:
    """Let ComfyUI's modules be there."""
    host, folders = Host(), [tmp_path / "output", tmp_path / "input"]
    for folder in folders:
        folder.mkdir()
    modules: dict[str, dict[str, object]] = {
        "comfy.utils": {"ProgressBar": host.bar},
        "comfy.model_management": {"throw_exception_if_processing_interrupted": host.check},
        "folder_paths": {
            f"get_{folder.name}_directory": lambda folder=folder: str(folder) for folder in folders
        },
    }
    for name, contents in modules.items():
        module = ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)
    return host


def test_progress_and_interruption_are_those_of_the_host(place: Path, comfy: Host) -> None:
    inputs = {"content": loaded("photo"), "style": loaded("ink")}
    run_node("TexsynthStylize", **inputs)
    assert comfy.steps
    assert all(0 <= done <= total for done, total in comfy.steps)
    comfy.is_interrupted = True
    with pytest.raises(InterruptedError):
        run_node("TexsynthStylize", **inputs)
    with pytest.raises(InterruptedError):
        run_node("TexsynthExpand", exemplar=loaded("wall"))


def test_a_card_stands_for_its_style(place: Path, comfy: Host) -> None:
    (card,) = run_node("TexsynthStyleCard", styles=loaded("painting"), name="painter")
    assert Path(card) == place / "output" / "painter.card"
    (again,) = run_node("TexsynthStyleCard", styles=loaded("painting", "ink"), name="painter.card")
    assert Path(again).name == "painter-2.card"
    (read,) = run_node("TexsynthLoadStyleCard", name="painter")
    content = loaded("photo")
    by_card, by_picture = (
        run_node("TexsynthStylize", content=content, style=style)[0] for style in (read, loaded("painting"))
    )
    torch.testing.assert_close(by_card, by_picture, atol=1.01 / 255, rtol=0)


@pytest.mark.parametrize("name", ["../painter", "/tmp/painter", "", ".", "a/../../b"])
def test_cards_stay_in_the_folders_of_the_host(name: str, place: Path, comfy: Host) -> None:
    with pytest.raises(texsynth.InputError, match="style card"):
        run_node("TexsynthStyleCard", styles=loaded("painting"), name=name)
    with pytest.raises(texsynth.InputError, match="style card"):
        run_node("TexsynthLoadStyleCard", name=name)


def test_a_description_is_text_and_json(place: Path) -> None:
    text, data = run_node("TexsynthDescribe", image=loaded("wall"))
    assert text.startswith("regularity: ")
    assert json.loads(data)["width"] == 48


def test_a_linked_folder_is_loaded_under_another_name(tmp_path: Path) -> None:
    """ComfyUI loads a folder of `custom_nodes` by its path, not as a package of ours."""
    link = tmp_path / "texsynth-nodes"
    link.symlink_to(Path(comfyui.__file__).parent, target_is_directory=True)
    spec = importlib.util.spec_from_file_location(
        str(link), link / "__init__.py", submodule_search_locations=[str(link)]
    )
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert set(module.NODE_CLASS_MAPPINGS) == set(module.NODE_DISPLAY_NAME_MAPPINGS)
