"""Output that nobody reads any more, as after `head -1`: no bug, and no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.cli import make_picture, names

COMMANDS = [
    ["maps", "a.png", "b.png", "-o", "out/"],
    ["maps", "a.png", "b.png", "-o", "out/", "--json"],
    ["presets", "list"],
    ["maps", "--help"],
    ["--help"],
]


@pytest.mark.skipif(sys.platform == "win32", reason="has no such pipes")
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_nobody_reads(words: list[str], tmp_path: Path) -> None:
    for seed, name in enumerate(("a.png", "b.png")):
        make_picture(tmp_path / name, seed=seed)
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "texsynth", *words]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, stdout=pipe, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (141, b"")
    if "-o" in words:
        left = names(tmp_path / "out")
        assert "a_height.png" in left
        assert not [name for name in left if name.endswith(".tmp")]
