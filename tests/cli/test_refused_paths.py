"""Paths that the system refuses, given to every option that takes one: a sentence, and code 2, 4, 5 or 6."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from helpers.cli import make_model, make_picture, names, run_cli
from helpers.closed import close
from helpers.docs import all_commands
from helpers.faults import linux

from texsynth import images

pytestmark = linux

MODEL = ("--model", "tiny.safetensors")

LINES: dict[str, tuple[str, ...]] = {
    "expand": ("pic.png", "-p", "fast", "-n"),
    "tile": ("pic.png", "-n"),
    "tileset": ("pic.png", "-n"),
    "maps": ("pic.png", "-n"),
    "stylize": ("pic.png", "style.png", "-n", *MODEL),
    "blend": ("pic.png", "--style", "style.png", "-n", *MODEL),
    "batch": ("jobs.csv", "-n", "-o", "out", *MODEL),
    "match": ("pic.png", "empty"),
    "describe": ("pic.png",),
    "replay": ("made.png", "-o", "pic.png"),
    "serve": ("--no-open", "--host", "192.0.2.1"),
    "card make": ("style.png", "-o", "a.card", *MODEL),
    "card show": ("a.card",),
    "presets show": ("my.yaml",),
    "presets validate": ("my.yaml",),
    "models show": ("tiny.safetensors",),
    "models import": ("none.safetensors",),
    "models export": ("tiny.safetensors", "-o", "pic.png"),
    "evaluate expand": ("pic.png", "-o", "pic.png"),
    "evaluate stylize": ("--content", "pic.png", "--style", "style.png", "-o", "pic.png"),
    "evaluate flicker": ("empty", "empty"),
    "blender": ("-o", "pic.png"),
    "train encoder": ("run", "--data", "empty", "--teacher", "none"),
    "train decoder": ("run", "--data", "empty"),
    "train transposer": ("run", "--data", "empty"),
    "train descriptor": ("run", "--data", "empty"),
    "train borders": ("run", "--data", "empty"),
    "train pack": ("run", "--data", "empty", "-o", "pic.png"),
    "train compare": ("run", "--data", "empty"),
    "train pack-transposer": ("run", "--data", "empty", "-o", "pic.png"),
}
"""Arguments of every command, such that it makes nothing and takes no time."""

WITHOUT_PATHS = {
    "doctor", "bench", "docs", "presets list", "presets explain", "presets new",
    "presets schema", "models list", "models fetch", "models verify",
    "models remove", "evaluate match",
}  # fmt: skip

WEIGHTS = ("model", "transposer", "index", "teacher", "features", "init", "files", "networks")

SUFFIXES = {
    "report": ".html", "preset": ".yaml", "card": ".card", "presets": ".yaml", "lut": ".cube",
    "manifest": ".csv", "pairs": ".csv", "baseline": ".json", **dict.fromkeys(WEIGHTS, ".safetensors"),
}  # fmt: skip
"""Name of a parameter -> the suffix of its files, where they are no pictures."""

PATHS = {
    "empty": "", "root": "/", "here": ".", "long": f"{'n' * 300}.png", "deep": f"{'a/' * 3000}b.png",
    "closed": "closed/pic.png", "folder": "closed", "dangling": "dangling.png", "loop": "loop.png",
    "below a file": "pic.png/below.png", "below a link": "dangling.png/x.png", "pipe": "pipe.png",
    "device": "/dev/full", "bytes": f"caf{chr(0xDCE9)}.png", "half": f"{chr(0xD800)}.png", "nul": "nul\0.png",
    "new and long": f"new/{'n' * 300}.png", "pattern": "nul\0*.png", "long pattern": f"{'n' * 300}*.png",
}  # fmt: skip


MADE = {"output": ("root", "here", "empty", "bytes"), "suggest": ("root", "here", "empty")}
"""Parameters, and paths that are good for them: what would be made or searched there is not for a test."""


def takes_text(parameter: Any) -> bool:  # noqa: ANN401 (of the library)
    is_argument = type(parameter).__name__.endswith("Argument")
    return is_argument or not (parameter.is_flag or parameter.min is not None or parameter.metavar is None)


PARAMETERS = [
    (name, parameter)
    for name, command in all_commands()
    if name in LINES
    for parameter in command.params
    if takes_text(parameter) and (parameter.name in SUFFIXES or "=" not in str(parameter.metavar))
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("place")
    with chdir(folder):
        for name in ("pic.png", "style.png"):
            make_picture(folder / name)
        make_model(folder / "tiny.safetensors")
        images.write(images.read(folder / "pic.png"), folder / "made.png", settings="a: 1")
        (folder / "jobs.csv").write_text("content,style\npic.png,style.png\n")
        (folder / "my.yaml").write_text("expand: {scale: 1.5}\n")
        (folder / "empty").mkdir()
        (folder / "closed").mkdir()
        for suffix in {".png", *SUFFIXES.values()}:
            shutil.copy("pic.png", f"closed/pic{suffix}")
            for name in ("dangling", "loop"):
                (folder / f"{name}{suffix}").symlink_to({"loop": f"loop{suffix}"}.get(name, "nowhere"))
            os.mkfifo(f"pipe{suffix}")
        yield folder


def line_with(name: str, parameter: Any, path: str) -> list[str]:  # noqa: ANN401 (of the library)
    """Put `path` into the place of `parameter`."""
    words = list(LINES[name])
    if not type(parameter).__name__.endswith("Argument"):
        return [*words, max(parameter.opts, key=len), path]
    arguments = [p.name for p in dict(all_commands())[name].params if type(p).__name__.endswith("Argument")]
    number = arguments.index(parameter.name)
    return [*words[:number], path, *words[number + 1 :]]


@pytest.mark.parametrize(
    ("name", "parameter"), PARAMETERS, ids=[f"{name}-{parameter.name}" for name, parameter in PARAMETERS]
)
def test_every_refused_path_is_a_sentence(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    parameter: Any,  # noqa: ANN401 (of the library)
) -> None:
    before = names(place)
    close(place / "closed", monkeypatch)
    suffix = SUFFIXES.get("card" if name == "card make" and parameter.name == "output" else parameter.name)
    for kind, path in PATHS.items():
        if kind in MADE.get(parameter.name, ()):
            continue
        text = path.removesuffix(".png") + suffix if suffix and path.endswith(".png") else path
        result = run_cli(*name.split(), *line_with(name, parameter, text))
        where = f"{kind}: {result.stderr}"
        assert result.exit_code in (0, 2, 3, 4, 5, 6), where
        assert "bug" not in result.stderr, where
        many = result.exit_code in (0, 3) or (name, kind) == ("presets validate", "here")
        assert many or result.stderr.count("\n") <= 3, where
        assert not set(result.stderr) & {"\x1b", "\0", chr(0xD800)}, where
    monkeypatch.undo()
    assert names(place) == before


def test_every_command_is_here() -> None:
    assert set(LINES) | WITHOUT_PATHS == set(dict(all_commands()))


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("command", [("describe",), ("expand", "-p", "fast", "-o", "out/")])
def test_a_run_goes_past_a_closed_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], listed: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("a", "closed", "z"):
        Path("lib", folder).mkdir(parents=True)
        make_picture(Path("lib", folder, "pic.png"))
    make_picture(Path("lib", "closed.png"))
    close(Path("lib/closed"), monkeypatch, listed=listed)
    result = run_cli(*command, "lib", "-r", "--threads", 1)
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert result.exit_code == 3, result.stderr
    name = "lib/closed/pic.png" if listed else "lib/closed"
    assert result.stderr.count(f"texsynth: {name} cannot be read: permission denied\n") == 1
    if "-o" in command:
        assert names(Path("out")) == ["a/pic.expand.png", "closed.expand.png", "z/pic.expand.png"]
    alone = run_cli(*command, "nowhere", "-r")
    assert (alone.exit_code, alone.stderr) == (4, "texsynth: nowhere does not exist\n")


def test_a_folder_that_is_closed_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("closed").mkdir()
    close(Path("closed"), monkeypatch)
    result = run_cli("describe", "closed")
    assert (result.exit_code, result.stderr) == (
        4, "texsynth: the folder closed cannot be read: permission denied\n",
    )  # fmt: skip


@pytest.mark.parametrize("option", ["-o", "--preview", "--report", "--lut"])
@pytest.mark.parametrize("kind", ["long", "new and long", "dangling", "below a link"])
def test_results_are_refused_before_the_work(
    place: Path, monkeypatch: pytest.MonkeyPatch, option: str, kind: str
) -> None:
    monkeypatch.chdir(place)
    suffix = {"--report": ".html", "--lut": ".cube"}.get(option, ".png")
    path = PATHS[kind].removesuffix(".png") + suffix
    command = (
        ("expand", "pic.png") if option == "--preview" else ("stylize", "pic.png", "style.png", "--photo")
    )
    reason = {"dangling": "exists already", "below a link": "is a link to nothing"}.get(kind, "name too long")
    for flags in (["-n"], ["--model", "none.safetensors"]):
        result = run_cli(*command, option, path, *flags)
        assert reason in result.stderr
        # The network that is missing is looked for when all names are settled.
        assert result.exit_code == 5


def test_a_name_that_is_joined_from_two_may_be_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    one, other = (make_picture(tmp_path / f"{letter * 130}.png") for letter in "cs")
    for output in ([], ["-o", "new/"]):
        result = run_cli("stylize", one.name, other.name, *output, "-n")
        assert result.exit_code == 5
        assert "cannot be written: file name too long" in result.stderr


@pytest.mark.parametrize("flags", [[], ["--resume"], ["-n"]])
def test_a_link_to_nothing_is_not_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_picture(tmp_path / "a.png")
    Path("out.png").symlink_to("nowhere.png")
    result = run_cli("expand", "a.png", "-p", "fast", "-o", "out.png", "--threads", 1, *flags)
    assert result.exit_code == 5
    assert "out.png exists already" in result.stderr
    assert names(tmp_path) == ["a.png"]
    assert os.readlink("out.png") == "nowhere.png"


def test_a_link_to_nothing_is_replaced_by_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_picture(tmp_path / "a.png")
    Path("out.png").symlink_to("nowhere.png")
    assert run_cli("expand", "a.png", "-p", "fast", "-o", "out.png", "--threads", 1, "-f").exit_code == 0
    assert names(tmp_path) == ["a.png", "out.png"]
    assert not Path("out.png").is_symlink()
