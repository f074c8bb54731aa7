"""Speed of the stage `transposer`; its memory stands among the methods of `expand`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from helpers.nets import waves
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from texsynth.analysis.self_similarity import self_difference, transposed_convolution
from texsynth.benchmark.run import seconds_of
from texsynth.models.border_network import BorderNetwork
from texsynth.models.vgg import inference
from texsynth.synthesis.copy_choice import lay_copies

CHANNELS, SIDE = 128, 64
REACH = SIDE // 2


@pytest.fixture(scope="module")
def features() -> Tensor:
    return torch.randn(1, CHANNELS, SIDE, SIDE, generator=torch.Generator().manual_seed(0)).relu()


@pytest.fixture(scope="module")
def net() -> BorderNetwork:
    """A network of the usual size; its weights do not change its speed."""
    return inference(BorderNetwork())


def expansion(net: BorderNetwork, side: int, *, circular: bool = False) -> Callable[[], object]:
    image, size = waves(side, side), (2 * side, 2 * side)
    return lambda: net.expand(image, size, circular=circular, rng=torch.Generator().manual_seed(0))


@pytest.mark.benchmark(group="self-similarity map, 64 x 64 x 128")
def test_map_by_fft_and_by_one_dense_convolution(benchmark: BenchmarkFixture, features: Tensor) -> None:
    """The convolution is one of three of the direct form, the correlation of the features with themselves."""
    benchmark.pedantic(self_difference, (features, (REACH, REACH)), rounds=7, warmup_rounds=2)
    dense = seconds_of(lambda: F.conv2d(F.pad(features, (REACH,) * 4), features), features.device, 1)
    fft = seconds_of(lambda: self_difference(features, (REACH, REACH)), features.device, 5)
    benchmark.extra_info["times faster"] = dense[0] / min(fft)


@pytest.mark.benchmark(group="transposed convolution of 16 channels, 256 to 512 at half size")
def test_transposed_convolution(benchmark: BenchmarkFixture) -> None:
    rng = torch.Generator().manual_seed(0)
    weights, filters = torch.rand(1, 1, 257, 257, generator=rng), torch.rand(1, 16, 128, 128, generator=rng)
    benchmark.pedantic(transposed_convolution, (weights, filters), rounds=7, warmup_rounds=2)


@pytest.mark.benchmark(group="copies with repaired borders, n x n to 2n x 2n")
@pytest.mark.parametrize("side", [128, 256, 512])
@pytest.mark.parametrize("circular", [False, True], ids=["open", "circular"])
def test_expand(benchmark: BenchmarkFixture, net: BorderNetwork, side: int, circular: bool) -> None:
    benchmark.pedantic(expansion(net, side, circular=circular), rounds=3, warmup_rounds=1)


@pytest.mark.benchmark(group="copies alone, n x n to 2n x 2n")
@pytest.mark.parametrize("side", [128, 256, 512])
def test_lay_copies(benchmark: BenchmarkFixture, side: int) -> None:
    def lay() -> object:
        return lay_copies(waves(side, side), (2 * side, 2 * side), torch.Generator().manual_seed(0))

    benchmark.pedantic(lay, rounds=3, warmup_rounds=1)


@pytest.mark.benchmark(group="growth")
def test_256_to_512_in_time_and_growth_of_n_log_n(benchmark: BenchmarkFixture, net: BorderNetwork) -> None:
    """The aims are 1.5 s at 256 to 512, and growth no faster than N log N from 128 to 1024 pixels."""
    cpu = torch.device("cpu")
    times = {side: min(seconds_of(expansion(net, side), cpu, 3)) for side in (64, 256, 512)}
    benchmark.extra_info.update({str(2 * side): t for side, t in times.items()})
    benchmark.pedantic(lambda: None)
    # N log N from 128^2 to 1024^2 is a factor of 64 * 20 / 14 = 91.
    benchmark.extra_info["growth from 128 to 1024"] = times[512] / times[64]
