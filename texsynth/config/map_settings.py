"""Settings of `texsynth maps` and `texsynth tileset`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from texsynth.config.settings import Fraction, Listed, PatchSettings, Settings

TilePixels = Annotated[int, Field(ge=16)]

Share = Annotated[float, Field(gt=0, le=1)]


class MapsSettings(Settings):
    """How `texsynth maps` guesses the maps of a surface."""

    tileable: bool | None = None
    """Whether opposite borders of the picture meet, so that those of the maps shall, too; None looks."""
    even_light: Fraction = 1.0
    """Share of the slow light that is taken away before light and dark become height."""
    bands: Annotated[tuple[Fraction, Fraction, Fraction, Fraction], Listed] = (0.3, 0.8, 1.0, 0.6)
    """How much of lightness is height: of grain, of texture, of shapes, and of what is larger."""
    invert: bool = False
    """Dark is high, like light mortar between dark stones."""
    depth: Share = 0.03
    """Height of a point of value 1 above one of value 0, as a share of the picture's shorter side."""
    green: Literal["up", "down"] = "up"
    """Where a normal leans to whose green is light: up (OpenGL) or down (DirectX)."""
    reach: Share = 0.06
    """Distance within which the surface hides light from itself, as a share of the shorter side."""
    roughness: Annotated[tuple[Fraction, Fraction], Listed] = (0.35, 0.95)
    """Roughness of a surface without fine detail, and of one with a lot."""


class TilesetSettings(Settings):
    """How `texsynth tileset` makes tiles that go on at their corners' colours."""

    size: Annotated[tuple[TilePixels, TilePixels] | None, Listed] = None
    """Width and height of a tile in pixels.

    None is half of the exemplar's shorter side, or near it what holds whole periods of a regular texture."""
    corners: Annotated[int, Field(ge=1, le=100)] = 3
    """Pairs of corners that are tried; the one whose edges have the faintest seams is kept."""
    patch: PatchSettings = PatchSettings(layouts=2)
    """The pieces between the edges, as in expansions."""
