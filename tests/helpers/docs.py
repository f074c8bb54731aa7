"""The pages of the documentation, their code blocks, and the commands of the program, for test_docs."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.main import get_command

from texsynth.cli import app

ROOT = Path(__file__).parents[2]

README, CONTRIBUTING = ROOT / "README.md", ROOT / ".github" / "CONTRIBUTING.md"

PAGES = sorted((ROOT / "texsynth" / "docs").glob("*.md"))

ALL_PAGES = [README, CONTRIBUTING, ROOT / "CHANGELOG.md", ROOT / "presets" / "README.md", *PAGES]

FENCE = re.compile(r"^( *)```(\w+)(.*?)\n(.*?)\n\1```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block of code. options: the words `key=value` after its language."""

    page: Path
    language: str
    options: dict[str, str]
    text: str


def blocks(page: Path, language: str) -> list[Block]:
    """Return the blocks of a page in one language."""
    return [
        Block(page, language, _options(match[3]), textwrap.dedent(match[4]))
        for match in FENCE.finditer(page.read_text(encoding="utf-8"))
        if match[2] == language
    ]


def _options(info: str) -> dict[str, str]:
    return dict(word.split("=", 1) for word in shlex.split(info) if "=" in word)


def command_lines(page: Path) -> list[str]:
    """Return every call of `texsynth` in the shell blocks of a page, without comments."""
    lines = []
    for block in blocks(page, "sh"):
        for line in block.text.replace("\\\n", " ").splitlines():
            calls = re.split(r" && ", re.sub(r"(^| +)#.*", "", line))
            lines += [call.strip() for call in calls if re.match(r"(.*\| )?texsynth\b", call.strip())]
    return lines


def arguments_of(line: str) -> list[str]:
    """Return the words after `texsynth`, without what the shell does with its output."""
    call = line[line.index("texsynth") :]
    return shlex.split(re.split(r" [>|:]+ ", call)[0])[1:]


def leaf(words: list[str]) -> tuple[str, Any, list[str]]:
    """Return the command that `words` call, by name, and the words after its name."""
    command, names = get_command(app), []
    while hasattr(command, "list_commands") and words and not words[0].startswith("-"):
        names.append(words[0])
        command = command.get_command(None, words[0])  # type: ignore[attr-defined]
        assert command is not None, f"no command {' '.join(names)}"
        words = words[1:]
    return " ".join(names), command, words


def all_commands(group: Any = None, prefix: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401 (typer's)
    """Yield every command that does something, by the words that are typed for it."""
    group = group or get_command(app)
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        if hasattr(command, "list_commands"):
            yield from all_commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def anchors(page: Path) -> set[str]:
    """Return what links to headings of a page may end with, as GitHub names them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
