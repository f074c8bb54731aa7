"""texsynth expand and texsynth tile."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from texsynth.cli import options
from texsynth.cli.run import (
    Sheet,
    given,
    look_settings,
    make_screen,
    output_suffix,
    piped,
    run_operation,
    run_settings,
)
from texsynth.cli.show import Screen
from texsynth.errors import UsageError

if TYPE_CHECKING:
    from texsynth.config.settings import RunSettings
    from texsynth.images import Picture
    from texsynth.jobs.expand import Expand
    from texsynth.jobs.expand_inputs import ExpandJob, LoadedInputs
    from texsynth.jobs.inputs import Input
    from texsynth.jobs.outcomes import Report

LAYOUT, MAPS = "Size and layout", "Maps"


@dataclass(frozen=True)
class TextureOptions(options.LookOptions):
    """What both commands have: the method, maps of the exemplar, and a sheet."""

    method: Annotated[
        str | None,
        typer.Option(
            help="auto, by how regular the texture is; or stages: transposer, patch, optimize, or joined "
            "like patch+optimize.",
            rich_help_panel=options.LOOK,
        ),
    ] = None
    siblings: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="FILE",
            help="A map of the same surface, like normals or roughness, that gets the same layout; it keeps "
            "its bit depth and channels. Repeatable.",
            rich_help_panel=MAPS,
        ),
    ] = None
    mask: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="White where the exemplar may be sampled.", rich_help_panel=MAPS),
    ] = None
    preview: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Also write a contact sheet: every exemplar and its results, small.",
            rich_help_panel=options.FILES,
        ),
    ] = None


@dataclass(frozen=True)
class LayoutOptions:
    """The size of the output, and what goes where."""

    scale: Annotated[
        float | None,
        typer.Option(help="Output over exemplar, on both sides. Default: 2.", rich_help_panel=LAYOUT),
    ] = None
    size: Annotated[
        str | None,
        typer.Option(metavar="WxH", help="Output in pixels, like 1024x512.", rich_help_panel=LAYOUT),
    ] = None
    tileable: Annotated[
        bool | None,
        typer.Option(
            "--tileable/--no-tileable",
            help="The right border continues at the left, the bottom at the top.",
            rich_help_panel=LAYOUT,
        ),
    ] = None
    upright: Annotated[
        bool | None,
        typer.Option(
            "--upright/--no-upright",
            help="First turn the exemplar so that its strongest lines are level or upright.",
            rich_help_panel=LAYOUT,
        ),
    ] = None
    count: Annotated[
        int, typer.Option(help="Make this many variations, numbered from 1.", rich_help_panel=LAYOUT)
    ] = 1
    mix: Annotated[
        bool, typer.Option("--mix", help="Mix all exemplars into one output.", rich_help_panel=LAYOUT)
    ] = False
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...", help="Mix, with these shares of the exemplars.", rich_help_panel=LAYOUT
        ),
    ] = None
    variation: Annotated[
        float | None,
        typer.Option(help="Noise in the transposer's layout, 0 to 1.", rich_help_panel=options.LOOK),
    ] = None
    guide: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Layout of the output: light where it shall be light, or where --guide-of has these values.",
            rich_help_panel=MAPS,
        ),
    ] = None
    guide_of: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="What the guide's values mean on the exemplar.", rich_help_panel=MAPS
        ),
    ] = None
    hole: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Fill the exemplar in place where this is white.", rich_help_panel=MAPS
        ),
    ] = None


@options.grouped
def expand(
    pictures: Annotated[
        list[str],
        typer.Argument(
            metavar="EXEMPLAR...",
            help="Pictures of a texture, folders or quoted patterns; - is standard input.",
        ),
    ],
    *,
    output: options.ExpandOutput = None,
    layout: LayoutOptions,
    texture: TextureOptions,
    network: options.NetworkOptions,
    workers: options.ExecutorOptions,
    reading: options.InputOptions,
    out: options.OutputOptions,
    screen: options.ScreenOptions,
) -> None:
    """Make more of a texture: larger, not repeating, seamless when asked.

    texsynth expand bricks.png --scale 3
    """
    from texsynth.config.settings import ExpandSettings
    from texsynth.jobs.expand_inputs import expand_jobs, plan_tasks
    from texsynth.jobs.inputs import find_input, find_inputs

    if layout.hole is not None and (layout.size or layout.scale):
        raise UsageError("--hole keeps the exemplar's size; leave out --size and --scale")
    flags = given({"tileable": layout.tileable, "upright": layout.upright, "variation": layout.variation})
    settings = look_settings(
        ExpandSettings, texture, flags | _method(texture.method) | size_settings(layout.size, layout.scale)
    )
    run = run_settings(network, reading, out)
    suffix = output_suffix(out)
    files = (*(texture.siblings or ()), texture.mask, layout.guide, layout.guide_of, layout.hole)
    data = piped([*pictures, *files])

    def optional(argument: str | None) -> Input | None:
        return None if argument is None else find_input(argument, data)

    tasks = plan_tasks(
        "expand",
        find_inputs(pictures, recursive=reading.recursive, piped=data),
        mixed=layout.mix or layout.weights is not None,
        weights=_weights(layout.weights),
        siblings=[find_input(argument, data) for argument in texture.siblings or ()],
        mask=optional(texture.mask),
        guide=optional(layout.guide),
        guide_of=optional(layout.guide_of),
        hole=optional(layout.hole),
    )
    jobs = expand_jobs(tasks, settings, output, count=layout.count, suffix=suffix)
    show = make_screen(screen, output)
    raise typer.Exit(_run(jobs, run, out, show, preview=texture.preview, executor=workers))


@options.grouped
def tile(
    pictures: Annotated[
        list[str],
        typer.Argument(
            metavar="PICTURE...", help="Pictures, folders or quoted patterns; - is standard input."
        ),
    ],
    *,
    output: options.TileOutput = None,
    texture: TextureOptions,
    network: options.NetworkOptions,
    workers: options.ExecutorOptions,
    reading: options.InputOptions,
    out: options.OutputOptions,
    screen: options.ScreenOptions,
) -> None:
    """Make pictures seamless: same size, their borders meet, the middle stays.

    texsynth tile wall.png
    """
    from texsynth.config.settings import ExpandSettings
    from texsynth.jobs.expand_inputs import expand_jobs, plan_tasks
    from texsynth.jobs.inputs import find_input, find_inputs

    settings = look_settings(ExpandSettings, texture, _method(texture.method))
    run = run_settings(network, reading, out)
    suffix = output_suffix(out)
    data = piped([*pictures, *(texture.siblings or ()), texture.mask])
    tasks = plan_tasks(
        "tile",
        find_inputs(pictures, recursive=reading.recursive, piped=data),
        siblings=[find_input(argument, data) for argument in texture.siblings or ()],
        mask=None if texture.mask is None else find_input(texture.mask, data),
    )
    jobs = expand_jobs(tasks, settings, output, suffix=suffix)
    show = make_screen(screen, output)
    raise typer.Exit(_run(jobs, run, out, show, preview=texture.preview, executor=workers))


def _run(
    jobs: Sequence[ExpandJob],
    run: RunSettings,
    out: options.OutputOptions,
    screen: Screen,
    *,
    preview: str | None,
    executor: options.ExecutorOptions,
) -> int:
    from texsynth.images import output_format
    from texsynth.jobs.expand_inputs import check_textures

    loaded: LoadedInputs = {}

    def operation(_: Sequence[ExpandJob]) -> Expand:
        from texsynth.jobs.expand import Expand

        return Expand(run, loaded)

    def draw(report: Report) -> Picture:
        from texsynth.jobs.expand import preview_sheet

        return preview_sheet(report, run)

    if preview is not None:
        output_format(Path(preview))
    sheet = None if preview is None else Sheet(Path(preview), draw)
    check = partial(check_textures, run=run, loaded=loaded)
    return run_operation(jobs, check, operation, run, out, screen, sheet=sheet, executor=executor)


def _method(method: str | None) -> dict[str, object]:
    """Return the setting `method` from its flag. Raises UsageError with the nearest name."""
    from typing import get_args

    from texsynth.config.settings import Method
    from texsynth.config.validation import nearest

    if method is not None and method not in get_args(Method):
        raise UsageError(f"unknown method {method!r}{nearest(method, get_args(Method))}")
    return given({"method": method})


def size_settings(size: str | None, scale: float | None) -> dict[str, object]:
    """Return the settings `size` and `scale` from their flags. Raises UsageError."""
    if size is None:
        # A size in a preset would take precedence over the flag.
        return {} if scale is None else {"scale": scale, "size": None}
    if scale is not None:
        raise UsageError(f"--size {size} and --scale {scale:g} contradict each other; give one of them")
    sides = re.fullmatch(r"([1-9][0-9]{0,8})[xX×]([1-9][0-9]{0,8})", size.strip())
    if not sides:
        raise UsageError(f"--size {size!r} is not of the form WxH, like 1024x512")
    return {"size": [int(sides[1]), int(sides[2])]}


def _weights(text: str | None) -> list[float]:
    if text is None:
        return []
    try:
        weights = [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--weights {text!r} is not of the form A,B,... like 2,1") from None
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights):
        raise UsageError(f"--weights {text!r} has a number that is negative or not finite; use 0 or more")
    if not any(weights):
        raise UsageError(f"--weights {text!r} are all zero; make one of them larger")
    return weights
