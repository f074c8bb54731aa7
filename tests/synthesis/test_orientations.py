"""Pieces in several orientations: the atlas that holds them, their layouts, and how copies are kept apart."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from texsynth.ops.orientations import ORIENTATIONS, Orientation, turn_normals
from texsynth.synthesis.exemplar import Exemplar, build_atlas
from texsynth.synthesis.nearness import shown_nearby, twins
from texsynth.synthesis.quilting import Quilt, QuiltSettings, block_corners


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(height: int, width: int, seed: int = 0) -> Tensor:
    return torch.rand(1, 3, height, width, generator=rng(seed))


def quilted(quilt: Quilt) -> Quilt:
    size, settings = (quilt.known.shape[0], quilt.known.shape[1]), quilt.settings
    for place in block_corners(size, settings.block, settings.overlap, wrap=settings.wrap):
        quilt.place_block(*place)
    quilt.refine(6)
    return quilt


def test_an_atlas_holds_each_orientation_with_all_maps() -> None:
    normals, mask = noise(20, 30, 1), (noise(20, 30, 2)[:, :1] > 0.2).float()
    exemplar = Exemplar(noise(20, 30), (normals, noise(20, 30, 3)[:, :1]), mask, normals=(0,))
    atlas = build_atlas([exemplar, Exemplar(noise(18, 18, 4), exemplar_maps(18))], orientations=ORIENTATIONS)
    assert len(atlas.parts) == 16
    for number, part in enumerate(atlas.parts[:8]):
        turn = ORIENTATIONS[part.orientation]
        assert torch.equal(atlas.part(atlas.image, number), turn.apply(exemplar.image)[0])
        assert torch.equal(atlas.part(atlas.valid, number), turn.apply(mask)[0, 0] > 0.5)
        vectors = turn_normals(turn.apply(normals), turn)
        assert torch.equal(atlas.part(atlas.siblings, number)[:3], vectors[0])
        untouched = exemplar.image[0].flatten(1)[:, atlas.part(atlas.origin, number)]
        assert torch.equal(untouched, atlas.part(atlas.image, number))
    assert float(atlas.share[atlas.valid].mean()) == pytest.approx(1)


def exemplar_maps(side: int) -> tuple[Tensor, Tensor]:
    return noise(side, side, 5), noise(side, side, 6)[:, :1]


def test_one_orientation_leaves_the_atlas_as_it_was() -> None:
    exemplar = noise(20, 30)
    atlas = build_atlas([Exemplar(exemplar)])
    assert torch.equal(atlas.image, exemplar[0])
    assert torch.equal(atlas.origin, torch.arange(600).view(20, 30))


def test_pieces_of_all_orientations_are_laid_and_none_mixes_two() -> None:
    atlas = build_atlas([Exemplar(noise(40, 40))], orientations=ORIENTATIONS)
    quilt = quilted(Quilt(atlas, (90, 90), QuiltSettings(16, 4, 0.1, 0.5), rng()))
    assert bool(atlas.valid[quilt.at[0], quilt.at[1]].all())
    assert torch.equal(quilt.image, atlas.image[:, quilt.at[0], quilt.at[1]])
    owner = torch.zeros(atlas.valid.shape, dtype=torch.long)
    for number, part in enumerate(atlas.parts):
        owner[:, part.left : part.left + part.size[1]] = number
    assert len(owner[quilt.at[0], quilt.at[1]].unique()) == 8
    use = torch.bincount(atlas.origin[quilt.at[0], quilt.at[1]].flatten(), minlength=1600)
    assert torch.equal(use.float(), quilt.used)


def test_nearness_counts_what_is_shown_around_in_any_orientation() -> None:
    atlas = build_atlas([Exemplar(noise(16, 16))], orientations=(Orientation(), Orientation(mirror=True)))
    at, known = torch.zeros(2, 40, 40, dtype=torch.long), torch.zeros(40, 40, dtype=torch.bool)
    at[1] = 7
    mirrored = atlas.parts[1].left + 15  # the mirror image of column 0
    at[1, 8:24, :8], at[1, 8:24, 8:16], at[1, 8:24, 36:] = 3, 0, mirrored
    known[8:24] = True
    near = shown_nearby(at, known, atlas.origin, (8, 8), 16, 8.0, wrap=False)
    assert float(near[3]) > float(near[0]) > 0, "what is beside counts more than a mirror image far away"
    inside = known.clone()
    inside[:, :8] = inside[:, 24:] = False
    assert float(shown_nearby(at, inside, atlas.origin, (8, 8), 16, 8.0, wrap=False).sum()) == 0
    on_torus = shown_nearby(at, known, atlas.origin, (8, 0), 16, 8.0, wrap=True)
    assert float(on_torus[0]) > float(shown_nearby(at, known, atlas.origin, (8, 0), 16, 8.0, wrap=False)[0])


def distances(quilt: Quilt, place: int) -> list[float]:
    """Distances between all that shows an untouched position, in pixels."""
    shown = (quilt.atlas.origin[quilt.at[0], quilt.at[1]] == place).nonzero().double()
    return torch.pdist(shown).tolist()


def test_copies_are_kept_apart_those_of_what_stands_out_most() -> None:
    atlas = build_atlas([Exemplar(noise(40, 40))])
    plain = QuiltSettings(16, 4, 0.1, 1.0)
    place = 20 * 40 + 20
    salience = torch.ones(1600)
    salience[[place + 40 * y + x for y in range(-2, 3) for x in range(-2, 3)]] = 8
    apart = replace(plain, near=16.0, reach=40.0)
    close = [0, 0]
    for seed in range(6):
        for kind, settings in enumerate((plain, apart)):
            quilt = Quilt(atlas, (120, 120), settings, rng(seed), salience=salience if kind else None)
            close[kind] += sum(d < 30 for d in distances(quilted(quilt), place))
    assert close[1] < close[0]


def test_no_piece_lies_beside_its_mirror_image() -> None:
    shown = torch.tensor([7, 8, 50])
    origin = torch.arange(100).view(10, 10)
    twin = twins(shown, torch.tensor([True, True, False]), origin, 4)
    assert twin[0, 5]
    assert not twin[4:].any(), "what is seen in the same orientation goes on here"
    atlas = build_atlas([Exemplar(noise(64, 64))], orientations=(Orientation(), Orientation(mirror=True)))
    quilt = quilted(Quilt(atlas, (96, 96), QuiltSettings(16, 4, 0.1, 0.3), rng()))
    rows, columns = (
        torch.div(atlas.origin[*quilt.at], 64, rounding_mode="floor"),
        atlas.origin[*quilt.at] % 64,
    )
    orientation = quilt.at[1] > 64
    for away in (2, 5):
        near = (rows[:, away:] - rows[:, :-away]).abs() + (columns[:, away:] - columns[:, :-away]).abs() < 6
        mirrored = orientation[:, away:] != orientation[:, :-away]
        assert float(mirrored.float().mean()) > 0.01, "both orientations take turns"
        assert not (near & mirrored).any()
