"""Description of a texture without a network: regularity, orientation, contrast, colours."""

from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from texsynth.analysis.lattice import (
    MIN_CONFIDENCE,
    Kind,
    finest_lattice,
    most_likely_lattice,
    regularity_kind,
    regularity_score,
)
from texsynth.analysis.orientation import Orientation, texture_orientations
from texsynth.analysis.palette import Colour, palette, tone
from texsynth.analysis.repeats import Repeats, in_words, repeats
from texsynth.ops.resample import resize

SIDE = 512  # Larger pictures are reduced to this many pixels on the longer side

LEVEL = 8.0  # Degrees that lines may lean and still be level or upright


@dataclass(frozen=True)
class Appearance:
    """Figures that describe a texture."""

    regularity: float  # 0 to 1, see `regularity_score`
    kind: Kind  # Name of this regularity
    lattice: tuple[tuple[float, float], tuple[float, float]] | None
    """Two vectors (dy, dx) in pixels by which the texture repeats; None for stochastic ones."""
    periods: tuple[float, ...]
    """Their lengths in pixels, the shortest first; of stripes one only, of stochastic textures none."""
    repeats: Repeats | None
    """The same by rows; None also where no rows are level, and for stripes."""
    repeats_in_words: str  # For readers; '' for stochastic textures
    orientations: tuple[Orientation, ...]
    """Directions in which lines run: angles from 0, level, to below 180, counter-clockwise; 90 is upright."""
    contrast: float  # Deviation of the luma, 0 to 0.5
    lightness: float  # Mean of the luma, 0 to 1
    palette: tuple[Colour, ...]  # Colours (8 bits) and their shares, the largest first


@torch.no_grad()
def measure_appearance(image: Tensor, mask: Tensor | None = None) -> Appearance:
    """Describe a texture. image: (1, 3, H, W) in [0, 1]. mask: (1, 1, H, W), above 0.5 where it is opaque."""
    lightness, contrast = tone(image, mask)
    size = (image.shape[2], image.shape[3])
    factor = min(1.0, SIDE / max(size))
    rows, columns = (max(1, round(n * factor)) for n in size)
    small = resize(image, rows, columns)
    inside = None if mask is None else resize(mask.float(), rows, columns)
    lattice = most_likely_lattice(small, inside)
    score = regularity_score(lattice)
    vectors, periods, by_rows, words = None, tuple[float, ...](), None, ""
    lines = texture_orientations(small, mask=inside)
    if lattice is not None and score >= MIN_CONFIDENCE:
        lattice = finest_lattice(lattice, small, inside).scaled(size[0] / rows, size[1] / columns)
        (a, b), (c, d) = lattice.vectors.tolist()
        vectors, periods = ((a, b), (c, d)), lattice.periods
        level = _has_level_rows([line.angle for line in lines])
        by_rows = repeats(*vectors) if level and all(lattice.distinct) else None
        words = in_words(*vectors, lattice.distinct, level=level)
    return Appearance(
        regularity=score,
        kind=regularity_kind(score),
        lattice=vectors,
        periods=periods,
        repeats=by_rows,
        repeats_in_words=words,
        orientations=lines,
        contrast=contrast,
        lightness=lightness,
        palette=palette(image, mask),
    )


def _has_level_rows(angles: list[float]) -> bool:
    """Tell from the angles of lines whether rows may be level: a lattice may have level vectors by chance.

    They are where lines are level, upright, or lean to both sides alike, and where there are none.
    """
    upright = any(abs((angle + 45) % 90 - 45) <= LEVEL for angle in angles)
    return upright or not angles or any(abs(a + b - 180) <= LEVEL for a, b in combinations(angles, 2))
