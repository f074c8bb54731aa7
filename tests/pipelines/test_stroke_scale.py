"""Strokes of another size: coarse levels paint a smaller or larger content, and what it lost comes back."""

from __future__ import annotations

import pytest
import torch
from helpers.nets import tiny_model, waves

from texsynth.config.settings import DescentSettings, StylizeSettings
from texsynth.jobs.memory import MemoryForecast
from texsynth.models.registry import load_model
from texsynth.ops.color import luma
from texsynth.ops.detail import detail_gain
from texsynth.ops.resample import resize
from texsynth.pipelines.progress import Step
from texsynth.pipelines.rasters import TensorRaster, memory_canvas, read_all
from texsynth.pipelines.stroke_scale import brought_back, resized
from texsynth.pipelines.stylize import StyledRegion, fit_style, stylize, stylize_raster
from texsynth.pipelines.take import Frame, measure

SCALES = (0.5, 2.0)


@pytest.mark.parametrize("size", [(45, 35), (13, 9), (11, 70), (90, 70), (211, 150), (1, 1)])
def test_resizing_by_strips_is_resizing(monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]) -> None:
    monkeypatch.setattr("texsynth.pipelines.rasters.STRIP_PIXELS", 700)
    image = torch.rand(1, 3, 90, 70, generator=torch.Generator().manual_seed(3))
    ours = read_all(resized(memory_canvas, TensorRaster(image), size))
    torch.testing.assert_close(ours, resize(image, *size), atol=1e-5, rtol=0)


def test_gain_tells_structure_of_the_content_from_that_of_strokes() -> None:
    content = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(1))
    other = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(2))
    half = detail_gain(content, 0.5 * content + 0.2, 3)
    torch.testing.assert_close(half, torch.full_like(half, 0.5), atol=0.01, rtol=0)
    assert detail_gain(content, other, 6).mean() < 0.1
    # A grey result shows none of the content's colours.
    assert float(detail_gain(content, luma(content).expand(-1, 3, -1, -1), 3)[:, 1:].abs().max()) < 1e-5


@pytest.mark.parametrize("scale", [0.5, 2.0, 3.3])
def test_what_was_not_painted_comes_back_as_it_was(scale: float) -> None:
    content = TensorRaster(waves(61, 83))
    small = resized(memory_canvas, content, (round(61 / scale), round(83 / scale)))
    back = read_all(brought_back(memory_canvas, content, small, small))
    assert float((back - content.tensor).abs().max()) < 0.01


def correlation_length(image: torch.Tensor) -> float:
    """Pixels after which the autocorrelation of lightness has fallen to a half."""
    light = luma(image) - luma(image).mean()
    values = [
        float((light[..., : -d or None] * light[..., d:]).mean() / light.square().mean()) for d in range(33)
    ]
    after = next(d for d, value in enumerate(values) if value < 0.5)
    return after - (0.5 - values[after]) / (values[after - 1] - values[after])


def test_strokes_on_a_flat_content_grow_with_the_scale() -> None:
    model, flat = load_model("lite"), torch.full((1, 3, 128, 160), 0.5)
    style = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    style = resize(style, 128, 128)  # Dabs of about 4 px
    lengths = {}
    for scale in (0.5, 1.0, 2.0, 4.0):
        settings = StylizeSettings(style_scale=scale, levels=(4, 3, 2, 1))
        result = stylize(flat, fit_style(style, model, settings), model, settings)
        lengths[scale] = correlation_length(result)
    assert all(1.4 < lengths[2 * scale] / lengths[scale] < 2.9 for scale in (0.5, 1.0, 2.0)), lengths


@pytest.mark.parametrize(("scale", "size"), [(0.5, (90, 101)), (2.0, (150, 203))])
def test_tiles_strips_masks_and_weights(
    monkeypatch: pytest.MonkeyPatch, scale: float, size: tuple[int, int]
) -> None:
    settings = StylizeSettings(style_scale=scale)
    model, content = tiny_model(), waves(*size)
    a, b = (fit_style(waves(50, 60, phase) ** 2, model, settings) for phase in (1.0, 2.0))
    opacity = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(4))
    mask = torch.zeros(1, 1, *size)
    mask[..., 30:70, 40:] = 1
    parts = [StyledRegion((a, b), (0.3, 0.7), mask), StyledRegion((b.only([4, 1]),), (1.0,))]
    whole = stylize(content, parts, model, settings, weight=opacity)
    monkeypatch.setattr("texsynth.pipelines.rasters.STRIP_PIXELS", 2000)
    tiled = stylize(content, parts, model, settings, weight=opacity, tile=48)
    assert float((tiled - whole).abs().max()) < 1e-4


@pytest.mark.parametrize("scale", SCALES)
def test_statistics_of_one_frame_give_its_own_result(scale: float) -> None:
    model, settings = tiny_model(torch.float64), StylizeSettings(style_scale=scale)
    content, mask = TensorRaster(waves(70, 56)), (waves(70, 56)[:, :1] > 0.5).double()
    fitted = fit_style(waves(50, 30, 1.0), model, settings)
    regions = [StyledRegion((fitted,), (1.0,), mask), StyledRegion((fitted.only([2, 1]),), (1.0,))]
    moments = measure([Frame(content, regions)] * 2, model, settings, seed=5)
    ours = stylize_raster(content, regions, model, settings, seed=5, moments=moments)
    alone = stylize(content.tensor, regions, model, settings, seed=5)
    assert torch.allclose(read_all(ours), alone, atol=0)


@pytest.mark.parametrize(
    "changes",
    [
        {"levels": (2, 1)},
        {"levels": (4,)},
        {"finish": {"steps": 2}},
        {"level_strength": {4: 0.0, 3: 0.0}},
        {"transform": DescentSettings(iterations=2)},
        {"strength": 0.0},
    ],
    ids=str,
)
def test_all_ways_to_paint_have_a_scale(changes: dict[str, object]) -> None:
    model, content, steps = tiny_model(), waves(40, 56), list[Step]()
    small, plain = (StylizeSettings.model_validate({"style_scale": scale, **changes}) for scale in (2.0, 1.0))
    style = fit_style(waves(50, 30, 1.0), model, small)
    out = stylize(content, style, model, small, on_step=steps.append)
    assert out.shape == content.shape
    assert 0 <= out.min() <= out.max() <= 1
    assert all(step.done <= step.total for step in steps)
    # Without levels that make strokes there are none to scale.
    strokes = "strength" not in str(changes) and changes.get("levels") != (2, 1)
    assert torch.equal(out, stylize(content, style, model, plain)) != strokes


def test_photo_mode_has_no_strokes_to_scale() -> None:
    model, content = tiny_model(), waves(40, 56)
    outs = []
    for scale in (1.0, 3.0):
        settings = StylizeSettings(mode="photo", style_scale=scale)
        outs.append(stylize(content, fit_style(waves(50, 30, 1.0), model, settings), model, settings))
    assert torch.equal(*outs)


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (17, 2)])
def test_small_contents(size: tuple[int, int]) -> None:
    model, settings = tiny_model(), StylizeSettings(style_scale=8)
    out = stylize(waves(*size), fit_style(waves(50, 30, 1.0), model, settings), model, settings)
    assert out.isfinite().all()


def test_small_strokes_take_the_memory_of_an_enlarged_picture() -> None:
    def forecast(size: int, scale: float) -> MemoryForecast:
        return MemoryForecast.of(size, size, tiny_model(), StylizeSettings(style_scale=scale))

    assert forecast(100, 0.5) == forecast(200, 1.0)
    assert forecast(100, 2.0) == forecast(100, 1.0)
