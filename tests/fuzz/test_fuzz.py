"""Changed files of every kind give our own errors or sound results; the same changes in every run."""

from __future__ import annotations

from pathlib import Path

import pytest

from .changes import attempt
from .seeds import seeds

FILES = seeds()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FILES)
def test_changed_files(name: str, tmp_path: Path) -> None:
    seed = FILES[name]
    if seed.is_read:
        seed.read(seed.data, tmp_path / name)
    for number in range(16):
        attempt(name, seed, number, tmp_path)
