"""Folders beside the package in a source checkout that a wheel carries inside."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def shipped(name: str) -> Path:
    """The folder `name` of this installation; in a wheel it is `texsynth/_name`."""
    package = Path(str(files("texsynth")))
    inside = package / f"_{name}"
    return inside if inside.is_dir() else package.parent / name
