"""Names that a terminal, a pipe or a page cannot take: nothing is steered, nothing is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from helpers.cli import make_model, make_picture, names, run_cli
from helpers.faults import linux
from safetensors.torch import save_file
from typer.testing import CliRunner

from texsynth import images
from texsynth.cli import app
from texsynth.cli.printing import as_json, printable

ODD = {
    "escape": "a\x1b[31mb", "bell": "a\x07b", "line": "a\nb", "return": "a\rb", "delete": "a\x7fb",
    "csi": "a\x9b31mb", "turned": "a\u202eb", "separator": "a\u2028b", "byte": f"caf{chr(0xDCE9)}",
    "steering byte": f"a{chr(0xDC9B)}b", "letter": "\u4e2d",
    "emoji": "\U0001f469\u200d\U0001f52c", "accents": "e\u0301",
}  # fmt: skip
"""Names of files; the last three are plain text."""

PLAIN = ("letter", "emoji", "accents")

STEERING = {*map(chr, range(9)), *map(chr, range(11, 32)), *map(chr, range(127, 160)), "\u202e", "\u2028"}


@pytest.mark.parametrize("kind", ODD)
def test_what_steers_is_escaped_and_text_is_not(kind: str) -> None:
    shown = printable(ODD[kind])
    assert not set(shown) & STEERING
    assert not any("\ud800" <= letter <= "\udfff" for letter in shown)
    assert (shown == ODD[kind]) == (kind in PLAIN)
    assert printable("a\nb\x1b\udce9\u202e\ud800") == "a\\nb\\x1b\\xe9\\u202e\\ud800"


@pytest.mark.parametrize("kind", ODD)
def test_json_is_utf8_and_names_the_file(kind: str) -> None:
    line = as_json({"name": ODD[kind]})
    assert not set(line) & STEERING
    assert json.loads(line.encode())["name"] == ODD[kind]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_picture(tmp_path / "style.png", seed=1)
    make_model(tmp_path / "tiny.safetensors")
    return tmp_path


MODEL = ("--model", "tiny.safetensors", "--threads", 1)

COMMANDS = {
    "expand": ("expand", "{}.png", "-p", "fast", "--preview", "{}.preview.png", "--report", "{}.html"),
    "tile": ("tile", "{}.png", "-o", "{}.tiled.jpg", "-v", "-n"),
    "tileset": ("tileset", "{}.png", "-n"),
    "maps": ("maps", "{}.png", "--report", "r.html"),
    "stylize": ("stylize", "{}.png", "{}.png", "-o", "{}.jpg", "--photo", "--lut", "{}.cube", *MODEL),
    "blend": ("blend", "style.png", "--style", "{}.png", "--report", "r.html", *MODEL),
    "describe": ("describe", "{}.png"),
    "match": ("match", "{}.png", ".", "--include-self"),
    "evaluate": ("evaluate", "expand", "{}.png", "-o", "{}.out", "--method", "mirror"),
    "card": ("card", "make", "{}.png", "-o", "{}.card", *MODEL),
    "missing": ("describe", "none{}.png"),
    "preset": ("expand", "style.png", "-p", "{}"),
    "option": ("expand", "--{}"),
    "topic": ("docs", "{}"),
    "setting": ("expand", "style.png", "--set", "{}=1"),
}


@linux
@pytest.mark.parametrize("kind", ["escape", "byte"])
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_odd_names(place: Path, command: str, kind: str) -> None:
    name = ODD[kind]
    make_picture(place / f"{name}.png")
    line = [str(word).format(name) for word in COMMANDS[command]]
    result = run_cli(*line)
    expected = {"missing": 4, "preset": 2, "option": 2, "topic": 2, "setting": 2}.get(command, 0)
    assert result.exit_code == expected, result.stderr
    for text in (result.stdout_bytes.decode(errors="surrogateescape"), result.stderr):
        assert not set(text) & STEERING
    if command in ("stylize", "card"):
        assert f"{name}.{'jpg' if command == 'stylize' else 'card'}" in names(place)
    if command in ("expand", "stylize", "describe"):
        again = run_cli(*line, "--json", *(["-f"] if command != "describe" else []))
        rows = [json.loads(row) for row in again.stdout_bytes.splitlines()]
        assert Path(rows[0]["output" if command != "describe" else "path"]).exists()


RECORD = """
command: maps
picture: {{path: "{path}", sha256: "{path}"}}
role: height
maps: {{}}
run: {{model: lite, device: cpu}}
versions: {{texsynth: "{path}", torch: "2"}}
"""


@linux
def test_records_headers_and_tensors_steer_nothing(place: Path) -> None:
    picture = images.read(place / "style.png")
    images.write(picture, place / "odd.png", settings=RECORD.format(path="\\e[31m\\u202e"))
    bad = "\x1b[31m\u202e"
    save_file({f"encoder.{bad}": torch.ones(2)}, place / "odd.safetensors", {bad: bad, "layout": bad})
    save_file({f"encoder.conv1_1.weight{bad}": torch.ones(2)}, place / "other.safetensors", {"format": bad})
    shown = run_cli("models", "show", make_noted(place / "noted.safetensors", bad))
    assert shown.exit_code == 0
    assert "\\x1b[31m\\u202e" in shown.stdout
    for line in (
        ("replay", "odd.png"), ("models", "show", "odd.safetensors"), ("models", "import", "odd.safetensors"),
        ("models", "import", "other.safetensors"), ("card", "show", "other.safetensors"),
        ("stylize", "style.png", "style.png", "--model", "odd.safetensors"),
        ("models", "show", "noted.safetensors", "--json"),
        ("expand", "style.png", "--transposer", "odd.safetensors"),
    ):  # fmt: skip
        result = run_cli(*line)
        assert not set(result.stdout + result.stderr) & STEERING, line
        assert "bug" not in result.stderr, line


def make_noted(path: Path, text: str) -> Path:
    """A whole model whose provenance is `text`."""
    from helpers.nets import tiny_tensors

    save_file({key: value.contiguous() for key, value in tiny_tensors().items()}, path, {"note": text})
    return path


@linux
@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8", "latin-1"])
def test_a_stream_may_lack_letters(place: Path, encoding: str) -> None:
    made = (f"{ODD['byte']}.png", f"{ODD['letter']}.png", f"{ODD['emoji']}.png")
    for name in made:
        make_picture(place / name)
    runner = CliRunner(charset=encoding)
    done = runner.invoke(app, ["describe", *made])
    assert done.exit_code == 0, done.stderr
    assert done.stdout_bytes.count(b"41 x 33") == 3
    assert b"caf\xe9.png" in done.stdout_bytes, "by which it can be opened"
    assert ("\u4e2d" if encoding == "utf-8" else "\\u4e2d").encode() in done.stdout_bytes
    done = runner.invoke(app, ["describe", *made, "--json"])
    assert [json.loads(line)["path"] for line in done.stdout_bytes.decode().splitlines()] == list(made)
