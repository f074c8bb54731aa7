"""The server: seconds of previews, results per second of a shell loop, and memory after many previews."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.cli import make_picture
from helpers.serving import Started
from pytest_benchmark.fixture import BenchmarkFixture

SAMPLES = Path(__file__).parents[2] / "samples"

CALLS = 10


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    pytest.importorskip("uvicorn")
    threads = os.environ.get("SERVE_THREADS", "1")
    started = Started(tmp_path_factory.mktemp("server"), "--threads", threads)
    yield started
    assert started.end() == 0


@pytest.fixture(scope="module")
def request_of(server: Started) -> dict[str, Any]:
    content, style = (server.give(SAMPLES / name) for name in ("street.jpg", "style_swirl.jpg"))
    return {"command": "stylize", "picture": content, "styles": [{"picture": style}]}


def resident(process: subprocess.Popen[str]) -> float:
    """MiB of memory that a process takes."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def preview(server: Started, request: dict[str, Any], side: int, number: int) -> float:
    changes = {"strength": 0.5 + (number % 50) / 100}
    body = {**request, "changes": changes, "tab": "one", "side": side}
    start = time.perf_counter()
    answer = server.http.post("/v1/preview", json=body)
    assert answer.status_code == 200, answer.text
    return time.perf_counter() - start


@pytest.mark.parametrize("side", [256, 384])
@pytest.mark.parametrize("preset", ["photo", "artistic"])
def test_previews(
    preset: str, side: int, server: Started, request_of: dict[str, Any], benchmark: BenchmarkFixture
) -> None:
    """Of a picture whose strength changes; the first one is told apart."""
    request = {**request_of, "preset": preset}
    first = preview(server, request, side, 0)
    seconds = benchmark.pedantic(lambda: [preview(server, request, side, n) for n in range(1, 21)], rounds=1)
    best, middle = min(seconds), sorted(seconds)[len(seconds) // 2]
    sys.stdout.write(f"{preset} at {side}: first {first:.2f} s, median {middle:.2f} s, least {best:.2f} s\n")


def test_memory_after_previews(
    server: Started, request_of: dict[str, Any], benchmark: BenchmarkFixture
) -> None:
    """Of other pictures, sizes and settings again and again."""
    pid, folder = server.process, server.temporary.parent
    ids = [server.give(make_picture(folder / f"{n}.png", seed=n, height=480, width=640)) for n in range(6)]
    sizes = []

    def work() -> None:
        for number in range(150):
            request = {**request_of, "picture": ids[number % 6], "preset": ("photo", "artistic")[number % 2]}
            preview(server, request, (256, 384)[number % 3 == 0], number)
            if number % 50 == 49:
                sizes.append(resident(pid))

    before = resident(pid)
    benchmark.pedantic(work, rounds=1)
    told = ", ".join(f"{size:.0f}" for size in sizes)
    sys.stdout.write(f"MiB: {before:.0f} before, {told} after 50, 100 and 150 previews\n")


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
@pytest.mark.parametrize("side", [128, 512])
def test_a_shell_loop(side: int, server: Started, tmp_path: Path, benchmark: BenchmarkFixture) -> None:
    """Photographs in the style of one picture, through the server and by single commands."""
    for number in range(CALLS):
        make_picture(tmp_path / f"{number}.jpg", seed=number, height=side, width=side)
    make_picture(tmp_path / "style.jpg", seed=99, height=256, width=256)
    style = server.give(tmp_path / "style.jpg")
    ask = (
        f"for n in $(seq 0 {CALLS - 1}); do curl -sf -H 'Authorization: Bearer {server.token}' "
        f"{server.base}/v1/stylize -F picture=@$n.jpg "
        f"""-F 'request={{"preset": "photo", "styles": [{{"picture": "{style}"}}]}}' -o served.$n.png; done"""
    )
    command = (
        f"for n in $(seq 0 {CALLS - 1}); do {sys.executable} -m texsynth stylize $n.jpg style.jpg -p photo "
        f"--threads 1 -q -o single.$n.png; done"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}

    def seconds(line: str) -> float:
        start = time.perf_counter()
        subprocess.run(["sh", "-eu", "-c", line], cwd=tmp_path, env=environment, check=True)
        return time.perf_counter() - start

    served, single = benchmark.pedantic(seconds, (ask,), rounds=1), seconds(command)
    for number in range(CALLS):
        assert (tmp_path / f"served.{number}.png").exists()
    sys.stdout.write(
        f"{side} px, results per second: {CALLS / served:.1f} served, {CALLS / single:.2f} by commands\n"
    )
