"""What a texture is taken from."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Exemplar:
    """An input texture and what belongs to it pixel by pixel."""

    image: Tensor
    """(1, 3, h, w) in [0, 1]."""
    siblings: tuple[Tensor, ...] = ()
    """Further maps of the same surface, each (1, c, h, w): normals, roughness."""
    mask: Tensor | None = None
    """(1, 1, h, w), above 0.5 where the texture may be taken from; None for everywhere."""
    guide: Tensor | None = None
    """(1, g, h, w) in [0, 1], what a guide map's values look like here; None stands for blurred lightness."""
    weight: float = 1.0
    """Share of the output among several exemplars, relative to the others."""
