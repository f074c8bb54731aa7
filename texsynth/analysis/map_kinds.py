"""What the values of a surface's map are: plain ones, labels, or normals, seen from the map itself."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from texsynth.config.map_kinds import Declared, MapKind
from texsynth.images.picture import Picture

UNIT = 0.1  # Largest departure of a unit vector's length from 1, for 8 bits and compression

MOST = 0.95  # Share of the pixels of a normal map that must have it

FACING = 0.5  # Least mean of z of a normal map: it is seen from the front

LABELS = 32  # Most values of a grey map of labels
COLOUR_LABELS = 256  # Most colours of a map of labels in colour
PIXELS_OF_LABEL = 16  # Pixels that each label has at least, on average

AGREES = 0.2
"""Correlation of the mixed derivatives from which they say what green means. Those of photographed surfaces
have 0.5 and more, those of maps without slopes in both directions none."""


def map_kind(picture: Picture, declared: Declared | None = None) -> MapKind:
    """Say what the values of a map are. declared: what is known of them already; None looks at them."""
    if declared == "normals":
        return _green_direction(_vectors(picture))
    if declared is not None:
        return declared
    if not picture.grey and is_normal_map(picture):
        return _green_direction(_vectors(picture))
    return "labels" if has_labels(picture) else "values"


def is_normal_map(picture: Picture) -> bool:
    """Tell whether nearly all colours are vectors of unit length that face the viewer."""
    vectors = _vectors(picture)
    lengths = np.sqrt(np.square(vectors).sum(2))
    unit = (np.abs(lengths - 1) <= UNIT) & (vectors[..., 2] > -UNIT)
    return bool(unit.mean() >= MOST and vectors[..., 2].mean() >= FACING)


def has_labels(picture: Picture) -> bool:
    """Tell whether a map has so few values that they are marks: of one bit, or numbers of materials."""
    planes = [picture.rgb[..., 0]] if picture.grey else [picture.rgb[..., channel] for channel in range(3)]
    planes += [] if picture.alpha is None else [picture.alpha]
    most = LABELS if picture.grey else COLOUR_LABELS
    if any(len(np.unique(plane)) > most for plane in planes):
        return False
    stacked = np.stack([plane.ravel() for plane in planes], 1)
    count = len(np.unique(stacked, axis=0))
    return count <= most and count * PIXELS_OF_LABEL <= len(stacked)


def _green_direction(vectors: NDArray[np.float32]) -> Literal["opengl", "directx"]:
    """Say what green means: only one of both makes the slopes those of a height.

    vectors: (H, W, 3). Of a height the slope across changes downwards as the slope down changes across. Where
    that says nothing it is OpenGL, the more usual one.
    """
    z = np.maximum(vectors[..., 2], UNIT)
    across, down = -vectors[..., 0] / z, vectors[..., 1] / z
    if min(z.shape) < 3:
        return "opengl"
    a, b = np.gradient(across, axis=0), np.gradient(down, axis=1)
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return "directx" if scale > 0 and float((a * b).sum()) < -AGREES * scale else "opengl"


def _vectors(picture: Picture) -> NDArray[np.float32]:
    """Return the colours as vectors, (H, W, 3) in [-1, 1]."""
    vectors: NDArray[np.float32] = picture.rgb.astype(np.float32) * (2 / np.iinfo(picture.rgb.dtype).max) - 1
    return vectors
