"""texsynth card: styles measured once and kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from texsynth.cli import options
from texsynth.cli.run import given, look_settings, run_settings
from texsynth.cli.show import Screen
from texsynth.errors import UsageError

if TYPE_CHECKING:
    from texsynth.jobs.cards import Card
    from texsynth.jobs.inputs import Input

app = typer.Typer(no_args_is_help=True, help="Style cards: what styles look like, measured once and kept.")


@app.command()
def make(
    styles: Annotated[
        list[str],
        typer.Argument(metavar="STYLE...", help="Pictures, folders or quoted patterns; - is standard input."),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="The card, a name that ends with .card. Default for one style: STYLE.card here.",
            rich_help_panel=options.FILES,
        ),
    ] = None,
    style_scale: Annotated[
        float | None,
        typer.Option(
            help="Resize the styles first: above 1 for larger strokes.", rich_help_panel=options.LOOK
        ),
    ] = None,
    model: options.Model = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    threads: options.Threads = None,
    recursive: options.Recursive = False,
    max_pixels: options.MaxPixels = None,
    frame: options.Frame = None,
    force: options.Force = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.Json = False,
) -> None:
    """Measure style pictures and write what was found to a card; several pictures become one style.

    texsynth card make paintings/ -o painter.card
    """
    from texsynth import images
    from texsynth.cli.run import piped
    from texsynth.config.settings import StylizeSettings
    from texsynth.jobs.checks import check_outputs
    from texsynth.jobs.inputs import find_inputs

    settings = look_settings(StylizeSettings, options.LookOptions(), given({"style_scale": style_scale}))
    run = run_settings(
        model=model, device=device, dtype=dtype, threads=threads, max_pixels=max_pixels, frame=frame
    )
    inputs = find_inputs(styles, recursive=recursive, piped=piped(styles))
    path = _target(output, inputs)
    check_outputs([], inputs, force=force, also=[path])
    for item in inputs:
        images.probe(item.source, name=str(item), max_pixels=run.max_pixels, frame=run.frame)

    from texsynth.jobs.cards import make_card, write_card

    screen = Screen(quiet, verbose, as_json)
    card, warnings = make_card(inputs, run, settings.style_scale)
    write_card(card, path, force=force)
    for warning in warnings:
        screen.note(warning)
    screen.detail(f"model {card.model}, {len(card.sources)} pictures")
    screen.result(str(path), output=str(path), styles=[str(item.path) for item in inputs])


@app.command()
def show(
    card: Annotated[Path, typer.Argument(metavar="FILE", help="A card that `texsynth card make` wrote.")],
    as_json: options.Json = False,
) -> None:
    """Show what is in a card: the pictures, the model, and the size of the statistics at every level."""
    from texsynth.images import read_bytes
    from texsynth.jobs.cards import read_card

    found = read_card(read_bytes(card), str(card))
    height, width = found.thumbnail.shape[:2]
    levels = [
        {"level": level, "channels": len(moments.sum), "pixels": moments.n}
        for level, moments in found.moments.items()
    ]
    Screen(as_json=as_json).result(
        "\n".join(_lines(found)),
        card=str(card),
        texsynth=found.version,
        model=found.model,
        model_sha256=found.model_sha256,
        style_scale=found.style_scale,
        sources=[source.model_dump() for source in found.sources],
        levels=levels,
        thumbnail={"width": width, "height": height},
    )


def _lines(card: Card) -> list[str]:
    height, width = card.thumbnail.shape[:2]
    return [
        *(f"style: {source.path} ({source.sha256[:8]}…)" for source in card.sources),
        f"style scale: {card.style_scale:g}",
        f"model: {card.model} ({card.model_sha256[:8]}…)",
        *(f"level {level}: {len(m.sum)} channels, {m.n:.10g} pixels" for level, m in card.moments.items()),
        f"thumbnail: {width} x {height}",
        f"made by: texsynth {card.version}",
    ]


def _target(output: str | None, inputs: Sequence[Input]) -> Path:
    """The card to write. Raises UsageError for another suffix, or for several styles without a name."""
    from texsynth.jobs.inputs import CARD_SUFFIX

    if output is None:
        if len(inputs) > 1:
            raise UsageError(f"a card of {len(inputs)} styles needs a name; give -o NAME{CARD_SUFFIX}")
        return Path(f"{inputs[0].stem}{CARD_SUFFIX}")
    if Path(output).suffix.lower() != CARD_SUFFIX:
        raise UsageError(f"the card {output!r} needs a name that ends with {CARD_SUFFIX}")
    return Path(output)
