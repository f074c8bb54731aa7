"""Speed and memory of the Transposer. Run with `pytest tests/benchmarks --benchmark-only`."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from helpers.nets import waves

from texsynth.analysis.self_similarity import self_difference, transposed_convolution
from texsynth.models.transposer import Transposer, load_transposer

CHANNELS, SIDE = 128, 64
REACH = SIDE // 2


@pytest.fixture(scope="module")
def features() -> Tensor:
    return torch.randn(1, CHANNELS, SIDE, SIDE, generator=torch.Generator().manual_seed(0)).relu()


@pytest.fixture(scope="module")
def net() -> Transposer:
    return load_transposer()


def seconds(work: Callable[[], object], rounds: int = 3) -> float:
    """Fastest of a few rounds, after one to warm up."""
    work()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def by_dense_convolution(x: Tensor) -> Tensor:
    """One of the three convolutions of the direct form, the correlation of the features with themselves."""
    return F.conv2d(F.pad(x, (REACH,) * 4), x)


@pytest.mark.benchmark(group="self-similarity map, 64 x 64 x 128")
def test_map_by_fft(benchmark: BenchmarkFixture, features: Tensor) -> None:
    benchmark.pedantic(self_difference, (features, (REACH, REACH)), rounds=7, warmup_rounds=2)


@pytest.mark.benchmark(group="self-similarity map, 64 x 64 x 128")
def test_map_by_one_dense_convolution(benchmark: BenchmarkFixture, features: Tensor) -> None:
    benchmark.pedantic(by_dense_convolution, (features,), rounds=2, warmup_rounds=0)


@pytest.mark.benchmark(group="self-similarity map, 64 x 64 x 128")
def test_how_many_times_faster_fft_is(benchmark: BenchmarkFixture, features: Tensor) -> None:
    fast = seconds(lambda: self_difference(features, (REACH, REACH)), 5)
    ratio = seconds(lambda: by_dense_convolution(features), 1) / fast
    benchmark.extra_info["times faster"] = ratio
    benchmark.pedantic(lambda: None)


@pytest.mark.benchmark(group="transposed convolution of 16 channels, 256 to 512 at half size")
def test_transposed_convolution(benchmark: BenchmarkFixture) -> None:
    rng = torch.Generator().manual_seed(0)
    weights, filters = torch.rand(1, 1, 257, 257, generator=rng), torch.rand(1, 16, 128, 128, generator=rng)
    benchmark.pedantic(transposed_convolution, (weights, filters), rounds=7, warmup_rounds=2)


@pytest.mark.benchmark(group="feed-forward, n x n to 2n x 2n")
@pytest.mark.parametrize("side", [128, 256, 512])
@pytest.mark.parametrize("circular", [False, True], ids=["open", "circular"])
def test_expand(benchmark: BenchmarkFixture, net: Transposer, side: int, circular: bool) -> None:
    exemplar = waves(side, side)

    def work() -> None:
        rng = torch.Generator().manual_seed(0)
        net.expand(exemplar, (2 * side, 2 * side), circular=circular, rng=rng)

    benchmark.pedantic(work, rounds=3, warmup_rounds=1)


@pytest.mark.benchmark(group="growth")
def test_256_to_512_in_time_and_growth_of_n_log_n(benchmark: BenchmarkFixture, net: Transposer) -> None:
    """The aims are 1.5 s at 256 to 512, and growth no faster than N log N from 128 to 1024 pixels."""

    def of(side: int) -> float:
        exemplar, size = waves(side, side), (2 * side, 2 * side)
        return seconds(
            lambda: net.expand(exemplar, size, circular=False, rng=torch.Generator().manual_seed(0)), 3
        )

    times = {side: of(side) for side in (64, 256, 512)}
    benchmark.extra_info.update({str(2 * side): t for side, t in times.items()})
    benchmark.pedantic(lambda: None)
    # N log N from 128^2 to 1024^2 is a factor of 64 * 20 / 14 = 91.
    benchmark.extra_info["growth from 128 to 1024"] = times[512] / times[64]


MEMORY = """
import torch, resource
from texsynth.models.transposer import load_transposer
net = load_transposer()
exemplar = torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(0))
net.expand(exemplar, (2048, 2048), circular=False, rng=torch.Generator().manual_seed(0))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.benchmark(group="memory")
def test_2048_from_512_within_4_gib(benchmark: BenchmarkFixture) -> None:
    """In a process of its own, whose peak is nobody else's."""
    assert resource.RUSAGE_CHILDREN

    def work() -> float:
        out = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
        unit = 1 if sys.platform == "darwin" else 1024
        return int(out.stdout) * unit / 2**30

    peak = benchmark.pedantic(work)
    benchmark.extra_info["GiB"] = peak
    assert peak < 4
