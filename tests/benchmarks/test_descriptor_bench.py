"""The encoding layer beside the one that builds the residuals, descriptions, and a search in an index.

    pytest tests/benchmarks/test_descriptor_bench.py --benchmark-only -o addopts= -s

Memory stands in lines of its own: what a forward and backward pass needs beyond the descriptors.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from helpers.nets import waves

from texsynth.analysis.appearance import measure_appearance
from texsynth.device import pick_device
from texsynth.models.encoding import encode
from texsynth.pipelines.describe import TURNS, describe, load_describer
from texsynth.reference import encoding as reference

SIZE = (12544, 32, 128)
"""N, K and D: a feature map of 112 x 112."""

Layer = Callable[[Tensor, Tensor, Tensor], Tensor]

LAYERS: dict[str, Layer] = {
    "ours": lambda x, c, s: encode(x[None], c, s),
    "residuals": reference.encode,
}


def problem(positions: int = SIZE[0]) -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    _, k, d = SIZE
    x, c = (torch.randn(n, d, generator=rng, requires_grad=True) for n in (positions, k))
    return x, c, (torch.rand(k, generator=rng) / d).requires_grad_()


def both_ways(layer: Layer, tensors: tuple[Tensor, Tensor, Tensor]) -> None:
    torch.autograd.grad(layer(*tensors).square().sum(), tensors)


@pytest.mark.benchmark(group="encoding layer, 12544 descriptors, 32 codewords, 128 channels, both ways")
@pytest.mark.parametrize("name", LAYERS)
def test_encoding_time(benchmark: BenchmarkFixture, name: str) -> None:
    tensors = problem()
    benchmark.pedantic(lambda: both_ways(LAYERS[name], tensors), rounds=5, warmup_rounds=2)


PEAK = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import test_descriptor_bench as bench

def memory(line):
    status = Path("/proc/self/status").read_text()
    return int(status.split(line + ":")[1].split()[0]) / 1024

layer = bench.LAYERS[sys.argv[1]]
bench.both_ways(layer, bench.problem(64))
tensors = bench.problem()
Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
before = memory("VmRSS")
bench.both_ways(layer, tensors)
print(memory("VmHWM") - before)
"""


@pytest.mark.benchmark(group="memory of the encoding layer")
@pytest.mark.parametrize("name", LAYERS)
def test_encoding_memory(benchmark: BenchmarkFixture, name: str) -> None:
    command = [sys.executable, "-c", PEAK, name, str(Path(__file__).parent)]

    def work() -> float:
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return float(done.stdout)

    print(f"\n{name}: {benchmark.pedantic(work, rounds=1):.1f} MiB")


@pytest.mark.benchmark(group="describe 512 x 512, after start-up")
@pytest.mark.parametrize("part", ["descriptor", "appearance", "both", "descriptors of four turns"])
def test_describe(benchmark: BenchmarkFixture, part: str) -> None:
    describer, image = load_describer(pick_device()), waves(512, 512)

    def work() -> None:
        if part != "appearance":
            describe(image, describer, turns=TURNS if "turns" in part else (0,))
        if part in ("appearance", "both"):
            measure_appearance(image)

    benchmark.pedantic(work, rounds=5, warmup_rounds=1)
