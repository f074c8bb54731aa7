"""The base of all settings, and types that several of them share."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

Fraction = Annotated[float, Field(ge=0, le=1)]


class Settings(BaseModel):
    """Base of all settings: immutable, unknown keys refused, no silent conversion of text to numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class NoiseSettings(Settings):
    """By-example noise: patches from random places of the exemplar, blended without loss of contrast."""

    spacing: Annotated[float, Field(gt=0.01, le=0.33)] = 0.16
    """Distance of the middles of patches, as a share of the exemplar's shorter side.

    Larger keeps larger shapes and repeats them sooner."""
    sharpness: Annotated[float, Field(ge=1, le=16)] = 2.0
    """Power of the blending weights: 1 blends most, larger ones show more of a single patch."""


EvenLight = Annotated[
    Annotated[Literal["auto", "off"], Field(title="word"), Tag("word")]
    | Annotated[Fraction, Field(title="number"), Tag("number")],
    Discriminator(lambda value: "word" if isinstance(value, str) else "number"),
]
"""How much of a slow change of light and colour is taken out: a share, or auto, or off."""

Orientations = Literal["auto", "none", "mirror", "all"]
"""In which of the eight turns and mirror images pieces may be laid; auto leaves it to the texture."""
