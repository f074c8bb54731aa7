"""Temporary files of killed runs are removed, those of runs at work stay."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import pytest
from helpers.cli import make_picture, run_cli

from texsynth.images import files
from texsynth.images.files import remove_leftovers, temporary

pytestmark = pytest.mark.skipif(not files.LOCKS, reason="no locks")

DEAD = ".texsynth-0123456789ab.tmp"


def test_files_that_are_open_stay_and_those_of_the_dead_go(tmp_path: Path) -> None:
    (tmp_path / DEAD).write_bytes(b"half a picture")
    with temporary(tmp_path / "new.png") as (file, place):
        file.write(b"whole")
        remove_leftovers(tmp_path)
        assert len(list(tmp_path.iterdir())) == 1
        place()
    assert [path.name for path in tmp_path.iterdir()] == ["new.png"]
    assert (tmp_path / "new.png").read_bytes() == b"whole"


def test_a_killed_process_leaves_what_the_next_run_removes(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from texsynth.images.files import temporary\n"
        "with temporary(Path(sys.argv[1])): print('open', flush=True); time.sleep(60)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", code, str(tmp_path / "new.png")]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        remove_leftovers(tmp_path)
        assert len(list(tmp_path.glob(".texsynth-*.tmp"))) == 1, "its run is at work"
        process.send_signal(signal.SIGKILL)
        process.wait()
        remove_leftovers(tmp_path)
        assert list(tmp_path.iterdir()) == []


def test_only_files_of_such_names_go(tmp_path: Path) -> None:
    others = [".texsynth-0123.tmp", "0123456789ab.tmp", ".texsynth-0123456789ag.tmp"]
    for name in others:
        (tmp_path / name).touch()
    (tmp_path / "target").touch()
    os.symlink("target", tmp_path / ".texsynth-000000000000.tmp")
    os.mkfifo(tmp_path / ".texsynth-111111111111.tmp")
    (tmp_path / ".texsynth-222222222222.tmp").mkdir()
    remove_leftovers(tmp_path)
    assert len(list(tmp_path.iterdir())) == len(others) + 4


def test_a_file_that_was_taken_for_a_leftover_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, thieves = files._lock, [True]

    def slow(file: BinaryIO, *, wait: bool) -> bool:
        if wait and thieves.pop():
            thieves.append(False)
            Path(file.name).unlink()
        return lock(file, wait=wait)

    monkeypatch.setattr(files, "_lock", slow)
    files.store(b"whole", tmp_path / "new.png")
    assert [path.name for path in tmp_path.iterdir()] == ["new.png"]


def test_a_run_removes_them_and_a_dry_one_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    make_picture(tmp_path / "wall.png", height=40, width=48)
    (tmp_path / DEAD).touch()
    command = ("stylize", "wall.png", "wall.png", "-o", "out.png", "--model", model)
    assert run_cli(*command, "-n").exit_code == 0
    assert (tmp_path / DEAD).exists()
    assert run_cli(*command).exit_code == 0
    assert not (tmp_path / DEAD).exists()
