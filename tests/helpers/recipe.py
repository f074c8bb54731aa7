"""Performs the recipe of CONTRIBUTING.md in a copy of the package."""

from __future__ import annotations

import shutil
import textwrap
from pathlib import Path

from helpers.docs import CONTRIBUTING, ROOT, blocks


def copy_package(place: Path) -> None:
    """Copy what runs without installation to the folder `place`."""
    for name in ("texsynth", "presets"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))


def perform(place: Path) -> None:
    """Write each block that names a file there, or above the line of it that begins with `before`."""
    for block in [*blocks(CONTRIBUTING, "python"), *blocks(CONTRIBUTING, "yaml")]:
        if "title" not in block.options:
            continue
        path = place / block.options["title"]
        if "before" not in block.options:
            assert not path.exists()
            path.write_text(block.text + "\n")
            continue
        lines = path.read_text().splitlines()
        numbers = [n for n, line in enumerate(lines) if line.lstrip().startswith(block.options["before"])]
        assert len(numbers) == 1, f"{path} has {len(numbers)} lines that begin with {block.options['before']}"
        line = lines[numbers[0]]
        indent = line[: len(line) - len(line.lstrip())]
        lines[numbers[0] : numbers[0]] = textwrap.indent(block.text, indent).splitlines()
        path.write_text("\n".join(lines) + "\n")
