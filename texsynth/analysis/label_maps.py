"""Label maps as people have them: exact ones as they are, noisy ones with the few colours that were meant.

A map is exact when at most MIXED of its border pixels are mixed. A pixel is at a border when the 3 x 3 around
it has more than one colour; it is mixed when the 3 x 3 has more than four, or when the pixel lies between its
left and right, or its upper and lower, neighbours in every channel and equals neither. Antialiasing and JPEG
mix pixels along all borders; in maps drawn with the colours of the labels alone, five of them seldom meet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIXED = 0.05  # Share of the border pixels that may be mixed in an exact map

NEAR = 48.0
"""Distance in 8-bit sRGB within which a noisy colour means a label; 25 in each of three channels are 43."""

NEAR_EXACT = 8.0  # The same between two exact maps, which differ by rounding alone

PEAK = 12.0  # Distance in which the colours of a label gather

FLAT = 16  # Values that a channel may vary by in the 3 x 3 pixels of a place that shows its label

MIN_SHARE = 1e-3  # A colour that fewer pixels of a noisy map gather at is no label

CORE = 2  # A pixel is sure of its label when all within so many pixels have it, too

MIN_CORE = 0.2  # Share of the pixels that are sure of their labels in any label map

SHARP = 4.0  # Distance within which the colours of flat places agree in a label map

APART = 20.0  # Distance of such colours from each other; less than NEAR, as merged ones are clear, too

MIN_CLEAR = 0.4
"""Share of the sure pixels whose colours agree so: 0.8 in maps 400 px wide of JPEG quality 30, less than this
in nine photos of ten."""

REACH = 4  # Pixels within which one that is not sure looks for labels first

TRIES = 256  # Colours that are looked at as labels of a noisy map

HIDDEN = -256.0  # Channels of what is transparent, which is a label of its own


@dataclass(frozen=True)
class LabelMap:
    """Labels of a picture's pixels."""

    labels: NDArray[np.int32]  # (H, W), rows of `colours`
    colours: NDArray[np.float64]
    """(K, 3) sRGB, 0 to 255, with fractions where the file has 16 bits; HIDDEN for what is transparent."""
    exact: bool
    stored: int
    """The number of colours in the file."""

    @property
    def shares(self) -> NDArray[np.float64]:
        """(K,) share of the pixels of each label."""
        return np.bincount(self.labels.ravel(), minlength=len(self.colours)) / self.labels.size


def label_map(
    rgb: NDArray[Any], alpha: NDArray[Any] | None = None, like: NDArray[np.float64] | None = None
) -> LabelMap | None:
    """Tell the labels of a picture; None when it has colours everywhere, like a photo.

    rgb: (H, W, 3) uint8 or uint16; alpha: (H, W) or None. like: (K, 3) colours that a noisy map is expected
    to have, however near to each other they are.
    """
    deep = rgb.dtype == np.uint16
    values = rgb.astype(np.int32)
    if deep and (values % 257 == 0).all():
        values, deep = values // 257, False
    unit = 257.0 if deep else 1.0
    hidden = None if alpha is None or alpha.all() else alpha == 0
    if hidden is not None:
        values[hidden] = round(HIDDEN * unit)
    index, colours = _indexed(values)
    if is_exact(index, values):
        return LabelMap(index, colours / unit, True, len(colours))
    stored = len(colours)
    if deep:
        # Noise of less than 8 bits may be all that there is.
        index, colours = _indexed((values + 128) // 257)
        values = colours[index]
        if is_exact(index, values):
            return LabelMap(index, colours.astype(np.float64), True, stored)
    merged = _merged(index, colours.astype(np.float64), like)
    return None if merged is None else LabelMap(*merged, False, stored)


def is_exact(index: NDArray[np.int32], values: NDArray[np.int32]) -> bool:
    """Tell whether next to no border pixel is mixed.

    index: (H, W) numbers of the colours. values: (H, W, 3) the colours.
    """
    around = list(_shifted(np.pad(index, 1, mode="edge"), 1))
    kinds = np.ones(index.shape, np.uint8)
    for number, one in enumerate(around[1:], 1):
        kinds += np.logical_and.reduce([one != other for other in around[:number]])
    between = np.zeros(index.shape, bool)
    padded = np.pad(values, ((1, 1), (1, 1), (0, 0)), mode="edge")
    for first, second in (
        (padded[:-2, 1:-1], padded[2:, 1:-1]),
        (padded[1:-1, :-2], padded[1:-1, 2:]),
    ):
        inside = (np.minimum(first, second) <= values) & (values <= np.maximum(first, second))
        differs = (first != values).any(2) & (second != values).any(2)
        between |= inside.all(2) & differs
    border = np.count_nonzero(kinds > 1)
    return bool(np.count_nonzero((kinds > 4) | between) <= MIXED * border)


def partners(ours: LabelMap, theirs: LabelMap) -> dict[int, int]:
    """Find for labels of `theirs` the one of `ours` that is the same: that of nearest colour, if near enough.

    Near enough is NEAR, as within a noisy map. Of two exact maps it is NEAR_EXACT, but less than half the
    distance between two labels of one of them. In exact maps of greys, whose values are numbers, only equal
    ones are the same.
    """
    near = NEAR
    if ours.exact and theirs.exact:
        grey = all((item.colours == item.colours[:, :1]).all() for item in (ours, theirs))
        near = 0.0 if grey else NEAR_EXACT
        for item in (ours, theirs):
            own = _distances(item.colours, item.colours)
            near = min(near, own[own > 0].min(initial=np.inf) / 2)
    distances = _distances(theirs.colours, ours.colours)
    best, least = distances.argmin(1), distances.min(1)
    return {k: int(best[k]) for k in range(len(best)) if least[k] == 0 or least[k] < near}


def _indexed(values: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Number the colours of (H, W, 3) values, -65792 to 65535. Returns (H, W) and (K, 3)."""
    packed = np.zeros(values.shape[:2], np.int64)
    for channel in range(3):
        packed <<= 18
        packed += values[..., channel] + (1 << 17)
    codes, index = np.unique(packed, return_inverse=True)
    parts = [(codes >> bits & (1 << 18) - 1) - (1 << 17) for bits in (36, 18, 0)]
    return index.reshape(values.shape[:2]).astype(np.int32), np.stack(parts, 1).astype(np.int32)


def _merged(
    index: NDArray[np.int32], colours: NDArray[np.float64], like: NDArray[np.float64] | None
) -> tuple[NDArray[np.int32], NDArray[np.float64]] | None:
    """Give every pixel one of the colours that were meant; None where there are none.

    index: (H, W), rows of `colours` (K, 3). Returns the same of the labels. like: as for `label_map`.
    """
    counts = _flat_counts(index, colours)
    enough = max(1.0, MIN_SHARE * index.size)
    centres = _centres(counts, colours, enough, like)
    if not len(centres):
        return None
    distances = _distances(colours, centres)
    nearest = np.where(distances.min(1) <= NEAR, distances.argmin(1), -1).astype(np.int32)
    labels = nearest[index]
    padded = np.pad(labels, CORE, mode="edge")
    core = labels >= 0
    for other in _shifted(padded, CORE):
        core &= other == labels
    if core.mean() < MIN_CORE:
        return None
    sharp = _peaks(counts, colours, SHARP, APART, enough)
    if not len(sharp) or (_distances(colours, sharp).min(1) <= SHARP)[index[core]].mean() < MIN_CLEAR:
        return None
    labels = np.where(core, labels, -1)
    sure, reach = labels.copy(), REACH
    while (labels < 0).any():
        # Along borders several labels are near: the colour decides.
        places = np.nonzero(labels < 0)
        least = np.full(len(places[0]), np.inf)
        for number in range(len(centres)):
            distance = distances[index[places], number]
            nearer = _near(sure == number, reach)[places] & (distance < least)
            least[nearer] = distance[nearer]
            labels[places[0][nearer], places[1][nearer]] = number
        reach *= 2
    kept, numbers = np.unique(labels, return_inverse=True)
    return numbers.reshape(index.shape).astype(np.int32), centres[kept]


def _flat_counts(index: NDArray[np.int32], colours: NDArray[np.float64]) -> NDArray[np.int64]:
    """Count the pixels of each colour in flat places. (K,)."""
    values = colours.astype(np.int16)[index]
    around = list(_shifted(np.pad(values, ((1, 1), (1, 1), (0, 0)), mode="edge"), 1))
    flat = (reduce(np.maximum, around) - reduce(np.minimum, around) <= FLAT).all(2)
    return np.bincount(index[flat], minlength=len(colours))


def _centres(
    counts: NDArray[np.int64],
    colours: NDArray[np.float64],
    enough: float,
    like: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """Find the colours that most pixels gather at, those near to `like` first. (K, 3)."""
    first = []
    if like is not None:
        distances = _distances(colours, like)
        owner = np.where(distances.min(1) <= NEAR, distances.argmin(1), -1)
        for number in range(len(like)):
            own = np.where(owner == number, counts, 0)
            if own.sum() >= enough:
                first.append(colours[own.argmax()])
        for centre in first:
            counts = np.where(_distances(colours, centre[None])[:, 0] <= NEAR, 0, counts)
    return np.concatenate([np.reshape(first, (-1, 3)), _peaks(counts, colours, PEAK, NEAR, enough)])


def _peaks(
    counts: NDArray[np.int64], colours: NDArray[np.float64], within: float, apart: float, enough: float
) -> NDArray[np.float64]:
    """Find the colours that at least `enough` pixels are `within` a distance of, the most frequent first.

    counts: (K,) pixels of each of the colours (K, 3). Returns (L, 3), colours `apart` from each other.
    """
    counts, peaks = counts.copy(), []
    for _ in range(TRIES):
        if counts.sum() < enough:
            break
        peak = colours[counts.argmax()]
        distance = _distances(colours, peak[None])[:, 0]
        if counts[distance <= within].sum() >= enough:
            peaks.append(peak)
            counts[distance <= apart] = 0
        else:
            counts[distance <= within] = 0
    return np.reshape(peaks, (-1, 3))


def _distances(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distances between (K, 3) and (L, 3) colours, (K, L)."""
    return np.sqrt(sum((one[:, None, c] - other[None, :, c]) ** 2 for c in range(3)))


def _shifted(padded: NDArray[Any], radius: int) -> Iterator[NDArray[Any]]:
    """Yield the neighbours of all pixels within a square, from what has been padded by `radius`."""
    height, width = (side - 2 * radius for side in padded.shape[:2])
    for row, column in product(range(2 * radius + 1), repeat=2):
        yield padded[row : row + height, column : column + width]


def _near(where: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """Tell for every pixel whether any in the square of `radius` around it is True."""
    for axis in (0, 1):
        pad = [(0, 0), (0, 0)]
        pad[axis] = (radius + 1, radius)
        total = np.pad(where, pad).cumsum(axis, dtype=np.int32)
        size = 2 * radius + 1
        before = total.take(range(where.shape[axis]), axis)
        where = total.take(range(size, size + where.shape[axis]), axis) > before
    return where
