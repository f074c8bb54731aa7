"""texsynth card: styles measured once and kept."""

from pathlib import Path

import typer

from texsynth import images
from texsynth.cli import options
from texsynth.cli.run import piped, run_settings
from texsynth.cli.show import Screen
from texsynth.errors import UsageError
from texsynth.jobs.checks import check_outputs
from texsynth.jobs.inputs import CARD_SUFFIX, find_inputs

app = typer.Typer(no_args_is_help=True, help="Style cards: what styles look like, measured once and kept.")


@app.command()
def make(
    styles: list[str] = options.argument(
        ..., metavar="STYLE...", help="Pictures, folders or quoted patterns; - is standard input."
    ),
    *,
    output: str | None = options.file_option(
        None,
        "-o",
        "--output",
        metavar="FILE",
        help="The card, a name that ends with .card. Default for one style: STYLE.card here.",
    ),
    model: options.Model = None,
    computing: options.DeviceOptions,
    dtype: options.Dtype = None,
    reading: options.InputOptions,
    force: options.Force = False,
    screen: options.ScreenOptions,
) -> None:
    """Measure style pictures and write what was found to a card; several pictures become one style.

    texsynth card make paintings/ -o painter.card
    """
    run = run_settings(computing, reading, model=model, dtype=dtype)
    inputs = find_inputs(styles, recursive=reading.recursive, piped=piped(styles))
    if output is None and len(inputs) > 1:
        raise UsageError(f"a card of {len(inputs)} styles needs a name; give -o NAME{CARD_SUFFIX}")
    path = Path(f"{inputs[0].stem}{CARD_SUFFIX}" if output is None else output)
    if path.suffix.lower() != CARD_SUFFIX:
        raise UsageError(f"the card {output!r} needs a name that ends with {CARD_SUFFIX}")
    check_outputs([], inputs, force=force, also=[path])
    for item in inputs:
        images.probe(item.source, name=str(item), max_pixels=run.max_pixels, frame=run.frame)

    from texsynth.jobs.cards import make_card, write_card

    show = screen.screen()
    card, warnings = make_card(inputs, run)
    write_card(card, path, force=force)
    for warning in warnings:
        show.note(warning)
    show.detail(f"model {card.model}, {len(card.sources)} pictures")
    show.written(str(path), output=str(path), styles=[str(item.path) for item in inputs])


@app.command("show")
def show_card(
    card: Path = options.argument(..., metavar="FILE", help="A card that `texsynth card make` wrote."),
    as_json: options.Json = False,
) -> None:
    """Show what is in a card: the pictures, the model, and the size of the statistics at every level."""
    from texsynth.jobs.cards import read_card

    content = read_card(images.read_bytes(card), str(card))
    height, width = content.thumbnail.shape[:2]
    moments = content.moments.items()
    lines = [
        *(f"style: {source.path} ({source.sha256[:8]}…)" for source in content.sources),
        f"model: {content.model} ({content.model_sha256[:8]}…)",
        *(f"level {level}: {len(m.sum)} channels, {m.n:.10g} pixels" for level, m in moments),
        f"thumbnail: {width} x {height}",
        f"made by: texsynth {content.version}",
    ]
    Screen(as_json=as_json).result(
        *lines,
        card=str(card),
        texsynth=content.version,
        model=content.model,
        model_sha256=content.model_sha256,
        sources=[source.model_dump() for source in content.sources],
        levels=[{"level": level, "channels": len(m.sum), "pixels": m.n} for level, m in moments],
        thumbnail={"width": width, "height": height},
    )
