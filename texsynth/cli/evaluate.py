"""texsynth evaluate: methods compared on the same pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from texsynth.cli import options
from texsynth.cli.comparison import COMPARISON, Folder, HeldOut, failed, figure, show_rows
from texsynth.cli.evaluate_match import match
from texsynth.cli.expand import extent
from texsynth.cli.jobs import check_model
from texsynth.cli.show import Screen
from texsynth.cli.values import given, run_settings
from texsynth.errors import UsageError

if TYPE_CHECKING:
    from texsynth.batch.evaluation.expand.scores import Summary
    from texsynth.batch.evaluation.stylize.baseline import Compared
    from texsynth.batch.evaluation.stylize.pairs import Pair
    from texsynth.batch.evaluation.stylize.scores import Summary as StyleSummary

app = typer.Typer(
    no_args_is_help=True, help="Compare methods on the same pictures, in figures and side by side."
)

app.command()(match)


@app.command()
def expand(
    exemplars: Annotated[
        list[str], typer.Argument(metavar="EXEMPLAR...", help="Textures, folders or quoted patterns.")
    ],
    output: Folder,
    method: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="tile, mirror, quilting, a method of expand, or preset:NAME. Repeatable. Default: all.",
            rich_help_panel=COMPARISON,
        ),
    ] = None,
    crop: Annotated[
        int | None,
        typer.Option(
            min=16,
            help="Use the centre crop of this side as exemplar; the rest of the picture is the truth.",
            rich_help_panel=COMPARISON,
        ),
    ] = None,
    held_out: HeldOut = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Stop after this many exemplars.", rich_help_panel=COMPARISON)
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
        found = evaluate(Plan(inputs, chosen, wanted, run, crop), bar, lambda *what: failed(screen, *what))
        write(found, output, force=force)
    if found.interrupted:
        screen.note("interrupted; the page shows what is finished")
    show_rows(_expand_rows(found.summaries()), screen)
    screen.result(str(output / PAGE), page=str(output / PAGE))
    raise typer.Exit(found.exit_code)


@app.command()
def stylize(
    output: Folder,
    content: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH",
            help="Contents: a file, folder or quoted pattern. Repeatable.",
            rich_help_panel=options.FILES,
        ),
    ] = None,
    style: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH",
            help="Styles, likewise. Every content gets every style.",
            rich_help_panel=options.FILES,
        ),
    ] = None,
    one_to_one: Annotated[
        bool,
        typer.Option(
            "--zip", help="The first content gets the first style, and so on.", rich_help_panel=options.FILES
        ),
    ] = False,
    pairs: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Pairs in a .csv or .jsonl file with the columns content and style.",
            rich_help_panel=options.FILES,
        ),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="content, colour, preset:NAME, or a transform like ift or photo:ift; with a model of its "
            "own like photo:ift@lite. Repeatable. Default: content, colour and all presets.",
            rich_help_panel=COMPARISON,
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Network that stylizes. Repeatable: every method with every one. Default: lite.",
            rich_help_panel=COMPARISON,
        ),
    ] = None,
    features: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="Network that measures.", rich_help_panel=COMPARISON)
    ] = "lite",
    frechet_level: Annotated[
        int,
        typer.Option(
            min=1, max=5, help="Level of the Frechet distance, 3 for relu3_1.", rich_help_panel=COMPARISON
        ),
    ] = 3,
    baseline: Annotated[
        Path | None,
        typer.Option(
            metavar="table.json",
            help="Compare with an earlier table pair by pair.",
            rich_help_panel=COMPARISON,
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=1, help="Do each pair so often, and take the mean.", rich_help_panel=COMPARISON)
    ] = 1,
    held_out: HeldOut = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many pairs.", rich_help_panel=COMPARISON)
    ] = None,
    max_side: Annotated[
        int,
        typer.Option(
            min=1,
            help="Reduce larger contents and styles to this longer side in pixels.",
            rich_help_panel=COMPARISON,
        ),
    ] = 512,
    assignments: options.Set = None,
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
    """Stylize pictures with several methods and measure the results.

    texsynth evaluate stylize --content photos/ --style paintings/ -o comparison
    """
    from texsynth.batch.evaluation.stylize.candidates import candidates
    from texsynth.batch.evaluation.stylize.pairs import check_files, choose

    run = run_settings(
        device=device, dtype=dtype, threads=threads, seed=seed, max_pixels=max_pixels, frame=frame,
        max_side=max_side,
    )  # fmt: skip
    chosen = candidates(method or (), assignments or (), model or (run.model,))
    for name in (features, *(c.model for c in chosen if c.model is not None)):
        check_model(name)
    found_pairs = _pairs(content or (), style or (), pairs, one_to_one=one_to_one, recursive=recursive)
    work = choose(found_pairs, held_out=held_out, limit=limit)
    check_files(work)

    from texsynth.batch.evaluation.comparison import PAGE, check_target, write
    from texsynth.batch.evaluation.stylize.baseline import read_baseline
    from texsynth.batch.evaluation.stylize.bench import evaluate
    from texsynth.batch.evaluation.stylize.findings import Plan

    earlier = None if baseline is None else read_baseline(baseline)
    check_target(output, force=force)
    screen = Screen(quiet, verbose, as_json)
    with screen.progress(len(work) * len(chosen)) as bar:
        plan = Plan(work, chosen, run, features, frechet_level, seeds, held_out, earlier)
        found = evaluate(plan, bar, lambda *what: failed(screen, *what))
        write(found, output, force=force)
    if found.interrupted:
        screen.note("interrupted; the page shows what is finished")
    show_rows(_stylize_rows(found.summaries()), screen)
    if result := found.compared():
        _show_compared(result, screen)
    screen.result(str(output / PAGE), page=str(output / PAGE))
    raise typer.Exit(found.exit_code)


def _pairs(
    contents: Sequence[str], styles: Sequence[str], listed: Path | None, *, one_to_one: bool, recursive: bool
) -> list[Pair]:
    from texsynth.batch.evaluation.stylize import pairs
    from texsynth.batch.plan import find_inputs

    if listed is not None:
        if contents or styles or one_to_one:
            raise UsageError("--pairs names contents and styles; leave out --content, --style and --zip")
        return pairs.listed(listed)
    if not contents or not styles:
        raise UsageError("contents and styles are needed; give --content and --style, or --pairs FILE")
    combined = pairs.zipped if one_to_one else pairs.crossed
    return combined(find_inputs(contents, recursive=recursive), find_inputs(styles, recursive=recursive))


def _expand_rows(summaries: Sequence[Summary]) -> list[tuple[dict[str, str], dict[str, object]]]:
    """Bars; a star marks what misses its own."""
    return [(_expand_cells(summary), _expand_fields(summary)) for summary in summaries]


def _expand_cells(summary: Summary) -> dict[str, str]:
    bars = {bar.name: f"{figure(bar.value)}{'*' if bar.passed is False else ' '}" for bar in summary.bars}
    cells = {"method": summary.method, "done": str(summary.done), "failed": str(summary.failed)}
    return {**cells, **bars, "seconds": figure(summary.medians["seconds"])}


def _expand_fields(summary: Summary) -> dict[str, object]:
    return {
        "method": summary.method,
        "done": summary.done,
        "failed": summary.failed,
        "medians": dict(summary.medians),
        "bars": {bar.name: {"value": bar.value, "passed": bar.passed} for bar in summary.bars},
    }


def _stylize_rows(summaries: Sequence[StyleSummary]) -> list[tuple[dict[str, str], dict[str, object]]]:
    """Means; intervals are in the table and on the page."""
    rows = []
    for summary in summaries:
        means = {name: figure(e.mean if e else None) for name, e in summary.estimates.items()}
        seconds = means.pop("seconds")
        cells = {"method": summary.method, "pairs": str(summary.done), "failed": str(summary.failed), **means}
        frechet = figure(summary.frechet.distance if summary.frechet else None)
        rows.append(({**cells, "frechet": frechet, "seconds": seconds}, asdict(summary)))
    return rows


def _show_compared(result: Compared, screen: Screen) -> None:
    """Differences to the baseline with their intervals."""
    rows = []
    for d in result.differences:
        e = d.estimate
        cells = {
            "method": d.method,
            "figure": d.measure,
            "pairs": str(e.count),
            "change": f"{e.mean:+.3g}",
            "low": figure(e.low),
            "high": figure(e.high),
            "better": f"{d.better:.0%}",
        }
        rows.append((cells, asdict(d)))
    show_rows(rows, screen)
    screen.note(
        f"{result.matched} results are in both tables; {result.only_here} here and {result.only_there} in "
        f"the earlier one have no partner of the same content, style and method"
    )
