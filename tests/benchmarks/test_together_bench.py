"""One, three and eight runs at once: the time of all, over that of as many runs one after the other."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.cli import make_picture
from pytest_benchmark.fixture import BenchmarkFixture

COMMANDS = {"expand": ("expand", "wall.png"), "stylize": ("stylize", "wall.png", "wave.png")}


@pytest.mark.parametrize("waiting", ["PASSIVE", "ACTIVE"])
@pytest.mark.parametrize("count", [1, 3, 8])
@pytest.mark.parametrize("command", COMMANDS)
def test_runs_at_once(
    command: str, count: int, waiting: str, tmp_path: Path, benchmark: BenchmarkFixture
) -> None:
    """PASSIVE is what the program sets where the user says nothing, ACTIVE what libgomp does."""
    make_picture(tmp_path / "wall.png", height=192, width=256)
    make_picture(tmp_path / "wave.png", seed=9)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_WAIT_POLICY": waiting}

    def seconds(at_once: int) -> float:
        start = time.perf_counter()
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "texsynth", *COMMANDS[command], "-o", f"{number}.png", "--force"],
                cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL,
            )
            for number in range(at_once)
        ]  # fmt: skip
        assert not any(process.wait() for process in processes)
        return time.perf_counter() - start

    one, together = seconds(1), benchmark.pedantic(seconds, (count,), rounds=1)
    benchmark.extra_info["over the sum"] = together / (count * one)
    sys.stdout.write(f"{command}, {waiting}: {count} at once {together:.1f} s, one {one:.1f} s\n")
