"""A place to work in, runs of the program to disturb, and what must be true of what they leave."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import TypeVar

import pytest
from helpers.cli import make_picture, names, run_cli
from helpers.waiting import PATIENCE
from typer.testing import Result

from texsynth.images import sidecar, verify

T = TypeVar("T")

SUFFIXES = ("png", "tga")

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


def make_place(folder: Path, count: int, *, height: int = 33, width: int = 41) -> Path:
    """Pictures, a style, and a manifest whose outputs are PNG and TGA, with settings beside it, in turn."""
    (folder / "photos").mkdir()
    rows = ["content,style,output"]
    for number in range(count):
        make_picture(folder / "photos" / f"{number:02}.png", seed=number, height=height, width=width)
        rows.append(f"photos/{number:02}.png,wave.png,{number:02}.{SUFFIXES[number % 2]}")
    make_picture(folder / "wave.png", seed=99)
    (folder / "jobs.csv").write_text("\n".join(rows))
    return folder


def make_reference(folder: Path, model: Path, count: int, **size: int) -> Path:
    """A place with what an undisturbed run makes in it, in the folder `whole`."""
    make_place(folder, count, **size)
    with chdir(folder):
        done = batch(model, output="whole")
    assert done.exit_code == 0, done.stderr
    return folder


def batch(model: Path, *flags: object, output: str = "out") -> Result:
    """Run in this process; one thread, so that the bytes are those of every other run."""
    return run_cli("batch", "jobs.csv", "--model", model, "--threads", 1, "-o", output, *flags)


def command(model: Path, *flags: object, output: str = "out") -> list[str]:
    """The same for a process of its own."""
    arguments = ("batch", "jobs.csv", "--model", model, "--threads", 1, "-o", output, *flags)
    return [sys.executable, "-m", "texsynth", *map(str, arguments)]


def environment(**more: str) -> dict[str, str]:
    """Of a process of its own."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1", **more}


def start(place: Path, model: Path, *flags: object) -> subprocess.Popen[str]:
    """A run to disturb."""
    return subprocess.Popen(
        command(model, *flags), cwd=place, env=environment(), text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip


def hashes(folder: Path) -> dict[str, str]:
    """Of all files but the temporary ones that killed runs leave."""
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in names(folder)
        if not name.endswith(".tmp")
    }


def pictures(folder: Path) -> set[str]:
    """Names of the finished pictures."""
    return {name for name in hashes(folder) if not name.endswith(".yaml")}


def check_sound(folder: Path, whole: dict[str, str]) -> None:
    """Every picture is that of an undisturbed run, and has its settings."""
    found = hashes(folder)
    assert found.items() <= whole.items()
    for name in pictures(folder):
        verify(folder / name)
        beside = sidecar(Path(name))
        assert beside is None or beside.name in found


def temporary(folder: Path) -> list[str]:
    """What no run but a killed one may leave."""
    return [name for name in names(folder) if name.endswith(".tmp")]


def in_the_middle(folder: Path, count: int, disturbed: Callable[[], T]) -> T:
    """Disturb a run that makes `count` pictures in `folder`, and return what that gives.

    It is done anew, from nothing, where the run was over before it was disturbed.
    """
    for _ in range(20):
        result = disturbed()
        if len(pictures(folder)) < count:
            return result
        shutil.rmtree(folder)
    pytest.fail("the run is always faster")


def may_mount() -> bool:
    """Whether a process may have mounts of its own."""
    try:
        done = subprocess.run(
            ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
        )
    except OSError:
        return False
    return done.returncode == 0


def with_mounts(script: str, place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run shell `script` where it may mount; its `run` is the program that `arguments` name."""
    return subprocess.run(
        ["unshare", "-rm", "bash", "-c", f'run() {{ "$@"; echo $?; }}\n{script}', "bash", *arguments],
        cwd=place, env=environment(), text=True, capture_output=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
