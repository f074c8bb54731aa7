"""Fixtures of the tests that run the command line on textures."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.texture_files import QUICK, save, texture


@pytest.fixture
def quick(model: Path) -> list[object]:
    """Flags of a run that takes a fraction of a second."""
    return ["--model", model, *QUICK]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an exemplar, and the current one."""
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "wall.png", texture())
    return tmp_path
