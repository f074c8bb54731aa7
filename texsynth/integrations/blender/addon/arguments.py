"""What the panels show, and the arguments of the command that it becomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PRESETS = {
    "expand": ("balanced", "best", "fast"),
    "stylize": (
        "artistic", "best", "bold", "classic-wct", "colour-only", "gentle", "ift-paper", "pattern", "photo",
        "photo-soft",
    ),
}  # fmt: skip
"""Names of presets that are offered; others may be typed."""

SCALE, PIXELS = "SCALE", "PIXELS"
SIZES = ((SCALE, "Scale", "A multiple of the picture"), (PIXELS, "Pixels", "Width and height"))

PRESET, PHOTO, ARTISTIC = "PRESET", "PHOTO", "ARTISTIC"
LOOKS = (
    (PRESET, "As the Preset", "What the preset says; without one, paint"),
    (PHOTO, "Photo", "Keep all contours; change light and colours alone"),
    (ARTISTIC, "Artistic", "Paint"),
)

SHARED = ("--json-progress", "--no-record")
"""Options of all commands here."""

ALPHA, IMAGE = "ALPHA", "IMAGE"
HOLES = (
    (ALPHA, "Alpha", "Fill what is transparent"),
    (IMAGE, "Image", "Fill what is white in another image of the same size"),
)

NORMAL, BUMP, DISPLACEMENT = "NORMAL", "BUMP", "DISPLACEMENT"
RELIEFS = (
    (NORMAL, "Normal Map", "The normal map alone; the height where there is none"),
    (BUMP, "Bump", "The height as bumps, in place of the normal map"),
    (DISPLACEMENT, "Displacement", "Move the surface itself by the height; it needs a fine mesh"),
)


@dataclass(frozen=True)
class Field:
    """A value that a panel shows. `default` tells its kind; where it is left, the command decides.

    option: that of the command; empty where `arguments` has a rule of its own.
    """

    name: str
    label: str
    default: float | int | bool | str
    tooltip: str
    option: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[tuple[str, str, str], ...] = ()
    presets: str = ""
    """The command whose presets are offered."""


def _preset(name: str, command: str) -> Field:
    return Field(name, "Preset", "", "Named settings; empty for the defaults", "--preset", presets=command)


SEED = Field("seed", "Seed", 0, "Another number gives another result", "--seed", 0, 2**31 - 1)

TASKS: dict[str, tuple[Field, ...]] = {
    "tile": (_preset("tile_preset", "expand"),),
    "expand": (
        _preset("expand_preset", "expand"),
        Field("sized", "Size", SCALE, "How the size of the result is given", choices=SIZES),
        Field("scale", "Scale", 2.0, "Size of the result over that of the picture", "", 0.1, 16.0),
        Field("width", "Width", 1024, "Width of the result in pixels", "", 16, 16384),
        Field("height", "Height", 1024, "Height of the result in pixels", "", 16, 16384),
        Field("tileable", "Seamless", False, "The borders of the result meet", "--tileable"),
    ),
    "fill": (
        _preset("fill_preset", "expand"),
        Field("hole_from", "Hole", ALPHA, "Where the picture is filled", choices=HOLES),
    ),
    "stylize": (
        _preset("style_preset", "stylize"),
        Field("look", "Look", PRESET, "Keep contours as in a photograph, or paint", choices=LOOKS),
        Field("strength", "Strength", 1.0, "0 keeps the picture; 1 is as in the preset", "--strength", 0, 1),
    ),
    "maps": (
        Field("depth", "Depth", 0.03, "Of the relief, over the shorter side", "--depth", 0.001, 1.0),
        Field("invert", "Dark Is High", False, "Dark is high instead of deep", "--invert"),
        Field("relief", "Relief", NORMAL, "What makes the relief of the material", choices=RELIEFS),
    ),
}  # fmt: skip
"""What each panel shows, by the command; `fill` is `expand --hole`."""

FIELDS = (SEED, *(field for fields in TASKS.values() for field in fields))


def arguments(task: str, inputs: Sequence[str], output: str, values: Mapping[str, Any]) -> list[str]:
    """Return the words after the command's name.

    inputs: the picture, and the style of `stylize` or the hole of `fill`. values: of the fields, by name.
    """
    command = "expand" if task == "fill" else task
    words = [command, *SHARED, "-o", output]
    fields = TASKS[task] if task == "maps" else (*TASKS[task], SEED)
    for field in fields:
        # A property of Blender is a float of 32 bits.
        value = round(values[field.name], 6) if isinstance(field.default, float) else values[field.name]
        if field.option and value != field.default:
            words += [field.option] if value is True else [field.option, str(value)]
    if task == "expand":
        by_scale = values["sized"] == SCALE
        size = f"{round(values['scale'], 6):g}" if by_scale else f"{values['width']}x{values['height']}"
        words += ["--scale" if by_scale else "--size", size]
    if task == "stylize" and values["look"] != PRESET:
        words.append("--photo" if values["look"] == PHOTO else "--artistic")
    if task == "fill":
        picture, hole = inputs
        return [*words, "--hole", hole, "--", picture]
    return [*words, "--", *inputs]
