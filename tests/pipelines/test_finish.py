"""The finish: features come to be spread as the style's are, tiles change nothing, contours are kept."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.cli import make_model, make_picture, run_cli
from helpers.nets import level_tensors, tiny_model, waves
from torch import Tensor

from texsynth.config.settings import FinishSettings, OTSettings, StylizeSettings
from texsynth.errors import UsageError
from texsynth.images import embedded_settings, read
from texsynth.jobs.memory import MemoryForecast, TilePlan
from texsynth.models.registry import Model, build_model
from texsynth.pipelines.finish import _Descent, finish
from texsynth.pipelines.progress import Step, silent
from texsynth.pipelines.rasters import TensorRaster
from texsynth.pipelines.stylize import FittedStyle, StyledRegion, fit_style, stylize
from texsynth.transforms import fit_map
from texsynth.transforms.moments import Moments

LEVELS = (3, 2, 1)
SETTINGS = StylizeSettings(levels=LEVELS)


def style(phase: float = 1.0, model: Model | None = None) -> FittedStyle:
    return fit_style(waves(40, 44, phase) ** 2, model or tiny_model(), SETTINGS)


def encoded(image: Tensor, model: Model | None = None) -> list[Tensor]:
    features: list[Tensor] = (model or tiny_model()).encoder(image, max(LEVELS))
    return features


def distance(own: Moments, goal: Moments) -> float:
    """Squared Wasserstein-2 distance over the variance of the goal."""
    transport = fit_map(OTSettings(ridge=1e-9), own, goal)
    gap = transport.matrix - torch.eye(len(own.sum), dtype=torch.float64)
    moved = (gap @ own.covariance @ gap.T).trace() + (own.mean - goal.mean).square().sum()
    return float(moved / goal.covariance.trace())


def finished(image: Tensor, content: Tensor, goal: FittedStyle, kept: float, steps: int = 30) -> Tensor:
    settings = FinishSettings(steps=steps, content=kept)
    return finish(
        TensorRaster(image), TensorRaster(content), goal.moments, tiny_model(), settings,
        weight=None, tile=None, on_step=silent,
    )  # fmt: skip


def test_features_come_near_the_style_at_every_level() -> None:
    goal, image = style(), waves(48, 56)
    with torch.no_grad():
        before, after = encoded(image), encoded(finished(image, image, goal, 0.0))
    for level, moments in goal.moments.items():
        first, last = (distance(Moments.of(f[level - 1]), moments) for f in (before, after))
        assert last < 0.5 * first


def loss(image: Tensor, grey: Tensor, goal: FittedStyle, weight: Tensor | None, kept: float) -> Tensor:
    """The loss times the number of pixels, written out, for autograd. image: float64."""
    total = image.new_zeros(())
    for level, (f, g) in enumerate(zip(encoded(image, DOUBLE), encoded(grey, DOUBLE), strict=True), 1):
        w = torch.ones_like(f[:, :1])
        if weight is not None:
            w = torch.nn.functional.avg_pool2d(weight, 2 ** (level - 1))
        w = (w / w.sum()).flatten()
        f, g = f[0].flatten(1), g[0].flatten(1)
        mean, other = (f * w).sum(1), (g * w).sum(1)
        f, g = f - mean[:, None], g - other[:, None]
        covariance, theirs = (f * w) @ f.T, (g * w) @ g.T
        moments = goal.moments[level]
        target = moments.covariance
        ridge = 1e-3 * torch.eye(len(target), dtype=torch.float64)
        own = covariance + covariance.trace().detach() / len(target) * ridge
        aim = target + target.trace() / len(target) * ridge
        values, vectors = torch.linalg.eigh(aim)
        root = (vectors * values.sqrt()) @ vectors.T
        cross = torch.linalg.eigvalsh(root @ own @ root).clamp_min(1e-30).sqrt().sum()
        gap = (mean - moments.mean).square().sum() + covariance.trace() - 2 * cross
        spread = max(float(target.trace()), 0.01 * float(moments.second.trace()))
        total = total + 2.0 ** (1 - level) * gap / spread
        if level in (1, 2):
            ours, old = covariance.diagonal().sqrt(), theirs.diagonal().sqrt()
            faint = [0.05 * c.diagonal().mean().sqrt().detach() for c in (covariance, theirs)]
            r = ((f * g) * w).sum(1) / ((ours + faint[0]) * (old + faint[1]))
            total = total - 2 * kept * r.mean()
    return total * image.shape[2] * image.shape[3]


DOUBLE = tiny_model(torch.float64)


@pytest.mark.parametrize("tile", [None, 16])
@pytest.mark.parametrize("masked", [False, True])
def test_the_derivative_is_that_of_the_loss(tile: int | None, masked: bool) -> None:
    generator = torch.Generator().manual_seed(4)
    image, content = (torch.rand(1, 3, 64, 80, generator=generator).double() for _ in range(2))
    grey = content.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    weight = waves(64, 80)[:, :1].double() if masked else None
    goal = fit_style(torch.rand(1, 3, 64, 64, generator=generator) ** 2, DOUBLE, SETTINGS)
    leaf = image.clone().requires_grad_()
    loss(leaf, grey, goal, weight, 0.3).backward()
    with torch.no_grad():
        descent = _Descent(TensorRaster(grey), goal.moments, DOUBLE, 0.3, weight, tile)
        own = descent.gradient(image)
    assert leaf.grad is not None
    torch.testing.assert_close(own, leaf.grad, atol=1e-6 * float(leaf.grad.abs().max()), rtol=1e-6)


SMALL = StylizeSettings(levels=LEVELS, finish=FinishSettings(steps=2, rate=0.002))


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (61, 75)])
@pytest.mark.parametrize("make", [tiny_model, lambda: build_model("levels", level_tensors())])
@pytest.mark.parametrize("tile", [None, 16])
def test_any_size_stays_in_range(size: tuple[int, int], make: Callable[[], Model], tile: int | None) -> None:
    model, opaque = make(), waves(*size, 2.0)[:, :1]
    fitted = fit_style(waves(40, 44, 1.0), model, SMALL)
    out = stylize(waves(*size), fitted, model, SMALL, weight=opaque, tile=tile)
    assert out.shape == (1, 3, *size)
    assert 0 <= out.min() <= out.max() <= 1


def test_contours_are_kept_when_asked() -> None:
    content, goal = waves(48, 56), style()
    with torch.no_grad():
        grey = encoded(content.mean(1, keepdim=True).expand(-1, 3, -1, -1))[0].flatten(2)[0]

        def likeness(kept: float) -> float:
            own = encoded(finished(waves(48, 56, 2.0), content, goal, kept))[0].flatten(2)[0]
            both = [torch.corrcoef(torch.stack([a, b]))[0, 1] for a, b in zip(own, grey, strict=True)]
            return float(torch.stack(both).nan_to_num().mean())

        assert likeness(10.0) > likeness(0.0) + 0.1


def test_a_finish_that_overflows_is_refused() -> None:
    with pytest.raises(UsageError, match=r"lower finish\.content"):
        finished(waves(24, 28), waves(24, 28, 2.0), style(), 1e308, steps=2)


def test_strength_goes_between_content_and_style() -> None:
    model, goal, content = tiny_model(), style(), waves(48, 56)
    (region,) = [StyledRegion((goal,), (1.0,))]
    own = Moments.of(encoded(content)[1].detach())
    half = region.goal(own, SETTINGS.model_copy(update={"strength": 0.5}), 2)
    none = region.goal(own, SETTINGS.model_copy(update={"strength": 0.0}), 2)
    full = region.goal(own, SETTINGS, 2)
    torch.testing.assert_close(none.covariance, own.covariance)
    torch.testing.assert_close(full.covariance, goal.moments[2].covariance)
    torch.testing.assert_close(half.mean, (own.mean + goal.moments[2].mean) / 2)
    assert model.name == "tiny"


def test_half_precision_networks_finish_in_float32() -> None:
    model = tiny_model(torch.bfloat16)
    out = stylize(waves(40, 40), fit_style(waves(40, 44, 1.0), model, SMALL), model, SMALL)
    assert out.isfinite().all()
    assert next(model.encoder.parameters()).dtype == torch.bfloat16


def test_nothing_is_finished_without_levels_or_weight() -> None:
    model = tiny_model()
    region, empty = [StyledRegion((FittedStyle({}),), (1.0,))], torch.zeros(1, 1, 40, 48)
    bare = SMALL.model_copy(update={"grain": 0.0})
    assert torch.equal(stylize(waves(40, 48), region, model, bare), waves(40, 48))
    fitted = fit_style(waves(40, 44, 1.0), model, SMALL)
    assert stylize(waves(40, 48), fitted, model, SMALL, weight=empty).isfinite().all()


def test_progress_goes_on_from_the_levels() -> None:
    steps: list[Step] = []
    model = tiny_model()
    stylize(waves(40, 48), fit_style(waves(40, 44, 1.0), model, SMALL), model, SMALL, on_step=steps.append)
    shares = [step.share for step in steps]
    assert shares == sorted(shares)
    assert [stage for stage, _ in groupby(step.stage for step in steps)] == ["level", "finish"]
    assert shares[-1] == 1


def test_the_forecast_of_memory_grows_with_the_finish() -> None:
    plain, fine = (MemoryForecast.of(900, 900, tiny_model(), s) for s in (SETTINGS, SMALL))
    for plan in (TilePlan(), TilePlan(128)):
        assert fine.bytes(plan) > plain.bytes(plan)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_model(tmp_path / "tiny.safetensors")
    for seed, name in enumerate(("cat", "oil", "ink")):
        make_picture(tmp_path / f"{name}.png", seed=seed, height=40, width=48)
    return tmp_path


FLAGS = ("--model", "tiny.safetensors", "--dtype", "float32", "--threads", "1")
FINE = ("-p", "best", "--set", "finish.steps=3", *FLAGS)


def test_the_preset_changes_the_picture_and_replays(place: Path) -> None:
    del place
    assert run_cli("stylize", "cat.png", "oil.png", *FLAGS, "-o", "plain.png").exit_code == 0
    result = run_cli("stylize", "cat.png", "oil.png", *FINE, "-o", "fine.png")
    assert result.exit_code == 0, result.stderr
    assert (read(Path("fine.png")).rgb != read(Path("plain.png")).rgb).any()
    assert "steps: 3" in embedded_settings(Path("fine.png"))
    assert run_cli("replay", "fine.png", "-o", "again.png").exit_code == 0
    assert Path("again.png").read_bytes() == Path("fine.png").read_bytes()


def test_cards_and_blends_are_finished_as_pictures_are(place: Path) -> None:
    del place
    assert run_cli("card", "make", "oil.png", "-o", "oil.card", *FLAGS).exit_code == 0
    for number, oil in enumerate(("oil.png", "oil.card")):
        styles = ("--style", f"{oil}:2", "--style", "ink.png")
        result = run_cli("blend", "cat.png", *styles, *FINE, "-o", f"{number}.png")
        assert result.exit_code == 0, result.stderr
    assert np.array_equal(read(Path("0.png")).rgb, read(Path("1.png")).rgb)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [(("--photo",), "mode must be artistic"), (("--transform", "optimize"), "descends on pixels already")],
)
def test_what_has_no_brushwork_is_refused(place: Path, flags: tuple[str, ...], sentence: str) -> None:
    result = run_cli("stylize", "cat.png", "oil.png", *FINE, *flags, "-o", "no.png")
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert "set finish.steps to 0" in result.stderr
    assert not (place / "no.png").exists()


def test_a_picture_too_large_for_memory_is_refused_before_the_work(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("texsynth.jobs.contents.LARGE_PIXELS", 1)
    result = run_cli("stylize", "cat.png", "oil.png", *FINE, "--memory-limit", "100MiB", "-o", "no.png")
    assert result.exit_code == 7
    assert "or set finish.steps to 0" in result.stderr
    assert not (place / "no.png").exists()
