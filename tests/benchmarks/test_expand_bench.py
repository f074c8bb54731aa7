"""Speed and memory of `texsynth expand`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from texsynth.config.presets import load, resolve
from texsynth.config.settings import ExpandSettings
from texsynth.images import read
from texsynth.images.tensors import to_image
from texsynth.models.registry import load_model
from texsynth.pipelines.expand import expand, load_networks
from texsynth.pipelines.method import plan_expand
from texsynth.synthesis.exemplar import Exemplar

BRICKS = Path(__file__).parents[2] / "samples/bricks.png"


def expansion(settings: ExpandSettings, image: Tensor) -> Callable[[], object]:
    networks = load_networks(load_model("lite"), settings.transposer)
    exemplars = [Exemplar(image)]
    return lambda: expand(plan_expand(exemplars, settings), networks, rng=torch.Generator().manual_seed(0))


@pytest.mark.benchmark(group="samples/bricks.png, 256 to 512, after start-up")
@pytest.mark.parametrize("name", ["fast", "balanced"])
def test_preset(benchmark: BenchmarkFixture, name: str) -> None:
    settings = resolve(ExpandSettings, load(name), [], {})
    benchmark.pedantic(expansion(settings, to_image(read(BRICKS))), rounds=3, warmup_rounds=1)


@pytest.mark.benchmark(group="peak memory, 512 to 2048")
@pytest.mark.parametrize("method", ["patch", "patch+optimize", "optimize", "transposer"])
def test_peak_memory(peak_mib: Callable[[Callable[[], object]], float], method: str) -> None:
    brief = {"iterations": 2, "noise_iterations": 2}
    settings = ExpandSettings.model_validate({"method": method, "size": [2048, 2048], "optimize": brief})
    image = torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(0))
    assert peak_mib(expansion(settings, image)) < 4096
