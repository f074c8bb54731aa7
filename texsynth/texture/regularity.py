"""How regular a texture is, on the scale from a woven net to gravel (Liu, Lin and Hays 2004)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from texsynth.texture.lattice import MIN_CONFIDENCE, Lattice, likeliest_lattice

Kind = Literal["regular", "near-regular", "stochastic"]

REGULAR = 0.7
"""Nets, weaves, tiles and walls of equal bricks are above it; honeycombs, old walls and ripples below.

Stochastic is what is below the confidence from which on a lattice is kept."""


def regularity(image: Tensor, mask: Tensor | None = None) -> float:
    """Correlation of a texture with itself along the weaker one of its two strongest repetitions, 0 to 1.

    image: (1, 3, H, W); mask: (1, 1, H, W), above 0.5 where the texture is. Near 1 for a picture that repeats
    exactly in two directions, near 0 for noise; irregular textures reach 0.35, as they resemble themselves
    somewhere by chance. Stripes are regular: they repeat along themselves at any shift. A picture of one
    colour has nothing that could be repeated and gets 0.

    `structure.regularity`, which judges outputs, is the highest peak in any one direction.
    """
    return score_of(likeliest_lattice(image, mask))


def score_of(found: Lattice | None) -> float:
    """`regularity` of a picture whose likeliest lattice is `found`."""
    return 0.0 if found is None else max(0.0, min(1.0, found.confidence))


def kind_of(score: float) -> Kind:
    """What textures of this regularity are called."""
    if score >= REGULAR:
        return "regular"
    return "near-regular" if score >= MIN_CONFIDENCE else "stochastic"
