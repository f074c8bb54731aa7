"""Tiles: every pixel once, halos as wide as the networks look, and the same picture as without tiles."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from helpers.cli import make_model, run_cli
from helpers.nets import bottleneck_tensors, level_tensors, tiny_model, tiny_tensors, wave_tensors, waves
from torch import Tensor

from texsynth.config.settings import IFTSettings, StylizeSettings
from texsynth.images import embedded_settings, read, write
from texsynth.images.tensors import to_picture
from texsynth.jobs.memory import (
    MemoryForecast,
    TilePlan,
    allowed_bytes,
    retry_with_smaller_tiles,
    style_bytes,
    style_tile,
)
from texsynth.models.registry import Model, build_model, load_model
from texsynth.pipelines.progress import Step
from texsynth.pipelines.rasters import TensorRaster
from texsynth.pipelines.stylize import FittedStyle, StyledRegion, fit_style, measure_style, stylize
from texsynth.pipelines.tiling import autoencoder_reach, cut_tiles, encoder_reach, photo_reach

SIZES = [(1, 1), (1, 70), (31, 33), (150, 203), (64, 128)]
# Random decoders make pictures that are nearly flat, and a strong pull, or detail brought back into them,
# would be stretched without bound, rounding with it.
WEAK = IFTSettings(pull=1.0, n_upd=15)
MODES = {
    "artistic": StylizeSettings(transform=WEAK, preserve_detail=0.0, preserve_light=0.0),
    "one level": StylizeSettings(transform=WEAK, levels=(3,)),
    "deep": StylizeSettings(transform=WEAK, levels=(5, 2)),
    "photo": StylizeSettings(mode="photo", transform=WEAK),
    "photo of two levels": StylizeSettings(mode="photo", transform=WEAK, levels=(3, 1), edge_aware=False),
}
SIDES = [16, 64, 100]


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("level", [1, 3, 5])
@pytest.mark.parametrize("side", [1, 16, 50, 10000, None])
def test_every_pixel_is_in_one_core(size: tuple[int, int], level: int, side: int | None) -> None:
    image, stride = waves(*size), 2 ** (level - 1)
    for step in (1, stride):
        counts = torch.zeros(1, 1, *(-(-n // step) for n in size))
        for tile in cut_tiles(size, level, side, halo=7):
            core, pixels = tile.core(counts, size, step), tile.read(TensorRaster(image))
            core += 1
            assert core.shape[2] * step <= max(side or 10000, 2 * stride)
            assert pixels.shape[2] % stride == pixels.shape[3] % stride == 0
            assert min(pixels.shape[2:]) >= 2 * stride
            if step == 1:
                assert torch.equal(tile.inner(pixels, size), tile.core(image, size))
        assert (counts == 1).all()


def loud(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Let the photo decoder do more, around middle grey: what it hardly changes tells nothing."""
    scaled = {k: 6 * v if k.startswith("photo") and k.endswith("weight") else v for k, v in tensors.items()}
    last = scaled.keys() & {"photo.up2.bias", "photo.inv1_1.bias"}
    return scaled | {k: torch.full_like(scaled[k], 0.5) for k in last}


BOTTLENECK = ("encoder", "decoder4", "decoder5")

MODELS = {
    "own": loud(tiny_tensors()),
    "nearest": loud(tiny_tensors(upsampling="nearest")),
    "sum": loud(wave_tensors(concatenated=False)),
    "cat5": loud(wave_tensors(concatenated=True)),
    "levels": level_tensors(),
    "bottleneck": {k: v for k, v in bottleneck_tensors().items() if k.split(".")[0] in BOTTLENECK},
}


def double_model(name: str) -> Model:
    """Random weights in float64, in which a difference is no rounding."""
    return build_model(name, MODELS[name], dtype=torch.float64)


def parts() -> Iterator[tuple[str, str, int, int]]:
    """Every network of every model: its model, kind, level and reach."""
    for name, tensors in MODELS.items():
        model = build_model(name, tensors)
        for level in range(1, len(model.encoder.widths) + 1):
            yield name, "encoder", level, encoder_reach(model.encoder, level)
        for level, decoder in model.decoders.items():
            yield name, "autoencoder", level, autoencoder_reach(model.encoder, decoder)
        if model.photo:
            yield name, "photo", 4, photo_reach(model.encoder, model.photo)


def through(part: str, level: int, model: Model, image: Tensor) -> Tensor:
    if part == "photo":
        photo: Tensor = model.photo_decoder()(model.encoder(image, level))
        return photo
    features = model.encoder.segment(image, 0, level)
    painted: Tensor = features if part == "encoder" else model.decoder(level)(features)
    return painted


@pytest.mark.parametrize(("name", "part", "level", "reach"), list(parts()))
def test_a_halo_is_as_wide_as_the_network_looks_and_no_wider(
    name: str, part: str, level: int, reach: int
) -> None:
    stride = 2 ** (level - 1)
    start = -(-(reach + 2 * stride) // 16) * 16
    stop = start + 16
    model, side = double_model(name), stop + start
    for known in (reach, reach - 1):
        # What a pixel depends on, NaN shows.
        image = torch.full((1, 3, side, side), torch.nan, dtype=torch.float64)
        image[:, :, start - known : stop + known, start - known : stop + known] = 0.5
        out = through(part, level, model, image)
        step = side // out.shape[2]
        core = out[:, :, start // step : stop // step, start // step : stop // step]
        assert bool(core.isfinite().all()) == (known == reach)


def test_tiles_with_halos_give_what_the_whole_gives_and_with_less_they_do_not() -> None:
    model, level = load_model("lite"), 3
    reach = autoencoder_reach(model.encoder, model.decoder(level))
    size = (2 * reach + 40, 3 * reach + 24)
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(3))
    errors = {}
    with torch.inference_mode():
        (whole,) = cut_tiles(size, level, None, 0)
        expected = through("autoencoder", level, model, whole.read(TensorRaster(image)))
        for halo in (reach, reach // 2):
            errors[halo] = max(
                float((tile.inner(out, size) - tile.core(expected, size)).abs().max())
                for tile in cut_tiles(size, level, 32, halo)
                for out in [through("autoencoder", level, model, tile.read(TensorRaster(image)))]
            )
    assert errors[reach] < 1e-5 < 1e-4 < errors[reach // 2]


@pytest.mark.slow
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("settings", MODES.values(), ids=MODES)
def test_tiles_do_not_show(settings: StylizeSettings, side: int) -> None:
    model, content = build_model("own", MODELS["own"]), waves(150, 203)
    style = fit_style(waves(50, 60, 1.0) ** 2, model, settings)
    whole, tiled = (stylize(content, style, model, settings, tile=t) for t in (None, side))
    assert float((tiled - whole).abs().max()) < 1e-4
    assert tiled.shape == whole.shape


@pytest.mark.parametrize("name", ["nearest", "sum", "cat5", "levels"])
def test_tiles_do_not_show_with_published_kinds_of_networks(name: str) -> None:
    model, content = build_model(name, MODELS[name]), waves(150, 203)
    for settings in MODES.values():
        if (settings.mode == "photo") == (model.photo is not None) or name == "nearest":
            style = fit_style(waves(50, 60, 1.0) ** 2, model, settings)
            whole, tiled = (stylize(content, style, model, settings, tile=t) for t in (None, 48))
            assert float((tiled - whole).abs().max()) < 1e-4
            assert float((whole - content).abs().max()) > 1e-3


@pytest.mark.parametrize("mode", ["artistic", "photo"])
def test_tiles_do_not_show_in_bfloat16(mode: str) -> None:
    """Where maps are rounded to eight bits, one that rounds otherwise would show at every level after it."""
    model = load_model("lite", dtype=torch.bfloat16)
    settings = StylizeSettings.model_validate({"mode": mode, "transform": WEAK})
    content = waves(260, 310)
    style = fit_style(waves(150, 160, 1.0) ** 2, model, settings)
    whole, tiled = (stylize(content, style, model, settings, tile=t) for t in (None, 96))
    # Units for bfloat16 round a tile otherwise than the whole, whatever the order of the sums.
    units = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    has_units = any(getattr(torch.cpu, name, bool)() for name in units)
    assert float((tiled - whole).abs().max()) <= (16 if has_units else 1) / 255
    assert float((tiled - whole).abs().mean()) <= 1 / 255


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("settings", MODES.values(), ids=MODES)
def test_a_picture_in_one_tile_is_the_same_bit_for_bit(
    size: tuple[int, int], settings: StylizeSettings
) -> None:
    model, content = tiny_model(), waves(*size)
    style = fit_style(waves(50, 30, 1.0), model, settings)
    whole, tiled = (stylize(content, style, model, settings, tile=t) for t in (None, 256))
    assert torch.equal(tiled, whole)


@pytest.mark.parametrize("settings", [MODES["artistic"], MODES["photo"]], ids=["artistic", "photo"])
def test_tiles_do_not_show_with_weights_masks_and_several_styles(settings: StylizeSettings) -> None:
    model, content = tiny_model(), waves(150, 203)
    a, b = (fit_style(waves(50, 60, phase) ** 2, model, settings) for phase in (1.0, 2.0))
    opacity = torch.rand(1, 1, 150, 203, generator=torch.Generator().manual_seed(4))
    mask = torch.zeros(1, 1, 150, 203)
    mask[..., 30:90, 40:] = 1
    parts = [StyledRegion((a, b), (0.3, 0.7), mask), StyledRegion((b.only([4, 1]),), (1.0,))]
    for style in (parts, [StyledRegion((a, b), (1.0, 2.0))]):
        whole, tiled = (stylize(content, style, model, settings, weight=opacity, tile=t) for t in (None, 48))
        assert float((tiled - whole).abs().max()) < 1e-4


@pytest.mark.parametrize("settings", [MODES["artistic"], MODES["photo"]], ids=["artistic", "photo"])
def test_progress_goes_on_from_tile_to_tile(settings: StylizeSettings) -> None:
    model, steps = tiny_model(), list[Step]()
    style = fit_style(waves(50, 60), model, settings)
    stylize(waves(60, 90), style, model, settings, tile=32, on_step=steps.append)
    shares = [step.share for step in steps]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert len(shares) >= 2 * 2 * 3 * (4 if settings.mode == "artistic" else 1)


def test_a_style_is_measured_in_tiles() -> None:
    model, style = tiny_model(), waves(150, 203)
    opacity = torch.rand(1, 1, 150, 203, generator=torch.Generator().manual_seed(4))
    whole, tiled = (
        measure_style(style, model, (5, 3, 1), weight=opacity, tile=t).moments for t in (None, 48)
    )
    for level, expected in whole.items():
        found = tiled[level]
        assert found.n == pytest.approx(expected.n)
        torch.testing.assert_close(found.sum, expected.sum, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(found.covariance, expected.covariance, rtol=1e-4, atol=1e-6)


def test_no_levels_to_change_is_no_trouble() -> None:
    model, settings = tiny_model(), MODES["photo"]
    whole, tiled = (
        stylize(waves(60, 70), [StyledRegion((FittedStyle({}),), (1.0,))], model, settings, tile=t)
        for t in (None, 16)
    )
    torch.testing.assert_close(tiled, whole, atol=1e-5, rtol=0)


def test_the_largest_tile_that_fits_is_taken() -> None:
    settings = StylizeSettings()
    forecast = MemoryForecast.of(2000, 3000, tiny_model(), settings)
    whole, least = forecast.bytes(TilePlan()), forecast.bytes(TilePlan(64))
    assert forecast.best_plan(whole, spilled=False) == TilePlan()
    for limit in (whole - 1, (whole + least) // 2, least):
        room = forecast.best_plan(limit, spilled=False)
        assert room
        assert room.tile
        assert room.tile % 64 == 0
        larger = forecast.bytes(TilePlan(room.tile + 64))
        assert forecast.bytes(room) <= limit < larger or larger == whole
    assert forecast.best_plan(least - 1, spilled=False) is None


def test_files_are_used_where_memory_would_make_tiles_small() -> None:
    forecast = MemoryForecast.of(20000, 20000, tiny_model(), StylizeSettings())
    assert forecast.best_plan(forecast.bytes(TilePlan(4096)), spilled=True) == TilePlan(4096)
    assert forecast.best_plan(3 << 30, spilled=False) is None
    room = forecast.best_plan(3 << 30, spilled=True)
    assert room == TilePlan(2048, spilled=True)
    assert forecast.bytes(room) < 3 << 30
    cramped = forecast.bytes(TilePlan(256, spilled=True))
    assert forecast.best_plan(cramped, spilled=True) == TilePlan(256, spilled=True)
    assert forecast.best_plan(forecast.bytes(TilePlan(64, spilled=True)) - 1, spilled=True) is None


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_tiles_are_halved_where_memory_runs_out_but_not_those_a_user_has_set(error: Exception) -> None:
    def attempt(room: TilePlan) -> str:
        seen.append(room.tile)
        if room.tile is None or room.tile > 300:
            raise error
        return "done"

    seen: list[int | None] = []
    assert retry_with_smaller_tiles(attempt, TilePlan(None, spilled=True), (900, 1800), automatic=True) == (
        "done",
        TilePlan(192, True),
    )
    assert seen == [None, 896, 448, 192]
    for room, automatic in ((TilePlan(512), False), (TilePlan(), False)):
        with pytest.raises(type(error)):
            retry_with_smaller_tiles(attempt, room, (900, 1800), automatic=automatic)
    other = Mock(side_effect=RuntimeError("another"))
    with pytest.raises(RuntimeError, match="another"):
        retry_with_smaller_tiles(other, TilePlan(512), (900, 900), automatic=True)
    hopeless = Mock(side_effect=error)
    with pytest.raises(type(error)):
        retry_with_smaller_tiles(hopeless, TilePlan(), (900, 1800), automatic=True)
    assert hopeless.call_args.args == (TilePlan(64),)


def test_a_limit_is_a_size_or_a_share() -> None:
    for text, expected in {
        "4GiB": 4 << 30,
        "1.5 MiB": 3 << 19,
        "1000": 1000,
        "80%": 800,
        None: 500,
    }.items():
        assert allowed_bytes(text, 1000) == expected
    assert allowed_bytes(None, None) is None


def test_large_styles_alone_are_measured_in_tiles() -> None:
    assert style_tile(2048, 2048) is None
    assert style_tile(2048, 2049) == 1024


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_model(tmp_path / "tiny.safetensors")
    for seed, name in enumerate(("cat", "oil")):
        write(to_picture(waves(400, 300, float(seed)), None, 8), tmp_path / f"{name}.png")
    return tmp_path


COMMANDS = [("stylize", "cat.png", "oil.png"), ("blend", "cat.png", "--style", "oil.png")]
FLAGS = ("--model", "tiny.safetensors", "--dtype", "float32")


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c[0])
def test_a_memory_limit_makes_tiles_that_a_replay_repeats(
    place: Path, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("texsynth.jobs.memory.BASE_BYTES", 0)
    assert run_cli(*command, "-o", "whole.png", *FLAGS).exit_code == 0
    limited = run_cli(*command, "-o", "tiled.png", *FLAGS, "--memory-limit", "9MiB")
    assert limited.exit_code == 0, limited.stderr
    assert "tile: 64" in embedded_settings(Path("tiled.png"))
    assert "tile: null" in embedded_settings(Path("whole.png"))
    whole, tiled = (read(Path(f"{n}.png").read_bytes(), name=n).rgb.astype(int) for n in ("whole", "tiled"))
    assert np.abs(whole - tiled).max() <= 1
    monkeypatch.setattr("texsynth.jobs.memory.available_bytes", lambda: 1)
    for name in ("whole", "tiled"):
        again = run_cli("replay", f"{name}.png", "-o", "again.png", "--force")
        assert again.exit_code == 0, again.stderr
        assert Path("again.png").read_bytes() == Path(f"{name}.png").read_bytes()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c[0])
def test_limits_that_are_none_or_too_small_are_refused(place: Path, command: tuple[str, ...]) -> None:
    before = sorted(place.iterdir())
    for limit in ("much", "4GB", "-1", "120%", "1e9", ""):
        result = run_cli(*command, *FLAGS, "--memory-limit", limit)
        assert result.exit_code == 2, result.stderr
        assert "like 4GiB" in result.stderr
        assert result.stderr.count("\n") == 1
    result = run_cli(*command, *FLAGS, "--memory-limit", "100MiB")
    assert result.exit_code == 7
    assert "cat.png: 300 x 400 pixels need" in result.stderr
    assert "100 MiB are allowed; raise --memory-limit" in result.stderr
    assert sorted(place.iterdir()) == before


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c[0])
def test_a_limit_that_a_style_does_not_fit_in_is_refused(place: Path, command: tuple[str, ...]) -> None:
    write(to_picture(waves(1200, 1000), None, 8), place / "oil.png", force=True)
    least = style_bytes(1200, 1000, load_model("tiny.safetensors"))
    assert least < style_bytes(1200, 1001, load_model("tiny.safetensors"))
    for flags in ([], ["-n"]):
        refused = run_cli(*command, *FLAGS, *flags, "--memory-limit", f"{(least >> 20) - 1}MiB")
        assert refused.exit_code == 7
        assert refused.stderr.count("\n") == 1
        assert f"oil.png: 1000 x 1200 pixels need {least >> 20} MiB of memory to be" in refused.stderr
        assert "raise --memory-limit" in refused.stderr
    assert run_cli(*command, *FLAGS, "-n", "--memory-limit", f"{(least >> 20) + 1}MiB").exit_code == 0
    assert run_cli(*command, *FLAGS, "-n").exit_code == 0


def test_little_free_memory_makes_small_tiles_before_it_is_an_error(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for free, code in ((400 << 20, 0), (1 << 20, 7)):
        monkeypatch.setattr("texsynth.jobs.memory.available_bytes", lambda free=free: free)
        result = run_cli(*COMMANDS[0], "-o", f"{code}.png", *FLAGS)
        assert result.exit_code == code, result.stderr
    assert "1 MiB are free; reduce it with --max-side" in result.stderr
    assert "tile: 64" in embedded_settings(Path("0.png"))
    assert not Path("7.png").exists()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c[0])
def test_a_dry_run_forecasts_memory_and_tiles(
    place: Path, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(place.iterdir())
    plain = run_cli(*command, "-n", *FLAGS)
    assert plain.exit_code == 0, plain.stderr
    assert plain.stdout.count("\n") == 1
    assert re.fullmatch(r"texsynth: memory: up to \d+ MiB, for cat.png\n", plain.stderr)
    (found,) = (json.loads(line) for line in run_cli(*command, "-n", "--json", *FLAGS).stdout.splitlines())
    assert (found["memory_bytes"] > 380 << 20, found["tile"]) == (True, None)
    monkeypatch.setattr("texsynth.jobs.memory.BASE_BYTES", 0)
    tiled = run_cli(*command, "-n", *FLAGS, "--memory-limit", "9MiB")
    assert re.search(r"up to \d MiB, in tiles of 64 pixels, for cat.png", tiled.stderr), tiled.stderr
    hopeless = run_cli(*command, "-n", *FLAGS, "--memory-limit", "1MiB")
    assert hopeless.exit_code == 7
    assert "1 MiB are allowed" in hopeless.stderr
    assert sorted(place.iterdir()) == before
