"""What several test files of the command line share: a tiny model, small pictures, and the program itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from helpers.nets import tiny_tensors
from typer.testing import CliRunner, Result

from texsynth.cli import app
from texsynth.images import Picture, write
from texsynth.models.weights import write_weights


def make_model(path: Path) -> Path:
    """A random model with every part of a real one."""
    write_weights(path, tiny_tensors(), {})
    return path


def make_picture(path: Path, *, seed: int = 0, height: int = 33, width: int = 41, depth: int = 8) -> Path:
    """Smooth noise."""
    rng = np.random.default_rng(seed)
    cell = max(12, -(-height // 4), -(-width // 5))
    coarse = rng.random((4, 5, 3)).repeat(cell, 0).repeat(cell, 1)[:height, :width]
    write(Picture((coarse * (2**depth - 1)).astype(np.uint16 if depth == 16 else np.uint8)), path)
    return path


def cut_files(folder: Path) -> None:
    """Write `cut.png`, whose pixels are cut off, and `cut.tif`, whose colour profile is."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    for name, share in (("cut.png", 0.7), ("cut.tif", 0.99)):
        write(Picture(noise), folder / name, force=True)
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: int(len(data) * share)])


def names(folder: Path) -> list[str]:
    """All files below `folder`, sorted."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def run_cli(*arguments: object, data: bytes | None = None) -> Result:
    """Call the program in this process."""
    return CliRunner(env={"NO_COLOR": "1"}).invoke(app, [str(a) for a in arguments], input=data)


def run_program(
    *arguments: object, cwd: Path, data: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Call the program as a process of its own."""
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "texsynth", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, input=data, env=environment, capture_output=True, check=False)
