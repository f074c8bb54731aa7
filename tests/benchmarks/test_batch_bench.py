"""Many files, many pixels, many styles: throughput beside the bare network calls, and memory.

Measurements stand in the columns and, where they are no time, in lines of their own.
"""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.cli import run_cli
from helpers.nets import waves
from pytest_benchmark.fixture import BenchmarkFixture

from texsynth.benchmark.run import seconds_of
from texsynth.benchmark.stages import SETTINGS
from texsynth.cli.show import Screen
from texsynth.device import pick_device, pick_dtype
from texsynth.images import Picture, write
from texsynth.images.tensors import to_image
from texsynth.models.registry import load_model
from texsynth.pipelines.stylize import StyledRegion, fit_style, stylize

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


class Bare:
    """The pipeline alone, with `count` styles in one part."""

    def __init__(self, mode: str, count: int = 1) -> None:
        device = pick_device()
        self.model, self.settings = load_model("lite", device, pick_dtype("auto", device)), SETTINGS[mode]
        self.image = to_image(photograph(0, SIDE, SIDE))
        pictures = (to_image(photograph(seed, SIDE, SIDE)) for seed in range(1, count + 1))
        styles = tuple(fit_style(picture, self.model, self.settings) for picture in pictures)
        self.parts = [StyledRegion(styles, (1 / count,) * count)]

    def __call__(self) -> object:
        return stylize(self.image, self.parts, self.model, self.settings)

    def seconds(self, repeat: int) -> tuple[float, ...]:
        return seconds_of(self, self.model.device, repeat)


@pytest.mark.benchmark(group="200 pictures of 512 x 512")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_throughput(benchmark: BenchmarkFixture, place: Path, mode: str, executor: str) -> None:
    """Of a batch, from the first file read to the last one written, beside the pipeline alone."""
    jobs = place / "jobs.yaml"
    jobs.write_text(f"jobs: [{{contents: photos, styles: style.png, set: {{mode: {mode}}}}}]")
    flags = ["--executor", executor, *(("--workers", 2) if executor == "processes" else ())]
    bare, out = Bare(mode), place / f"{executor}-{mode}"
    # Before and after, for a shared machine is not always as fast.
    before = bare.seconds(30)
    result = benchmark.pedantic(run_cli, ("batch", jobs, "-o", out, *flags), rounds=1)
    speed = re.search(r"([\d.]+) pictures per second", result.stderr)
    assert speed, result.output
    alone = 1 / float(np.mean(before + bare.seconds(30)))
    share = float(speed[1]) / alone
    print(f"\n{mode}, {executor}: {speed[1]} pictures per second, {share:.2f} of {alone:.2f} without files")


@pytest.mark.benchmark(group="memory over a run of 800 files")
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks /proc for the memory in use")
def test_memory_does_not_grow(
    benchmark: BenchmarkFixture, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs, resident = place / "growth.yaml", list[float]()
    jobs.write_text(
        "jobs: [{contents: photos, styles: [style.png, photos/000.png, photos/001.png, photos/002.png]}]"
    )

    def note_memory(*_: object) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        resident.append(pages * resource.getpagesize() / 2**20)

    monkeypatch.setattr(Screen, "outcome", note_memory)
    result = benchmark.pedantic(run_cli, ("batch", jobs, "-o", place / "growth", "-q"), rounds=1)
    assert result.exit_code == 0, result.output
    # After the first files everything has been needed once.
    late = np.asarray(resident[50:])
    slope = float(np.polyfit(np.arange(len(late)), late, 1)[0]) * 100
    print(
        f"\n{len(resident)} files, {late.min():.0f} to {late.max():.0f} MiB, {slope:+.2f} MiB per 100 files"
    )
    assert len(resident) == 4 * FILES
    assert slope < 1


PEAK = """
import resource, sys
from texsynth.__main__ import main
try:
    main()
finally:
    print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, file=sys.stderr)
"""


@pytest.mark.benchmark(group="photo mode, 512 to 4096")
def test_time_per_pixel(benchmark: BenchmarkFixture, place: Path) -> None:
    """Whole runs, from file to file, without the start of the program; the least of three."""
    limit = 2048

    def seconds(side: int) -> tuple[float, float]:
        flags = ["--photo", "--memory-limit", f"{limit}MiB", "-v", "-f", "-o", f"out.{side}.png"]
        command = [sys.executable, "-c", PEAK, "stylize", f"{side}.png", "style.png", *flags]
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=True)
        spent = re.search(r"([\d.]+) s$", done.stderr, re.MULTILINE)
        assert spent
        return float(spent[1]), float(done.stderr.rsplit("peak ", 1)[1])

    sides = (512, 1024, 2048, 4096)
    for side in sides:
        write(photograph(7, side, side), place / f"{side}.png")
    results = benchmark.pedantic(
        lambda: {side: min(seconds(side) for _ in range(3)) for side in sides}, rounds=1
    )
    for side, (spent, peak) in results.items():
        each = 1e6 * spent / side**2
        print(f"\n{side}: {spent:.2f} s, {each:.2f} us per pixel, peak {peak:.0f} MiB", end="")
        assert peak < limit
    print(f"\n4096 to 512, per pixel: {results[4096][0] / results[512][0] / 64:.2f}")


@pytest.mark.benchmark(group="a blend of four styles, 512 x 512")
@pytest.mark.parametrize("mode", MODES)
@torch.inference_mode()
def test_blend(benchmark: BenchmarkFixture, mode: str) -> None:
    one, four = Bare(mode), Bare(mode, 4)
    ratio = min(four.seconds(12)) / min(one.seconds(12))
    benchmark.pedantic(four, rounds=5)
    print(f"\n{mode}: four styles take {ratio:.2f} times as long as one")
