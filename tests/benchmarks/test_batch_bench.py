"""Many files, many pixels, many styles: throughput beside the bare network calls, and memory.

    pytest tests/benchmarks/test_batch_bench.py --benchmark-only -o addopts= -s

What is measured stands in the columns and, where it is no time, in lines of its own.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

sys.path.insert(0, str(Path(__file__).parents[1]))

from helpers.nets import waves

from texsynth.config.settings import StylizeSettings
from texsynth.device import pick_device, pick_dtype
from texsynth.images import Picture, write
from texsynth.images.tensors import to_image
from texsynth.models.registry import Model, load_model
from texsynth.pipelines.stylize import FittedStyle, StyledRegion, fit_style, stylize

FILES, SIDE = 200, 512
MODES = ("photo", "artistic")


def photograph(seed: int, height: int, width: int) -> Picture:
    """Waves with noise, about as hard to compress as a photograph."""
    rng = np.random.default_rng(seed)
    smooth = waves(height, width, float(seed))[0].permute(1, 2, 0).numpy() * 215 + 20
    return Picture((smooth + rng.normal(0, 4, smooth.shape)).clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("batch")
    (folder / "photos").mkdir()
    for seed in range(FILES):
        write(photograph(seed, SIDE, SIDE), folder / "photos" / f"{seed:03}.png")
    write(photograph(1000, SIDE, SIDE), folder / "style.png")
    return folder


PEAK = """
import atexit, resource, sys
def say():
    print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, file=sys.stderr)
atexit.register(say)
from texsynth.cli import main
main()
"""


def run(place: Path, *arguments: object) -> tuple[str, float]:
    """Standard error of the program, and its peak memory in MiB."""
    command = [sys.executable, "-c", PEAK, *map(str, arguments)]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr, float(done.stderr.rsplit("peak ", 1)[1])


@pytest.mark.benchmark(group="200 pictures of 512 x 512")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_throughput(benchmark: BenchmarkFixture, place: Path, mode: str, executor: str) -> None:
    """Of a batch, from the first file read to the last one written, beside the pipeline alone."""
    (place / "jobs.yaml").write_text(
        f"jobs: [{{contents: photos, styles: style.png, set: {{mode: {mode}}}}}]"
    )
    settings, model, fitted = prepared(mode)
    image = to_image(photograph(0, SIDE, SIDE))
    stylize(image, fitted, model, settings)

    def bare(count: int) -> float:
        start = time.perf_counter()
        for _ in range(count):
            stylize(image, fitted, model, settings)
        return (time.perf_counter() - start) / count

    # Before and after, for a shared machine is not always as fast.
    before = bare(30)
    out = place / f"{executor}-{mode}"
    flags = ["--executor", executor, *(("--workers", 2) if executor == "processes" else ())]
    errors, _ = benchmark.pedantic(lambda: run(place, "batch", "jobs.yaml", "-o", out, *flags), rounds=1)
    after = bare(30)
    found = re.search(r"([\d.]+) pictures per second", errors)
    assert found
    share = float(found[1]) * (before + after) / 2
    print(f"\n{mode}, {executor}: {found[1]} pictures per second, {share:.2f} of the bare pipeline's "
          f"{2 / (before + after):.2f}")  # fmt: skip


GROWTH = """
import json, resource, sys
from pathlib import Path
from texsynth.batch import serial
from texsynth.cli import app
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20
seen, before = [], serial.Serial._outcome
def counted(self, loaded, made):
    seen.append(resident())
    return before(self, loaded, made)
serial.Serial._outcome = counted
app(sys.argv[1:], standalone_mode=False)
print(json.dumps(seen), file=sys.stderr)
"""


@pytest.mark.benchmark(group="memory over a run of 800 files")
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks /proc for the memory in use")
def test_memory_does_not_grow(benchmark: BenchmarkFixture, place: Path) -> None:
    (place / "jobs.yaml").write_text(
        "jobs: [{contents: photos, styles: [style.png, photos/000.png, photos/001.png, photos/002.png]}]"
    )
    command = [sys.executable, "-c", GROWTH, "batch", "jobs.yaml", "-o", str(place / "growth"), "-q"]

    def work() -> list[float]:
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=True)
        return list(json.loads(done.stderr.splitlines()[-1]))

    seen = benchmark.pedantic(work, rounds=1)
    # After the first files everything has been needed once.
    late = np.asarray(seen[50:])
    slope = float(np.polyfit(np.arange(len(late)), late, 1)[0]) * 100
    print(f"\n{len(seen)} files, {late.min():.0f} to {late.max():.0f} MiB, {slope:+.2f} MiB per 100 files")
    assert slope < 1


@pytest.mark.benchmark(group="photo mode, 512 to 4096")
def test_time_per_pixel(benchmark: BenchmarkFixture, place: Path) -> None:
    """Whole runs, from file to file, without the start of the program; the least of three."""
    limit = 2048

    def seconds(side: int) -> tuple[float, float]:
        if not (place / f"{side}.png").exists():
            write(photograph(7, side, side), place / f"{side}.png")
        flags = ["--photo", "--memory-limit", f"{limit}MiB", "-v", "-f", "-o", f"out.{side}.png"]
        errors, peak = run(place, "stylize", f"{side}.png", "style.png", *flags)
        found = re.search(r"([\d.]+) s$", errors, re.MULTILINE)
        assert found
        return float(found[1]), peak

    def work() -> dict[int, tuple[float, float]]:
        return {side: min(seconds(side) for _ in range(3)) for side in (512, 1024, 2048, 4096)}

    found = benchmark.pedantic(work, rounds=1)
    for side, (spent, peak) in found.items():
        each = 1e6 * spent / side**2
        print(f"\n{side}: {spent:.2f} s, {each:.2f} us per pixel, peak {peak:.0f} MiB", end="")
        assert peak < limit
    print(f"\n4096 to 512, per pixel: {found[4096][0] / found[512][0] / 64:.2f}")


@pytest.mark.benchmark(group="a blend of four styles, 512 x 512")
@pytest.mark.parametrize("mode", MODES)
def test_blend(benchmark: BenchmarkFixture, mode: str) -> None:
    settings, model, _ = prepared(mode)
    image = to_image(photograph(0, SIDE, SIDE))
    styles = tuple(fit_style(to_image(photograph(seed, SIDE, SIDE)), model, settings) for seed in range(1, 5))

    def least(parts: list[StyledRegion]) -> float:
        def once() -> float:
            start = time.perf_counter()
            stylize(image, parts, model, settings)
            return time.perf_counter() - start

        return min(once() for _ in range(12))

    four, one = [StyledRegion(styles, (0.1, 0.2, 0.3, 0.4))], [StyledRegion(styles[:1], (1.0,))]
    least(one)
    ratio = least(four) / least(one)
    benchmark.pedantic(lambda: stylize(image, four, model, settings), rounds=5)
    print(f"\n{mode}: four styles take {ratio:.2f} times as long as one")


def prepared(mode: str) -> tuple[StylizeSettings, Model, FittedStyle]:
    """What a run has ready before its first file."""
    settings = StylizeSettings.model_validate({"mode": mode})
    device = pick_device()
    model = load_model("lite", device, pick_dtype("auto", device))
    return settings, model, fit_style(to_image(photograph(1000, SIDE, SIDE)), model, settings)
