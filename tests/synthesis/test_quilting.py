"""The patch engine: lattices, quilting, seams, votes, corrections."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from texsynth.analysis.lattice import Lattice, closing_size, find_lattice, phase_error, snap_to_torus
from texsynth.errors import InputError
from texsynth.ops.resample import box_mean, box_sum
from texsynth.pipelines.patch_stage import best_layout, layout_faults
from texsynth.synthesis.exemplar import Atlas, Exemplar, Part, build_atlas, free_squares, label_potentials
from texsynth.synthesis.matching import Spectra
from texsynth.synthesis.medoids import medoid_positions
from texsynth.synthesis.patch_optimization import FixedPixels, optimize_patches
from texsynth.synthesis.patch_search import field_of_layout, vote
from texsynth.synthesis.quilting import Quilt, QuiltSettings, block_corners, image_quilting
from texsynth.synthesis.seams import keep_old, min_error_cut, seam_correction, seam_cost
from texsynth.synthesis.warp import warp_to_lattice


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(height: int, width: int, seed: int = 0) -> Tensor:
    return torch.rand(1, 3, height, width, generator=rng(seed))


def repeated(rows: int, columns: int, height: int, width: int) -> Tensor:
    """Noise with the periods (rows, 0) and (0, columns)."""
    cell = noise(rows, columns)
    return cell.tile(1, 1, -(-height // rows), -(-width // columns))[:, :, :height, :width]


def identity(height: int, width: int) -> Tensor:
    return torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"))


def quilted(
    atlas: Atlas, size: tuple[int, int], settings: QuiltSettings, lattice: Lattice | None = None
) -> Quilt:
    quilt = Quilt(atlas, size, settings, rng(), lattice=lattice)
    for top, left in block_corners(size, settings.block, settings.overlap, wrap=settings.wrap):
        quilt.place_block(top, left)
    return quilt


@pytest.mark.parametrize("wrap", [False, True])
def test_box_sums_are_sums_over_boxes(wrap: bool) -> None:
    values = noise(7, 9)[0, 0]
    sums = box_sum(values, 3, wrap=wrap)
    rows, columns = (7, 9) if wrap else (5, 7)
    assert sums.shape == (rows, columns)
    for r in range(rows):
        for c in range(columns):
            inside = [values[(r + i) % 7, (c + j) % 9] for i in range(3) for j in range(3)]
            assert float(sums[r, c]) == pytest.approx(float(sum(inside)), abs=1e-5)


def test_the_box_mean_of_a_constant_is_the_constant_up_to_the_border() -> None:
    assert torch.allclose(box_mean(torch.full((5, 6), 0.3), 4), torch.full((5, 6), 0.3))


def test_a_planted_lattice_is_found_to_a_fraction_of_a_pixel() -> None:
    y, x = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
    wanted = torch.tensor([[0.0, 20.4], [17.3, 8.2]], dtype=torch.float64)
    waves = torch.linalg.inv(wanted).float()  # columns: cycles per pixel along y and x
    phases = [2 * math.pi * (y * waves[0, k] + x * waves[1, k]) for k in range(2)]
    picture = 0.5 + 0.2 * phases[0].cos() + 0.15 * phases[1].sin() + 0.1 * (phases[0] + phases[1]).cos()
    found = find_lattice(picture.expand(1, 3, -1, -1) + 0.02 * noise(128, 128))
    assert found is not None
    assert found.confidence > 0.8
    # Another basis of the same lattice is as good: the change of basis is integer with determinant 1.
    change = found.vectors @ torch.linalg.inv(wanted)
    assert (change - change.round()).abs().max() < 0.02
    assert abs(float(torch.linalg.det(change))) == pytest.approx(1, abs=0.02)


def test_noise_has_no_lattice() -> None:
    assert all(find_lattice(noise(96, 96, seed)) is None for seed in range(5))


def test_a_snapped_lattice_closes_over_the_torus() -> None:
    lattice = Lattice(torch.tensor([[0.0, 20.3], [16.8, 9.7]], dtype=torch.float64), 0.9)
    closed = snap_to_torus(lattice, (128, 160))
    assert closed is not None
    counts = torch.tensor([[128.0, 0], [0, 160.0]], dtype=torch.float64) @ torch.linalg.inv(closed.vectors)
    assert torch.allclose(counts, counts.round(), atol=1e-9)
    assert (closed.vectors - lattice.vectors).abs().max() < 1.5


def test_a_lattice_that_a_torus_would_tear_is_left_alone() -> None:
    assert (
        snap_to_torus(Lattice(torch.tensor([[0.0, 31], [31, 0]], dtype=torch.float64), 0.9), (48, 48)) is None
    )


def test_the_phase_error_is_zero_on_the_lattice_only() -> None:
    lattice = Lattice(torch.tensor([[0.0, 8], [6, 4]], dtype=torch.float64), 0.9)
    error = phase_error(lattice, (30, 30), (2, 3), (1, 1))
    assert float(error[3, 4]) == 0
    assert float(error[9, 8]) == pytest.approx(0, abs=1e-6)
    assert float(error[3, 8]) == pytest.approx(4)


def test_errors_by_fft_are_the_errors_of_a_scan() -> None:
    planes, wanted = noise(17, 23)[0], noise(6, 6, 1)[0]
    weight = (noise(6, 6, 2)[0, 0] > 0.4).float()
    (errors,) = Spectra(planes, [Part(0, (17, 23), 0, 0)]).errors([0], wanted, weight, 6)
    assert errors.shape == (12, 18)
    for row, column in ((0, 0), (11, 17), (4, 9)):
        window = planes[:, row : row + 6, column : column + 6]
        direct = float(((window - wanted).square() * weight).sum())
        assert float(errors[row, column]) == pytest.approx(direct, abs=1e-4)


def test_the_cut_is_the_cheapest_path() -> None:
    costs = np.random.default_rng(0).random((3, 5, 4)).astype(np.float32)
    for strip, before in zip(costs, min_error_cut(costs), strict=True):
        path = before.sum(1)
        assert (np.abs(np.diff(path)) <= 1).all()
        chosen = strip[np.arange(5), path].sum()
        every = [
            strip[np.arange(5), steps].sum()
            for steps in np.ndindex(4, 4, 4, 4, 4)
            if (np.abs(np.diff(steps)) <= 1).all()
        ]
        assert chosen == pytest.approx(min(every), abs=1e-5)


def test_only_known_strips_are_kept() -> None:
    known = torch.zeros(9, 9, dtype=torch.bool)
    known[:, :3] = True
    keep = keep_old(noise(9, 9)[0, :1], known, 3)[0]
    assert not bool(keep[:, 3:].any())
    assert not bool(keep_old(noise(9, 9)[0, :1], torch.zeros_like(known), 3).any())


def test_a_copy_has_no_seams_and_a_jump_has() -> None:
    atlas = build_atlas([Exemplar(noise(20, 20))])
    at = identity(20, 20)
    assert float(seam_cost(atlas, atlas.image, at).sum()) == 0
    at[1, :, 10:] -= 7
    jumped = atlas.image[:, at[0], at[1]]
    cost = seam_cost(atlas, jumped, at)
    assert float(cost[:, 9].min()) > 0
    assert float(cost.sum()) == pytest.approx(float(cost[:, 9].sum()))


def test_a_periodic_texture_is_continued_exactly() -> None:
    exemplar = repeated(12, 16, 64, 64)
    lattice = find_lattice(exemplar)
    assert lattice is not None
    quilt = quilted(build_atlas([Exemplar(exemplar)]), (110, 130), QuiltSettings(28, 8, 0.02, 0.0), lattice)
    image = quilt.image
    assert torch.equal(image[:, 12:], image[:, :-12])
    assert torch.equal(image[:, :, 16:], image[:, :, :-16])


def test_on_a_torus_a_periodic_texture_closes_exactly() -> None:
    exemplar = repeated(12, 16, 64, 64)
    settings = QuiltSettings(28, 8, 0.0, 0.0, wrap=True)
    image = quilted(build_atlas([Exemplar(exemplar)]), (96, 96), settings).image
    assert torch.equal(image.roll(12, 1), image)
    assert torch.equal(image.roll(16, 2), image)


def test_refinement_never_makes_seams_more_visible() -> None:
    atlas = build_atlas([Exemplar(box_mean(noise(48, 48), 2))])
    quilt = quilted(atlas, (80, 80), QuiltSettings(18, 5, 0.1, 0.5))
    before = float(seam_cost(atlas, quilt.image, quilt.at).sum())
    quilt.refine(30)
    assert float(seam_cost(atlas, quilt.image, quilt.at).sum()) < before
    assert torch.equal(quilt.image, atlas.image[:, quilt.at[0], quilt.at[1]])


def test_fixed_pixels_stay_and_masked_ones_are_not_taken() -> None:
    exemplar = noise(48, 48)
    mask = torch.ones(1, 1, 48, 48)
    mask[:, :, 10:20, 30:40] = 0
    atlas = build_atlas([Exemplar(exemplar, mask=mask)])
    quilt = Quilt(atlas, (48, 48), QuiltSettings(12, 4, 0.1, 0.5), rng())
    quilt.fix(identity(48, 48), mask[0, 0] > 0.5)
    for top, left in block_corners((48, 48), 12, 4, wrap=False):
        if quilt.known_share(top, left) < 1:
            quilt.place_block(top, left)
    quilt.refine(10)
    kept = mask[0, 0] > 0.5
    assert torch.equal(quilt.image[:, kept], exemplar[0][:, kept])
    assert bool(atlas.valid[quilt.at[0], quilt.at[1]].all())


def test_plain_quilting_takes_its_colours_from_the_exemplar() -> None:
    exemplar = noise(40, 40)
    result = image_quilting(exemplar, (70, 61), 11, 2, 0.1, rng())
    assert result.shape == (1, 3, 70, 61)
    colours = {tuple(c) for c in exemplar[0].flatten(1).T.tolist()}
    assert {tuple(c) for c in result[0].flatten(1).T.tolist()} <= colours
    assert torch.equal(result, image_quilting(exemplar, (70, 61), 11, 2, 0.1, rng()))


@pytest.mark.parametrize("wrap", [False, True])
def test_votes_for_a_copy_are_the_copy(wrap: bool) -> None:
    planes = repeated(12, 16, 48, 64)[0]
    layout = identity(24, 32) if wrap else identity(48, 64)
    allowed = torch.ones(41, 57, dtype=torch.bool)
    field = field_of_layout(layout, allowed, 8, wrap=wrap)
    assert torch.allclose(vote(field, planes), planes[:, layout[0], layout[1]], atol=1e-3)


def test_patch_optimization_keeps_what_is_perfect_and_siblings_aligned() -> None:
    image = noise(40, 40)
    atlas = build_atlas([Exemplar(image, siblings=(image[:, :1],))])
    planes = optimize_patches(atlas, identity(40, 40), 8, (1, 1), rng(), wrap=False)
    assert torch.equal(planes[3, 6:-6, 6:-6], image[0, 0, 6:-6, 6:-6])
    alone = optimize_patches(atlas, identity(40, 40), 8, (2,), rng(), wrap=False)
    inside = slice(6, -6)  # at the border of white noise nothing says which patch is right
    assert torch.allclose(alone[:3, inside, inside], image[0, :, inside, inside], atol=1e-3)


def test_patch_optimization_puts_fixed_pixels_back() -> None:
    atlas = build_atlas([Exemplar(noise(40, 40))])
    fixed = torch.zeros(40, 40, dtype=torch.bool)
    fixed[:, :20] = True
    layout = identity(40, 40).flip(2).contiguous()
    pixels = FixedPixels(fixed, atlas.image)
    planes = optimize_patches(atlas, layout, 8, (1, 1), rng(), wrap=False, fixed=pixels)
    assert torch.equal(planes[:, :, :20], atlas.image[:, :, :20])


def test_a_step_between_two_pieces_is_spread_and_fixed_pixels_keep_theirs() -> None:
    source = torch.full((3, 20, 40), 0.5)
    source[:, :, 20:] = 0.52
    at = identity(20, 20)
    at[1, :, 10:] += 15  # dark on the left, bright on the right
    step = source[:, at[0], at[1]]
    flat = step + seam_correction(source, at, 30.0, wrap=False)
    jump = (flat[:, :, 10] - flat[:, :, 9]).abs().max()
    assert float(jump) < 0.3 * 0.02
    fixed = torch.zeros(20, 20, dtype=torch.bool)
    fixed[:, :10] = True
    held = seam_correction(source, at, 30.0, wrap=False, fixed=fixed)
    assert float(held[:, :, :10].abs().max()) == 0
    mended = step + held
    assert float((mended[:, :, 10] - mended[:, :, 9]).abs().max()) < 0.6 * 0.02


def test_a_layout_without_seams_is_not_corrected() -> None:
    source = noise(16, 16)[0]
    assert float(seam_correction(source, identity(16, 16), 5.0, wrap=False).abs().max()) < 1e-6


def test_what_may_not_be_read_is_not_read_beside_a_seam() -> None:
    source = noise(20, 20)[0]
    valid = torch.ones(20, 20, dtype=torch.bool)
    valid[:, 10:] = False
    other = source.clone()
    other[:, :, 10:] = 0
    at = identity(20, 20)
    at[1, :, 10:] -= 10  # the left half goes on with itself
    atlases = [build_atlas([Exemplar(s[None], mask=valid[None, None].float())]) for s in (source, other)]
    costs = [seam_cost(atlas, source[:, at[0], at[1]], at) for atlas in atlases]
    assert torch.equal(costs[0], costs[1])
    assert float(costs[0][:, 9].min()) > 0
    corrections = [seam_correction(s, at, 5.0, wrap=False, valid=valid) for s in (source, other)]
    assert torch.equal(corrections[0], corrections[1])


def test_exemplars_of_an_atlas_do_not_touch() -> None:
    atlas = build_atlas([Exemplar(noise(20, 20)), Exemplar(noise(24, 30, 1))])
    assert atlas.largest_square() == 20
    corners = free_squares(atlas.valid, 20).nonzero()[:, 1]
    assert not bool(((corners > 0) & (corners < 21)).any())


@pytest.mark.parametrize("wrap", [False, True])
def test_the_medoids_of_a_copy_are_the_copy(wrap: bool) -> None:
    planes = noise(48, 64)[0]
    layout = identity(24, 32) if wrap else identity(48, 64)
    field = field_of_layout(layout, torch.ones(41, 57, dtype=torch.bool), 8, wrap=wrap)
    assert torch.equal(medoid_positions(field, planes, planes[:, layout[0], layout[1]], 0.03), layout)


def test_a_torus_rather_stretches_rows_than_tilts_them() -> None:
    bricks = Lattice(torch.tensor([[30.0, 28], [0, 56]], dtype=torch.float64), 0.9)
    closed = snap_to_torus(bricks, (240, 252))  # 4.5 bricks in a row
    assert closed is not None
    row = torch.linalg.solve(closed.vectors.T, torch.tensor([0.0, 252], dtype=torch.float64))
    assert row.round().tolist() in ([0, 4], [0, 5])
    assert closing_size(bricks, (236, 252)) == (240, 56 * round(float(row[1])))


@pytest.mark.parametrize("shares", [(1.0, 1.0), (3.0, 1.0), (1.0, 0.0), (2.0, 1.0, 1.0)])
def test_a_mixture_has_the_shares_that_are_asked_for(shares: tuple[float, ...]) -> None:
    owner = label_potentials((120, 150), shares, 12.0, rng(), wrap=True).argmax(0)
    for number, share in enumerate(shares):
        assert float((owner == number).float().mean()) == pytest.approx(share / sum(shares), abs=0.02)


def test_a_mask_must_leave_a_square() -> None:
    mask = torch.zeros(1, 1, 40, 40)
    mask[:, :, ::2] = 1
    with pytest.raises(InputError, match="largest free square"):
        build_atlas([Exemplar(noise(40, 40), mask=mask)]).largest_square()


def test_bending_moves_the_lattice_and_masks_what_sticks_out() -> None:
    exemplar = Exemplar(box_mean(repeated(12, 16, 96, 96), 1), siblings=(noise(96, 96)[:, :1],))
    before = find_lattice(exemplar.image)
    assert before is not None
    after = snap_to_torus(before, (130, 130))
    assert after is not None
    changed = warp_to_lattice(exemplar, before, after)
    found = find_lattice(changed.image)
    assert found is not None
    periods = found.vectors @ torch.linalg.inv(after.vectors)
    assert float((periods - periods.round()).abs().max()) < 0.03
    assert changed.siblings[0].shape[2:] == changed.image.shape[2:]
    assert changed.mask is not None
    assert float(changed.mask.mean()) > 0.9


def test_of_several_layouts_the_least_faulty_is_kept() -> None:
    atlas = build_atlas([Exemplar(noise(40, 40))])
    made: list[Quilt] = []

    def make(name: str) -> Quilt:
        quilt = Quilt(atlas, (70, 70), QuiltSettings(16, 4, 0.5, 0.3), rng(len(made)))
        for top, left in block_corners((70, 70), 16, 4, wrap=False):
            quilt.place_block(top, left)
        made.append(quilt)
        return quilt

    kept = best_layout(6, make)
    unit = layout_faults(made[0])
    relative = [sum(new / old for new, old in zip(layout_faults(quilt), unit, strict=True)) for quilt in made]
    assert len(made) == 6
    assert kept is made[min(range(6), key=relative.__getitem__)]


def test_a_layout_without_seams_that_uses_everything_once_has_no_layout_faults() -> None:
    atlas = build_atlas([Exemplar(noise(32, 32))])
    quilt = Quilt(atlas, (32, 32), QuiltSettings(32, 4, 0.0, 0.0), rng())
    quilt.place_block(0, 0)
    assert max(layout_faults(quilt)) < 1e-5
