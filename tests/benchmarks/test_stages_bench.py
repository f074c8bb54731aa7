"""Every stage of `texsynth bench` at 512 x 512, beside one pass of a full-width VGG-19 to relu4_1."""

from __future__ import annotations

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from texsynth.benchmark.names import DEFAULT, LEVELS
from texsynth.benchmark.stages import FIT_SETTINGS, STAGES, Pair
from texsynth.device import DTYPES, has_bfloat16
from texsynth.models.registry import load_model
from texsynth.reference import cascade as full_width
from texsynth.transforms import fit_map

SIDE = 512


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def pair(request: pytest.FixtureRequest) -> Pair:
    """Pictures for the embedded model; bfloat16 where the processor multiplies it natively."""
    dtype = DTYPES[request.param]
    if dtype == torch.bfloat16 and not has_bfloat16(torch.device("cpu")):
        pytest.skip("this processor would emulate bfloat16")
    return Pair(load_model("lite", dtype=dtype), SIDE)


@torch.inference_mode()
def timed(benchmark: BenchmarkFixture, stage: str, pair: Pair) -> None:
    benchmark.pedantic(STAGES[stage](pair), rounds=7, warmup_rounds=2)


@pytest.mark.parametrize("stage", DEFAULT)
def test_stage(benchmark: BenchmarkFixture, pair: Pair, stage: str) -> None:
    timed(benchmark, stage, pair)


def test_full_width_vgg19_to_relu4_1_float32(benchmark: BenchmarkFixture) -> None:
    timed(benchmark, "encode", Pair(full_width.random_model(), SIDE))


@pytest.mark.parametrize("level", LEVELS)
@torch.inference_mode()
def test_application(benchmark: BenchmarkFixture, pair: Pair, level: int) -> None:
    affine, (features, _) = fit_map(FIT_SETTINGS["wct"], *pair.moments(level)), pair.features[level]
    assert benchmark(affine, features).shape == features.shape
