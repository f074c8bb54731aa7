"""What must be refused before the work: sides, demands of records, memory; and what --lenient reads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.cli import make_picture, run_cli

from texsynth import images
from texsynth.images import Picture


@pytest.fixture
def wall(tmp_path: Path) -> Path:
    return make_picture(tmp_path / "wall.png")


@pytest.mark.parametrize(("size", "name"), [("16400x16", "a.webp"), ("16x65600", "a.jpg")])
def test_sides_of_formats_in_a_dry_run(wall: Path, size: str, name: str) -> None:
    result = run_cli("expand", wall, "--size", size, "-o", wall.parent / name, "-n")
    assert result.exit_code == 5, result.output
    assert "whose sides have at most" in result.stderr


@pytest.fixture
def result(wall: Path) -> Path:
    run = run_cli("expand", wall, "-p", "fast", "--size", "32x32", "-o", wall.parent / "a.png")
    assert run.exit_code == 0, run.output
    return wall.parent / "a.png"


@pytest.mark.parametrize(
    ("old", "new", "option"),
    [
        ("  compiled: false", "  compiled: true", "--compile"),
        ("  threads: ", "  threads: 1024 #", "--threads"),
    ],
)
def test_demands_of_a_record_are_asked_back(result: Path, old: str, new: str, option: str) -> None:
    text = images.embedded_settings(result)
    assert old in text
    picture = Picture(images.read(result).rgb)
    images.write(picture, result, settings=text.replace(old, new), force=True)
    answer = run_cli("replay", result)
    assert answer.exit_code == 2, answer.output
    assert option in answer.stderr


def test_lenient(wall: Path) -> None:
    data = wall.read_bytes()
    wall.write_bytes(data[: len(data) - 300])
    arguments = ("expand", wall, "-p", "fast", "--size", "32x32", "-o", wall.parent / "a.png")
    refused = run_cli(*arguments)
    assert refused.exit_code == 4
    assert "--lenient reads what is left" in refused.stderr
    taken = run_cli(*arguments, "--lenient")
    assert taken.exit_code == 0, taken.output
    assert "read in part" in taken.stderr
    assert "lenient: true" in images.embedded_settings(wall.parent / "a.png")
    assert run_cli("replay", wall.parent / "a.png").exit_code == 0


@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep the current folder")
@pytest.mark.parametrize("command", ["expand", "maps", "describe"])
def test_the_current_folder_is_gone(wall: Path, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = wall.parent / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    result = run_cli(command, "../wall.png")
    assert result.exit_code == 4, result.output
    assert len(result.stderr.splitlines()) == 1, result.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such limit")
@pytest.mark.parametrize(
    ("kib", "command", "threads"),
    [
        (90_000, "expand", 1), (150_000, "expand", 2), (300_000, "expand", 1), (440_000, "doctor", 1),
        (520_000, "describe", 1), (680_000, "doctor", 2),
    ],
)  # fmt: skip
def test_too_little_memory_for_libraries(wall: Path, kib: int, command: str, threads: int) -> None:
    """Some of them would end the process where they find no room."""
    arguments = {"expand": f"'{wall}' -o '{wall.parent}/a.png'", "describe": f"'{wall}'"}.get(command, "")
    program = f"ulimit -v {kib}; exec '{sys.executable}' -m texsynth {command} {arguments}"
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "OMP_NUM_THREADS": f"{threads}",
    }
    run = subprocess.run(["bash", "-c", program], env=environment, capture_output=True, check=False)
    assert run.returncode == 7, run.stderr
    assert b"not enough memory" in run.stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such limit")
@pytest.mark.parametrize(("kib", "threads"), [(740_000, 8), (745_000, 2), (830_000, 2)])
def test_memory_that_runs_out_in_the_work_never_hangs(wall: Path, kib: int, threads: int) -> None:
    """While threads start, in patches, in derivatives, in a network's file, or when a result is written."""
    program = (
        f"ulimit -v {kib}; exec '{sys.executable}' -m texsynth expand '{wall}' -o '{wall.parent}/a.png' "
        f"-p fast --method patch+optimize --size 40 --set optimize.iterations=1 --threads {threads}"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        ["bash", "-c", program], env=environment, capture_output=True, check=False, timeout=300, text=True
    )
    assert run.returncode in (0, 7), run.stderr
    if run.returncode:
        assert "memory" in run.stderr
        assert run.stderr.count("\n") == 1, run.stderr
        assert [path.name for path in wall.parent.iterdir()] == ["wall.png"]


FULL = """
import os, resource, sys, threading
from texsynth.errors import check_room_for_threads

pages = os.open("/proc/self/statm", os.O_RDONLY)

def used():
    return int(os.pread(pages, 64, 0).split()[0]) * resource.getpagesize()

thread, hard, blocks = threading.Thread(target=int), resource.getrlimit(resource.RLIMIT_AS)[1], [None] * 10**6
resource.setrlimit(resource.RLIMIT_AS, (used() + (1 << 20), hard))
number = 0
for make in (lambda: bytearray(300), list, dict):
    try:
        while True:
            blocks[number] = make()
            number += 1
    except MemoryError:
        pass
for last in range(number - 100, number):
    blocks[last] = None
# Its stack fits, and nothing else that it needs.
stack = resource.getrlimit(resource.RLIMIT_STACK)[0]
while True:
    try:
        resource.setrlimit(resource.RLIMIT_AS, (used() + stack + 8192, hard))
        break
    except MemoryError:  # no room for that either
        number -= 1
        blocks[number - 100] = None
try:
    check_room_for_threads(1)
    thread.start()
except MemoryError:
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    print("refused")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such limit")
def test_a_thread_that_cannot_begin_is_not_waited_for() -> None:
    """Python waits for ever for one whose stack fits into memory while its first objects do not."""
    program = f"ulimit -s 8192; exec '{sys.executable}' -c '{FULL}'"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    run = subprocess.run(
        ["bash", "-c", program], env=environment, capture_output=True, check=False, timeout=300, text=True
    )
    assert (run.returncode, run.stdout) == (0, "refused\n"), run.stderr


def test_a_picture_is_not_lost_where_standard_output_is_closed(wall: Path) -> None:
    program = f"exec '{sys.executable}' -m texsynth expand '{wall}' --size 32x32 -o - -n >&-"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    run = subprocess.run(["bash", "-c", program], env=environment, capture_output=True, check=False)
    assert (run.returncode, run.stderr) == (5, b"texsynth: standard output is closed; name a file with -o\n")
