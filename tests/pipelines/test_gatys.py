"""Gradient descent on the picture: it reaches the styles' statistics, and keeps to the content when asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.cli import make_model, make_picture, run_cli
from helpers.nets import tiny_model, waves
from torch import Tensor

from texsynth.config.settings import DescentSettings, StylizeSettings
from texsynth.images import read
from texsynth.pipelines.gatys import descend_image
from texsynth.pipelines.stylize import FittedStyle, fit_style
from texsynth.transforms.moments import Moments

LEVELS = StylizeSettings(levels=(3, 2, 1))


def style(phase: float) -> FittedStyle:
    return fit_style(waves(40, 40, phase) ** 2, tiny_model(), LEVELS)


def distance(image: Tensor, target: FittedStyle) -> float:
    """Relative distance of Gram matrices, summed over levels."""
    with torch.no_grad():
        features = tiny_model().encoder(image, 3)
    gaps = [Moments.of(features[level - 1]).second - m.second for level, m in target.moments.items()]
    return sum(
        float(gap.norm() / m.second.norm()) for gap, m in zip(gaps, target.moments.values(), strict=True)
    )


def descended(*weighted: tuple[FittedStyle, float], **settings: float) -> Tensor:
    chosen = DescentSettings.model_validate({"iterations": 40, "content": 0.0, **settings})
    styles = [(fitted.moments, weight) for fitted, weight in weighted]
    return descend_image(waves(40, 48), styles, tiny_model(), chosen, lambda _: None)


def test_the_gram_matrices_come_near_the_styles() -> None:
    target = style(1.0)
    assert distance(descended((target, 1.0)), target) < 0.5 * distance(waves(40, 48), target)


def test_the_heavier_style_is_nearer() -> None:
    a, b = style(1.0), style(2.5)
    mostly_a, mostly_b = descended((a, 0.9), (b, 0.1)), descended((a, 0.1), (b, 0.9))
    assert distance(mostly_a, a) < distance(mostly_b, a)
    assert distance(mostly_b, b) < distance(mostly_a, b)


def test_a_heavy_content_stays() -> None:
    target = style(1.0)
    free, held = descended((target, 1.0)), descended((target, 1.0), content=1e4)
    with torch.no_grad():
        wanted, loose, tight = (tiny_model().encoder(x, 3)[-1] for x in (waves(40, 48), free, held))
    assert (tight - wanted).square().mean() < 0.1 * (loose - wanted).square().mean()


@pytest.mark.parametrize("size", [(1, 1), (17, 9)])
def test_any_size_stays_in_range(size: tuple[int, int]) -> None:
    settings = DescentSettings(iterations=5)
    out = descend_image(waves(*size), [(style(1.0).moments, 1.0)], tiny_model(), settings, lambda _: None)
    assert out.shape == (1, 3, *size)
    assert out.isfinite().all()
    assert 0 <= out.min() <= out.max() <= 1


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_model(tmp_path / "tiny.safetensors")
    make_picture(tmp_path / "cat.png", seed=1)
    make_picture(tmp_path / "oil.png", seed=3)
    flags = ["--transform", "optimize", "--set", "transform.iterations=4", "--model", "tiny.safetensors"]
    styles = ["--style", "oil.png:2", "--style", "cat.png"]
    assert run_cli("blend", "cat.png", *styles, *flags, "-o", "out.png").exit_code == 0
    assert (read(Path("out.png")).rgb != read(Path("cat.png")).rgb).any()
    assert run_cli("replay", "out.png", "-o", "again.png").exit_code == 0
    assert Path("again.png").read_bytes() == Path("out.png").read_bytes()
    still = ["--strength", "0", "-o", "same.png"]
    assert run_cli("stylize", "cat.png", "oil.png", *flags, *still).exit_code == 0
    assert np.abs(read(Path("same.png")).rgb.astype(int) - read(Path("cat.png")).rgb).max() <= 1
    refused = run_cli("blend", "cat.png", *styles, *flags, "--photo", "-o", "photo.png")
    assert refused.exit_code == 2
    assert "mode must be artistic" in refused.stderr
