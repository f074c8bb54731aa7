"""Holes that are filled and pictures that are made seamless, with tiny networks."""

from __future__ import annotations

import pytest
import torch
from helpers.nets import tiny_model, waves
from torch import Tensor

from texsynth.analysis.seamless import border_step, is_seamless
from texsynth.analysis.tile_advice import tile_advice
from texsynth.config.settings import ExpandSettings, PatchSettings
from texsynth.ops.resample import box_mean
from texsynth.pipelines import complete
from texsynth.pipelines.complete import ALREADY_SEAMLESS, fill, tile
from texsynth.pipelines.expand import Expanded, Networks
from texsynth.pipelines.patch_stage import PatchSpec, lay_out
from texsynth.pipelines.progress import OnStep
from texsynth.pipelines.relight import in_even_light
from texsynth.synthesis.exemplar import Atlas, Exemplar

QUICK = {
    "method": "patch",
    "patch": {"refine": 1.0, "iterations": [1], "layouts": 2},
    "optimize": {"iterations": 2},
}


def settings(**changes: object) -> ExpandSettings:
    return ExpandSettings.model_validate({**QUICK, **changes})


def networks() -> Networks:
    return Networks(tiny_model())


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def texture(height: int = 40, width: int = 48, seed: int = 0) -> Tensor:
    noise = torch.rand(1, 3, height, width, generator=rng(seed))
    return (0.6 * waves(height, width) + 0.4 * noise).clamp(0, 1)


def smooth(height: int, width: int, seed: int = 0) -> Tensor:
    noise = box_mean(box_mean(torch.rand(1, 3, height, width, generator=rng(seed)), 2), 2)
    return ((noise - noise.amin()) / (noise.amax() - noise.amin())).clamp(0, 1)


def bricks(height: int, width: int, brick: tuple[int, int] = (10, 24)) -> Tensor:
    """A wall of dark joints, (1, 3, height, width), that repeats after two courses and one brick."""
    y, x = torch.arange(height)[:, None], torch.arange(width)[None]
    course = y // brick[0]
    joint = (y % brick[0] < 2) | ((x + course % 2 * (brick[1] // 2)) % brick[1] < 2)
    wall = torch.where(joint, 0.2, 0.7)
    return (wall.expand(1, 3, -1, -1) * torch.tensor([1.0, 0.6, 0.5]).view(1, 3, 1, 1)).contiguous()


def hole_in(height: int, width: int) -> Tensor:
    hole = torch.zeros(1, 1, height, width)
    hole[:, :, height // 3 : 2 * height // 3, width // 3 : 2 * width // 3] = 1
    return hole


def test_a_hole_is_filled_and_nothing_else_changes() -> None:
    image = texture(48, 48)
    hole = torch.zeros(1, 1, 48, 48)
    hole[:, :, 15:25, 20:35] = 1
    damaged = torch.where(hole > 0.5, torch.ones(()), image)
    result = fill(Exemplar(damaged, (damaged[:, :1],)), hole, settings(), networks(), rng=rng())
    outside = (hole < 0.5).expand_as(image)
    assert torch.equal(result.image[outside], image[outside])
    assert float(result.image[~outside].max()) < 1
    assert torch.equal(result.siblings[0][outside[:, :1]], image[:, :1][outside[:, :1]])
    assert float(result.siblings[0].max()) < 1


@pytest.mark.parametrize("method", ["patch", "patch+optimize"])
def test_a_fill_does_not_depend_on_what_was_in_the_hole_or_under_the_mask(method: str) -> None:
    image, hole, mask = smooth(48, 56), hole_in(48, 56), torch.ones(1, 1, 48, 56)
    mask[:, :, :12] = 0
    hidden = ((hole > 0.5) | (mask < 0.5)).expand_as(image)
    fills = []
    for content in (torch.zeros_like(image), torch.rand(image.shape, generator=rng())):
        given = torch.where(hidden, content, image)
        result = fill(Exemplar(given, (given,), mask), hole, settings(method=method), networks(), rng=rng())
        inside = (hole > 0.5).expand_as(image)
        fills.append((result.image[inside], result.siblings[0][inside]))
        assert torch.equal(result.image[~inside], given[~inside])
    assert all(torch.equal(a, b) for a, b in zip(*fills, strict=True))


def test_a_large_hole_in_a_wall_keeps_its_courses() -> None:
    wall, hole = bricks(96, 120), torch.zeros(1, 1, 96, 120)
    hole[:, :, 24:72, 30:84] = 1
    damaged = torch.where(hole > 0.5, torch.full((), 0.5), wall)
    result = fill(Exemplar(damaged), hole, settings(), networks(), rng=rng()).image
    assert float((result - wall).abs().max()) < 0.02


def test_tile_keeps_the_inside() -> None:
    image = smooth(48, 64)
    result = tile(Exemplar(image), settings(), networks(), rng=rng()).image
    assert result.shape == image.shape
    assert torch.equal(result[:, :, 12:-12, 12:-12], image[:, :, 12:-12, 12:-12])
    assert not torch.equal(result[:, :, :4], image[:, :, :4])


def test_the_inside_joins_the_band_equally_well_on_all_sides() -> None:
    lines: dict[tuple[int, int], list[float]] = {}
    for seed in range(3):
        image = smooth(96, 96, seed)
        result = tile(Exemplar(image), settings(), networks(), rng=rng()).image
        band = round(0.14 * 96)
        for dim in (2, 3):
            usual = (image.roll(-1, dim) - image).abs()[:, :, :-1, :-1].mean()
            steps = (result - result.roll(1, dim)).abs().mean((0, 1, 5 - dim))
            for at in (0, band // 2, band, 96 - band, 96 - band // 2):
                lines.setdefault((dim, at), []).append(float(steps[at] / usual))
    assert max(sum(ratios) / len(ratios) for ratios in lines.values()) < 1.35


@pytest.mark.parametrize("size", [(96, 96), (90, 112), (128, 70)])
def test_the_inside_is_cut_where_it_fits_and_not_where_it_ends(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    shares: list[float] = []

    def lay(
        atlas: Atlas, spec: PatchSpec, patch: PatchSettings, rng: torch.Generator, on_step: OnStep
    ) -> Tensor:
        at = lay_out(atlas, spec, patch, rng, on_step).at
        assert spec.kept is not None
        edges = joined = 0
        for dim in (1, 2):
            ends = spec.kept.fixed ^ spec.kept.fixed.roll(-1, dim - 1)
            step = torch.tensor([2 - dim, dim - 1]).view(2, 1, 1)
            edges += int(ends.sum())
            joined += int((ends & (at.roll(-1, dim) != at + step).any(0)).sum())
        shares.append(joined / edges)
        return atlas.image[:, *at]

    monkeypatch.setattr(complete, "patch_stage", lay)
    for seed in range(3):
        tile(Exemplar(smooth(*size, seed)), settings(), networks(), rng=rng(seed))
    assert sum(shares) / len(shares) < 0.25


@pytest.mark.parametrize("size", [(90, 112), (96, 132), (104, 106)])
def test_a_wall_whose_bricks_do_not_fit_is_bent_and_not_displaced(size: tuple[int, int]) -> None:
    result = tile(Exemplar(bricks(*size)), settings(), networks(), rng=rng()).image
    twice = result.tile(1, 1, 2, 2)
    dark = (twice[0].mean(0) < 0.35).float()
    # Level joints run through, one for each course, and they are evenly apart.
    joints = (dark.mean(1) > 0.8).nonzero()[:, 0]
    starts = joints[torch.cat([torch.tensor([True]), joints.diff() > 1])]
    courses = starts.diff()
    whole = [4 * periods for periods in (size[0] // 20, -(-size[0] // 20))]
    assert len(starts) in {*whole, whole[0] + 1, whole[1] + 1}
    assert int(courses.max()) - int(courses.min()) <= 3


def test_siblings_are_copied_from_one_place_each() -> None:
    image = smooth(64, 64)
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    places = (y / 255)[None, None], (x / 255)[None, None]
    result = tile(Exemplar(image, places), settings(), networks(), rng=rng())
    row, column = (255 * sibling[0, 0] for sibling in result.siblings)
    assert torch.allclose(row, row.round(), atol=1e-3)
    assert torch.allclose(column, column.round(), atol=1e-3)
    shown = image[0][:, row.round().long(), column.round().long()]
    assert float((shown - result.image[0]).abs().mean()) < 0.02


def closed(size: int) -> Tensor:
    noise = torch.rand(1, 3, size, size, generator=rng())
    tiled = box_mean(box_mean(noise.tile(1, 1, 3, 3), 2), 2)[:, :, size : 2 * size, size : 2 * size]
    return ((tiled - tiled.amin()) / (tiled.amax() - tiled.amin())).contiguous()


def test_light_that_does_not_close_is_no_seamless_picture() -> None:
    image = closed(96) * 0.5
    image = image + torch.linspace(0, 0.4, 96)

    def make(even: Exemplar) -> Expanded:
        return tile(even, settings(), networks(), rng=rng())

    result = in_even_light(Exemplar(image), 1.0, make)
    assert ALREADY_SEAMLESS not in result.notes
    assert not torch.equal(result.image, image)
    assert border_step(result.image) < border_step(image)


def test_a_seamless_picture_stays_and_a_part_of_it_does_not() -> None:
    image = closed(96)
    result = tile(Exemplar(image, (image[:, :1],)), settings(), networks(), rng=rng())
    assert torch.equal(result.image, image)
    assert torch.equal(result.siblings[0], image[:, :1])
    assert result.notes == (ALREADY_SEAMLESS,)
    part = image[:, :, :80, :88]
    assert not is_seamless(part)
    made = tile(Exemplar(part), settings(), networks(), rng=rng())
    assert ALREADY_SEAMLESS not in made.notes
    assert border_step(made.image) < border_step(part)


def test_a_faint_straight_step_through_strong_grain_is_a_seam() -> None:
    """Every patch across it occurs inside, and single steps are as large as any."""
    grain = torch.rand(1, 3, 96, 96, generator=rng())
    assert is_seamless(grain)
    tone = torch.linspace(0, 0.06, 96)
    assert not is_seamless(grain + tone.view(1, 1, 96, 1))


@pytest.mark.parametrize("size", [(64, 64), (112, 80)])
def test_a_tile_may_be_smaller_or_larger(size: tuple[int, int]) -> None:
    image = smooth(80, 80)
    result = tile(Exemplar(image), settings(size=list(size)), networks(), rng=rng()).image
    assert result.shape == (1, 3, size[1], size[0])
    assert border_step(result) < border_step(image)


def advised(image: Tensor) -> Expanded:
    return tile(Exemplar(image), settings(patch={"refine": 0.0, "iterations": []}), networks(), rng=rng())


def test_what_makes_a_poor_tile_is_said_once() -> None:
    grain = 0.05 * smooth(120, 120)
    cell = smooth(70, 70, 1)
    few = cell.tile(1, 1, 2, 2)[:, :, :120, :120] + grain
    y, x = torch.meshgrid(torch.arange(120.0), torch.arange(120.0), indexing="ij")
    away = 1500 / (y + 20)
    floor = ((away * 1.7 + 100).floor() + ((x - 60) * away / 60 + 1000).floor()) % 2
    disc = (torch.hypot(y - 60, x - 60) < 48).float()
    for picture, word in (
        (few, "repeats every 70 pixels"),
        (floor.expand(1, 3, -1, -1) * 0.8 + grain, "perspective"),
        (disc.expand(1, 3, -1, -1) * 0.8 + grain, "one large motif"),
    ):
        notes = advised(picture.clamp(0, 1)).notes
        assert len(notes) == 1
        assert word in notes[0]
        assert "; " in notes[0]  # and what to do
    for picture in (smooth(120, 120), bricks(120, 120)):
        assert tile_advice(picture) is None


def test_a_wall_that_cannot_be_bent_so_far_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(complete, "MAX_BEND", 0.01)
    wall = bricks(90, 112)
    (note,) = advised(wall).notes
    assert "left as it is" in note
    assert "give --size 120x" in note
    assert torch.equal(advised(wall).image, wall)
