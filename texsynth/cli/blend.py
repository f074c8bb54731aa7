"""texsynth blend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from texsynth.cli import options
from texsynth.cli.run import (
    Sheet,
    look_settings,
    make_screen,
    output_suffix,
    piped,
    run_operation,
    run_settings,
    stylize_changes,
)
from texsynth.errors import UsageError

if TYPE_CHECKING:
    from texsynth.images import Picture
    from texsynth.jobs.blend import Blend
    from texsynth.jobs.blend_inputs import BlendJob
    from texsynth.jobs.outcomes import Report


@dataclass(frozen=True)
class MixtureOptions(options.StylizeLookOptions):
    """How the styles come together."""

    masks: Annotated[
        list[str] | None,
        typer.Option(
            "--mask",
            metavar="FILE|rest",
            help="Where the style of the same turn goes: white is there, grey is partly, `rest` is what the "
            "other masks leave. One for each --style.",
            rich_help_panel=options.LOOK,
        ),
    ] = None
    content_labels: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Label map of the content: each colour takes its style from the same one of --style-labels.",
            rich_help_panel=options.LOOK,
        ),
    ] = None
    style_labels: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE", help="Label map of a style, one for each --style.", rich_help_panel=options.LOOK
        ),
    ] = None
    feather: Annotated[
        int,
        typer.Option(
            min=0, help="Pixels over which the borders of labels fade.", rich_help_panel=options.LOOK
        ),
    ] = 4
    sequential: Annotated[
        bool,
        typer.Option(
            "--sequential",
            help="One style after the other, instead of all at once.",
            rich_help_panel=options.LOOK,
        ),
    ] = False
    sweep: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Instead of one picture, N steps between two styles, a triangle of three, or a square of "
            "four, and a sheet of them all.",
            rich_help_panel=options.LOOK,
        ),
    ] = None


@options.grouped
def blend(
    pictures: Annotated[
        list[str],
        typer.Argument(
            metavar="CONTENT...", help="Pictures, folders or quoted patterns; - is standard input."
        ),
    ],
    *,
    styles: Annotated[
        list[str],
        typer.Option(
            "--style",
            metavar="PATH[:WEIGHT][@LEVELS]",
            help="A picture, a card, or a folder whose moments add up, like swirl.jpg:0.7 or fine.jpg@1,2. "
            "Repeatable.",
            rich_help_panel=options.LOOK,
        ),
    ],
    output: options.BlendOutput = None,
    mixture: MixtureOptions,
    network: options.StylizeNetworkOptions,
    workers: options.ExecutorOptions,
    reading: options.ContentOptions,
    out: options.OutputOptions,
    screen: options.ScreenOptions,
) -> None:
    """Mix several styles, by weight, level or region.

    texsynth blend photo.jpg --style swirl.jpg:0.7 --style dots.jpg:0.3
    """
    from texsynth.config.settings import StylizeSettings
    from texsynth.jobs.blend_inputs import blend_jobs, make_spec
    from texsynth.jobs.checks import check_headers
    from texsynth.jobs.inputs import find_input, find_inputs

    settings = look_settings(StylizeSettings, mixture, stylize_changes(mixture))
    run = run_settings(network, reading, out)
    suffix, sweep = output_suffix(out), mixture.sweep
    masks, style_labels = mixture.masks or (), mixture.style_labels or ()
    data = piped([*pictures, *styles, *masks, mixture.content_labels, *style_labels])
    _check_weights(styles, mixture)
    spec = make_spec(
        styles,
        lambda argument: find_inputs([argument], recursive=False, piped=data),
        lambda argument: find_input(argument, data),
        masks=masks,
        content_labels=mixture.content_labels,
        style_labels=style_labels,
        sequential=mixture.sequential,
        feather=mixture.feather,
    )
    contents = find_inputs(pictures, recursive=reading.recursive, piped=data)
    if sweep is not None and len(contents) > 1:
        raise UsageError(f"--sweep is for one content, and {len(contents)} are given; run them singly")
    jobs = blend_jobs(contents, spec, settings, output, sweep=sweep, suffix=suffix)

    def operation(_: Sequence[BlendJob]) -> Blend:
        from texsynth.jobs.blend import Blend

        return Blend(run, jobs[0])

    check = partial(check_headers, needed=spec.inputs, run=run)
    sheet, show = _sheet(jobs, sweep), make_screen(screen, output)
    raise typer.Exit(run_operation(jobs, check, operation, run, out, show, sheet=sheet, executor=workers))


def _sheet(jobs: Sequence[BlendJob], sweep: int | None) -> Sheet | None:
    if sweep is None:
        return None

    def draw(report: Report) -> Picture:
        from texsynth.jobs.blend import sweep_sheet

        return sweep_sheet(report, sweep)

    first = jobs[0].output
    stem, _, _ = first.stem.rpartition(".")
    return Sheet(first.with_name(f"{stem}.sweep{first.suffix}"), draw)


def _check_weights(styles: Sequence[str], mixture: MixtureOptions) -> None:
    """Raise UsageError for weights and options that a sweep or a sequence does not use."""
    from texsynth.jobs.blend_inputs import style_argument

    arguments = [style_argument(text) for text in styles]
    if mixture.sweep is not None or mixture.sequential:
        option = "--sweep" if mixture.sweep is not None else "--sequential"
        for text, argument in zip(styles, arguments, strict=True):
            if argument.weight is not None:
                raise UsageError(f"--style {text!r} has a weight, which {option} does not use; leave it out")
    if mixture.sweep is not None and (mixture.masks or mixture.sequential or mixture.content_labels):
        raise UsageError("--sweep mixes by weight alone; use it without masks, labels and --sequential")
