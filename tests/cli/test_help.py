"""The help: types in plain words, and examples that work."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from helpers.cli import make_picture, names, run_cli
from helpers.docs import all_commands, leaf
from helpers.texture_files import save, texture

from texsynth.cli.app import COMMANDS
from texsynth.cli.help import EXAMPLES, PART_EXAMPLES

DRY = ("expand", "tile", "tileset", "maps", "stylize", "blend")

OF_ALL = {**EXAMPLES, **PART_EXAMPLES}

ALL = [(name, line) for name, lines in OF_ALL.items() for line in lines]


def test_each_command_has_three_examples() -> None:
    assert list(EXAMPLES) == list(COMMANDS)
    for name, lines in OF_ALL.items():
        assert len(set(lines)) == 3
        assert all(line == f"texsynth {name}" or line.startswith(f"texsynth {name} ") for line in lines)


@pytest.mark.parametrize("name", OF_ALL)
def test_the_help_ends_with_the_examples(name: str) -> None:
    text = run_cli(*name.split(), "--help").stdout
    shown = " ".join(text[text.index("Examples:") :].split())
    assert shown == " ".join(("Examples:", *OF_ALL[name]))


@pytest.mark.parametrize(("name", "line"), ALL, ids=[line for _, line in ALL])
def test_examples_parse(name: str, line: str) -> None:
    called, command, words = leaf(shlex.split(line)[1:])
    assert called == name or called.split()[0] == name
    if not hasattr(command, "list_commands"):
        command.make_context(called, list(words))


@pytest.mark.parametrize("line", [line for name, line in ALL if name in DRY])
def test_examples_work(line: str, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of commands with --dry-run, with pictures of the names in them."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(dict.fromkeys(re.findall(r"[\w/-]+(?:\.jpg|\.png|/)", line))):
        path = Path(name) / "one.jpg" if name.endswith("/") else Path(name)
        path.parent.mkdir(exist_ok=True)
        if "normal" in name:
            save(path, texture(64, 64, seed=number))
        else:
            make_picture(path, seed=number, height=64, width=64)
    for output in re.findall(r"-o (\S+\.png)", line):
        Path(output).unlink()
    before = names(tmp_path)
    network = () if line.split()[1] in ("maps", "tileset") else ("--model", model)
    big = ("--size", "128x96") if "2048" in line else ()
    words = [word for word in shlex.split(line)[1:] if word not in (("--size", "2048x1024") if big else ())]
    result = run_cli(*words, "-n", *network, *big)
    assert result.exit_code == 0, result.output
    assert result.stdout
    assert names(tmp_path) == before


@pytest.mark.parametrize("name", dict(all_commands()))
def test_types_are_words(name: str) -> None:
    usage, _, text = run_cli(*name.split(), "--help").stdout.strip().partition("\n")
    assert not re.search(r"<[a-z]|\b(list|str|int|float|bool|Path)\b *[\]\[>│]", text)
    assert not re.search(r"[{}]", usage)
