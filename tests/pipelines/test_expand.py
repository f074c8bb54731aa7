"""Expansion as a whole, with tiny networks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.nets import tiny_model, tiny_tensors, waves
from torch import Tensor

from texsynth.config.expand_rules import (
    check_combination,
    check_exemplar_size,
    check_output_size,
    output_size,
    settle_method,
)
from texsynth.config.settings import ExpandSettings, OptimizeSettings
from texsynth.errors import InputError, UsageError
from texsynth.metrics.losses import random_directions, sliced_wasserstein
from texsynth.models.registry import build_model
from texsynth.pipelines.expand import Expanded, Networks, expand
from texsynth.pipelines.feature_optimization import optimize
from texsynth.pipelines.method import plan_expand
from texsynth.synthesis.exemplar import Exemplar

QUICK = {
    "method": "patch",
    "patch": {"refine": 1.0, "iterations": [1]},
    "optimize": {"iterations": 2, "noise_iterations": 2},
}


def settings(**changes: object) -> ExpandSettings:
    return ExpandSettings.model_validate({**QUICK, **changes})


def run(*exemplars: Exemplar, seed: int = 0, guide: Tensor | None = None, **changes: object) -> Expanded:
    rng = torch.Generator().manual_seed(seed)
    plan = plan_expand(exemplars, settings(**changes), guided=guide is not None)
    return expand(plan, Networks(tiny_model()), guide=guide, rng=rng)


def texture(height: int = 40, width: int = 48, seed: int = 0) -> Tensor:
    noise = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))
    return (0.6 * waves(height, width) + 0.4 * noise).clamp(0, 1)


@pytest.mark.parametrize("method", ["patch", "patch+optimize", "optimize"])
@pytest.mark.parametrize(
    "size", [(16, 16, (40, 33)), (17, 40, (16, 61)), (24, 24, (24, 24)), (40, 48, (20, 90))]
)
def test_any_exemplar_gives_any_size(method: str, size: tuple[int, int, tuple[int, int]]) -> None:
    height, width, (columns, rows) = size
    result = run(Exemplar(texture(height, width)), method=method, size=(columns, rows)).image
    assert result.shape == (1, 3, rows, columns)
    assert bool(result.isfinite().all())
    assert float(result.min()) >= 0
    assert float(result.max()) <= 1


def test_scale_and_size_name_the_output() -> None:
    assert output_size(ExpandSettings(scale=1.5), 40, 30) == (60, 45)
    assert output_size(ExpandSettings(size=(70, 20), scale=1.5), 40, 30) == (20, 70)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_texture_and_another_another() -> None:
    one, same, other = (run(Exemplar(texture()), seed=s).image for s in (3, 3, 4))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("method", ["patch", "patch+optimize"])
def test_one_colour_stays_one_colour(method: str) -> None:
    colour = torch.tensor([0.2, 0.5, 0.7]).view(1, 3, 1, 1)
    exemplar = Exemplar(colour.expand(1, 3, 20, 20).clone())
    assert float((run(exemplar, method=method).image - colour).abs().max()) < 1e-3
    both = Exemplar(exemplar.image, siblings=(texture(20, 20)[:, :1],))
    assert float((run(both, method=method).image - colour).abs().max()) < 1e-3


def test_pixels_do_not_depend_on_the_number_of_threads() -> None:
    before, results = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            results.append(run(Exemplar(texture(64, 80)), size=(200, 170)).image)
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*results)


def test_siblings_have_the_layout_of_the_picture() -> None:
    image = texture()
    result = run(Exemplar(image, siblings=(image[:, :1], image)))
    assert [s.shape[1] for s in result.siblings] == [1, 3]
    assert torch.equal(result.siblings[0], result.siblings[1][:, :1])
    error = (result.siblings[1] - result.image).abs().mean()
    assert float(error) < 0.02
    alone = run(Exemplar(image)).image
    assert torch.allclose(result.image, alone, atol=1e-5)


def test_a_mask_keeps_colours_out() -> None:
    image = texture(40, 40)
    image[:, :, :12] = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    mask = torch.ones(1, 1, 40, 40)
    mask[:, :, :12] = 0
    result = run(Exemplar(image, mask=mask), patch={"iterations": []}).image
    red = (result[:, 0] > 0.95) & (result[:, 1] < 0.05)
    assert not bool(red.any())


def test_a_guide_says_where_bright_parts_go() -> None:
    image = 0.1 * torch.rand(1, 3, 48, 48, generator=torch.Generator().manual_seed(1))
    image[:, :, :, 24:] += 0.8
    guide = torch.zeros(1, 1, 60, 80)
    guide[:, :, :30] = 1
    result = run(Exemplar(image), guide=guide, size=(80, 60)).image
    assert float(result[:, :, :22].mean()) > 0.7
    assert float(result[:, :, 38:].mean()) < 0.3


@pytest.mark.slow
@pytest.mark.parametrize(("weights", "dark"), [((3, 1), 0.75), ((1, 0), 1.0)])
def test_exemplars_are_mixed_in_their_shares(weights: tuple[float, float], dark: float) -> None:
    noise = 0.1 * torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    mixed = run(
        Exemplar(noise[:1], weight=weights[0]), Exemplar(0.9 + noise[1:], weight=weights[1]), size=(128, 128)
    ).image
    assert float((mixed < 0.5).float().mean()) == pytest.approx(dark, abs=0.15)


def gradient_ratio(image: Tensor, dim: int) -> float:
    steps = (image.roll(-1, dim) - image).square().mean((1, 5 - dim))[0]
    return float(steps[-1] / steps[:-1].mean())


@pytest.mark.slow
@pytest.mark.parametrize("method", ["patch", "patch+optimize"])
def test_a_tileable_texture_has_no_border(method: str) -> None:
    grain = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    image = torch.nn.functional.avg_pool2d(grain, 3, 1, 1)
    image[:, :, :, 32:] *= 0.5  # a plain repetition of this one has two visible seams
    ratios = [
        gradient_ratio(run(Exemplar(image), method=method, tileable=True, seed=s).image, dim)
        for s in range(2)
        for dim in (2, 3)
    ]
    assert 0.6 < sum(ratios) / len(ratios) < 1.5


def test_a_small_exemplar_is_refused() -> None:
    with pytest.raises(InputError, match="15 x 20"):
        run(Exemplar(texture(20, 15)))


@pytest.mark.parametrize("loss", ["wasserstein", "gram"])
def test_statistics_come_closer(loss: str) -> None:
    exemplar, model = texture(64, 64), tiny_model()
    start = 0.5 * texture(64, 64, seed=5)
    chosen = OptimizeSettings(loss=loss, iterations=30, rate=0.03, patches=0.0)  # type: ignore[arg-type]
    rng = torch.Generator().manual_seed(0)
    result, notes = optimize(start, [Exemplar(exemplar)], model, chosen, rng, wrap=False)
    wanted = model.encoder(exemplar, 2)[1].flatten(2)
    directions = random_directions(64, wanted.shape[1], torch.Generator().manual_seed(1), exemplar)

    def distance(image: Tensor) -> float:
        return float(sliced_wasserstein(model.encoder(image, 2)[1].flatten(2), wanted, directions))

    assert distance(result) < 0.6 * distance(start)
    assert not notes


def test_a_loss_that_is_no_number_goes_back_and_says_so() -> None:
    tensors = tiny_tensors()
    broken = {k: torch.full_like(v, torch.nan) if "conv1_1" in k else v for k, v in tensors.items()}
    broken = (
        broken
        if any(bool(v.isnan().any()) for v in broken.values())
        else {k: torch.full_like(v, torch.nan) if k.startswith("encoder") else v for k, v in tensors.items()}
    )
    start = texture(32, 32)
    rng = torch.Generator().manual_seed(0)
    chosen = OptimizeSettings(iterations=3)
    exemplar = Exemplar(texture(32, 32, seed=2))
    result, notes = optimize(start, [exemplar], build_model("broken", broken), chosen, rng, wrap=False)
    assert torch.equal(result, start)
    assert len(notes) == 1
    assert "no number" in notes[0]


@pytest.mark.parametrize(
    ("options", "given", "reason"),
    [
        ({"method": "transposer"}, {"exemplars": 2}, "several exemplars"),
        ({"method": "transposer+patch"}, {"mask": True}, "a mask"),
        ({"method": "transposer"}, {"guide": True}, "a guide"),
        ({"method": "optimize"}, {"guide": True}, "a guide"),
        ({"method": "optimize"}, {"siblings": True}, "sibling maps"),
        ({"method": "optimize"}, {"completes": "a hole"}, "a hole"),
        ({"method": "transposer"}, {"completes": "`texsynth tile`"}, "`texsynth tile`"),
        ({"tileable": True}, {"completes": "a hole"}, "--tileable is impossible"),
        ({"upright": True}, {"completes": "a hole"}, "--hole keeps it as it is"),
        ({"upright": True}, {"completes": "`texsynth tile`"}, "keeps its middle"),
        ({}, {"completes": "a hole", "guide": True}, "use one of them"),
    ],
)
def test_each_combination_that_is_refused(
    options: dict[str, Any], given: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        check_combination(ExpandSettings(**options), **given)
    if "method" in options:
        check_combination(ExpandSettings(method="patch+optimize"), **given)


def test_sizes_that_are_refused() -> None:
    check_exemplar_size(16, 16)
    with pytest.raises(InputError, match=r"wall\.png has 15 x 16 pixels"):
        check_exemplar_size(15, 16, "wall.png")
    check_output_size(20, 30, 600)
    for size, reason in (((15, 30), "at least 16"), ((21, 30), "= 630 pixels, more than --max-pixels 600")):
        with pytest.raises(UsageError, match=reason):
            check_output_size(*size, 600)


def test_an_open_method_is_patch_where_the_exemplar_cannot_change_it() -> None:
    auto = ExpandSettings(method="auto")
    assert settle_method(auto, limited=False).method == "auto"
    assert settle_method(auto, limited=True).method == "patch"
    assert settle_method(ExpandSettings(method="auto", tileable=True), limited=False).method == "auto"
    assert settle_method(ExpandSettings(method="optimize"), limited=True).method == "optimize"
