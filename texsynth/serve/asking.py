"""What the page and scripts ask for: a command with pictures and settings, as JSON."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import Field, model_validator

from texsynth.config.settings import Listed, Settings
from texsynth.config.validation import validate
from texsynth.images.formats import TABLE
from texsynth.strict_json import parse

Command = Literal["stylize", "blend", "expand", "tile", "maps"]

COMMANDS: tuple[str, ...] = get_args(Command)

MOST_STYLES, MOST_SIBLINGS = 4, 16

FORMATS = tuple(one.suffixes[0][1:] for one in TABLE if one.writes)
"""What `run.format` may be."""

LONGEST_CHANGES = 8192
"""Letters of all changes of a request, as JSON; reading many more as YAML would take seconds."""

MAX_SIDE = 1024
"""Largest side of a preview in pixels."""

Picture = Annotated[str, Field(min_length=1, max_length=64)]
"""The id of a picture that was given to the server."""

Weight = Annotated[float, Field(ge=0, le=1e6)]

S = TypeVar("S", bound=Settings)


class MalformedError(Exception):
    """A request that cannot be read."""


class StyleAsked(Settings):
    """A style and its part in a blend."""

    picture: Picture
    weight: Weight = 1.0
    mask: Picture | None = None
    """Where it goes: white is there. None for everywhere, or for what other masks leave."""


class RunAsked(Settings):
    """What is no look."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    max_side: Annotated[int, Field(ge=1)] | None = None
    """Larger contents are reduced to this many pixels on the longer side."""
    format: str | None = None
    """Format of the results, like png; None follows the picture's."""

    @model_validator(mode="after")
    def _is_written(self) -> RunAsked:
        if self.format is not None and self.format not in FORMATS:
            raise ValueError(f"run.format is {self.format!r} but must be one of {', '.join(FORMATS)}")
        return self


class Asked(Settings):
    """A command, its pictures, and what differs from a preset."""

    command: Command
    picture: Picture
    """The content of a style, the exemplar of a texture, or the photograph of maps."""
    styles: Annotated[tuple[StyleAsked, ...], Listed, Field(max_length=MOST_STYLES)] = ()
    hole: Picture | None = None
    """White where a texture is filled."""
    mask: Picture | None = None
    """White where a texture is sampled."""
    siblings: Annotated[tuple[Picture, ...], Listed, Field(max_length=MOST_SIBLINGS)] = ()
    """Further maps of the texture's surface."""
    preset: Annotated[str, Field(min_length=1, max_length=80)] | None = None
    changes: Annotated[dict[str, Any], Field(max_length=100)] = Field(default={})
    """Settings by their path, as `--set` takes them."""
    run: RunAsked = RunAsked()

    @model_validator(mode="after")
    def _belongs_together(self) -> Asked:
        if (length := len(json.dumps(self.changes))) > LONGEST_CHANGES:
            raise ValueError(
                f"changes are {length} letters of JSON but may be at most {LONGEST_CHANGES}; leave some out"
            )
        paints, texture = self.command in ("stylize", "blend"), self.command in ("expand", "tile")
        count = len(self.styles)
        if self.command == "stylize" and count != 1:
            raise ValueError(f"stylize takes one style, and {count} are given; use blend for several")
        if self.command == "blend" and not count:
            raise ValueError(f"blend takes 1 to {MOST_STYLES} styles, and none is given")
        if self.command == "stylize" and self.styles[0].mask is not None:
            raise ValueError("stylize lays a style over all of a picture; use blend with a mask")
        for name, given, fits in (
            ("styles", self.styles, paints),
            ("siblings", self.siblings, texture),
            ("mask", self.mask, texture),
            ("hole", self.hole, self.command == "expand"),
            ("run.max_side", self.run.max_side, paints),
        ):
            if given and not fits:
                raise ValueError(f"{self.command} takes no {name}; leave it out")
        return self

    @property
    def pictures(self) -> tuple[str, ...]:
        """The ids of all pictures, each once, the one that is worked on first."""
        styles = [picture for style in self.styles for picture in (style.picture, style.mask)]
        every = [self.picture, *styles, self.hole, self.mask, *self.siblings]
        return tuple(dict.fromkeys(picture for picture in every if picture is not None))

    @property
    def section(self) -> str:
        """The section of presets with its settings."""
        return {"blend": "stylize", "tile": "expand"}.get(self.command, self.command)


class PreviewAsked(Asked):
    """A small picture of what a command would make."""

    tab: Annotated[str, Field(min_length=1, max_length=80)]
    """Who asks: a newer preview takes the place of an older one."""
    side: Annotated[int, Field(ge=32, le=MAX_SIDE)] = 384
    """Its longer side in pixels."""
    show: Literal["height", "normal", "roughness", "ao"] = "normal"
    """Which of several maps."""
    rough: bool = False
    """Whether a texture may be shown in a rough way, which is fast."""


class PresetAsked(Settings):
    """Settings to be kept under a name."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    request: Asked
    save: bool = False
    """Whether the preset goes into the user's folder."""


def read_asked(kind: type[S], body: bytes) -> S:
    """Return the JSON `body` as `kind`. Raises MalformedError for no JSON, UsageError for wrong values."""
    return validate(kind, read_object(body), "")


def read_object(text: str | bytes) -> dict[str, Any]:
    """Return the object in a JSON text. Raises MalformedError."""
    try:
        data = parse(text)
    except ValueError as error:
        raise MalformedError(f"the request cannot be read: {error}") from None
    if not isinstance(data, dict):
        raise MalformedError("the request must be a JSON object")
    return data
