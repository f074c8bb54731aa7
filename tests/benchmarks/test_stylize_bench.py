"""Times of the whole and its parts at 512 x 512, against one pass of a full-width VGG-19 to relu4_1.

The full-width network has random weights: its time does not depend on them. Run with

    pytest tests/benchmarks --benchmark-only -o addopts=
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

sys.path.insert(0, str(Path(__file__).parents[1]))

from helpers.nets import waves

from texsynth.config.settings import StylizeSettings
from texsynth.device import DTYPES, has_bfloat16
from texsynth.models.registry import Model, load_model
from texsynth.models.vgg import Encoder, inference
from texsynth.ops.bilateral_grid import local_affine
from texsynth.pipelines.stylize import fit_style, stylize
from texsynth.transforms import fit_map
from texsynth.transforms.moments import Moments

SIDE = 512
LEVELS = (1, 2, 3, 4)


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def lite(request: pytest.FixtureRequest) -> Model:
    """The embedded model; bfloat16 where the processor multiplies it natively."""
    dtype = DTYPES[request.param]
    if dtype == torch.bfloat16 and not has_bfloat16(torch.device("cpu")):
        pytest.skip("this processor would emulate bfloat16")
    return load_model("lite", dtype=dtype)


@pytest.fixture(scope="module")
def picture() -> torch.Tensor:
    return waves(SIDE, SIDE).contiguous(memory_format=torch.channels_last)


@pytest.fixture(scope="module")
def style() -> torch.Tensor:
    return waves(SIDE, SIDE, 2.0)


def timed(benchmark: BenchmarkFixture, work: Callable[[], object]) -> None:
    with torch.inference_mode():
        benchmark.pedantic(work, rounds=7, warmup_rounds=2)


def test_full_width_vgg19_to_relu4_1_float32(benchmark: BenchmarkFixture, picture: torch.Tensor) -> None:
    vgg = inference(Encoder((64, 128, 256, 512, 512)))
    timed(benchmark, lambda: vgg.segment(picture, 0, 4))


def test_encoder(benchmark: BenchmarkFixture, lite: Model, picture: torch.Tensor) -> None:
    image = picture.to(lite.dtype)
    timed(benchmark, lambda: lite.encoder(image, 4))


@pytest.mark.parametrize("level", LEVELS)
def test_decoder(benchmark: BenchmarkFixture, lite: Model, picture: torch.Tensor, level: int) -> None:
    with torch.inference_mode():
        features = lite.encoder.segment(picture.to(lite.dtype), 0, level)
    timed(benchmark, lambda: lite.decoder(level)(features))


def test_photo_decoder(benchmark: BenchmarkFixture, lite: Model, picture: torch.Tensor) -> None:
    with torch.inference_mode():
        features = lite.encoder(picture.to(lite.dtype), 4)
    timed(benchmark, lambda: lite.photo_decoder()(features))


def test_edge_aware_finishing(
    benchmark: BenchmarkFixture, picture: torch.Tensor, style: torch.Tensor
) -> None:
    timed(benchmark, lambda: local_affine(picture, style))


@pytest.mark.parametrize("level", LEVELS)
def test_transform(
    benchmark: BenchmarkFixture, lite: Model, picture: torch.Tensor, style: torch.Tensor, level: int
) -> None:
    """Moments of the content, fit and application of the default transform."""
    settings = StylizeSettings()
    with torch.inference_mode():
        features = lite.encoder.segment(picture.to(lite.dtype), 0, level)
    target = fit_style(style, lite, settings).moments[level]
    timed(benchmark, lambda: fit_map(settings.transform, Moments.of(features), target)(features))


@pytest.mark.parametrize("mode", ["artistic", "photo"])
def test_whole_stylization_with_the_style_encoded(
    benchmark: BenchmarkFixture, lite: Model, picture: torch.Tensor, style: torch.Tensor, mode: str
) -> None:
    settings = StylizeSettings.model_validate({"mode": mode})
    timed(benchmark, lambda: stylize(picture, fit_style(style, lite, settings), lite, settings))
