"""texsynth expand."""

from __future__ import annotations

import math
import re
from typing import Annotated

import typer

from texsynth.cli import options, texture
from texsynth.cli.jobs import Target, carry_out, check_suffix
from texsynth.cli.show import Screen
from texsynth.cli.texture import Maps, known_method, plan_tasks, texture_plan
from texsynth.cli.values import given, look_settings, run_settings
from texsynth.errors import UsageError

Look, Layout = options.LOOK, "Size and layout"


def expand(
    pictures: Annotated[
        list[str],
        typer.Argument(
            metavar="EXEMPLAR...",
            help="Pictures of a texture, folders or quoted patterns; - is standard input.",
        ),
    ],
    output: options.ExpandOutput = None,
    scale: Annotated[
        float | None,
        typer.Option(help="Output over exemplar, on both sides. Default: 2.", rich_help_panel=Layout),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(metavar="WxH", help="Output in pixels, like 1024x512.", rich_help_panel=Layout),
    ] = None,
    tileable: Annotated[
        bool | None,
        typer.Option(
            "--tileable/--no-tileable",
            help="The right border continues at the left, the bottom at the top.",
            rich_help_panel=Layout,
        ),
    ] = None,
    upright: Annotated[
        bool | None,
        typer.Option(
            "--upright/--no-upright",
            help="First turn the exemplar so that its strongest lines are level or upright.",
            rich_help_panel=Layout,
        ),
    ] = None,
    count: Annotated[
        int, typer.Option(help="Make this many variations, numbered from 1.", rich_help_panel=Layout)
    ] = 1,
    mix: Annotated[
        bool, typer.Option("--mix", help="Mix all exemplars into one output.", rich_help_panel=Layout)
    ] = False,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...", help="Mix, with these shares of the exemplars.", rich_help_panel=Layout
        ),
    ] = None,
    method: texture.Method = None,
    preset: options.Preset = None,
    assignments: options.Set = None,
    variation: Annotated[
        float | None,
        typer.Option(help="Noise in the transposer's layout, 0 to 1.", rich_help_panel=Look),
    ] = None,
    siblings: texture.Siblings = None,
    mask: texture.Mask = None,
    guide: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Layout of the output: light where it shall be light, or where --guide-of has these values.",
            rich_help_panel=texture.MAPS,
        ),
    ] = None,
    guide_of: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="What the guide's values mean on the exemplar.", rich_help_panel=texture.MAPS
        ),
    ] = None,
    hole: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Fill the exemplar in place where this is white.",
            rich_help_panel=texture.MAPS,
        ),
    ] = None,
    preview: texture.Preview = None,
    model: options.Model = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    threads: options.Threads = None,
    seed: options.Seed = None,
    recursive: options.Recursive = False,
    suffix: options.Format = "png",
    max_pixels: options.MaxPixels = None,
    frame: options.Frame = None,
    bit_depth: options.BitDepth = None,
    quality: options.Quality = None,
    report: options.Report = None,
    force: options.Force = False,
    resume: options.Resume = False,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.Json = False,
) -> None:
    """Make more of a texture: larger, not repeating, seamless when asked.

    texsynth expand bricks.png --scale 3
    """
    from texsynth.batch.expand_plan import expand_jobs
    from texsynth.settings import ExpandSettings

    if hole is not None and (size or scale):
        raise UsageError("--hole keeps the exemplar's size; leave out --size and --scale")
    look = given({"method": known_method(method), "tileable": tileable, "upright": upright})
    look |= given({"variation": variation})
    look |= extent(size, scale)
    settings = look_settings(ExpandSettings, preset, assignments or (), look)
    run = run_settings(
        model=model, device=device, dtype=dtype, threads=threads, seed=seed, max_pixels=max_pixels,
        frame=frame, bit_depth=bit_depth, quality=quality,
    )  # fmt: skip
    target = Target(output, suffix.lower().lstrip("."), force, resume, report)
    ending = check_suffix(target.suffix)
    tasks = plan_tasks(
        "expand",
        pictures,
        Maps(siblings or (), mask, guide, guide_of, hole),
        recursive=recursive,
        mixed=mix or weights is not None,
        weights=_weights(weights),
    )
    jobs = expand_jobs(tasks, output, count=count, suffix=ending)
    plan = texture_plan(jobs, settings, run, target, preview=preview)
    screen = Screen(quiet, verbose, as_json, results=output != "-")
    raise typer.Exit(carry_out(plan, target, run, screen, dry_run=dry_run))


def extent(size: str | None, scale: float | None) -> dict[str, object]:
    """The settings `size` and `scale` from their flags. Raises UsageError."""
    if size is None:
        # A size in a preset would take precedence over the flag.
        return {} if scale is None else {"scale": scale, "size": None}
    if scale is not None:
        raise UsageError(f"--size {size} and --scale {scale:g} contradict each other; give one of them")
    found = re.fullmatch(r"([1-9][0-9]{0,8})[xX×]([1-9][0-9]{0,8})", size.strip())
    if not found:
        raise UsageError(f"--size {size!r} is not of the form WxH, like 1024x512")
    return {"size": [int(found[1]), int(found[2])]}


def _weights(text: str | None) -> list[float]:
    if text is None:
        return []
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--weights {text!r} is not of the form A,B,... like 2,1") from None
    if not all(math.isfinite(weight) and weight >= 0 for weight in found):
        raise UsageError(f"--weights {text!r} has a number that is negative or not finite; use 0 or more")
    if not any(found):
        raise UsageError(f"--weights {text!r} are all zero; make one of them larger")
    return found
