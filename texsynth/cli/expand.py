"""texsynth expand and texsynth tile."""

import math
import re
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Annotated, NoReturn, get_args

from texsynth.cli import options
from texsynth.cli.completion import complete_transposer
from texsynth.cli.options import argument, file_option, look_option, option
from texsynth.cli.run import (
    Sheet,
    given,
    look_settings,
    make_setup,
    piped,
    run_operation,
    without_results,
)
from texsynth.cli.searching import search
from texsynth.config.expand_rules import check_weights, with_preset_method
from texsynth.config.settings import ExpandSettings, Method
from texsynth.config.validation import nearest
from texsynth.errors import UsageError
from texsynth.images import output_format
from texsynth.jobs.expand_inputs import Command, expand_jobs, plan_tasks
from texsynth.jobs.expand_reading import LoadedInputs, check_textures
from texsynth.jobs.inputs import find_input
from texsynth.jobs.material_tasks import with_materials
from texsynth.jobs.materials import find_materials

layout_option, map_option = (partial(option, panel=panel) for panel in ("Size and layout", "Maps"))


@dataclass(frozen=True)
class TextureOptions(options.LookOptions):
    """The method, maps of the exemplar, and a sheet: what both commands have."""

    method: str | None = look_option(
        None,
        help="auto, by how the texture looks; noise; or stages: transposer, patch, optimize, or joined "
        "like patch+optimize.",
    )
    even_light: str | None = look_option(
        None,
        metavar="auto|off|SHARE",
        help="First take slow changes of light and colour out: auto, where they are no part of the texture; "
        "off; or a share from 0 to 1.",
    )
    orientations: str | None = look_option(
        None,
        metavar="auto|none|mirror|all",
        help="Also lay turned and mirrored pieces: auto, where the texture stays the same by its statistics; "
        "none; mirror, left to right alone; or all eight.",
    )
    variety: float | None = look_option(
        None, help="How hard copies are kept apart, above all of what stands out: 0 not at all, to 1."
    )
    siblings: list[str] | None = map_option(
        None,
        "--with",
        metavar="FILE",
        help="A map of the same surface, like normals or roughness, that gets the same layout; it keeps "
        "its bit depth and channels. Repeatable.",
    )
    normals: list[str] | None = map_option(
        None,
        "--with-normal",
        metavar="FILE",
        help="The same for a normal map whose values or name do not show that it is one: its vectors turn "
        "when the texture is turned. Repeatable.",
    )
    mask: str | None = map_option(None, metavar="FILE", help="White where the exemplar may be sampled.")
    preview: str | None = file_option(
        None, metavar="FILE", help="Also write a contact sheet: every exemplar and its results, small."
    )


size_option = layout_option(None, metavar="WxH", help="Output in pixels, like 1024x512; 1024 is a square.")


@dataclass(frozen=True)
class TileOptions:
    """The size of a tile."""

    size: str | None = size_option


@dataclass(frozen=True)
class LayoutOptions:
    """The size of the output, and what goes where."""

    scale: float | None = layout_option(None, help="Output over exemplar, on both sides. Default: 2.")
    size: str | None = size_option
    tileable: bool | None = layout_option(
        None,
        "--tileable/--no-tileable",
        help="The right border continues at the left, the bottom at the top.",
    )
    upright: bool | None = layout_option(
        None,
        "--upright/--no-upright",
        help="First turn the exemplar so that its strongest lines are level or upright.",
    )
    count: int = layout_option(1, help="Make this many variations, numbered from 1.")
    mix: bool = layout_option(False, help="Mix all exemplars into one output.")
    weights: str | None = layout_option(
        None, metavar="A,B,...", help="Mix, with these shares of the exemplars."
    )
    transposer: str | None = look_option(
        None,
        metavar="NAME|FILE",
        help="Network of the transposer stage: borders, which repairs the borders between copies; none; or "
        "another that `texsynth models list` shows or `train borders` or `train transposer` wrote.",
        autocompletion=complete_transposer,
    )
    variation: float | None = look_option(None, help="Noise in the transposer's layout, 0 to 1.")
    guide: str | None = map_option(
        None,
        metavar="FILE",
        help="Layout of the output: light where it shall be light, or where --guide-of has these values.",
    )
    guide_of: str | None = map_option(
        None, metavar="FILE", help="What the guide's values mean on the exemplar."
    )
    hole: str | None = map_option(
        None, metavar="FILE", help="Fill the exemplar in place where this is white."
    )


def expand(
    pictures: list[str] = argument(
        ...,
        metavar="EXEMPLAR...",
        help="Pictures of a texture, folders or quoted patterns; - is standard input.",
    ),
    *,
    output: Annotated[str | None, options.output_option("NAME.expand.png")] = None,
    layout: LayoutOptions,
    texture: TextureOptions,
    common: options.RunOptions,
) -> None:
    """Make more of a texture: larger, not repeating, seamless when asked."""
    if layout.hole is not None and (layout.size or layout.scale):
        raise UsageError("--hole keeps the exemplar's size; leave out --size and --scale")
    _carry_out("expand", pictures, output, layout, texture, common)


def tile(
    pictures: Annotated[list[str], options.pictures_argument("PICTURE...")],
    *,
    output: Annotated[str | None, options.output_option("NAME.tile.png")] = None,
    layout: TileOptions,
    texture: TextureOptions,
    common: options.RunOptions,
) -> None:
    """Make pictures seamless: their borders meet, the middle stays."""
    _carry_out("tile", pictures, output, LayoutOptions(size=layout.size), texture, common)


def _carry_out(
    command: Command,
    pictures: list[str],
    output: str | None,
    layout: LayoutOptions,
    texture: TextureOptions,
    common: options.RunOptions,
) -> NoReturn:
    """Expand `pictures` or make them seamless, and leave with the exit code."""
    method = texture.method
    if method is not None and method not in get_args(Method):
        raise UsageError(f"unknown method {method!r}{nearest(method, get_args(Method))}")
    flags = given({"tileable": layout.tileable, "upright": layout.upright, "variation": layout.variation})
    flags |= given({"transposer": layout.transposer, "even_light": _even_light(texture.even_light)})
    flags |= given({"orientations": texture.orientations, "variety": texture.variety})
    flags |= given({"method": method}) | size_settings(layout.size, layout.scale)
    settings = look_settings(ExpandSettings, texture, flags, beside=["run"])
    setup = make_setup(common, output, texture)
    run = setup.run
    siblings, normals = texture.siblings or (), texture.normals or ()
    mixed = layout.mix or layout.weights is not None
    maps = {"mask": texture.mask, "guide": layout.guide, "guide_of": layout.guide_of, "hole": layout.hole}
    named = method is not None or any(
        a.partition("=")[0].strip() == "method" for a in texture.assignments or ()
    )
    if not named:
        settings = with_preset_method(settings, limited=command == "tile" or mixed or any(maps.values()))
    data = piped([*pictures, *siblings, *normals, *maps.values()])
    materials = [] if common.recursive or mixed or siblings or normals else find_materials(pictures)
    for material in materials:
        setup.screen.note(str(material))
    exemplars = [material.colour for material in materials]
    exemplars = exemplars or search(setup, pictures, recursive=common.recursive, piped=data)
    if not mixed:
        exemplars = without_results(exemplars, command, setup)
    elif len(exemplars) < 2:
        option = "--mix" if layout.weights is None else f"--weights {layout.weights}"
        raise UsageError(f"{option} mixes several exemplars, and one is given; leave it out, or give more")
    tasks = with_materials(
        plan_tasks(
            command,
            exemplars,
            mixed=mixed,
            weights=_weights(layout.weights),
            siblings=[find_input(argument, data) for argument in siblings],
            normals=[find_input(argument, data) for argument in normals],
            **{name: find_input(argument, data) for name, argument in maps.items() if argument is not None},
        ),
        materials,
    )
    jobs = expand_jobs(tasks, settings, output, count=layout.count, result_format=setup.result_format)
    sheet = None
    if texture.preview is not None:
        output_format(Path(texture.preview))
        sheet = Sheet(
            Path(texture.preview),
            lambda report: import_module("texsynth.jobs.expand").preview_sheet(report, run),
        )
    loaded: LoadedInputs = {}
    run_operation(
        jobs,
        partial(check_textures, run=run, loaded=loaded),
        lambda _: import_module("texsynth.jobs.expand").Expand(run, loaded),
        setup,
        sheet=sheet,
    )


def size_settings(size: str | None, scale: float | None) -> dict[str, object]:
    """Return the settings `size` and `scale` from their flags. Raises UsageError."""
    if size is None:
        # A size in a preset would take precedence over the flag.
        return {} if scale is None else {"scale": scale, "size": None}
    if scale is not None:
        raise UsageError(f"--size {size} and --scale {scale:g} contradict each other; give one of them")
    sides = re.fullmatch(r"([1-9][0-9]{0,8})(?:[xX×]([1-9][0-9]{0,8}))?", size.strip())
    if not sides:
        raise UsageError(f"--size {size!r} is not of the form WxH, like 1024x512, or one number for a square")
    return {"size": [int(sides[1]), int(sides[2] or sides[1])]}


def _even_light(text: str | None) -> str | float | None:
    if text in (None, "auto", "off"):
        return text
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise UsageError(f"--even-light {text!r} must be auto, off or a share from 0 to 1")
    return share


def _weights(text: str | None) -> list[float]:
    if text is None:
        return []
    try:
        weights = [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--weights {text!r} is not of the form A,B,... like 2,1") from None
    check_weights(weights, f"--weights {text!r}")
    return weights
