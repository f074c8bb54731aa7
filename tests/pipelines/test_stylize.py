"""The stylize pipeline on a tiny model, and the promises that need the embedded one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers.nets import tiny_model, tiny_tensors, waves

from texsynth.config.settings import (
    AdaINSettings,
    DescentSettings,
    IFTSettings,
    OTSettings,
    StylizeSettings,
    TransformSettings,
    WCTSettings,
)
from texsynth.errors import ModelError, UsageError
from texsynth.models.registry import build_model, load_model
from texsynth.ops.color import luma
from texsynth.ops.resample import resize
from texsynth.pipelines.preserve import LightMap, light_of, light_of_colours
from texsynth.pipelines.progress import Step
from texsynth.pipelines.rasters import GrainyRaster, TensorRaster, read_all
from texsynth.pipelines.stylize import StyledRegion, fit_style, stylize
from texsynth.transforms.moments import Moments

TRANSFORMS = [AdaINSettings(), WCTSettings(), OTSettings(), IFTSettings(), IFTSettings(centred=False)]
ARTISTIC, PHOTO = StylizeSettings(), StylizeSettings(mode="photo")


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(-10 * torch.log10((a - b).square().mean()))


@pytest.mark.parametrize("mode", ["artistic", "photo"])
@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda t: t.name)
def test_every_transform_gives_a_finite_picture_of_the_same_size(
    mode: str, transform: TransformSettings
) -> None:
    settings = StylizeSettings.model_validate({"mode": mode, "transform": transform})
    model = tiny_model()
    out = stylize(waves(40, 56), fit_style(waves(50, 30, 1.0), model, settings), model, settings)
    assert out.shape == (1, 3, 40, 56)
    assert out.isfinite().all()
    assert 0 <= out.min() <= out.max() <= 1


@pytest.mark.parametrize("settings", [ARTISTIC, PHOTO], ids=["artistic", "photo"])
def test_half_precision_networks_give_nearly_the_same(settings: StylizeSettings) -> None:
    outs = []
    for dtype in (torch.float32, torch.bfloat16):
        model = load_model("lite", dtype=dtype)
        style = fit_style(waves(48, 48, 2.0), model, settings)
        outs.append(stylize(0.3 + 0.4 * waves(48, 64), style, model, settings))
    assert outs[1].dtype == torch.float32
    assert psnr(*outs) > 28


def test_a_decoder_that_overflows_is_refused() -> None:
    tensors = tiny_tensors()
    tensors["decoder1.inv1_1.bias"] += 1e5  # more than float16 holds
    settings = StylizeSettings(levels=(1,))
    for dtype in (torch.float32, torch.float16):
        model = build_model("loud", tensors, dtype=dtype)
        style = fit_style(waves(32, 32, 1.0), model, settings)
        if dtype == torch.float32:
            assert stylize(waves(24, 24), style, model, settings).isfinite().all()
        else:
            with pytest.raises(UsageError, match=r"overflowed in float16.*float32"):
                stylize(waves(24, 24), style, model, settings)


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (3, 2), (31, 33), (64, 17)])
@pytest.mark.parametrize(
    "settings", [ARTISTIC, PHOTO, StylizeSettings(levels=(5, 2))], ids=["art", "photo", "5"]
)
def test_any_size_works(size: tuple[int, int], settings: StylizeSettings) -> None:
    model = tiny_model()
    out = stylize(waves(*size), fit_style(waves(*size, 1.0), model, settings), model, settings)
    assert out.shape == (1, 3, *size)
    assert out.isfinite().all()


@pytest.mark.parametrize("settings", [ARTISTIC, PHOTO], ids=["artistic", "photo"])
def test_flat_and_one_pixel_pictures_are_fine(settings: StylizeSettings) -> None:
    model, flat = tiny_model(), torch.full((1, 3, 20, 20), 0.5)
    for content, style in [(flat, waves(32, 32)), (waves(32, 32), flat), (flat, flat[:, :, :1, :1])]:
        assert stylize(content, fit_style(style, model, settings), model, settings).isfinite().all()


@pytest.mark.parametrize("mode", ["artistic", "photo"])
@pytest.mark.parametrize("transform", [IFTSettings(), DescentSettings()], ids=lambda t: t.name)
def test_strength_zero_gives_the_content_back_exactly(mode: str, transform: TransformSettings) -> None:
    if mode == "photo" and transform.name == "optimize":
        return
    model, content = tiny_model(), waves(32, 48)
    still = StylizeSettings.model_validate({"mode": mode, "transform": transform, "strength": 0.0})
    style = fit_style(waves(32, 32, 2.0), model, still)
    half = torch.zeros(1, 1, 32, 48)
    half[..., :20] = 1
    regions = [StyledRegion((style,), (1.0,), half), StyledRegion((style,), (2.0,))]
    coloured = still.model_copy(update={"preserve_color": True, "edge_aware": False})
    for settings in (still, coloured):
        assert torch.equal(stylize(content, style, model, settings), content)
        assert torch.equal(stylize(content, regions, model, settings, weight=half), content)
    if transform.name != "optimize":
        levels = StylizeSettings.model_validate(
            {"mode": mode, "levels": (2, 1), "level_strength": {1: 0.0, 2: 0.0}}
        )
        assert torch.equal(stylize(content, style, model, levels), content)


def test_lite_puts_strokes_into_flat_areas_by_grain_that_follows_the_seed() -> None:
    model, flat, style = load_model("lite"), torch.full((1, 3, 48, 48), 0.5), waves(48, 48, 2.0)

    def paint(grain: float, seed: int, strength: float = 1.0) -> torch.Tensor:
        settings = StylizeSettings(levels=(4,), grain=grain, strength=strength)
        return stylize(flat, fit_style(style, model, settings), model, settings, seed=seed)

    assert paint(0.0, 1).std((2, 3)).max() < 1e-3 < 1e-2 < paint(0.1, 1).std((2, 3)).max()
    assert torch.equal(paint(0.1, 1), paint(0.1, 1))
    assert not torch.equal(paint(0.1, 1), paint(0.1, 2))
    torch.testing.assert_close(paint(0.1, 1, 0.0), paint(0.0, 1, 0.0))


def test_transparent_pixels_do_not_count() -> None:
    model, settings = tiny_model(), StylizeSettings(levels=(1,))
    style = torch.cat([waves(16, 16), torch.ones(1, 3, 16, 16)], 3)
    opaque = torch.cat([torch.ones(1, 1, 16, 15), torch.zeros(1, 1, 16, 17)], 3)
    hidden, shown = style.clone(), style.clone()
    hidden[..., 17:] = 0.0
    one, two = (fit_style(s, model, settings, weight=opaque).moments[1] for s in (hidden, shown))
    torch.testing.assert_close(one.second, two.second)


def test_colours_are_preserved_on_request() -> None:
    model, content = tiny_model(), waves(32, 32)
    grey = content.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    settings = StylizeSettings(preserve_color=True)
    out = stylize(grey, fit_style(waves(32, 32, 2.0), model, settings), model, settings)
    torch.testing.assert_close(out[:, 0], out[:, 1], atol=1e-5, rtol=0)


@pytest.mark.parametrize("settings", [ARTISTIC, PHOTO], ids=["artistic", "photo"])
def test_progress_has_several_parts_of_every_level(settings: StylizeSettings) -> None:
    model, steps = tiny_model(), list[Step]()
    stylize(waves(32, 32), fit_style(waves(32, 32), model, settings), model, settings, on_step=steps.append)
    shares = [step.share for step in steps]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    passes = len(settings.levels) if settings.mode == "artistic" else 1
    assert len(set(shares)) >= 4 * passes


def test_progress_goes_on_in_what_follows_on_a_level() -> None:
    """A large picture keeps detail and light by strips, each of which is a step."""
    model, steps = tiny_model(), list[Step]()
    settings = ARTISTIC.model_copy(update={"levels": (4,)})
    content = waves(96, 40)
    style = fit_style(waves(32, 32), model, settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("texsynth.pipelines.rasters.STRIP_PIXELS", 40 * 16)
        stylize(content, style, model, settings, on_step=steps.append)
    shares = [step.share for step in steps]
    assert shares == sorted(shares)
    assert len(set(shares)) >= 5 + 2 * 5


def test_a_level_without_decoder_is_refused_before_the_work() -> None:
    full = tiny_model()
    tensors = {f"encoder.{k}": v for k, v in full.encoder.state_dict().items()}
    bare = build_model("bare", tensors)
    for settings in (ARTISTIC, PHOTO):
        with pytest.raises(ModelError, match="texsynth train decoder"):
            fit_style(waves(8, 8), bare, settings)


def test_photo_mode_refuses_a_level_it_does_not_have() -> None:
    with pytest.raises(UsageError, match="levels 1 to 4, not 5"):
        fit_style(waves(8, 8), tiny_model(), StylizeSettings(mode="photo", levels=(5, 1)))


@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda t: t.name)
def test_lite_returns_the_content_when_it_is_its_own_style(transform: TransformSettings) -> None:
    model, content = load_model("lite"), 0.3 + 0.4 * waves(96, 120)
    settings = StylizeSettings(mode="photo", transform=transform)
    assert psnr(stylize(content, fit_style(content, model, settings), model, settings), content) >= 30
    bare = settings.model_copy(update={"edge_aware": False})
    assert psnr(stylize(content, fit_style(content, model, bare), model, bare), content) >= 25


def test_lite_takes_over_the_mean_colour_of_the_style() -> None:
    model, content = load_model("lite"), waves(96, 96)
    style = waves(96, 96, 2.0) * torch.tensor([0.9, 0.4, 0.2]).view(1, 3, 1, 1)
    for settings in (
        StylizeSettings(transform=OTSettings()),
        StylizeSettings(mode="photo", transform=OTSettings()),
    ):
        out = stylize(content, fit_style(style, model, settings), model, settings)
        torch.testing.assert_close(out.mean((2, 3)), style.mean((2, 3)), atol=0.08, rtol=0)


def test_one_strength_means_the_same_at_every_size() -> None:
    # Level 1 sees colours and not the size of things, so that the size can enter through the strength alone.
    model, settings = (
        load_model("lite"),
        StylizeSettings(levels=(1,), transform=IFTSettings(pull=0.2), grain=0),
    )
    style = fit_style(0.2 + 0.3 * waves(128, 128, 2.0).flip(1), model, settings)
    outs = []
    for side in (128, 256, 1024):
        content = resize(0.2 + 0.6 * waves(128, 128), side, side)
        outs.append(resize(stylize(content, style, model, settings), 64, 64))
    changed = (outs[0] - resize(0.2 + 0.6 * waves(128, 128), 64, 64)).abs().mean()
    assert changed > 0.05
    assert max((out - outs[0]).abs().mean() for out in outs) < 0.05 * changed


def test_numbers_by_level_are_those_of_each_level() -> None:
    """The maps of photo mode come from one encoding, so each depends on the numbers of its level alone."""
    model, mode = tiny_model(), StylizeSettings(mode="photo", levels=(3, 1))
    content, style = waves(40, 56), fit_style(waves(50, 30, 1.0), model, mode)

    def result(**numbers: object) -> torch.Tensor:
        transform = IFTSettings.model_validate(numbers)
        return stylize(content, style, model, mode.model_copy(update={"transform": transform}))

    assert torch.equal(result(pull={3: 4.0, 1: 4.0}, n_upd={1: 3, 3: 3}), result(pull=4.0, n_upd=3))
    assert torch.equal(result(pull={2: 9.0}, n_upd={}), result())
    assert not torch.equal(result(pull={1: 0.05}), result())
    assert not torch.equal(result(n_upd={3: 1}), result())


def test_grain_tops_up_what_is_flat_and_light_and_leaves_the_rest() -> None:
    flat = torch.full((1, 3, 96, 96), 0.6)
    dark, busy = torch.full_like(flat, 0.05), flat + 0.2 * (waves(96, 96) - 0.5).sign()

    def added(image: torch.Tensor) -> torch.Tensor:
        return read_all(GrainyRaster(TensorRaster(image), 0.05, 3)) - image

    assert 0.045 < float(added(flat).std()) < 0.055
    assert float(added(dark).std()) < 0.2 * float(added(flat).std())
    assert not added(torch.zeros_like(flat)).any()
    assert float(added(busy).std()) < 0.5 * float(added(flat).std())


def test_grain_is_the_same_however_it_is_read() -> None:
    grainy = GrainyRaster(TensorRaster(waves(70, 90) * 0.1 + 0.5), 0.05, 3)
    part = grainy.read(slice(11, 52), slice(30, 90))
    torch.testing.assert_close(part, read_all(grainy)[:, :, 11:52, 30:90])


def test_detail_is_kept_alike_in_tiles_and_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    model, content, style = tiny_model(), waves(96, 80), waves(48, 48, 2.0)
    settings = StylizeSettings(levels=(4, 1), preserve_detail=0.8, grain=0.0)
    fitted = fit_style(style, model, settings)
    whole = stylize(content, fitted, model, settings)
    monkeypatch.setattr("texsynth.pipelines.rasters.STRIP_PIXELS", 80 * 7)
    torch.testing.assert_close(stylize(content, fitted, model, settings, tile=32), whole, atol=1e-3, rtol=0)
    without = settings.model_copy(update={"preserve_detail": 0.0})
    assert not torch.equal(stylize(content, fitted, model, without), whole)


def test_light_and_dark_stay_where_the_content_has_them() -> None:
    model, style = tiny_model(), waves(48, 48, 2.0)
    left = torch.arange(96).lt(48).expand(96, 96)
    content = (0.1 * waves(96, 96) + torch.where(left, 0.1, 0.7)).clamp(0, 1)
    settings = StylizeSettings(levels=(4, 3), preserve_detail=0.0, preserve_light=1.0, grain=0.0)
    fitted = fit_style(style, model, settings)
    light = luma(stylize(content, fitted, model, settings))[0, 0]
    # One of a tiny network paints one colour: the steps between the sides are what goes around it.
    assert float(light[:, 64:].mean() - light[:, :32].mean()) > 0.8 * 2 * float(luma(style).std())
    free = settings.model_copy(update={"preserve_light": 0.0})
    paints = luma(stylize(content, fitted, model, free))[0, 0]
    assert float(light[:, 64:].mean() - light[:, :32].mean()) > 2 * float(
        (paints[:, 64:].mean() - paints[:, :32].mean()).abs()
    )


def test_light_is_kept_alike_in_tiles_strips_and_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    model, content, style = tiny_model(), waves(96, 80), waves(48, 48, 2.0)
    settings = StylizeSettings(levels=(4, 3), preserve_detail=0.0, preserve_light=0.8, grain=0.0)
    fitted = fit_style(style, model, settings)
    whole = stylize(content, fitted, model, settings)
    everywhere = [StyledRegion((fitted,), (1.0,), torch.ones(1, 1, 96, 80))]
    torch.testing.assert_close(stylize(content, everywhere, model, settings), whole, atol=1e-4, rtol=0)
    monkeypatch.setattr("texsynth.pipelines.rasters.STRIP_PIXELS", 80 * 7)
    torch.testing.assert_close(stylize(content, fitted, model, settings, tile=32), whole, atol=1e-3, rtol=0)
    without_colours = replace(fitted, colours=None)  # As in cards of before: nothing to go by
    free = settings.model_copy(update={"preserve_light": 0.0})
    bare = stylize(content, without_colours, model, settings)
    assert torch.equal(bare, stylize(content, fitted, model, free))
    assert not torch.equal(bare, whole)


def test_light_has_the_mean_and_contrast_of_the_style() -> None:
    content, style = waves(64, 64) * 0.3 + 0.1, waves(64, 64, 2.0) * 0.5 + 0.4
    line = LightMap.between(light_of(TensorRaster(content)), light_of_colours(Moments.of(style)))
    assert line is not None
    moved = line.gain * luma(content) + line.offset
    torch.testing.assert_close(moved.mean(), luma(style).mean(), atol=1e-5, rtol=0)
    torch.testing.assert_close(moved.std(), luma(style).std(), atol=1e-4, rtol=1e-3)
    flat = light_of(TensorRaster(torch.full((1, 3, 8, 8), 0.5)))
    level = LightMap.between(flat, light_of_colours(Moments.of(style)))
    assert level is not None
    assert level.gain == 0
    assert level.offset == pytest.approx(float(luma(style).mean()), abs=1e-5)
    assert LightMap.between(Moments.empty(1), flat) is None


def test_a_picture_as_its_own_style_keeps_its_pixels() -> None:
    # Noise for strokes stays out of what no map changes, and what decoders lose comes back.
    model, content = load_model("lite"), waves(96, 96) * 0.5 + 0.2
    settings = StylizeSettings()
    assert psnr(stylize(content, fit_style(content, model, settings), model, settings), content) > 30
