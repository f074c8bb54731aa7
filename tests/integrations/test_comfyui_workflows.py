"""Workflows of ComfyUI, run by a small host that has its rules: from files to files."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.cli import make_picture, run_cli
from helpers.comfyui_host import CONVERSIONS, Host, Report, Workflow
from PIL import Image

from texsynth.integrations import comfyui

FOLDER = Path(comfyui.__file__).parent


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A ComfyUI with the nodes in its `custom_nodes`; the current folder has its pictures."""
    monkeypatch.setenv("TEXSYNTH_PRESETS", str(tmp_path / "presets"))
    host = Host(tmp_path)
    for name, module in host.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    for seed, name in enumerate(("wall", "bumps", "photo", "painting", "ink")):
        make_picture(host.input / f"{name}.png", seed=seed, height=40, width=48)
    with_alpha = np.asarray(Image.open(host.input / "wall.png").convert("RGBA")).copy()
    with_alpha[10:20, 12:22, 3] = 0  # `Load Image` makes of it a mask that is white there
    Image.fromarray(with_alpha).save(host.input / "torn.png")
    (tmp_path / "custom_nodes").mkdir()
    link = tmp_path / "custom_nodes" / "texsynth"
    link.symlink_to(FOLDER, target_is_directory=True)
    host.load(link)
    monkeypatch.chdir(host.input)
    return host


def shown(host: Host, name: str) -> dict[str, Any]:
    """Return what a new node has in its fields, as a browser sends it."""
    fields = host.classes[name].INPUT_TYPES()
    values = {
        key: field[1].get("default")
        for key, field in (fields["required"] | fields.get("optional", {})).items()
    }
    return {key: value for key, value in values.items() if value is not None}


class Graph:
    """A workflow that grows; a node's name is also its id."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.nodes: Workflow = {}

    def add(self, key: str, name: str, /, **inputs: object) -> list[object]:
        """Add a node, and return its first output. A tuple stands for another output, (id, number)."""
        links = {each: list(value) if isinstance(value, tuple) else value for each, value in inputs.items()}
        self.nodes[key] = {"class_type": name, "inputs": {**shown(self.host, name), **links}}
        return [key, 0]

    def load(self, *names: str) -> list[object]:
        """Add what loads one picture, or several into a batch."""
        for name in names:
            self.add(name, "LoadImage", image=f"{name}.png")
        if len(names) == 1:
            return [names[0], 0]
        return self.add("+".join(names), "JoinBatch", image1=[names[0], 0], image2=[names[1], 0])

    def save(self, *keys: str) -> None:
        """Add what saves first outputs, under the ids of their nodes."""
        for key in keys:
            self.add(f"save {key}", "SaveImage", images=[key, 0], filename_prefix=key)

    def run(self) -> Report:
        return self.host.run(self.nodes)


def written(host: Host, key: str, number: int = 1) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(host.output / f"{key}_{number:05}_.png"))


def by_command(host: Host, *arguments: str) -> np.ndarray[Any, Any]:
    """Return the pixels of a command."""
    out = str(host.output / "command.png")
    assert run_cli(*arguments, "-o", out, "-f").exit_code == 0
    return np.asarray(Image.open(out).convert("RGB"))


def test_the_server_is_told_what_it_asks_for(host: Host) -> None:
    told = host.object_info()
    ours = {name: node for name, node in told.items() if name.startswith("Texsynth")}
    assert len(ours) == len(comfyui.NODE_CLASS_MAPPINGS)
    for name, node in ours.items():
        assert node["display_name"] != name
        assert node["category"] == "texsynth"
        assert node["description"]
        assert all(alias == alias.lower() for alias in node["search_aliases"])
        assert len(node["output"]) == len(node["output_name"]) == len(node["output_tooltips"])
        assert len(set(node["output_name"])) == len(node["output_name"])
        required, optional = node["input"]["required"], node["input"].get("optional", {})
        assert not set(required) & set(optional)
        for key, (kind, options) in {**required, **optional}.items():
            assert options["tooltip"].endswith("."), key
            assert isinstance(kind, list) or kind == kind.upper()
            if kind in ("INT", "FLOAT"):
                # A slider of this step reaches both ends and the default.
                for value in (options["max"], options["default"]):
                    steps = (value - options["min"]) / options.get("step", 1)
                    assert steps == pytest.approx(round(steps)), (name, key)
            if kind == "INT":
                assert all(isinstance(options[each], int) for each in ("default", "min", "max"))


PIXELS: dict[str, tuple[tuple[str, ...], Callable[[Graph], object]]] = {
    "expand": (
        ("expand", "wall.png", "-p", "fast", "--seed", "3", "--scale", "1.5"),
        lambda graph: graph.add("out", "TexsynthExpand", exemplar=graph.load("wall"), preset="fast", seed=3,
                                scale=1.5, name="wall.png"),
    ),
    "tile": (
        ("tile", "wall.png"),
        lambda graph: graph.add("out", "TexsynthTile", image=graph.load("wall"), name="wall.png"),
    ),
    "fill what is transparent": (
        ("expand", "wall.png", "--hole", "hole.png"),
        lambda graph: graph.add("out", "TexsynthFill", image=graph.load("torn"), hole=("torn", 1),
                                name="wall.png"),
    ),
    "stylize": (
        ("stylize", "photo.png", "painting.png", "--strength", "0.5", "--seed", "4"),
        lambda graph: graph.add("out", "TexsynthStylize", content=graph.load("photo"),
                                style=graph.load("painting"), strength=0.5, seed=4),
    ),
    "blend": (
        ("blend", "photo.png", "--style", "painting.png:2", "--style", "ink.png:1"),
        lambda graph: graph.add("out", "TexsynthBlend", content=graph.load("photo"), weight_1=2,
                                style_1=graph.load("painting"), style_2=graph.load("ink")),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PIXELS)
def test_saved_pixels_are_those_of_the_command(name: str, host: Host) -> None:
    hole = np.zeros((40, 48), np.uint8)
    hole[10:20, 12:22] = 255
    Image.fromarray(hole).save(host.input / "hole.png")
    command, build = PIXELS[name]
    graph = Graph(host)
    build(graph)
    graph.save("out")
    report = graph.run()
    assert report.error == ""
    np.testing.assert_array_equal(written(host, "out"), by_command(host, *command))
    assert all(0 <= share <= 1 for bar in host.bars for share in bar)


def test_only_what_has_changed_is_computed(host: Host) -> None:
    graph = Graph(host)
    graph.add("out", "TexsynthStylize", content=graph.load("photo"), style=graph.load("ink"))
    graph.save("out")
    assert "out" in graph.run().executed
    assert graph.run().executed == []
    graph.nodes["out"]["inputs"]["seed"] = 5
    assert graph.run().executed == ["out", "save out"]


def test_a_changed_preset_is_read_again(host: Host, tmp_path: Path) -> None:
    (tmp_path / "presets").mkdir()
    preset = tmp_path / "presets" / "mine.yaml"
    preset.write_text("stylize: {strength: 0.2}")
    graph = Graph(host)
    graph.add("out", "TexsynthStylize", content=graph.load("photo"), style=graph.load("ink"), preset="mine")
    graph.save("out")
    graph.run()
    assert graph.run().executed == []
    preset.write_text("stylize: {strength: 0.9}")
    assert graph.run().executed == ["out", "save out"]
    command = ("stylize", "photo.png", "ink.png", "--strength", "0.9")
    np.testing.assert_array_equal(written(host, "out"), by_command(host, *command))
    preset.write_text("stylize: {strength: many}")  # It is not offered any more
    assert host.refusals(graph.nodes) == ["preset: 'mine' is not in the list"]
    assert set(host.object_info()) == set(host.classes)


def test_cards_go_from_node_to_node_and_are_read_again(host: Host) -> None:
    graph = Graph(host)
    card = graph.add("card", "TexsynthStyleCard", styles=graph.load("painting"), name="painter")
    report = graph.run()
    assert report.ui["card"]["text"] == [str(host.output / "painter.card")]
    graph.add("out", "TexsynthStylize", content=graph.load("photo"), style=card)
    graph.save("out")
    assert graph.run().cached >= {"card"}
    np.testing.assert_array_equal(
        written(host, "out"), by_command(host, "stylize", "photo.png", str(host.output / "painter.card"))
    )
    other = Graph(host)
    read = other.add("read", "TexsynthLoadStyleCard", name="painter")
    other.add("out", "TexsynthBlend", content=other.load("photo"), style_1=read)
    other.save("out")
    assert other.run().error == ""
    assert other.run().executed == []
    changed = Graph(host)
    changed.add("card", "TexsynthStyleCard", styles=changed.load("ink"), name="new")
    changed.run()
    shutil.move(host.output / "new.card", host.output / "painter.card")
    assert {"read", "out"} <= set(other.run().executed)
    (host.output / "painter.card").unlink()
    (refusal,) = host.refusals(other.nodes)
    assert refusal.startswith("no style card 'painter' in the folders ")
    other.add("text", "Text", value="gone")
    other.nodes["read"]["inputs"]["name"] = ["text", 0]
    assert other.run().error.startswith("no style card 'gone' in the folders ")


@pytest.mark.parametrize("name", ["TexsynthExpand", "TexsynthTile"])
def test_every_map_comes_out_under_its_own_name(name: str, host: Host) -> None:
    """They are told apart by their colours."""
    told = host.object_info()[name]
    maps = told["output_name"][1:]
    for number, key in enumerate(maps):
        Image.new("RGB", (48, 40), (number, 9, 9)).save(f"{key}.png")
    texture = next(iter(told["input"]["required"]))
    for each in (maps[1:2], maps):
        graph = Graph(host)
        links = {texture: graph.load("wall"), **{key: graph.load(key) for key in each}}
        graph.add("out", name, **links, preset="fast")
        for key in each:
            graph.add(f"save {key}", "SaveImage", images=("out", 1 + maps.index(key)), filename_prefix=key)
        assert graph.run().error == ""
        for key in each:
            pixels = written(host, key)
            assert len(pixels) == (80 if name == "TexsynthExpand" else 40)
            assert {tuple(pixel) for pixel in pixels.reshape(-1, 3)} == {(maps.index(key), 9, 9)}
        shutil.rmtree(host.output)
        host.output.mkdir()


def test_batches_and_lists_come_out_as_they_went_in(host: Host) -> None:
    graph = Graph(host)
    both = graph.load("photo", "wall")
    split = graph.add("split", "SplitBatch", image=both)
    for key, content in (("batch", both), ("list", split)):
        graph.add(key, "TexsynthStylize", content=content, style=graph.load("ink"))
        graph.save(key)
    report = graph.run()
    assert [tuple(image.shape) for image in report.values["list"][0]] == [(1, 40, 48, 3)] * 2
    assert torch.equal(torch.cat(report.values["list"][0]), report.value("batch"))
    np.testing.assert_array_equal(
        written(host, "batch", 2), by_command(host, "stylize", "wall.png", "ink.png")
    )


def test_a_bar_grows_over_the_whole_batch(host: Host) -> None:
    graph = Graph(host)
    graph.add("out", "TexsynthTile", image=graph.load("photo", "wall"))
    graph.save("out")
    graph.run()
    (bar,) = host.bars
    assert bar == sorted(bar)
    assert bar[-1] == 1
    assert any(0.4 < share <= 0.5 for share in bar)


@pytest.mark.parametrize("name", ["TexsynthExpand", "TexsynthStylize", "TexsynthBlend", "TexsynthFill"])
def test_work_can_be_interrupted_and_begun_again(name: str, host: Host) -> None:
    graph = Graph(host)
    inputs: dict[str, object] = {  # type: ignore[assignment]
        "TexsynthExpand": {"exemplar": graph.load("wall"), "preset": "fast"},
        "TexsynthStylize": {"content": graph.load("photo"), "style": graph.load("ink")},
        "TexsynthBlend": {"content": graph.load("photo"), "style_1": graph.load("ink")},
        "TexsynthFill": {"image": graph.load("torn"), "hole": ("torn", 1)},
    }[name]
    graph.add("out", name, **inputs)
    graph.save("out")
    host.interrupt_at = 0.1
    report = graph.run()
    assert report.is_interrupted
    assert "out" not in report.executed
    assert list(host.output.iterdir()) == []
    host.interrupt_at = None
    assert graph.run().executed == ["out", "save out"]


def test_nodes_behind_a_map_that_did_not_go_in_are_skipped(host: Host) -> None:
    graph = Graph(host)
    graph.add("out", "TexsynthTile", image=graph.load("wall"), height_map=graph.load("bumps"))
    graph.save("out")
    for number, key in enumerate(host.object_info()["TexsynthTile"]["output_name"]):
        graph.add(key, "SaveImage", images=("out", number), filename_prefix=key)
    report = graph.run()
    assert report.error == ""
    assert {path.name.split("_")[0] for path in host.output.iterdir()} == {"out", "texture", "height"}


def test_a_description_is_shown_without_further_nodes(host: Host) -> None:
    graph = Graph(host)
    graph.add("looks", "TexsynthDescribe", image=graph.load("wall"))
    report = graph.run()
    (text,) = report.ui["looks"]["text"]
    assert text.startswith("regularity: ")
    assert "--" not in text
    assert json.loads(report.value("looks", 1))["width"] == 48


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_nodes_keep_to_the_device_of_the_host(
    device: str, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its option --cpu holds for nodes; on a GPU it is asked to make room, and texsynth chooses."""
    asked: list[object] = []
    host.device = torch.device(device)

    def expand(frame: object, **options: object) -> object:
        asked.append(options.get("device"))
        return frame

    monkeypatch.setattr("texsynth.expand", expand, raising=False)
    graph = Graph(host)
    graph.add("out", "TexsynthExpand", exemplar=graph.load("wall"))
    graph.save("out")
    assert graph.run().error == ""
    assert asked == ["cpu" if device == "cpu" else None]
    assert [each for _, each in host.freed] == [torch.device(device)] * (device == "cuda")


REFUSED: dict[str, tuple[Callable[[Graph], object], str]] = {
    "one side": (
        lambda graph: graph.add("out", "TexsynthExpand", exemplar=graph.load("wall"), width=100),
        "the size is 100 x 0; give both sides, or 0 for both",
    ),
    "no hole": (
        lambda graph: graph.add("out", "TexsynthFill", image=graph.load("wall"), hole=("wall", 1)),
        "the hole is all black; make it white where pixels are to be filled",
    ),
    "no style": (
        lambda graph: graph.add("out", "TexsynthBlend", content=graph.load("photo")),
        "no style is given; give styles, or a preset that has some",
    ),
    "a file on the server": (
        lambda graph: graph.add("out", "TexsynthStylize", content=graph.load("photo"), style="/etc/passwd"),
        "the style is '/etc/passwd'; connect a node that gives one",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_errors_are_one_sentence(name: str, host: Host) -> None:
    build, sentence = REFUSED[name]
    graph = Graph(host)
    build(graph)
    graph.save("out")
    report = graph.run()
    assert report.failed == "out"
    assert report.error == sentence


EXAMPLES = sorted((FOLDER / "example_workflows").glob("*.json"))


def opened(host: Host, path: Path) -> Workflow:
    """Return the workflow of a file, as a browser reads it: links by name, then values in order."""
    drawn = json.loads(path.read_text())
    links = {number: [str(source), output] for number, source, output, *_ in drawn["links"]}
    workflow: Workflow = {}
    for node in drawn["nodes"]:
        shown = host.classes[node["type"]].INPUT_TYPES()
        inputs = {each["name"]: links[each["link"]] for each in node["inputs"] if each["link"]}
        values = iter(node["widgets_values"])
        for key, (kind, options) in {**shown["required"], **shown.get("optional", {})}.items():
            if isinstance(kind, list) or kind in CONVERSIONS:
                inputs[key] = next(values)
                if "control_after_generate" in options:
                    assert next(values) == options["control_after_generate"]
        assert list(values) == (["image"] if node["type"] == "LoadImage" else [])  # Of its button
        workflow[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return workflow


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_workflows_fit_the_nodes(path: Path, host: Host) -> None:
    """They have the sockets of the nodes, open with their first values, and run as they are."""
    shutil.copy(host.input / "torn.png", host.input / "example.png")
    drawn = json.loads(path.read_text())
    told = host.object_info()
    for node in drawn["nodes"]:
        kind = told[node["type"]]
        sockets = {**kind["input"]["required"], **kind["input"].get("optional", {})}
        assert [each["type"] for each in node["outputs"]] == kind["output"]
        for each in node["inputs"]:
            assert each["type"] == sockets[each["name"]][0]
        if node["type"].startswith("Texsynth"):
            assert [each["name"] for each in node["outputs"]] == kind["output_name"]
            own = shown(host, node["type"]) | {"name": None}
            values = opened(host, path)[str(node["id"])]["inputs"]
            assert {key: value for key, value in values.items() if key in own} | {"name": None} == own
    for number, source, output, target, place, kind in drawn["links"]:
        nodes = {node["id"]: node for node in drawn["nodes"]}
        assert number in nodes[source]["outputs"][output]["links"]
        assert nodes[target]["inputs"][place]["link"] == number
        assert nodes[source]["outputs"][output]["type"] == kind
    report = host.run(opened(host, path))
    assert report.error == ""
    assert any(path.suffix == ".png" for path in host.output.iterdir())


def test_every_node_has_an_example_but_the_one_that_needs_a_card(host: Host) -> None:
    kinds = {node["class_type"] for path in EXAMPLES for node in opened(host, path).values()}
    assert set(comfyui.NODE_CLASS_MAPPINGS) - kinds == {"TexsynthLoadStyleCard"}
