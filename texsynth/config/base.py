"""The base of all settings, and types that several of them share."""

from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
)

Fraction = Annotated[float, Field(ge=0, le=1)]


class Settings(BaseModel):
    """Base of all settings: immutable, unknown keys refused, no silent conversion of text to numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class NoiseSettings(Settings):
    """By-example noise: patches from random places of the exemplar, blended without loss of contrast."""

    spacing: Annotated[float, Field(gt=0.01, le=0.33)] = 0.14
    """Distance of the middles of patches, as a share of the exemplar's shorter side.

    Larger keeps larger shapes and repeats them sooner: of blocks of 31 x 31 pixels in outputs of twice the
    side of 256, none to 2% recur at 0.14, 22% at 0.16, 41% at 0.2 (medians)."""
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


class ReadSettings(Settings):
    """How damaged pictures are treated."""

    lenient: bool = False
    """Read what is left of a damaged picture, with a warning."""

    @model_serializer(mode="wrap")
    def _without_usual(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Leave out what records of earlier versions do not have, in the usual case."""
        usual: dict[str, object] = {"lenient": False, "backend": "torch", "strip": False, "srgb": False}
        return {key: value for key, value in handler(self).items() if key not in usual or value != usual[key]}
