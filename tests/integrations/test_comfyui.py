"""Nodes for ComfyUI: its interface as documented, and the pixels of the command line."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.cli import make_picture, run_cli
from helpers.comfyui_host import Host
from PIL import Image
from torch import Tensor

import texsynth
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
    result = result["result"] if isinstance(result, dict) else result
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
    with pytest.raises(texsynth.InputError, match="the hole has 3 for 2 pictures"):
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
    with pytest.raises(texsynth.InputError, match="the height_map has 2 for 1 pictures"):
        run_node("TexsynthTile", image=loaded("wall"), height_map=loaded("wall", "rough"))


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


@pytest.fixture
def comfy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Host:
    """Let ComfyUI's modules be there."""
    host = Host(tmp_path)
    for name, module in host.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    return host


def hole(*shape: int) -> Tensor:
    """A mask of a shape with H and W in it that is white in a part of the middle."""
    plane = torch.zeros(shape)
    tall, wide = ((1, 2) if shape[-1] == 1 else (-2, -1)) if len(shape) > 2 else (0, 1)
    rows, columns = (slice(shape[side] // 4, shape[side] // 2) for side in (tall, wide))
    plane.movedim((tall, wide), (0, 1))[rows, columns] = 1
    return plane


@pytest.mark.parametrize(
    "shape", [(1, 20, 24), (1, 80, 96), (40, 48), (1, 1, 40, 48), (1, 40, 48, 1)], ids=str
)
def test_masks_of_every_shape_are_the_mask_of_the_picture(shape: tuple[int, ...], place: Path) -> None:
    (right,) = run_node("TexsynthFill", image=loaded("wall"), hole=hole(1, 40, 48))
    (image,) = run_node("TexsynthFill", image=loaded("wall"), hole=hole(*shape))
    assert torch.equal(image, right)


def test_a_mask_of_one_value_says_the_same_in_every_size(place: Path) -> None:
    """`Load Image` gives 64 x 64 zeros for a picture without transparency, and others turn them round."""
    right, *_ = run_node("TexsynthTile", image=loaded("wall"))
    for mask in (torch.ones(1, 64, 64), torch.ones(1, 40, 48)):
        assert torch.equal(run_node("TexsynthTile", image=loaded("wall"), mask=mask)[0], right)
    for mask in (torch.zeros(1, 64, 64), torch.zeros(1, 40, 48)):
        with pytest.raises(texsynth.InputError, match="the mask leaves nothing of the exemplar to sample"):
            run_node("TexsynthTile", image=loaded("wall"), mask=mask)


def nan(*shape: int) -> Tensor:
    return torch.full(shape, float("nan"))


UNFIT: dict[str, tuple[dict[str, object], str]] = {
    "no channels": ({"content": torch.rand(1, 40, 48, 2)}, r"the content has the shape \(1, 40, 48, 2\)"),
    "no pictures": ({"content": torch.rand(0, 40, 48, 3)}, r"the content has the shape \(0, 40, 48, 3\)"),
    "no style": ({"style": torch.rand(0, 40, 48, 3)}, r"the style has the shape \(0, 40, 48, 3\)"),
    "a video": ({"content": torch.rand(1, 2, 40, 48, 3)}, "the content has the shape"),
    "no numbers": ({"content": nan(1, 40, 48, 3)}, "the content has values that are no numbers"),
    "integers": ({"content": torch.zeros(1, 40, 48, 3, dtype=torch.uint8)}, "the content is of torch.uint8"),
    "nothing": ({"content": None}, "the content is None; connect a node that gives one"),
    "a path": ({"style": "photo.png"}, "the style is 'photo.png'; connect a node that gives one"),
    "a strange preset": ({"preset": "/etc/passwd"}, "preset is '/etc/passwd'; use one of none, "),
    "a strange model": ({"model": "photo.png"}, "model is 'photo.png'; use one of lite"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_what_is_no_picture_is_refused_in_a_sentence(name: str, place: Path) -> None:
    inputs, sentence = UNFIT[name]
    usual = {"content": loaded("photo"), "style": loaded("ink")}
    with pytest.raises(texsynth.TexsynthError, match=sentence) as refused:
        run_node("TexsynthStylize", **(usual | inputs))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("mask", "sentence"),
    [
        (torch.zeros(0, 40, 48), "the hole has the shape"),
        (nan(1, 40, 48), "the hole has values that are no numbers"),
        (torch.ones(1, 40, 48), "the hole covers all of the exemplar"),
        (torch.rand(2, 3, 40, 48), "the hole has the shape"),
    ],
)
def test_what_is_no_mask_is_refused_in_a_sentence(mask: Tensor, sentence: str, place: Path) -> None:
    with pytest.raises(texsynth.InputError, match=sentence):
        run_node("TexsynthFill", image=loaded("wall"), hole=mask)


def test_a_region_needs_its_style(place: Path) -> None:
    with pytest.raises(texsynth.UsageError, match="mask_2 is there without style_2; connect both, or none"):
        run_node("TexsynthBlend", content=loaded("photo"), style_1=loaded("ink"), mask_2=mask("hole"))


def test_pictures_of_one_channel_and_all_kinds_of_floats_come_out_as_colours(place: Path) -> None:
    grey, style = loaded("wall").mean(3, keepdim=True), loaded("ink")
    colours = grey.expand(-1, -1, -1, 3)
    for kind in (torch.float16, torch.bfloat16, torch.float64):
        (image,) = run_node("TexsynthStylize", content=grey.to(kind), style=style.to(kind))
        assert image.dtype == torch.float32
        assert image.shape == colours.shape
    for node, name in (("TexsynthExpand", "exemplar"), ("TexsynthTile", "image")):
        image, right = (run_node(node, **{name: each}, preset="fast")[0] for each in (grey, colours))
        assert torch.equal(image, right)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (16, 4096)])
def test_sizes_at_the_edge_are_done_or_refused_in_a_sentence(size: tuple[int, int], place: Path) -> None:
    image = torch.rand(1, *size, 3, generator=torch.Generator().manual_seed(0))
    assert run_node("TexsynthStylize", content=image, style=loaded("ink"))[0].shape == image.shape
    assert run_node("TexsynthStylize", content=loaded("photo"), style=image)[0].shape == (1, 40, 48, 3)
    assert json.loads(run_node("TexsynthDescribe", image=image)[1])["width"] == size[1]
    if min(size) < 16:
        with pytest.raises(texsynth.InputError, match="an exemplar needs at least 16 on both sides"):
            run_node("TexsynthTile", image=image)
    else:
        assert run_node("TexsynthTile", image=image)[0].shape == image.shape


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
