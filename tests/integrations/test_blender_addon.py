"""The add-on for Blender without Blender: arguments, progress, names, nodes, and its zip."""

from __future__ import annotations

import ast
import io
import os
import signal
import sys
import time
import tomllib
import zipfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from helpers.cli import names, run_cli
from helpers.docs import arguments_of, leaf
from PIL import Image

import texsynth
from texsynth.config.map_settings import MapsSettings
from texsynth.config.presets import fitting
from texsynth.config.settings import Settings
from texsynth.images import read
from texsynth.integrations.blender import addon, addon_zip
from texsynth.integrations.blender.addon.arguments import (
    BUMP,
    DISPLACEMENT,
    FIELDS,
    NORMAL,
    PIXELS,
    PRESETS,
    TASKS,
    arguments,
)
from texsynth.integrations.blender.addon.command import (
    KEPT,
    LONGEST,
    CommandError,
    Progress,
    Run,
    find_command,
    parse_progress,
    sentence,
)
from texsynth.integrations.blender.addon.material import ORDER, PACKED, Graph, material_graph
from texsynth.integrations.blender.addon.names import (
    ENDINGS,
    find_maps,
    free_path,
    map_name,
    result_name,
)
from texsynth.integrations.blender.addon.tiff import write_tiff
from texsynth.jobs import materials

SHOWN = {field.name: field.default for field in FIELDS}

SOURCE = Path(addon.__file__).parent


def line(task: str, **changes: object) -> str:
    inputs = ["wall.png", "other.png"][: 2 if task in ("fill", "stylize") else 1]
    return " ".join(arguments(task, inputs, "out.png", {**SHOWN, **changes}))


def test_what_is_left_as_it_is_shown_is_left_to_the_command() -> None:
    common = "--json-progress --no-record -o out.png"
    assert line("tile") == f"tile {common} -- wall.png"
    assert line("expand") == f"expand {common} --scale 2 -- wall.png"
    assert line("fill") == f"expand {common} --hole other.png -- wall.png"
    assert line("stylize") == f"stylize {common} -- wall.png other.png"
    assert line("maps") == f"maps {common} -- wall.png"


def test_what_is_changed_is_said() -> None:
    assert "--preset fast --seed 3 --" in line("tile", tile_preset="fast", seed=3)
    assert "--tileable --size 300x200" in line("expand", tileable=True, sized=PIXELS, width=300, height=200)
    assert "--scale 1.1 " in line("expand", scale=float(np.float32(1.1))), "a float of 32 bits"
    assert "--strength 0.7 --photo" in line("stylize", strength=float(np.float32(0.7)), look="PHOTO")
    assert "--artistic" in line("stylize", look="ARTISTIC")
    assert line("maps", depth=0.05, invert=True, seed=4).endswith("--depth 0.05 --invert -- wall.png")


@pytest.mark.parametrize("task", TASKS)
def test_the_command_understands_it(task: str) -> None:
    """Also a picture whose name looks like an option."""
    far = {
        "scale": 16.0, "width": 64, "height": 48, "tileable": True, "strength": 0.0, "depth": 1.0,
        "invert": True, "look": "PHOTO", "seed": 2**31 - 1, "sized": PIXELS, "expand_preset": "fast",
    }  # fmt: skip
    for values in (SHOWN, {**SHOWN, **far}):
        words = arguments(task, ["-wall.png", "other.png"], "out.png", values)
        name, command, rest = leaf(words)
        command.make_context(name, list(rest))


def test_presets_are_those_of_the_program() -> None:
    assert {name: list(PRESETS[name]) for name in PRESETS} == {name: fitting(name) for name in PRESETS}


def test_a_number_that_a_slider_can_say_is_no_error() -> None:
    settings: dict[str, type[Settings]] = {
        "scale": texsynth.ExpandSettings,
        "strength": texsynth.StylizeSettings,
        "depth": MapsSettings,
    }
    for field in FIELDS:
        if field.name in settings:
            for value in (field.low, field.high):
                settings[field.name].model_validate({field.name: value})


def test_progress_is_read_from_lines() -> None:
    shown = '{"done": 0, "total": 1, "picture": "a", "stage": "seams", "share": 0.25, "left": 7.0}'
    assert parse_progress(shown) == Progress(0.25, "seams", 7.0)
    assert str(parse_progress(shown)) == "25%, 7 s left: seams"
    assert str(Progress(0.01, "votes", 400.0)) == "1%, 7 min left: votes"
    wrong = (
        "texsynth: a remark",
        "",
        "{",
        "{}",
        '{"share": "x", "stage": "", "left": null}',
        '{"a":' * 10**5,
    )
    for other in wrong:
        assert parse_progress(other) is None


def test_the_sentence_of_a_failure_is_the_last_one() -> None:
    lines = ["texsynth: a warning", "texsynth: wall.png: no such file", "try `texsynth --help`"]
    assert sentence(lines, 2) == "wall.png: no such file"
    assert sentence(["Segmentation fault"], -11) == "Segmentation fault"
    assert sentence([], 3) == "texsynth ended with code 3"
    old = sentence(["texsynth: no such option: --x (Possible options: --y)", "try `texsynth --help`"], 2)
    assert old.startswith("the command is older than this add-on, update it: no such option: --x")


PAUSE = 0.01  # Seconds between two looks


def finished(run: Run) -> Run:
    while run.poll():
        time.sleep(PAUSE)
    return run


def test_a_command_runs_beside(tmp_path: Path) -> None:
    script = (
        'import sys; print(\'out\'); sys.stderr.write(\'{"share": 0.5, "stage": "x", "left": null}\\n'
        "texsynth: caf\\u00e9\\n')"
    )
    run = finished(Run([sys.executable, "-c", script], tmp_path))
    run.check()
    assert (list(run.output), run.notes, run.progress) == (["out"], ["caf\u00e9"], Progress(0.5, "x"))
    failed = finished(Run([sys.executable, "-c", "import sys; sys.exit('texsynth: no')"]))
    with pytest.raises(CommandError, match=r"^no$"):
        failed.check()
    with pytest.raises(CommandError, match="cannot be started"):
        Run([str(tmp_path / "none")])


@pytest.mark.parametrize("patient", [True, False])
def test_a_command_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patient: bool) -> None:
    """Also one that does not listen."""
    monkeypatch.setattr("texsynth.integrations.blender.addon.command.GRACE", 60 if patient else 0)
    deaf = "" if patient else "signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    script = f"import signal, sys, time; {deaf} print('up', flush=True); time.sleep(60)"
    run = Run([sys.executable, "-c", script])
    while not run.output:
        assert run.poll()
        time.sleep(PAUSE)
    run.stop()
    run.stop()
    assert finished(run).is_stopped
    with pytest.raises(CommandError):
        run.check()


def test_a_command_may_say_too_much(tmp_path: Path) -> None:
    """10 MB that are no text, in one line and in many, and no end of the last one."""
    script = tmp_path / "much.py"
    script.write_text(
        "import sys; say = sys.stderr.buffer.write\n"
        "say(b'\\xff\\x00{' * 10**6 + b'\\n'); say(b'\\xfe\\n' * 3 * 10**6)\n"
        'say(b\'{"share": 0.5, "stage": "\\xff", "left": null}\\ntexsynth: full\\xff\'); sys.exit(3)'
    )
    run = finished(Run([sys.executable, str(script)]))
    assert (len(run.messages), run.progress) == (KEPT, Progress(0.5, "\ufffd"))
    assert sum(map(len, run.messages)) <= KEPT * LONGEST
    with pytest.raises(CommandError, match=r"^full\ufffd$"):
        run.check()


def test_a_command_may_say_nothing() -> None:
    run = finished(Run([sys.executable, "-c", ""]))
    run.check()
    assert (list(run.output), list(run.messages), run.notes) == ([], [], [])
    with pytest.raises(CommandError, match="ended with code 3"):
        finished(Run([sys.executable, "-c", "import sys; sys.exit(3)"])).check()


WAITS = "import time; print('up', flush=True); time.sleep(600)"


@pytest.mark.parametrize("end", ["stop", "close"])
def test_children_end_with_the_command(monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    """As where the command is a script that starts another program."""
    monkeypatch.setattr("texsynth.integrations.blender.addon.command.GRACE", 60)
    run = Run(
        [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {WAITS!r}])"]
    )
    while not run.output:
        assert run.poll()
        time.sleep(PAUSE)
    getattr(run, end)()
    while run.is_heard:
        run.poll()
        time.sleep(PAUSE)
    assert not finished(run).poll()


def test_a_child_that_holds_the_pipes_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("texsynth.integrations.blender.addon.command.GRACE", 0)
    script = (
        "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', sys.argv[1]], "
        "start_new_session=True); print(child.pid, flush=True)"
    )
    run = Run([sys.executable, "-c", script, WAITS])
    while not run.output:
        run.poll()
        time.sleep(PAUSE)
    try:
        finished(run).check()
        assert run.is_heard
        run.close()
    finally:
        os.kill(int(run.output[0]), signal.SIGKILL)


def test_the_command_is_searched_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "env" / "bin").mkdir(parents=True)
    command = tmp_path / "env" / "bin" / "texsynth"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    assert find_command(str(command)) == find_command(str(tmp_path / "env")) == str(command)
    with pytest.raises(CommandError, match=r"there is no command .*nowhere"):
        find_command(str(tmp_path / "nowhere"))
    monkeypatch.setattr("texsynth.integrations.blender.addon.command.USUAL", ())
    monkeypatch.setenv("PATH", str(command.parent))
    assert find_command() == str(command)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommandError, match="install it, or set its place"):
        find_command()


def test_names_of_results(tmp_path: Path) -> None:
    assert result_name("wall.png", "tile") == "wall_tile"
    assert result_name("wall.001", "tile") == "wall.001_tile"
    assert len(result_name("w" * 80, "expand")) == 63
    for name in ("a.png", "a-2.png", "a-3.png"):
        path = free_path(tmp_path, "a", ".png")
        assert path.name == name
        path.touch()


def test_endings_are_those_of_materials() -> None:
    assert set(ENDINGS) == {*materials.COLOUR, *materials.NORMALS, *materials.OTHERS}
    assert {name for name, role in ENDINGS.items() if role == "colour"} == set(materials.COLOUR)
    directx = {name for name, kind in materials.NORMALS.items() if kind == "directx"}
    assert {name for name, role in ENDINGS.items() if role == "normal directx"} == directx
    for file in ("brick_wall_nor_gl_1k.exr", "Bricks075_1K-JPG_Color.jpg", "wall.png", "a.b_NormalDX.png"):
        name = materials.MapName.of(Path(file).stem)
        assert map_name(file) == (name.stem.lower(), ENDINGS[name.role] if name.role else "colour")


def test_maps_of_a_folder() -> None:
    assert find_maps(["wall.png", "wall_normal.png", "wall_height.png", "notes.txt", "preview.png"]) == (
        "wall", {"colour": "wall.png", "normal": "wall_normal.png", "height": "wall_height.png"},
    )  # fmt: skip
    assert find_maps(["color.png", "normal.png"])[0] == ""
    assert find_maps(["b_arm.png", "b_diff.png", "b_id.png"])[1] == {
        "arm": "b_arm.png",
        "colour": "b_diff.png",
    }
    for files, reason in (
        (["a.txt"], "no maps"),
        (["a.png", "b.png"], "belong together"),
        (["a_color.png", "a_ao.png", "b_color.png", "b_ao.png"], "several surfaces, 'b' and 'a'"),
    ):
        with pytest.raises(ValueError, match=reason):
            find_maps(files)


def leads_to(graph: Graph, target: str, name: str) -> str:
    """The node that leads to an input, empty where none does."""
    sources = [link.source for link in graph.links if (link.target, link.input) == (target, name)]
    assert len(sources) <= 1, "an input takes one link"
    return sources[0] if sources else ""


@pytest.mark.parametrize("relief", [NORMAL, BUMP, DISPLACEMENT])
@pytest.mark.parametrize(
    "maps", [{"colour"}, {"height"}, {"colour", "normal", "height", "occlusion", "roughness"}, set(ORDER)],
    ids=len,
)  # fmt: skip
def test_nodes_stand_apart_and_links_lead_somewhere(maps: set[str], relief: str) -> None:
    graph = material_graph(maps, relief=relief)
    for link in graph.links:
        assert {link.source, link.target} <= set(graph.nodes)
        assert graph.nodes[link.source].place[0] < graph.nodes[link.target].place[0], "from left to right"
        leads_to(graph, link.target, link.input)
    places = [node.place for node in graph.nodes.values()]
    for number, (x, y) in enumerate(places):
        assert all(abs(x - a) >= 180 or abs(y - b) >= 140 for a, b in places[number + 1 :])
    assert {node.map for node in graph.nodes.values() if node.map} == maps


def test_one_map_alone_bends_the_light() -> None:
    both = {"normal", "height"}
    assert leads_to(material_graph(both), "shader", "Normal") == "normals"
    assert leads_to(material_graph({"height"}), "shader", "Normal") == "relief"
    assert leads_to(material_graph(both, relief=BUMP), "shader", "Normal") == "relief"
    displaced = material_graph(both, relief=DISPLACEMENT, depth=0.2)
    assert (displaced.displaces, displaced.nodes["relief"].values["Scale"]) == (True, 0.2)
    assert leads_to(displaced, "output", "Displacement") == "relief"
    assert leads_to(displaced, "shader", "Normal") == "", "slopes would be twice as steep"


def test_maps_of_other_programs() -> None:
    directx = material_graph({"normal directx"})
    assert leads_to(directx, "normals", "Color") == "opengl"
    assert leads_to(directx, "opengl", "Green") == "up", "one minus green"
    assert leads_to(material_graph({"gloss"}), "shader", "Roughness") == "rough"
    for packed, parts in PACKED.items():
        graph = material_graph({"colour", packed})
        assert leads_to(graph, "shader", "Metallic") == leads_to(graph, "shader", "Roughness") != ""
        assert leads_to(graph, "shade", "B_Color"), parts
    beside = material_graph({"arm", "roughness"})
    assert leads_to(beside, "shader", "Roughness") == "roughness", "a file of its own is worth more"


def test_a_photograph_is_not_darkened_twice() -> None:
    maps = {"colour", "occlusion"}
    assert material_graph(maps).nodes["shade"].values == {"Factor_Float": 1.0}
    assert material_graph(maps, shaded=True).nodes["shade"].values == {"Factor_Float": 0.0}


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pixels_become_a_picture(tmp_path: Path, channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, channels), np.uint8)
    write_tiff(tmp_path / "a.tif", pixels)
    np.testing.assert_array_equal(np.atleast_3d(np.asarray(Image.open(tmp_path / "a.tif"))), pixels)
    with pytest.raises(FileExistsError):
        write_tiff(tmp_path / "a.tif", pixels)


def test_floats_stay_light(tmp_path: Path) -> None:
    light = np.random.default_rng(0).random((5, 7, 4), np.float32) * 2
    light[..., 3] = 0.5
    write_tiff(tmp_path / "a.tif", light)
    picture = read(tmp_path / "a.tif")
    assert picture.alpha is not None
    assert np.unique(picture.alpha) == pytest.approx(np.iinfo(picture.alpha.dtype).max / 2, abs=1)
    assert picture.is_float
    assert picture.highlights is not None, "stronger than white"


def test_the_zip_is_as_blender_asks() -> None:
    assert addon_zip() == addon_zip()
    archive = zipfile.ZipFile(io.BytesIO(addon_zip()))
    files = archive.namelist()
    (folder,) = {name.split("/")[0] for name in files}
    assert folder != "texsynth", "the package of that name may be on the path of Blender's Python"
    assert {f"{folder}/__init__.py", f"{folder}/blender_manifest.toml"} <= set(files)
    manifest = tomllib.loads(archive.read(f"{folder}/blender_manifest.toml").decode())
    assert manifest["version"] == texsynth.__version__
    assert (manifest["id"], manifest["type"], manifest["schema_version"]) == ("texsynth", "add-on", "1.0.0")
    assert manifest["blender_version_min"].count(".") == 2
    assert set(manifest["permissions"]) == {"files"}
    for text in (manifest["tagline"], *manifest["permissions"].values()):
        assert len(text) <= 64
        assert text[-1].isalnum()
    assert "wheels" not in manifest


def test_older_blenders_are_told_the_same() -> None:
    """They read what is assigned in the text of the module."""
    body = ast.parse((SOURCE / "__init__.py").read_text()).body
    values = {ast.unparse(one.targets[0]): one.value for one in body if isinstance(one, ast.Assign)}
    info = ast.literal_eval(values["bl_info"])
    manifest = tomllib.loads((SOURCE / "blender_manifest.toml").read_text())
    assert ".".join(map(str, info["version"])) == manifest["version"]
    assert (info["name"], info["description"], info["author"]) == (
        manifest["name"], manifest["tagline"], manifest["maintainer"],
    )  # fmt: skip
    assert info["category"] in manifest["tags"]


def test_it_needs_nothing_but_blender() -> None:
    own = {path.stem for path in SOURCE.glob("*.py")}
    for path in SOURCE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                tops = {alias.name.split(".")[0] for alias in node.names}
                assert tops <= {"bpy", "numpy", *sys.stdlib_module_names}, path.name
            elif isinstance(node, ast.ImportFrom) and node.level:
                assert (node.module or node.names[0].name) in own
            elif isinstance(node, ast.ImportFrom):
                assert str(node.module).split(".")[0] in sys.stdlib_module_names, path.name


def test_the_command_writes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = f"texsynth-blender-{texsynth.__version__}.zip"
    assert run_cli("blender").stdout == f"{name}\n"
    assert run_cli("blender", "-o", "new/", "-q").stdout == ""
    assert run_cli("blender", "-o", "own.zip").exit_code == 0
    assert names(tmp_path) == sorted([f"new/{name}", "own.zip", name])
    assert Path("own.zip").read_bytes() == addon_zip()
    taken = run_cli("blender", "-o", "own.zip")
    assert (taken.exit_code, "exists" in taken.stderr) == (5, True)
    assert run_cli("blender", "-o", "own.zip", "--force").exit_code == 0
    wrong = run_cli("blender", "-o", "own.png")
    assert (wrong.exit_code, "needs a name that ends with .zip" in wrong.stderr) == (2, True)
    assert arguments_of("texsynth blender -o a.zip") == ["blender", "-o", "a.zip"]


PARTS = ("operators", "panels", "images", "nodes")
"""Modules that need Blender."""


@pytest.fixture
def operators(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModuleType]:
    """The operators, where what they ask of Blender at once is there."""
    classes = ("Operator", "Panel", "PropertyGroup", "AddonPreferences", "Image")
    kinds = ("String", "Bool", "Int", "Float", "Enum", "Pointer")
    methods = {"poll_message_set": classmethod(lambda cls, text: setattr(cls, "refused", text))}
    bpy = SimpleNamespace(
        types=SimpleNamespace(**{name: type(name, (), methods) for name in classes}),
        props=SimpleNamespace(**{f"{kind}Property": lambda **about: about for kind in kinds}),
        app=SimpleNamespace(background=False, tempdir=str(tmp_path)),
    )
    monkeypatch.setitem(sys.modules, "bpy", bpy)
    for name in PARTS:
        monkeypatch.delitem(sys.modules, f"{addon.__name__}.{name}", raising=False)
    yield import_module(f"{addon.__name__}.operators")
    for name in PARTS:
        sys.modules.pop(f"{addon.__name__}.{name}", None)


class Layout:
    """Notes what a panel shows."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.buttons: list[str] = []

    def prop(self, owner: object, name: str) -> None:
        getattr(owner, name)
        self.shown.append(name)

    def template_ID(self, owner: object, name: str, **_: str) -> None:  # noqa: N802 (Blender's name)
        self.prop(owner, name)

    def operator(self, name: str, **_: str) -> None:
        self.buttons.append(name)

    def progress(self, *, factor: float, text: str) -> None:
        assert 0 <= factor <= 1
        self.shown.append(text)

    def label(self, *, text: str, icon: str = "") -> None:
        assert text
        del icon
        self.shown.append(text)


def drawn(panel: Any, source: str = "FILE", **values: object) -> Layout:  # noqa: ANN401 (of Blender)
    """What a panel shows, given values and the source of the image in the editor."""
    scene = SimpleNamespace(texsynth=SimpleNamespace(**{**SHOWN, "style": None, "hole": None, **values}))
    one, layout = panel(), Layout()
    one.layout = layout
    image = SimpleNamespace(name="wall.png", source=source)
    one.draw(SimpleNamespace(scene=scene, space_data=SimpleNamespace(image=image if source else None)))
    return layout


def test_panels_show_every_value_and_button(operators: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    panels = import_module(f"{addon.__name__}.panels")
    layouts = [
        drawn(panel, **values)
        for panel in panels.PANELS
        for values in ({}, {"sized": PIXELS, "hole_from": "IMAGE"})
    ]
    assert {name for layout in layouts for name in layout.shown} == {
        *SHOWN, "style", "Style", "hole", "White Is Filled", "wall.png",
    }  # fmt: skip
    buttons = {name for layout in layouts for name in layout.buttons}
    assert buttons == {one.bl_idname for one in operators.OPERATORS} - {"texsynth.check", "texsynth.stop"}
    assert drawn(panels.TEXSYNTH_PT_expand).shown == ["expand_preset", "sized", "scale", "tileable"]
    assert set(panels.TexsynthSettings.__annotations__) == {*SHOWN, "style", "hole"}
    operators.Work.run = SimpleNamespace(progress=Progress(0.5, "seams"))
    assert drawn(panels.TEXSYNTH_PT_main).shown == ["50%: seams"]
    assert drawn(panels.TEXSYNTH_PT_main).buttons == ["texsynth.stop"]
    monkeypatch.delattr(Layout, "progress")
    assert drawn(panels.TEXSYNTH_PT_main).shown == ["50%: seams"], "before Blender 4.0"


@pytest.mark.parametrize(
    ("source", "reason"),
    [("FILE", ""), ("GENERATED", ""), ("MOVIE", "film"), ("SEQUENCE", "sequence"), ("TILED", "UDIM"),
     ("VIEWER", "render"), ("", "o picture")],
)  # fmt: skip
def test_what_cannot_be_worked_on_is_said(operators: ModuleType, source: str, reason: str) -> None:
    """By the panel and by the tooltips of its buttons."""
    panels = import_module(f"{addon.__name__}.panels")
    image = SimpleNamespace(source=source) if source else None
    context = SimpleNamespace(space_data=SimpleNamespace(type="IMAGE_EDITOR", image=image))
    button = operators.TEXSYNTH_OT_tile
    assert button.poll(context) == (reason == "")
    if reason:
        assert reason in button.refused
        assert reason in drawn(panels.TEXSYNTH_PT_main, source).shown[0]


class Manager(SimpleNamespace):
    """What Blender's window manager is to an operator."""

    def event_timer_add(self, step: float, *, window: object) -> str:
        self.timers = 1
        return f"{step} {window}"

    def event_timer_remove(self, timer: str) -> None:
        assert timer
        self.timers -= 1

    def modal_handler_add(self, operator: object) -> None:
        self.handler = operator


def work_of(operators: ModuleType, script: str) -> tuple[Any, Any, list[str]]:
    """An operator that runs a script of Python, a context, and what the operator will have said."""
    said: list[str] = []

    class Scripted(operators.Work, operators.bpy.types.Operator):  # type: ignore[misc, name-defined]
        def steps(self, context: object, folder: Path) -> Iterator[None]:
            (folder / "input.tif").touch()
            yield from self.command(context, [script], folder)
            said.append("result")

        def tell(self, level: str, text: str) -> None:
            said.append(f"{level} {text}")

    area = SimpleNamespace(type="IMAGE_EDITOR", tag_redraw=lambda: None)
    manager = Manager(windows=[SimpleNamespace(screen=SimpleNamespace(areas=[area]))], timers=0, handler=None)
    return Scripted(), SimpleNamespace(window="window", window_manager=manager), said


def event(kind: str) -> SimpleNamespace:
    return SimpleNamespace(type=kind, value="PRESS")


def test_an_undo_leaves_no_empty_editor(operators: ModuleType) -> None:
    """It shows what the result was made of; editors that show something stay."""
    wall, other = SimpleNamespace(name="wall.png"), SimpleNamespace(name="other")
    spaces = [SimpleNamespace(image=image) for image in (None, other)]
    areas = [SimpleNamespace(type="IMAGE_EDITOR", spaces=SimpleNamespace(active=one)) for one in spaces]
    window = SimpleNamespace(screen=SimpleNamespace(areas=areas))
    operators.bpy.context = SimpleNamespace(window_manager=SimpleNamespace(windows=[window]))
    operators.bpy.data = SimpleNamespace(images={"wall.png": wall, "wall_tile": object()})
    operators.show_again("scene", None)
    assert [one.image for one in spaces] == [None, other], "there was no result"
    operators.OnImage.swapped = ("wall_tile", "wall.png")
    operators.show_again("scene", None)
    assert [one.image for one in spaces] == [None, other], "it is still there"
    del operators.bpy.data.images["wall_tile"]
    operators.show_again("scene", None)
    assert [one.image for one in spaces] == [wall, other]


@pytest.mark.parametrize("end", ["done", "failed", "escape", "closed"])
def test_blender_does_not_wait(
    operators: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    end: str,
) -> None:
    gate = tmp_path_factory.mktemp("gate") / "open"
    script = "import pathlib, sys, time; print(1, flush=True)\n" + (
        f"while not pathlib.Path({str(gate)!r}).exists(): time.sleep({PAUSE})\n"
        f"sys.exit({'texsynth: it is broken' if end == 'failed' else 0!r})"
    )
    monkeypatch.setattr(
        operators, "start", lambda _, words, folder: Run([sys.executable, "-c", *words], folder)
    )
    work, context, said = work_of(operators, script)
    assert work.poll(context)
    assert work.invoke(context, event("LEFTMOUSE")) == {"RUNNING_MODAL"}
    assert not work.poll(context), "one at a time"
    assert "press Stop" in work.refused
    run = operators.Work.run
    assert work.modal(context, event("MOUSEMOVE")) == {"PASS_THROUGH"}
    state = {"PASS_THROUGH"}
    if end in ("done", "failed"):
        gate.touch()
    if end == "closed":
        work.cancel(context)
    else:
        while state == {"PASS_THROUGH"}:
            if end == "escape" and run.output:
                assert work.modal(context, event("ESC")) == {"PASS_THROUGH"}
            state = work.modal(context, event("TIMER"))
            time.sleep(PAUSE)
    assert state == {"done": {"FINISHED"}, "closed": {"PASS_THROUGH"}}.get(end, {"CANCELLED"})
    assert said == {
        "done": ["result"], "failed": ["ERROR it is broken"], "escape": ["INFO stopped; nothing was changed"],
        "closed": [],
    }[end]  # fmt: skip
    assert not run.poll(), "the process is gone"
    assert context.window_manager.timers == 0
    assert names(tmp_path) == [], "and its files"
    assert work.poll(context)
