from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from texsynth.config.settings import IFTSettings
from texsynth.transforms import Moments, fit_map
from texsynth.transforms.ift import descend, style_weight

Matrix = list[list[float]]

NON_COMMUTING = (
    torch.tensor([[2.0, 1.0], [1.0, 2.0]]).double(),
    torch.tensor([[3.0, 0.0], [0.0, 1.0]]).double(),
)


def make_features(seed: int, channels: int, pixels: int, dead: int = 0) -> Tensor:
    """Correlated features behind a ReLU, (1, C, 1, pixels) float64; the first `dead` channels are zero."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(channels, channels, generator=generator, dtype=torch.float64) / channels**0.5
    noise = torch.randn(channels, pixels, generator=generator, dtype=torch.float64)
    features: Tensor = (mixing @ noise + 0.3).relu()
    features[:dead] = 0
    return features.reshape(1, channels, 1, pixels)


def plain_iteration(content: Tensor, target: Tensor, weight: float, settings: IFTSettings) -> Tensor:
    """The paper's iteration on C x n features at a fixed rate."""
    f = content[0, :, 0]
    n = f.shape[1]
    assert isinstance(settings.n_upd, int)
    for _ in range(settings.n_iter):
        anchor = f
        for _ in range(settings.n_upd):
            f = f - settings.rate * (2 * (f - anchor) + 4 * weight * (f @ f.T / n - target) @ f)
    return f[None, :, None]


def plain_loss(matrix: Tensor, sigma: Tensor, target: Tensor, weight: float) -> float:
    """The paper's loss divided by n, against the content."""
    moved = matrix - torch.eye(len(matrix), dtype=torch.float64)
    gap = matrix @ sigma @ matrix.T - target
    return float((moved @ sigma @ moved.T).trace() + weight * gap.square().sum())


def solve(sigma: Matrix | Tensor, target: Matrix | Tensor, **settings: object) -> tuple[Tensor, list[float]]:
    """Descend with lambda' = 1."""
    s, t = torch.as_tensor(sigma).double(), torch.as_tensor(target).double()
    pull = float(t.trace()) / len(t)
    return descend(s, t, IFTSettings.model_validate({"pull": pull, **settings}))


def test_scalar_oracle() -> None:
    matrix, losses = solve([[1.0]], [[4.0]], step="fixed", rate=0.01, n_upd=1)
    assert float(matrix) == pytest.approx(1.12, rel=1e-12)
    assert losses == pytest.approx([18 / 2, 15.10543872 / 2], rel=1e-12)
    assert float(solve([[1.0]], [[4.0]], step="safe", n_upd=1)[0]) == pytest.approx(1 + 12 / 70, rel=1e-12)


@pytest.mark.parametrize("step", ["line", "safe"])
@pytest.mark.parametrize(
    ("sigma", "target", "fixed_point"),
    [
        ([[1.0]], [[4.0]], [[1.9385371912305365]]),
        (
            [[1.0, 0.0], [0.0, 0.25]],
            [[4.0, 0.0], [0.0, 1.0]],
            [[1.9385371912305365, 0.0], [0.0, 1.7692923542386314]],
        ),
        (
            [[2.0, 1.0], [1.0, 2.0]],
            [[3.0, 0.0], [0.0, 1.0]],
            [[1.30787039517018, -0.242762211922353], [-0.242762211922353, 0.842113600909472]],
        ),
    ],
)
def test_fixed_points(step: str, sigma: Matrix, target: Matrix, fixed_point: Matrix) -> None:
    matrix, _ = solve(sigma, target, step=step, n_upd=1000)
    assert_close(matrix, torch.tensor(fixed_point).double(), rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("n_upd", "expected"),
    [
        (1, [[1.08, -0.08], [-0.08, 0.92]]),
        (15, [[1.307157759977854, -0.24091457021159], [-0.24367886888869, 0.843255791972524]]),
    ],
)
def test_iterates_of_matrices_that_do_not_commute(n_upd: int, expected: Matrix) -> None:
    matrix, _ = solve(*NON_COMMUTING, step="fixed", rate=0.02, n_upd=n_upd)
    assert_close(matrix, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("pull", [0.1, 1.0])
def test_the_limit_is_stationary(pull: float) -> None:
    sigma, target = (Moments.of(make_features(i, 6, 300)).second for i in (0, 1))
    settings = IFTSettings(pull=pull, n_upd=1000, n_iter=1)
    matrix, _ = descend(sigma, target, settings)
    weight = style_weight(sigma, target, pull)
    gap = matrix @ sigma @ matrix - target
    assert_close(matrix.inverse(), torch.eye(6).double() + 2 * weight * gap, rtol=0, atol=1e-3)
    assert_close(matrix, matrix.T, rtol=0, atol=1e-3)


@pytest.mark.parametrize("n_iter", [1, 3])
@pytest.mark.parametrize(
    ("channels", "pixels", "dead"),
    [(3, 50, 0), (8, 400, 0), (16, 9, 0), (12, 200, 5), (12, 4, 3), (5, 1000, 5)],
)
def test_matrices_and_features_iterate_alike(channels: int, pixels: int, dead: int, n_iter: int) -> None:
    content, style = make_features(0, channels, pixels, dead), make_features(1, channels, 77)
    pull = 0.3
    settings = IFTSettings(centred=False, pull=pull, step="fixed", rate=0.01, n_iter=n_iter)
    c, s = Moments.of(content), Moments.of(style)
    expected = plain_iteration(content, s.second, style_weight(c.second, s.second, pull), settings)
    affine = fit_map(settings, c, s)
    ours = affine(content)
    assert all("none of" in note for note in affine.notes)
    assert_close(ours, expected, rtol=0, atol=1e-9 * float(style.abs().max()))
    assert dead == channels or not torch.allclose(ours, content, atol=1e-3)


@pytest.mark.parametrize("step", ["line", "safe", "fixed"])
@pytest.mark.parametrize("pull", [1e-3, 1.0, 1e3, 1e6])
@pytest.mark.parametrize(("channels", "pixels", "dead"), [(8, 400, 0), (16, 9, 0), (12, 200, 5)])
def test_no_step_increases_the_loss(step: str, pull: float, channels: int, pixels: int, dead: int) -> None:
    sigma = Moments.of(make_features(0, channels, pixels, dead)).second
    target = Moments.of(make_features(1, channels, 77)).second
    settings = IFTSettings.model_validate({"pull": pull, "step": step, "n_upd": 30})
    matrix, losses = descend(sigma, target, settings)
    assert len(losses) > 1
    assert all(after < before for before, after in pairwise(losses))
    weight = style_weight(sigma, target, pull)
    assert losses[-1] == pytest.approx(plain_loss(matrix, sigma, target, weight), rel=1e-6)
    assert losses[0] == pytest.approx(
        plain_loss(torch.eye(channels).double(), sigma, target, weight), rel=1e-9
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("scale", [0.03, 1.0, 30.0])
def test_the_line_search_finds_the_best_step(seed: int, scale: float) -> None:
    sigma = Moments.of(make_features(seed, 4, 60)).second
    target = scale * Moments.of(make_features(seed + 9, 4, 60)).second
    weight = style_weight(sigma, target, 2.0)
    _, (start, found) = descend(sigma, target, IFTSettings(pull=2.0, n_upd=1))
    downhill = -4 * weight * (sigma - target)
    eye = torch.eye(4).double()
    steps = [10 ** (e / 20) for e in range(-100, 20)]
    best = min(plain_loss(eye + t * downhill, sigma, target, weight) for t in steps)
    assert found <= best * (1 + 1e-9)
    assert found < start


def test_a_rate_that_diverges_falls_back_to_safe_steps() -> None:
    sigma, target = (Moments.of(make_features(i, 8, 300)).second for i in (0, 1))
    notes: list[str] = []
    settings = IFTSettings(pull=10.0, step="fixed", rate=0.5, n_upd=3)
    fixed, _ = descend(sigma, target, settings, notes.append)
    (note,) = notes
    assert "rate 0.5" in note
    assert "3 of 3 steps would have raised the objective" in note
    safe, _ = descend(sigma, target, IFTSettings(pull=10.0, step="safe", n_upd=3))
    assert_close(fixed, safe)


@pytest.mark.parametrize("step", ["line", "safe", "fixed"])
def test_the_scale_of_features_does_not_matter(step: str) -> None:
    c, s = (Moments.of(make_features(i, 6, 200)).second for i in (0, 1))
    settings = IFTSettings.model_validate({"step": step, "rate": 1e-3})
    for scale in (1e-4, 37.0, 1e4):
        scaled, _ = descend(scale**2 * c, scale**2 * s, settings)
        assert_close(scaled, descend(c, s, settings)[0], rtol=0, atol=1e-8)


def test_the_size_of_pictures_does_not_matter() -> None:
    content, style = make_features(0, 6, 200), make_features(1, 6, 90)
    once = fit_map(IFTSettings(centred=False), Moments.of(content), Moments.of(style))
    often = fit_map(IFTSettings(centred=False), Moments.of(content).scaled(49), Moments.of(style).scaled(3))
    assert_close(often.matrix, once.matrix, rtol=0, atol=1e-9)


@pytest.mark.parametrize("step", ["line", "safe"])
@pytest.mark.parametrize(("pixels", "dead"), [(200, 4), (5, 0), (5, 4)])
def test_missing_directions_do_not_grow(step: str, pixels: int, dead: int) -> None:
    content, style = make_features(0, 10, pixels, dead), make_features(1, 10, 200)
    settings = IFTSettings.model_validate({"pull": 1000.0, "n_upd": 1000, "step": step})
    moments = Moments.of(content)
    affine = fit_map(settings, moments, Moments.of(style))
    values, vectors = torch.linalg.eigh(moments.second)
    missing = vectors[:, values < 1e-12 * values[-1]]
    assert missing.shape[1] >= max(dead, 10 - pixels)
    assert_close(affine.matrix @ missing, missing, rtol=0, atol=1e-6)


def test_more_pull_comes_closer_to_the_style() -> None:
    content, style = make_features(0, 6, 300), make_features(1, 6, 300)
    target = Moments.of(style).second
    gaps = []
    for pull in (0.01, 0.1, 1.0, 10.0):
        out = fit_map(
            IFTSettings(centred=False, pull=pull, n_upd=300), Moments.of(content), Moments.of(style)
        )(content)
        gaps.append(float((Moments.of(out).second - target).norm()))
    assert gaps == sorted(gaps, reverse=True)


def test_anchors_that_move_come_closer_to_the_style() -> None:
    content, style = make_features(0, 6, 300), make_features(1, 6, 300)
    target, gaps = Moments.of(style).second, []
    for n_iter in (1, 2, 4):
        settings = IFTSettings(centred=False, pull=0.1, n_upd=30, n_iter=n_iter)
        out = fit_map(settings, Moments.of(content), Moments.of(style))(content)
        gaps.append(float((Moments.of(out).second - target).norm()))
    assert gaps == sorted(gaps, reverse=True)


def test_the_stated_bounds() -> None:
    content, style = make_features(0, 6, 300), 3 * make_features(1, 6, 300)
    sigma, target = Moments.of(content).second, Moments.of(style).second
    out = fit_map(IFTSettings(centred=False, pull=50.0), Moments.of(content), Moments.of(style))(content)
    gap = float((sigma - target).norm())
    moved = float((out - content).square().sum(1).mean()) ** 0.5
    assert moved <= math.sqrt(style_weight(sigma, target, 50.0)) * gap
    norm = float(torch.linalg.matrix_norm(Moments.of(out).second, 2))
    assert norm <= float(torch.linalg.matrix_norm(target, 2)) + gap


def test_centred_matches_the_mean_and_nears_the_covariance() -> None:
    content, style = make_features(0, 6, 300), make_features(1, 6, 300) + 5
    out = fit_map(IFTSettings(centred=True, pull=10.0, n_upd=200), Moments.of(content), Moments.of(style))(
        content
    )
    target = Moments.of(style).covariance
    assert_close(out.mean((2, 3)), style.mean((2, 3)))
    before, after = ((Moments.of(f).covariance - target).norm() for f in (content, out))
    assert after < 0.1 * before
