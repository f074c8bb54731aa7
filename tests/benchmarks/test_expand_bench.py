"""Speed and memory of `texsynth expand`. Run with `pytest tests/benchmarks --benchmark-only -o addopts=`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from texsynth.config.presets import load, resolve
from texsynth.config.settings import ExpandSettings
from texsynth.device import pick_dtype
from texsynth.images import read
from texsynth.images.tensors import to_image
from texsynth.pipelines.expand import expand, load_networks
from texsynth.synthesis.exemplar import Exemplar

BRICKS = Path(__file__).parents[2] / "samples/bricks.png"


@pytest.mark.benchmark(group="samples/bricks.png, 256 to 512, after start-up")
@pytest.mark.parametrize("name", ["fast", "balanced", "best"])
def test_preset(benchmark: BenchmarkFixture, name: str) -> None:
    settings = resolve(ExpandSettings, load(name), [], {})
    networks = load_networks(settings, "lite", "cpu", pick_dtype("auto", torch.device("cpu")))
    exemplars = [Exemplar(to_image(read(BRICKS)))]

    def work() -> None:
        expand(exemplars, settings, networks, rng=torch.Generator().manual_seed(0))

    benchmark.pedantic(work, rounds=3, warmup_rounds=1)


PEAK = """
import resource, sys, torch
from texsynth.pipelines.expand import expand, load_networks
from texsynth.settings import ExpandSettings
from texsynth.texture.source import Exemplar
brief = {"iterations": 2, "noise_iterations": 2}
settings = ExpandSettings.model_validate({"method": sys.argv[1], "size": [2048, 2048], "optimize": brief})
networks = load_networks(settings, "lite", "cpu", torch.float32)
exemplar = torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(0))
expand([Exemplar(exemplar)], settings, networks, rng=torch.Generator().manual_seed(0))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


@pytest.mark.benchmark(group="peak memory in GiB, 512 to 2048")
@pytest.mark.parametrize("method", ["patch", "patch+optimize", "optimize"])
def test_peak_memory(benchmark: BenchmarkFixture, method: str) -> None:
    def work() -> float:
        done = subprocess.run(
            [sys.executable, "-c", PEAK, method], check=True, capture_output=True, text=True
        )
        return float(done.stdout)

    peak = benchmark.pedantic(work, rounds=1)
    benchmark.extra_info["GiB"] = peak
    assert peak < 4
