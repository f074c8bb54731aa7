"""Every sample by name: how it is drawn, its seed and its file."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from generators import balloons, fibre, glass, ink, masonry, mountains, still_life, street, strokes
from generators.raster import Array, downscale, save


@dataclass(frozen=True)
class Sample:
    """One picture of the folder."""

    draw: Callable[[np.random.Generator], Array]
    seed: int
    shrink: int  # drawn this many times larger, then averaged
    ending: str = ".jpg"


CATALOGUE: dict[str, Sample] = {
    "still_life": Sample(still_life.still_life, 1, 1),
    "mountains": Sample(mountains.mountains, 1, 2),
    "street": Sample(street.street, 1, 2),
    "balloons": Sample(balloons.balloons, 1, 2),
    "style_swirl": Sample(strokes.swirl, 1, 2),
    "style_ink": Sample(ink.ink, 3, 3),
    "style_mosaic": Sample(glass.mosaic, 1, 2),
    "style_sunset": Sample(mountains.sunset, 7, 2),
    "bricks": Sample(masonry.bricks, 3, 3, ".png"),
    "wood": Sample(fibre.wood, 5, 3, ".png"),
    "marble": Sample(masonry.marble, 8, 3, ".png"),
    "weave": Sample(fibre.weave, 2, 3, ".png"),
    "pebbles": Sample(masonry.pebbles, 4, 3, ".png"),
    "grass": Sample(fibre.grass, 6, 3, ".png"),
    "rust": Sample(fibre.rust, 9, 3, ".png"),
}


def draw(name: str, folder: Path) -> Path:
    """Draw one sample into the folder; returns its path."""
    sample = CATALOGUE[name]
    picture = downscale(sample.draw(np.random.default_rng(sample.seed)), sample.shrink)
    path = folder / (name + sample.ending)
    save(picture, path)
    return path
