"""texsynth stylize."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from texsynth.cli import options
from texsynth.cli.jobs import Request, carry_out
from texsynth.cli.show import Screen
from texsynth.errors import UsageError

Look = options.LOOK


def stylize(
    pictures: Annotated[
        list[str],
        typer.Argument(
            metavar="CONTENT... STYLE",
            help="Pictures, folders or quoted patterns, then one style picture; - is standard input.",
        ),
    ],
    output: options.Output = None,
    preset: options.Preset = None,
    assignments: options.Set = None,
    photo: Annotated[
        bool | None,
        typer.Option(
            "--photo/--artistic", help="Keep contours as in a photograph, or paint.", rich_help_panel=Look
        ),
    ] = None,
    transform: Annotated[
        str | None,
        typer.Option(help="How features are matched: ift, wct, ot or adain.", rich_help_panel=Look),
    ] = None,
    strength: Annotated[
        float | None,
        typer.Option(help="0 keeps the content, 1 applies the whole style.", rich_help_panel=Look),
    ] = None,
    level_strength: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LEVEL=X",
            help="Strength of one level, 5 (coarse) to 1 (fine), like 4=0.5. Repeatable.",
            rich_help_panel=Look,
        ),
    ] = None,
    preserve_color: Annotated[
        bool | None,
        typer.Option(
            "--preserve-color/--no-preserve-color",
            help="Keep the colours of the content.",
            rich_help_panel=Look,
        ),
    ] = None,
    grain: Annotated[
        float | None,
        typer.Option(
            help="Noise that becomes strokes in flat areas, 0 to 1; artistic mode only.", rich_help_panel=Look
        ),
    ] = None,
    style_scale: Annotated[
        float | None,
        typer.Option(help="Resize the style first: above 1 for larger strokes.", rich_help_panel=Look),
    ] = None,
    model: options.Model = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    threads: options.Threads = None,
    seed: options.Seed = None,
    recursive: options.Recursive = False,
    suffix: options.Format = "png",
    max_side: options.MaxSide = None,
    max_pixels: options.MaxPixels = None,
    frame: options.Frame = None,
    bit_depth: options.BitDepth = None,
    quality: options.Quality = None,
    force: options.Force = False,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.Json = False,
) -> None:
    """Give pictures the style of another one.

    texsynth stylize photo.jpg painting.jpg -o out.png
    """
    from texsynth.explain import validated
    from texsynth.presets import load, resolve
    from texsynth.settings import RunSettings, StylizeSettings

    look = {
        "mode": None if photo is None else ("photo" if photo else "artistic"),
        "transform": None if transform is None else {"name": transform},
        "strength": strength,
        "preserve_color": preserve_color,
        "grain": grain,
        "style_scale": style_scale,
    }
    sets = [*(assignments or ()), *map(_level_assignment, level_strength or ())]
    settings = resolve(StylizeSettings, load(preset) if preset else None, sets, _given(look))
    machine = {"model": model, "device": device, "dtype": dtype, "threads": threads, "seed": seed}
    reading = {"max_pixels": max_pixels, "frame": frame, "max_side": max_side}
    writing = {"bit_depth": bit_depth, "quality": quality}
    run = validated(RunSettings, _given({**machine, **reading, **writing}), "")
    request = Request(pictures, output, suffix.lower().lstrip("."), recursive, force)
    screen = Screen(quiet, verbose, as_json, results=output != "-")
    raise typer.Exit(carry_out(request, settings, run, screen, dry_run=dry_run))


def _level_assignment(text: str) -> str:
    level, sign, value = text.partition("=")
    if not (level.strip().isdecimal() and sign and value):
        raise UsageError(f"--level-strength {text!r} is not of the form LEVEL=X, like 4=0.5")
    return f"level_strength.{level.strip()}={value}"


def _given(values: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in values.items() if value is not None}
