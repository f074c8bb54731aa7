"""Places for faults: a copy of the `reference` of a module, and what an undisturbed run makes of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from helpers.faults import hashes


@pytest.fixture
def place(tmp_path: Path, reference: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the test, with pictures and a manifest."""
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(reference, tmp_path, dirs_exist_ok=True)


@pytest.fixture
def whole(reference: Path) -> dict[str, str]:
    """What an undisturbed run makes."""
    return hashes(reference / "whole")
