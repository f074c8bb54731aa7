"""Records that outputs carry so that `texsynth replay` can make them again."""

from typing import Annotated, Literal, Self

from pydantic import Field, RootModel, model_validator

from texsynth.config.map_kinds import MapKind
from texsynth.config.map_settings import MapsSettings, TilesetSettings
from texsynth.config.settings import ExpandSettings, Level, Listed, RunSettings, Settings, StylizeSettings

Name = Annotated[str, Field(min_length=1)]


class Source(Settings):
    """A picture that went into an output."""

    path: Name
    sha256: str


Sources = Annotated[tuple[Source, ...], Listed, Field(min_length=1)]


class Sibling(Source):
    """A map that was expanded like the exemplar."""

    output: Name  # Name of the file it was written to, beside the output
    kind: MapKind = "values"  # What its values are; before version 0.2 all were plain


class Versions(Settings):
    """Versions of the programs that computed an output."""

    texsynth: str
    torch: str


class TweenRecord(Settings):
    """The frames whose statistics a frame got; they lie between those of two measurements."""

    before: Annotated[tuple[Source, ...], Listed]
    after: Annotated[tuple[Source, ...], Listed] = ()
    share: Annotated[float, Field(ge=0, lt=1)] = 0.0  # How far they had faded into those after


class StylizeRecord(Settings):
    """Record of a stylized picture."""

    command: Literal["stylize"] = "stylize"
    content: Source
    style: Source
    key: str | None = None  # Relative path of the content, where it is mixed into the seed
    tween: TweenRecord | None = None
    stylize: StylizeSettings
    run: RunSettings  # Device, dtype and threads are as they were chosen
    model_sha256: str
    versions: Versions


class ExpandRecord(Settings):
    """Record of a texture that was expanded, filled, or made seamless."""

    command: Literal["expand", "tile"]
    exemplars: Sources
    weights: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Listed] = ()
    """Shares of the exemplars, one each; empty for equal ones."""
    siblings: Annotated[tuple[Sibling, ...], Listed] = ()
    mask: Source | None = None  # Picture of the places to sample from
    guide: Source | None = None
    guide_of: Source | None = None  # Picture of the guide's values on the exemplar
    hole: Source | None = None
    key: str  # Relative paths of the exemplars, joined by `+`, which seed it
    index: Annotated[int, Field(ge=1)] = 1  # Number of the variation, from 1, for `--count`
    part: Annotated[int, Field(ge=0)] = 0  # 0 in the texture itself, k in its k-th sibling
    expand: ExpandSettings
    run: RunSettings  # Device, dtype and threads are as they were chosen
    model_sha256: str
    transposer_sha256: str | None = None
    versions: Versions

    @model_validator(mode="after")
    def _check(self) -> Self:
        count = len(self.exemplars)
        if self.weights and (len(self.weights) != count or not sum(self.weights)):
            raise ValueError(f"weights are {len(self.weights)} numbers for {count} exemplars, or all are 0")
        single = {"siblings": self.siblings, "mask": self.mask, "guide_of": self.guide_of, "hole": self.hole}
        for name, value in single.items():
            if value and count > 1:
                raise ValueError(f"{name} belongs to one exemplar, but there are {count}")
        _check_part(self.part, self.siblings)
        return self


class BlendStyle(Settings):
    """One of the styles of a blend."""

    sources: Sources  # A picture or a card, or several whose moments add up
    weight: Annotated[float, Field(ge=0)]
    levels: Annotated[tuple[Level, ...] | None, Listed] = None
    mask: Source | None = None
    labels: Source | None = None


class BlendRecord(Settings):
    """Record of a blend of styles."""

    command: Literal["blend"] = "blend"
    content: Source
    styles: Annotated[tuple[BlendStyle, ...], Listed, Field(min_length=1)]
    content_labels: Source | None = None
    sequential: bool = False
    feather: Annotated[int, Field(ge=0)] = 0
    key: str | None = None  # Relative path of the content, where it is mixed into the seed
    tween: TweenRecord | None = None
    stylize: StylizeSettings
    run: RunSettings  # Device, dtype and threads are as they were chosen
    model_sha256: str
    versions: Versions


MapRole = Literal["height", "normal", "roughness", "ao"]  # Maps of a surface; ao is ambient occlusion


class MapsRecord(Settings):
    """Record of a map that was guessed from a photograph."""

    command: Literal["maps"] = "maps"
    picture: Source
    role: MapRole  # Which of the maps it is
    maps: MapsSettings
    run: RunSettings
    versions: Versions


class TilesetRecord(Settings):
    """Record of a set of tiles, or of a sample of a layout of them."""

    command: Literal["tileset"] = "tileset"
    exemplar: Source
    siblings: Annotated[tuple[Sibling, ...], Listed] = ()
    key: str  # Relative path of the exemplar, which seeds it
    part: Annotated[int, Field(ge=-1)] = 0  # 0 in the tiles, k in those of the k-th sibling, -1 in the layout
    tileset: TilesetSettings
    run: RunSettings
    versions: Versions

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_part(self.part, self.siblings)
        return self


def _check_part(part: int, siblings: tuple[Sibling, ...]) -> None:
    if part > len(siblings):
        raise ValueError(f"part is {part}, but there are {len(siblings)} siblings")


Record = Annotated[
    StylizeRecord | BlendRecord | ExpandRecord | MapsRecord | TilesetRecord, Field(discriminator="command")
]
"""Record that `texsynth replay` reads to make an output again; embedded in every output."""


class Embedded(RootModel[Record]):
    """A record as it is read from an output."""
