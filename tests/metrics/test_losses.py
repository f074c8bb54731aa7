"""Texture losses against closed forms."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from texsynth.metrics.losses import gram, random_directions, sliced_wasserstein

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
