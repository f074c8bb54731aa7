"""The encoding layer beside the one that builds the residuals, and descriptions."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from helpers.nets import waves
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

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


def both_ways(layer: Layer) -> Callable[[], object]:
    rng = torch.Generator().manual_seed(0)
    n, k, d = SIZE
    x, c = (torch.randn(rows, d, generator=rng, requires_grad=True) for rows in (n, k))
    tensors = x, c, (torch.rand(k, generator=rng) / d).requires_grad_()
    return lambda: torch.autograd.grad(layer(*tensors).square().sum(), tensors)


@pytest.mark.benchmark(group="encoding layer, 12544 descriptors, 32 codewords, 128 channels, both ways")
@pytest.mark.parametrize("name", LAYERS)
def test_encoding_time(benchmark: BenchmarkFixture, name: str) -> None:
    benchmark.pedantic(both_ways(LAYERS[name]), rounds=5, warmup_rounds=2)


@pytest.mark.benchmark(group="memory of the encoding layer")
@pytest.mark.parametrize("name", LAYERS)
def test_encoding_memory(peak_mib: Callable[[Callable[[], object]], float], name: str) -> None:
    print(f"\n{name}: {peak_mib(both_ways(LAYERS[name])):.1f} MiB beyond the descriptors")


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
