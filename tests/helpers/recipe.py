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
    """Write each block that names a file there, or into it before the text `before`."""
    for block in [*blocks(CONTRIBUTING, "python"), *blocks(CONTRIBUTING, "yaml")]:
        if "title" not in block.options:
            continue
        path = place / block.options["title"]
        if "before" not in block.options:
            assert not path.exists()
            path.write_text(block.text + "\n")
            continue
        text, anchor = path.read_text(), block.options["before"]
        assert text.count(anchor) == 1, f"{path} has {anchor} {text.count(anchor)} times"
        begin = text.index(anchor)
        indent = text[text.rindex("\n", 0, begin) + 1 : begin]
        # An entry of a table that is one line goes into that line.
        new = (
            f"{block.text} "
            if indent.strip()
            else f"{textwrap.indent(block.text, indent).lstrip()}\n{indent}"
        )
        path.write_text(text[:begin] + new + text[begin:])
