"""The explicit formulas of papers 002 and 004 on worked examples, and against the program's own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from helpers.as_printed import gram_loss_as_printed
from torch import Tensor
from torch.testing import assert_close

from texsynth.analysis.self_similarity import self_difference as by_fft
from texsynth.metrics.losses import gram
from texsynth.metrics.style import frechet
from texsynth.reference import ift, self_similarity
from texsynth.reference import ift as style
from texsynth.transforms.moments import Moments


def exact(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def matrix(*rows: tuple[float, ...]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def same(mine: Tensor, oracle: Tensor) -> None:
    assert_close(mine, oracle, rtol=1e-12, atol=1e-12)


# Iterative feature transformation


def test_one_step_by_hand() -> None:
    anchor, second = matrix((1, -1)), matrix((4,))
    same(ift.loss(anchor, anchor, second, weight=1), exact(18)[0])
    same(ift.gradient(anchor, anchor, second, weight=1), matrix((-12, 12)))
    for form in (ift.direct, ift.fused):
        stepped = form(anchor, second, weight=1, rate=0.01, n_upd=1)
        same(stepped, matrix((1.12, -1.12)))
        same(ift.loss(stepped, anchor, second, weight=1), exact(15.10543872)[0])


@pytest.mark.parametrize(
    ("n_upd", "expected"),
    [
        (1, matrix((1.08, -0.08), (-0.08, 0.92))),
        (15, matrix((1.307157759977854, -0.24091457021159), (-0.24367886888869, 0.843255791972524))),
    ],
)
@pytest.mark.parametrize("form", [ift.direct, ift.fused])
def test_steps_of_matrices_that_do_not_commute(
    form: Callable[..., Tensor], n_upd: int, expected: Tensor
) -> None:
    sigma = matrix((2, 1), (1, 2))
    anchor = 2**0.5 * torch.linalg.cholesky(sigma)
    same(ift.second_moment(anchor), sigma)
    features = form(anchor, matrix((3, 0), (0, 1)), weight=1, rate=0.02, n_upd=n_upd)
    same(features @ anchor.inverse(), expected)


@pytest.mark.parametrize(
    ("sigma", "second", "fixed"),
    [
        (
            matrix((1, 0), (0, 0.25)),
            matrix((4, 0), (0, 1)),
            matrix((1.9385371912305365, 0), (0, 1.7692923542386314)),
        ),
        (
            matrix((2, 1), (1, 2)),
            matrix((3, 0), (0, 1)),
            matrix((1.30787039517018, -0.242762211922353), (-0.242762211922353, 0.842113600909472)),
        ),
    ],
)
def test_the_gradient_vanishes_where_the_closed_form_says(
    sigma: Tensor, second: Tensor, fixed: Tensor
) -> None:
    anchor = 2**0.5 * torch.linalg.cholesky(sigma)
    assert ift.gradient(fixed @ anchor, anchor, second, weight=1).abs().max() < 1e-11
    least = ift.reduced_loss(fixed, sigma, second, weight=1)
    for seed in range(5):
        assert ift.reduced_loss(fixed + 0.01 * draw(2, 2, seed=seed), sigma, second, weight=1) > least


def test_the_reduced_loss_is_that_of_the_features() -> None:
    anchor, a = draw(5, 40), draw(5, 5, seed=1)
    second = ift.second_moment(draw(5, 30, seed=2))
    whole = ift.loss(a @ anchor, anchor, second, weight=0.3)
    same(ift.reduced_loss(a, ift.second_moment(anchor), second, weight=0.3), whole / 40)


def test_several_styles_are_their_mean() -> None:
    """The gradients of the terms of several styles add up to that of one, equation 29 at one level."""
    features, anchor = draw(4, 20), draw(4, 20, seed=1)
    seconds, weights = [ift.second_moment(draw(4, 9, seed=s)) for s in (2, 3)], (0.2, 0.6)
    pulls = [
        ift.gradient(features, features, second, weight=w) for second, w in zip(seconds, weights, strict=True)
    ]
    mean = 0.25 * seconds[0] + 0.75 * seconds[1]
    same(2 * (features - anchor) + sum(pulls), ift.gradient(features, anchor, mean, weight=0.8))


# Style losses


def test_style_losses_by_hand() -> None:
    output, target = exact(1, 2)[:, None], exact(0, 1)[:, None]
    assert style.gram_loss(output, target) == 2
    assert style.sliced_wasserstein(exact(3, 1)[:, None], exact(0, 4)[:, None], exact(1)[:, None]) == 1
    gradient = style.sliced_wasserstein_gradient(
        exact(3, 1, 2)[:, None], exact(0, 10, 5)[:, None], exact(1)[:, None]
    )
    same(gradient, 2 / 3 * exact(3 - 10, 1 - 0, 2 - 5)[:, None])


def test_equation_2_as_printed_sees_no_multiple_and_the_corrected_one_does() -> None:
    target = draw(20, 4)
    for output in (2 * target, 0 * target):
        assert gram_loss_as_printed(output, target) < 1e-15
        assert style.gram_loss(output, target) > 0.01
    moved = target[torch.randperm(20, generator=torch.Generator().manual_seed(0))]
    assert gram_loss_as_printed(moved, target) > 0.01
    assert style.gram_loss(moved, target) < 1e-15


def test_the_programs_style_loss_divides_as_the_formula() -> None:
    output, target = draw(12, 3), draw(12, 3, seed=1)
    own, goal = (gram(f.T.reshape(1, 3, 4, 3)) for f in (output, target))
    same((own - goal).abs().mean(), style.gram_loss(output, target))


def test_frechet_distance_by_hand() -> None:
    eye = torch.eye(3).double()
    one, other = Moments.of_gaussian(5, exact(0, 0, 0), 4 * eye), Moments.of_gaussian(5, exact(1, 2, 2), eye)
    assert frechet(one, other) == pytest.approx(12, abs=1e-12)


# Self-similarity


def test_the_map_of_a_two_by_two_picture() -> None:
    x = matrix((1, 2), (3, 4))[..., None]
    difference, energy = self_similarity.self_difference(x, (1, 1))
    same(difference, matrix((9, 8, 1), (2, 0, 2), (1, 8, 9)))
    same(energy, matrix((1, 5, 4), (10, 30, 20), (9, 25, 16)))
    same(by_fft(x.permute(2, 0, 1)[None], (1, 1))[0][0], difference)
    same(by_fft(x.permute(2, 0, 1)[None], (1, 1))[1][0], energy)


def test_the_difference_vanishes_where_the_texture_repeats() -> None:
    x = draw(4, 3, 2).repeat(4, 5, 1)
    difference, _ = self_similarity.self_difference(x, (8, 6))
    assert difference[::4, ::3].max() == 0
    difference[::4, ::3] = 1
    assert difference.min() > 0.05


@pytest.mark.parametrize(("a", "b", "h", "w"), [(4, 3, 2, 5), (1, 1, 3, 3), (5, 6, 4, 1)])
def test_transposed_convolution_is_the_adjoint_of_correlation(a: int, b: int, h: int, w: int) -> None:
    weights, filters = draw(a, b), draw(h, w, 2, seed=1)
    laid = self_similarity.transposed_convolution(weights, filters)
    assert laid.shape == (a + h - 1, b + w - 1, 2)
    grad = draw(*laid.shape, seed=2)
    for back, own in zip(
        self_similarity.transposed_convolution_backward(grad, weights, filters),
        (weights, filters),
        strict=True,
    ):
        same((laid * grad).sum(), (back * own).sum())
