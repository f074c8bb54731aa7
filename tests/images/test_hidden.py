"""Colours below alpha 0: made of the visible ones alone, whatever was stored there."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from texsynth.images import Picture
from texsynth.images.hidden import fill_hidden, fit_fill

SIZES = [(1, 1), (1, 9), (7, 1), (33, 41), (64, 50)]


def holed(height: int, width: int, *, seed: int = 0, depth: int = 8) -> Picture:
    """Noise with alpha that is 0 in half of the squares, full or partial elsewhere, and above 0 at an end."""
    rng = np.random.default_rng(seed)
    top = 2**depth
    kind = np.uint16 if depth == 16 else np.uint8
    alpha = rng.integers(0, top, (height, width)) * (np.indices((height, width)) // 6 % 2).max(0)
    alpha[-1, -1] = top - 1
    return Picture(rng.integers(0, top, (height, width, 3)).astype(kind), alpha.astype(kind))


def with_hidden(picture: Picture, colour: int) -> Picture:
    assert picture.alpha is not None
    return Picture(
        np.where(picture.alpha[..., None] > 0, picture.rgb, picture.rgb.dtype.type(colour)), picture.alpha
    )


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_it_depends_on_nothing_that_is_hidden(size: tuple[int, int], depth: int) -> None:
    picture = holed(*size, depth=depth)
    one, other = (fill_hidden(with_hidden(picture, colour)) for colour in (0, 2**depth - 1))
    assert np.array_equal(one.rgb, other.rgb)
    assert picture.alpha is not None
    shown = picture.alpha > 0
    assert np.array_equal(one.rgb[shown], picture.rgb[shown])
    assert np.array_equal(one.alpha, picture.alpha)  # type: ignore[arg-type]
    visible: NDArray[np.int64] = picture.rgb[shown].astype(int)
    assert (one.rgb >= visible.min(0)).all()
    assert (one.rgb <= visible.max(0)).all()


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_one_colour_becomes_that_colour_everywhere(size: tuple[int, int]) -> None:
    picture = holed(*size)
    assert picture.alpha is not None
    flat = Picture(np.where(picture.alpha[..., None] > 0, np.uint8(77), picture.rgb), picture.alpha)
    assert (fill_hidden(flat).rgb == 77).all()


def test_opaque_pictures_stay_what_they_are() -> None:
    picture = holed(20, 30)
    opaque = Picture(picture.rgb), Picture(picture.rgb, np.full((20, 30), 1, np.uint8))
    assert all(fill_hidden(one) is one for one in opaque)


def test_it_goes_on_softly_from_what_is_seen() -> None:
    """Beside a vertical border the fill is near the visible columns, far from it near their mean."""
    rgb = np.zeros((64, 64, 3), np.uint8)
    rgb[:32, :32], rgb[32:, :32] = 50, 200
    alpha = np.zeros((64, 64), np.uint8)
    alpha[:, :32] = 255
    filled = fill_hidden(Picture(rgb, alpha)).rgb.astype(int)
    assert np.abs(filled[:16, 32] - 50).max() <= 25
    assert np.abs(filled[48:, 32] - 200).max() <= 25
    assert np.abs(filled[:, 63] - 125).max() <= 5


@pytest.mark.parametrize("cells", [1 << 20, 200, 1])
def test_strips_may_be_cut_anywhere(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("texsynth.images.hidden.CELLS", cells)
    picture = holed(61, 50, depth=16)
    whole = fit_fill([picture], (61, 50)).apply(picture)
    assert np.array_equal(fill_hidden(picture).rgb, whole.rgb)
    for count in (1, 7, 60):
        fill = fit_fill(picture.strips(count), (61, 50))
        parts = [fill.apply(strip, k * count).rgb for k, strip in enumerate(picture.strips(count))]
        assert np.array_equal(np.concatenate(parts), whole.rgb)
