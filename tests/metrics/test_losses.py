"""Texture losses against closed forms."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from texsynth.metrics.losses import frechet_distance, gram, random_directions, sliced_wasserstein
from texsynth.metrics.style import frechet
from texsynth.transforms.moments import Moments

ONE = torch.ones(1, 1)


def samples(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def line(*values: float) -> Tensor:
    return torch.tensor(values).view(1, 1, -1)


def gram_l1(output: Tensor, target: Tensor) -> Tensor:
    return (gram(output) - gram(target)).abs().mean()


def test_sorted_differences_of_two_pairs() -> None:
    assert sliced_wasserstein(line(3, 1), line(0, 4), ONE) == 1


def test_sorting_is_the_best_of_all_matchings() -> None:
    a, b = samples(6), samples(6, seed=1)
    best = min((a[list(order)] - b).square().mean() for order in itertools.permutations(range(6)))
    torch.testing.assert_close(sliced_wasserstein(a.view(1, 1, 6), b.view(1, 1, 6), ONE), best)


def test_unequal_numbers_match_their_quantiles() -> None:
    a, b = samples(2, 1, 4), samples(2, 1, 6, seed=1)
    same = sliced_wasserstein(a.repeat_interleave(3, 2), b.repeat_interleave(2, 2), ONE)
    torch.testing.assert_close(sliced_wasserstein(a, b, ONE), same)
    assert sliced_wasserstein(a, a.repeat(1, 1, 5), ONE) < 1e-20


def test_a_moved_and_a_scaled_cloud_have_closed_forms() -> None:
    cloud = samples(1, 3, 400)
    directions = random_directions(6000, 3, torch.Generator().manual_seed(2), cloud)
    move = torch.tensor([1.0, -2, 0.5]).view(1, 3, 1)
    moved = sliced_wasserstein(cloud + move, cloud, directions)
    assert moved.item() == pytest.approx(move.square().sum().item() / 3, rel=0.03)
    scaled = sliced_wasserstein(1.5 * cloud, cloud, directions)
    assert scaled.item() == pytest.approx(0.25 * cloud.square().mean().item(), rel=0.03)


def test_the_gradient_follows_the_ranks() -> None:
    a = torch.tensor([[[3.0, 1, 2]]], requires_grad=True)
    (gradient,) = torch.autograd.grad(sliced_wasserstein(a, line(0, 10, 5), ONE), a)
    torch.testing.assert_close(gradient, 2 / 3 * line(3 - 10, 1 - 0, 2 - 5))


def test_tags_compare_region_by_region() -> None:
    a, b = line(0, 0, 5, 5), line(5, 5, 0, 0)
    assert sliced_wasserstein(a, b, ONE) == 0
    assert sliced_wasserstein(a, b, ONE, torch.tensor([0, 0, 1, 1])) == 25
    assert sliced_wasserstein(a, b, ONE, torch.tensor([0, 1, 1, 0])) == 0
    # Regions of unequal shares count by them.
    uneven = sliced_wasserstein(line(0, 0, 0, 4), line(1, 1, 1, 2), ONE, torch.tensor([0, 0, 0, 1]))
    assert uneven.item() == pytest.approx(0.75 * 1 + 0.25 * 4)


def test_directions_are_seeded_units() -> None:
    one, two = (random_directions(50, 7, torch.Generator().manual_seed(3), ONE) for _ in range(2))
    assert torch.equal(one, two)
    torch.testing.assert_close(one.norm(dim=1), torch.ones(50))


def test_the_style_loss_of_two_pixels() -> None:
    out, target = torch.tensor([1.0, 2]).view(1, 1, 2, 1), torch.tensor([0.0, 1]).view(1, 1, 2, 1)
    assert gram_l1(out, target) == 2


def test_the_style_loss_ignores_place_and_size_but_not_the_picture() -> None:
    f = samples(2, 3, 4, 4)
    moved = f.flatten(2)[..., torch.randperm(16, generator=torch.Generator().manual_seed(0))].view_as(f)
    assert gram_l1(moved, f) < 1e-15
    assert gram_l1(f.repeat(1, 1, 2, 3), f) < 1e-15
    assert gram_l1(f.flip(0), f) > 0.01, "pictures of a batch must not mix"


def test_the_gradient_of_the_style_loss() -> None:
    f, target = samples(1, 3, 4, 5).requires_grad_(), samples(1, 3, 4, 5, seed=1)
    (mine,) = torch.autograd.grad(gram_l1(f, target), f)
    phi, other, scale = f.detach().flatten(2)[0], target.flatten(2)[0], 1 / (3 * 20)
    sign = torch.sign(scale * (phi @ phi.T - other @ other.T))
    torch.testing.assert_close(mine.flatten(2)[0], 2 * scale / 9 * sign @ phi)


def test_losses_stay_in_float32_under_autocast() -> None:
    f, g = samples(1, 4, 6, 6).float(), samples(1, 4, 6, 6, seed=1).float()
    directions = random_directions(8, 4, torch.Generator().manual_seed(0), f)

    def losses() -> list[Tensor]:
        return [gram_l1(f, g), sliced_wasserstein(f.flatten(2), g.flatten(2), directions)]

    plain = losses()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = losses()
    assert all(torch.equal(one, two) for one, two in zip(plain, mixed, strict=True))


def gaussian(rows: Tensor) -> tuple[Tensor, Tensor]:
    centred = rows - rows.mean(0)
    return rows.mean(0), centred.mT @ centred / len(rows)


def test_the_frechet_distance_has_closed_forms() -> None:
    """Whitened samples have the moments of a unit Gaussian exactly; scaling and moving them is known."""
    rows = samples(50, 3)
    mean, covariance = gaussian(rows)
    values, vectors = torch.linalg.eigh(covariance)
    white = (rows - mean) @ vectors / values.sqrt()
    zero, eye = torch.zeros(3).double(), torch.eye(3).double()
    assert frechet_distance(white, zero, eye).item() == pytest.approx(0, abs=1e-12)
    moved = frechet_distance(2 * white + torch.tensor([1.0, 2, 2]), zero, eye, ridge=1e-9)
    assert moved.item() == pytest.approx(9 + 3)
    assert frechet_distance(rows, mean, covariance).item() == pytest.approx(0, abs=1e-12)
    turned = rows @ torch.linalg.qr(samples(3, 3, seed=4)).Q
    moments = Moments.of(turned.T[None, :, :, None]), Moments.of(rows.T[None, :, :, None])
    assert frechet_distance(turned, *gaussian(rows), ridge=0).item() == pytest.approx(frechet(*moments))


def test_the_gradient_of_the_frechet_distance() -> None:
    rows = samples(12, 4).requires_grad_()
    mean, covariance = gaussian(samples(30, 4, seed=1) * torch.tensor([1.0, 2, 3, 4]))
    assert torch.autograd.gradcheck(lambda x: frechet_distance(x, mean, covariance), rows)


@pytest.mark.parametrize("kind", ["equal", "few", "flat", "isotropic", "large"])
def test_the_gradient_of_the_frechet_distance_is_always_finite(kind: str) -> None:
    """Equal eigenvalues, empty directions on either side, and values of any size."""
    rows, others = samples(40, 8).float(), samples(60, 8, seed=1).float()
    if kind == "equal":
        rows = torch.ones(40, 8)
    elif kind == "few":
        rows = rows[:2]
    elif kind == "flat":
        others = others * torch.tensor([1.0] + [0] * 7)
    elif kind == "large":
        rows = rows * 1e6
    moments = gaussian(others) if kind != "isotropic" else (torch.zeros(8), torch.eye(8))
    distance = frechet_distance(rows.requires_grad_(), *moments)
    (slope,) = torch.autograd.grad(distance, rows)
    assert distance.isfinite()
    assert slope.isfinite().all()


def test_descent_on_the_frechet_distance_reaches_the_other_gaussian() -> None:
    rows = samples(64, 4).float().requires_grad_()
    moments = gaussian(samples(200, 4, seed=1) @ samples(4, 4, seed=2) + 3)
    optimizer = torch.optim.Adam([rows], lr=0.1)
    distances = []
    for _ in range(150):
        optimizer.zero_grad()
        distance = frechet_distance(rows, *moments)
        distance.backward()
        optimizer.step()
        distances.append(float(distance.detach()))
    assert distances[-1] < 0.01 * distances[0]


@pytest.mark.parametrize(("count", "share"), [(24, 0.86), (200, 0.086), (2000, 0.0087), (20000, 0.00087)])
def test_the_bias_of_the_frechet_distance_on_small_samples(count: int, share: float) -> None:
    """Samples of the very Gaussian are not at 0, but, in units of the variance of 64 channels, about here.

    From some hundred samples on that is (C + 5) / (4 n); a batch of pooled features would be far off.
    """
    rows = samples(count, 64, seed=count)
    bias = float(frechet_distance(rows, torch.zeros(64), torch.eye(64))) / 64
    assert bias == pytest.approx(share, rel=0.15)
    if count >= 200:
        assert bias == pytest.approx((64 + 5) / (4 * count), rel=0.15)
