"""How the layout of pieces changes with variety, by the texture."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from texsynth.config.settings import ExpandSettings
from texsynth.ops.orientations import MIRROR, ORIENTATIONS
from texsynth.pipelines.method import plan_expand
from texsynth.pipelines.orientations import MAX_PIXELS, piece_orientations
from texsynth.pipelines.variety import LEAST_BLOCK, atlas_salience, part_phases, varied_sizes
from texsynth.synthesis.exemplar import Exemplar, build_atlas
from texsynth.synthesis.quilting import QuiltSettings


def grains(side: int, of: int = 1) -> Tensor:
    """Random squares of `of` pixels, (1, 3, side, side)."""
    values = torch.rand(1, 3, side // of, side // of, generator=torch.Generator().manual_seed(0))
    return values.repeat_interleave(of, 2).repeat_interleave(of, 3)


PLAIN = QuiltSettings(80, 16, 0.1, 3.0)


def test_fine_textures_get_smaller_blocks_and_coarse_ones_a_gentler_penalty() -> None:
    fine, coarse = (build_atlas([Exemplar(grains(128, of))]) for of in (1, 16))
    little, much, large = (
        varied_sizes(PLAIN, atlas, variety, 0.2, regular=False)
        for atlas, variety in ((fine, 0.2), (fine, 1.0), (coarse, 1.0))
    )
    assert much.block == LEAST_BLOCK < little.block < large.block == 80
    assert 0 < little.near < much.near
    assert 0 < large.near < much.near
    assert much.overlap == round(0.2 * LEAST_BLOCK)
    regular = varied_sizes(PLAIN, fine, 1.0, 0.2, regular=True)
    assert (regular.block, regular.overlap) == (80, 16)
    assert 0 < regular.near < much.near


def test_long_lines_hold_variety_back_up_to_a_half() -> None:
    image = 0.6 + 0.1 * grains(128)
    image[:, :, :, ::40] = image[:, :, :, 1::40] = 0.1
    atlas = build_atlas([Exemplar(image)])
    none, half, full = (varied_sizes(PLAIN, atlas, v, 0.2, regular=False) for v in (0.0, 0.5, 1.0))
    assert (half.block, half.near, half.occurrence) == (80, 0, none.occurrence)
    assert half.occurrence < full.occurrence
    assert full.near > 0
    assert full.block < 80
    settings = ExpandSettings(method="patch")
    assert len(plan_expand([Exemplar(0.6 + 0.1 * grains(128))], settings).orientations) == 8
    assert len(plan_expand([Exemplar(image)], settings).orientations) == 1


def test_salience_is_that_of_the_untouched_exemplar() -> None:
    image = 0.1 * grains(64) + 0.5
    image[:, :, 20:30, 40:50] = 0
    given = [Exemplar(image)]
    one, all_eight = build_atlas(given), build_atlas(given, orientations=ORIENTATIONS)
    assert torch.equal(atlas_salience(one, regular=False), atlas_salience(all_eight, regular=False))
    regular = atlas_salience(one, regular=True).view(64, 64)
    assert float(regular[22:28, 42:48].min()) > 1
    assert float((regular == 0).float().mean()) > 0.5


def test_phases_bring_parts_onto_the_first() -> None:
    """A lattice of spots about (3, 5): mirrored, the spots are elsewhere, and the phase brings them back."""
    image = torch.zeros(1, 3, 64, 64)
    image[:, :, 3::16, 5::16] = 1
    atlas = build_atlas([Exemplar(image)], orientations=ORIENTATIONS)
    for number, (row, column) in enumerate(part_phases(atlas)):
        spots = atlas.part(atlas.image, number)[0].nonzero() + torch.tensor([row, column])
        assert set((spots % 16).flatten().tolist()) == {3, 5}
        assert (spots % 16 == torch.tensor([3, 5])).all()


@pytest.mark.parametrize(("name", "count"), [("none", 1), ("mirror", 2), ("all", 8)])
def test_named_orientations_are_taken(name: str, count: int) -> None:
    settings = ExpandSettings.model_validate({"orientations": name, "method": "patch"})
    plan = plan_expand([Exemplar(grains(32))], settings)
    assert len(plan.orientations) == count
    assert plan.orientations[0] == ORIENTATIONS[0]
    if name == "mirror":
        assert plan.orientations == MIRROR


def test_siblings_must_be_the_same_when_turned() -> None:
    image, settings = grains(64), ExpandSettings()
    bumps = torch.cat([grains(64)[:, :2], torch.ones(1, 1, 64, 64)], 1)
    leaning = torch.tensor([0.8, 0.5, 0.9]).view(1, 3, 1, 1).expand(1, 3, 64, 64)
    stripes = (torch.arange(64) % 4 / 4).expand(1, 1, 64, 64)
    counts = [
        len(piece_orientations([Exemplar(image, (sibling,), normals=normals)], settings, None))
        for sibling, normals in ((bumps, (0,)), (leaning, (0,)), (image[:, :1], ()), (stripes, ()))
    ]
    assert counts[0] == counts[2] == 8
    assert counts[1] == 2, "a mirror image top to bottom leans the same way"
    assert counts[3] < 5


def test_large_exemplars_have_fewer_orientations() -> None:
    side = int((MAX_PIXELS / 3) ** 0.5)
    image = torch.zeros(1, 3, side, side)
    settings = ExpandSettings(orientations="all")
    few = piece_orientations([Exemplar(image)], settings, None)
    assert few == tuple(ORIENTATIONS[n] for n in (0, 2, 4))
    assert len(piece_orientations([Exemplar(image)] * 9, settings, None)) == 1
