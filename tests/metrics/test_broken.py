"""Objects that are cut, on discs of which every cut is known."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.metrics.broken import PART_PX, CutDetector, can_be_judged, learn_cuts, learn_own_cuts
from texsynth.ops.orientations import ORIENTATIONS


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


FILTERS = torch.randn(32, 3, 5, 5, generator=rng(1)), torch.randn(48, 32, 5, 5, generator=rng(2)) / 28


def maps(image: Tensor) -> list[Tensor]:
    """Random features of two sizes, the coarser ones of some 20 pixels."""
    fine = F.conv2d(F.pad(image - 0.5, (2,) * 4, mode="reflect"), FILTERS[0]).relu()
    coarse = F.conv2d(F.pad(F.avg_pool2d(fine, 2), (2,) * 4, mode="reflect"), FILTERS[1]).relu()
    return [fine, coarse]


def discs(side: int) -> Tensor:
    """Light discs on a grid that is out of order, each in its cell of 20 px, (1, 3, side, side)."""
    rows, columns = torch.arange(side)[:, None], torch.arange(side)
    image, random = torch.full((1, 3, side, side), 0.1), rng(3)
    for y in range(0, side, 20):
        for x in range(0, side, 20):
            dy, dx, size = torch.rand(3, generator=random).tolist()
            distance = torch.hypot(rows - (y + 8 + 4 * dy), columns - (x + 8 + 4 * dx))
            image = torch.lerp(image, torch.full((1, 3, 1, 1), 0.8), (5.5 + 2 * size - distance).clamp(0, 1))
    return image


TRUTH = discs(200)
EXEMPLAR = TRUTH[..., 50:150, 50:150].contiguous()


@pytest.fixture(scope="module")
def detector() -> CutDetector:
    learned = learn_cuts(maps, EXEMPLAR, TRUTH, rng())
    assert learned is not None
    return learned


def squares(side: int) -> Tensor:
    """Squares of the exemplar at random places."""
    places = torch.randint(0, EXEMPLAR.shape[2] - 30, (64, 2), generator=rng(4)).tolist()
    pieces = [EXEMPLAR[..., y : y + 30, x : x + 30] for y, x in places]
    lines = [torch.cat(pieces[n : n + 8], 3) for n in range(0, 64, 8)]
    return torch.cat(lines, 2)[..., :side, :side]


def test_squares_are_cut_and_other_discs_are_not(detector: CutDetector) -> None:
    cut = detector.broken(squares(200))
    assert cut > 0.15
    assert abs(detector.broken(TRUTH)) < cut / 3


def test_a_copy_is_no_cut_in_any_orientation(detector: CutDetector) -> None:
    assert detector.broken(EXEMPLAR) == pytest.approx(0, abs=0.02), "by definition"
    for orientation in ORIENTATIONS:
        assert abs(detector.broken(orientation.apply(EXEMPLAR))) < 0.1


def test_too_little_around_the_exemplar_teaches_nothing() -> None:
    assert learn_cuts(maps, EXEMPLAR, TRUTH[..., 45:155, 45:155], rng()) is None


def test_an_exemplar_alone_teaches_its_cuts() -> None:
    whole = torch.ones(100, 100, dtype=torch.bool)
    learned = learn_own_cuts(maps, EXEMPLAR, whole, rng())
    assert learned is not None
    assert learned.broken(EXEMPLAR) == pytest.approx(0, abs=0.02)
    assert learned.broken(squares(200)) > learned.broken(TRUTH) + 0.1


def test_what_is_not_usable_teaches_nothing() -> None:
    usable = torch.zeros(100, 160, dtype=torch.bool)
    usable[:, :100] = True
    hidden = torch.cat([EXEMPLAR, torch.full((1, 3, 100, 60), 0.5)], 3)
    learned = learn_own_cuts(maps, hidden, usable, rng())
    assert learned is not None
    assert learned.broken(squares(200)) > learned.broken(TRUTH) + 0.1
    assert learn_own_cuts(maps, EXEMPLAR, ~usable[:, :100], rng()) is None
    assert learn_own_cuts(maps, EXEMPLAR[..., :40], usable[:, :40], rng()) is None, "too small"


def test_a_picture_of_any_size_is_looked_at_in_parts() -> None:
    seen: list[tuple[int, ...]] = []

    def look(image: Tensor) -> list[Tensor]:
        seen.append(tuple(image.shape[2:]))
        return [image[:, :1]]

    wide = torch.rand(1, 3, 31, PART_PX + 90, generator=rng())
    scores = CutDetector(look, torch.zeros(1), torch.ones(1), 0.0).scores(wide)
    assert seen == [(31, PART_PX + 24), (31, 90)]
    rows, columns = torch.arange(12, 19, 6), torch.arange(12, PART_PX + 78, 6)
    looked = wide[0, 0, rows][:, columns].flatten()
    torch.testing.assert_close(scores.sort().values, looked.sort().values, atol=1e-3, rtol=0)
    assert can_be_judged((31, 25))
    assert not can_be_judged((31, 24))
