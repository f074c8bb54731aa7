"""--executor, --workers and --shard: the same files from every image command, however they are spread."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from helpers.cli import make_picture, run_cli
from helpers.texture_files import QUICK, save, texture

COMMANDS = {
    "expand": ("expand", "textures", *QUICK[:-2], "--size", "40x32", "--count", "2"),
    "tile": ("tile", "textures"),
    "stylize": ("stylize", "photos", "wave.png"),
    "blend": ("blend", "photos", "--style", "wave.png:0.7", "--style", "dots.png:0.3"),
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders of textures and photos, and two styles."""
    monkeypatch.chdir(tmp_path)
    for name in ("textures", "photos"):
        (tmp_path / name).mkdir()
    for number in range(3):
        save(tmp_path / "textures" / f"{number}.png", texture(seed=number))
        make_picture(tmp_path / "photos" / f"{number}.png", seed=number)
    make_picture(tmp_path / "wave.png", seed=8)
    make_picture(tmp_path / "dots.png", seed=9)
    return tmp_path


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize("command", ["expand", "blend"])
def test_workers_make_the_same_files(command: str, place: Path, model: Path) -> None:
    """One command of each operation; `test_mixed_jobs_in_workers` has them all, tests/faults has Ray."""
    flags = (*COMMANDS[command], "--model", model, "--threads", 1)
    alone = run_cli(*flags, "-o", "alone/")
    assert alone.exit_code == 0, alone.stderr
    flags = (*flags, "-o", "spread/", "--executor", "processes", "--workers")
    spread = run_cli(*flags, 2, "--report", "run.html")
    assert spread.exit_code == 0, spread.stderr
    assert hashes(place / "spread") == hashes(place / "alone")
    assert (place / "run.html").read_text().count("<img") >= 6
    again = run_cli(*flags, 1, "--resume", "--json")
    assert again.stdout.count('"skipped": true') == len(hashes(place / "alone"))


@pytest.mark.parametrize("command", COMMANDS)
def test_shards_cover_all(command: str, place: Path, model: Path) -> None:
    flags = (*COMMANDS[command], "--model", model, "-n")
    whole = run_cli(*flags).stdout.splitlines()
    parts = [run_cli(*flags, "--shard", f"{part}/2").stdout.splitlines() for part in (1, 2)]
    assert sorted(parts[0] + parts[1]) == sorted(whole)
    assert min(map(len, parts)) >= 1
    assert run_cli(*flags, "--shard", "3/2").exit_code == 2
    empty = run_cli(*flags, "--shard", "9/9")
    assert (empty.exit_code, empty.stdout) == (0, "")
    assert "shard 9/9 is empty" in empty.stderr


@pytest.mark.slow
def test_described_by_workers(place: Path) -> None:
    alone = run_cli("describe", "textures", "--json", "--threads", 1)
    spread = run_cli(
        "describe", "textures", "--json", "--threads", 1, "--executor", "processes", "--workers", 2
    )
    assert spread.exit_code == 0, spread.stderr
    assert sorted(spread.stdout.splitlines()) == sorted(alone.stdout.splitlines())
    parts = [run_cli("describe", "textures", "--json", "--shard", f"{n}/2").stdout for n in (1, 2)]
    assert sorted("".join(parts).splitlines()) == sorted(alone.stdout.splitlines())


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--executor", "procesess"], "did you mean 'processes'?"),
        (["--workers", "2"], "--workers needs --executor"),
        (["--executor", "processes", "-o", "-"], "--executor does not go with -o -"),
        (["--shard", "1/2", "--preview", "sheet.png"], "--shard makes a part"),
        (["--shard", "2"], "must be I/N"),
    ],
)
def test_what_cannot_be_spread(flags: list[str], reason: str, place: Path, model: Path) -> None:
    before = sorted(place.rglob("*"))
    result = run_cli("expand", "textures/0.png", "--model", model, *flags)
    assert result.exit_code == 2
    assert reason in result.stderr
    assert sorted(place.rglob("*")) == before
