"""Records of the version before are still understood: what they replay to, and what is said of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .expectations import OLD_FOLDER
from .program import Program
from .running import decoded, run_command

pytestmark = pytest.mark.slow

DISCRETE = ("wall.expand.png", "normal.expand.png", "mended.png", "tiled.tif")
STYLED = ("content.style.png", "photo.jpg", "mix.png")


def check(run: dict[str, Any], before: Path, now: Path) -> None:
    """Pieces lie elsewhere since, which is said; kind and size of the picture are the same."""
    assert run["exit_code"] == 0, run
    assert any("the result was made by texsynth" in line for line in run["stderr"]), run
    old, new = decoded(before), decoded(now)
    assert (old.shape, old.dtype) == (new.shape, new.dtype)
    assert abs(float(old.mean()) - float(new.mean())) < 0.1 * float(np.iinfo(old.dtype).max)


@pytest.mark.parametrize("name", DISCRETE)
def test_old_record_replays(name: str, tmp_path: Path, program: Program) -> None:
    shutil.copytree(OLD_FOLDER, tmp_path, dirs_exist_ok=True)
    again = tmp_path / f"again{Path(name).suffix}"
    run = run_command(f"replay {name} -o {again.name}", tmp_path, program)
    check(run, tmp_path / name, again)


def test_a_result_of_a_network_that_is_gone_replays_with_a_remark(tmp_path: Path, program: Program) -> None:
    shutil.copytree(OLD_FOLDER, tmp_path, dirs_exist_ok=True)
    run = run_command("replay fast.2.png -o again.png", tmp_path, program)
    assert run["exit_code"] == 0, run
    assert any("made with other weights of the transposer" in line for line in run["stderr"]), run
    assert decoded(tmp_path / "again.png").shape == decoded(tmp_path / "fast.2.png").shape


@pytest.mark.parametrize("name", STYLED)
def test_a_painting_of_decoders_that_are_gone_is_refused(name: str, tmp_path: Path, program: Program) -> None:
    shutil.copytree(OLD_FOLDER, tmp_path, dirs_exist_ok=True)
    run = run_command(f"replay {name} -o again.png", tmp_path, program)
    assert run["exit_code"] == 4, run
    assert any("made with other weights of lite" in line for line in run["stderr"]), run
    assert not (tmp_path / "again.png").exists()


def test_sibling_replays_with_its_texture(tmp_path: Path, program: Program) -> None:
    shutil.copytree(OLD_FOLDER, tmp_path, dirs_exist_ok=True)
    run = run_command("replay wall.expand.png", tmp_path, program)
    for name in ("wall.expand", "normal.expand"):
        check(run, tmp_path / f"{name}.png", tmp_path / f"{name}.replay.png")


def test_old_record_replays_from_elsewhere_with_an_input_moved(tmp_path: Path, program: Program) -> None:
    here = tmp_path / "here"
    here.mkdir()
    shutil.copytree(OLD_FOLDER, tmp_path / "old")
    (tmp_path / "old" / "inner" / "hole.png").rename(here / "mask.png")
    run = run_command("replay ../old/mended.png -o again.png --input inner/hole.png=mask.png", here, program)
    check(run, tmp_path / "old" / "mended.png", here / "again.png")
