"""The best of several finished pictures, with tiny networks and pictures."""

from __future__ import annotations

from dataclasses import replace

import torch
from helpers.nets import tiny_model
from torch import Tensor

from texsynth.config.settings import ExpandSettings
from texsynth.ops.resample import box_mean
from texsynth.pipelines.candidates import Rate, best_of, cut_rate
from texsynth.pipelines.complete import tile
from texsynth.pipelines.expand import Expanded, Networks, expand
from texsynth.pipelines.method import plan_expand
from texsynth.pipelines.progress import Step
from texsynth.synthesis.exemplar import Exemplar

QUICK = {
    "method": "patch",
    "patch": {"refine": 0.0, "iterations": [1], "layouts": 1},
    "variety": 0.0,
    "scale": 1.2,
}


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def texture(height: int = 50, width: int = 56) -> Tensor:
    """Spots out of order."""
    noise = box_mean(torch.rand(1, 1, height, width, generator=rng()), 2)
    noise = (noise - noise.amin()) / (noise.amax() - noise.amin())
    return noise * torch.tensor([1.0, 0.8, 0.6]).view(1, 3, 1, 1)


def settings(candidates: int, **changes: object) -> ExpandSettings:
    return ExpandSettings.model_validate({**QUICK, "candidates": candidates, **changes})


def made(candidates: int, *exemplars: Exemplar, **changes: object) -> Expanded:
    plan = plan_expand(exemplars or [Exemplar(texture())], settings(candidates, **changes))
    return expand(plan, Networks(tiny_model()), rng=rng())


def test_the_lowest_rate_is_kept_and_of_equals_the_first() -> None:
    steps: list[Step] = []
    results = iter([(3, "a"), (1, "b"), (1, "c"), (2, "d")])

    def make(on_step: object) -> tuple[int, str]:
        assert callable(on_step)
        on_step(Step("patches", 5, 5))
        return next(results)

    assert best_of(4, make, lambda result: result[0], steps.append) == (1, "b")
    assert [(step.done, step.total) for step in steps] == [(5, 20), (10, 20), (15, 20), (20, 20)]


def test_nothing_is_rated_where_there_is_too_little_to_look_at() -> None:
    model, whole = tiny_model(), Exemplar(texture())
    assert cut_rate([whole], (60, 60), model) is not None
    assert cut_rate([whole], (60, 24), model) is None, "the output has no places"
    assert cut_rate([Exemplar(texture(40, 60))], (60, 60), model) is None
    assert cut_rate([whole, whole], (60, 60), model) is None
    stripes = (torch.arange(56) % 16 < 12).float().expand(1, 1, 50, 56)
    assert cut_rate([replace(whole, mask=stripes)], (60, 60), model) is None


def test_the_least_cut_picture_is_kept_with_its_siblings() -> None:
    image = texture()
    number = torch.arange(image[0, 0].numel()).view(1, 1, *image.shape[2:]).float()
    exemplar, rate = Exemplar(image, siblings=(number,)), rate_of(Exemplar(image))
    one, same = plan_expand([exemplar], settings(1)), rng()
    results = [expand(one, Networks(tiny_model()), rng=same) for _ in range(3)]
    best = made(3, exemplar)
    least = min(results, key=lambda result: rate(result.image))
    assert bool((best.image == least.image).all())
    assert bool((best.siblings[0] == least.siblings[0]).all())
    assert bool((best.siblings[0] == best.siblings[0].round()).all()), "numbers are not mixed"


def rate_of(exemplar: Exemplar) -> Rate:
    rate = cut_rate([exemplar], (60, 60), tiny_model())
    assert rate is not None
    return rate


def test_a_mixture_is_made_once() -> None:
    pair = Exemplar(texture()), Exemplar(texture().flip(3))
    assert bool((made(3, *pair).image == made(1, *pair).image).all())


def test_the_least_cut_tile_is_kept() -> None:
    # What is laid anew, along the borders, is looked at in the middle.
    model, rate, same = Networks(tiny_model()), rate_of(Exemplar(texture())), rng()
    tiles = [tile(Exemplar(texture()), settings(1), model, rng=same).image for _ in range(2)]
    best = tile(Exemplar(texture()), settings(2), model, rng=rng()).image
    assert bool((best == min(tiles, key=lambda image: rate(image.roll((25, 28), (2, 3))))).all())


def test_the_smallest_exemplars_and_outputs_have_one_candidate() -> None:
    small = Exemplar(texture(16, 20))
    assert made(2, small, size=(20, 16)).image.shape == (1, 3, 16, 20)
    assert made(2, Exemplar(texture()), size=(90, 16)).image.shape == (1, 3, 16, 90)
