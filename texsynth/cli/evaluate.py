"""texsynth evaluate: methods compared on the same pictures."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from texsynth.cli import options
from texsynth.cli.expand import extent
from texsynth.cli.show import Screen, complain
from texsynth.cli.values import given, run_settings
from texsynth.errors import TexsynthError

if TYPE_CHECKING:
    from texsynth.batch.evaluation.expand.scores import Summary

app = typer.Typer(
    no_args_is_help=True, help="Compare methods on the same pictures, in figures and side by side."
)

Comparison = "Comparison"


@app.command()
def expand(
    exemplars: Annotated[
        list[str], typer.Argument(metavar="EXEMPLAR...", help="Textures, folders or quoted patterns.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="FOLDER",
            help="Folder for table.json and index.html, made when missing.",
            rich_help_panel=options.FILES,
        ),
    ],
    method: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="tile, mirror, quilting, a method of expand, or preset:NAME. Repeatable. Default: all.",
            rich_help_panel=Comparison,
        ),
    ] = None,
    crop: Annotated[
        int | None,
        typer.Option(
            min=16,
            help="Use the centre crop of this side as exemplar; the rest of the picture is the truth.",
            rich_help_panel=Comparison,
        ),
    ] = None,
    held_out: Annotated[
        bool,
        typer.Option(
            "--held-out", help="Only the 10% of files that training never saw.", rich_help_panel=Comparison
        ),
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Stop after this many exemplars.", rich_help_panel=Comparison)
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(help="Output over exemplar. Default: 2.", rich_help_panel=options.LOOK),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(metavar="WxH", help="Size of outputs in pixels.", rich_help_panel=options.LOOK),
    ] = None,
    tileable: Annotated[
        bool, typer.Option("--tileable", help="Make outputs periodic.", rich_help_panel=options.LOOK)
    ] = False,
    assignments: options.Set = None,
    model: options.Model = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    threads: options.Threads = None,
    seed: options.Seed = None,
    recursive: options.Recursive = False,
    max_pixels: options.MaxPixels = None,
    frame: options.Frame = None,
    force: options.Force = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.Json = False,
) -> None:
    """Expand textures with several methods and measure the results.

    texsynth evaluate expand textures/ --crop 128 -o comparison
    """
    from texsynth.batch.evaluation.comparison import PAGE, check_target, write
    from texsynth.batch.evaluation.expand.bench import choose, evaluate
    from texsynth.batch.evaluation.expand.candidates import candidates
    from texsynth.batch.evaluation.expand.findings import Plan
    from texsynth.batch.plan import find_inputs
    from texsynth.presets import resolve
    from texsynth.settings import ExpandSettings

    run = run_settings(
        model=model, device=device, dtype=dtype, threads=threads, seed=seed, max_pixels=max_pixels,
        frame=frame,
    )  # fmt: skip
    sets = assignments or ()
    wanted = resolve(
        ExpandSettings, None, sets, {**extent(size, scale), **given({"tileable": tileable or None})}
    )
    chosen = candidates(method or (), sets, wanted)
    inputs = choose(find_inputs(exemplars, recursive=recursive), held_out=held_out, limit=limit)
    check_target(output, force=force)
    screen = Screen(quiet, verbose, as_json)
    with screen.progress(len(inputs) * len(chosen)) as bar:
        found = evaluate(Plan(inputs, chosen, wanted, run, crop), bar, lambda *what: _failed(screen, *what))
        write(found, output, force=force)
    if found.interrupted:
        screen.note("interrupted; the page shows what is finished")
    _show(found.summaries(), screen)
    screen.result(str(output / PAGE), page=str(output / PAGE))
    raise typer.Exit(found.exit_code)


def _failed(screen: Screen, what: str, error: Exception) -> None:
    """One line, as soon as it is known."""
    if isinstance(error, TexsynthError):
        complain(str(error))
        return
    complain(f"{what}: this is a bug in texsynth: {type(error).__name__}: {error}")
    if screen.verbose:
        traceback.print_exception(error)


def _show(summaries: list[Summary], screen: Screen) -> None:
    """The bars as a table; a star marks what misses its bar."""
    for number, summary in enumerate(summaries):
        plain = {bar.name: {"value": bar.value, "passed": bar.passed} for bar in summary.bars}
        cells = {"method": summary.method, "done": str(summary.done), "failed": str(summary.failed)}
        cells |= {
            bar.name: f"{_number(bar.value)}{'*' if bar.passed is False else ' '}" for bar in summary.bars
        }
        cells["seconds"] = _number(summary.medians["seconds"])
        widest = max(len(other.method) for other in summaries)
        widths = {name: max(len(name), 9) for name in cells} | {"method": -widest}
        rows = [cells] if number or screen.as_json else [{name: name for name in cells}, cells]
        lines = ("  ".join(_padded(row[name], widths[name]) for name in cells) for row in rows)
        screen.result(
            "\n".join(lines),
            method=summary.method,
            done=summary.done,
            failed=summary.failed,
            medians=dict(summary.medians),
            bars=plain,
        )


def _padded(text: str, width: int) -> str:
    return text.rjust(width) if width > 0 else text.ljust(-width)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
