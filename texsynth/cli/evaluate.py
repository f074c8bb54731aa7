"""texsynth evaluate: methods compared on the same pictures."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from texsynth.cli import options
from texsynth.cli.expand import size_settings
from texsynth.cli.run import check_model, given, run_settings
from texsynth.cli.show import Screen, complain
from texsynth.errors import TexsynthError, UsageError

if TYPE_CHECKING:
    from texsynth.errors import TexsynthError
    from texsynth.evaluation.baseline import Compared
    from texsynth.evaluation.expand_scores import Summary
    from texsynth.evaluation.match import Retrieval
    from texsynth.evaluation.stylize import Pair
    from texsynth.evaluation.stylize_scores import Summary as StyleSummary


app = typer.Typer(
    no_args_is_help=True, help="Compare methods on the same pictures, in figures and side by side."
)


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
    from texsynth.config.presets import resolve
    from texsynth.config.settings import ExpandSettings
    from texsynth.evaluation.expand import Plan, candidates, choose, evaluate
    from texsynth.evaluation.runner import PAGE, check_target, write
    from texsynth.jobs.inputs import find_inputs

    run = run_settings(
        model=model, device=device, dtype=dtype, threads=threads, seed=seed, max_pixels=max_pixels,
        frame=frame,
    )  # fmt: skip
    sets = assignments or ()
    wanted = resolve(
        ExpandSettings, None, sets, {**size_settings(size, scale), **given({"tileable": tileable or None})}
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
    from texsynth.evaluation.stylize import candidates, check_files, choose

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

    from texsynth.evaluation.baseline import read_baseline
    from texsynth.evaluation.runner import PAGE, check_target, write
    from texsynth.evaluation.stylize import Plan, evaluate

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
    from texsynth.evaluation import stylize as pairs
    from texsynth.jobs.inputs import find_inputs

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


def match(
    textures: Annotated[
        list[str], typer.Argument(metavar="TEXTURE...", help="Textures, folders or quoted patterns.")
    ],
    weights: Annotated[
        Path | None,
        typer.Option(
            "--descriptor",
            metavar="FILE",
            help="A descriptor made by `texsynth train descriptor`. Default: the embedded one.",
            rich_help_panel=COMPARISON,
        ),
    ] = None,
    k: Annotated[
        int, typer.Option("-k", min=1, help="How many neighbours count.", rich_help_panel=COMPARISON)
    ] = 5,
    held_out: HeldOut = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Stop after this many textures.", rich_help_panel=COMPARISON)
    ] = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    threads: options.Threads = None,
    seed: options.Seed = None,
    recursive: options.Recursive = False,
    max_pixels: options.MaxPixels = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.Json = False,
) -> None:
    """Measure how well crops of textures find others of the same texture.

    Each texture is cut into nine squares that do not overlap. Each square is looked for among all others, as
    it is, in other size and light, and turned; beside the descriptor by pooled features without training.

    texsynth evaluate match textures/ --held-out
    """
    from texsynth.evaluation.expand import choose
    from texsynth.evaluation.match import evaluate
    from texsynth.jobs.inputs import find_inputs

    run = run_settings(device=device, dtype=dtype, threads=threads, seed=seed, max_pixels=max_pixels)
    inputs = choose(find_inputs(textures, recursive=recursive), held_out=held_out, limit=limit)
    screen = Screen(quiet, verbose, as_json)
    failures = []

    def failed(name: str, error: TexsynthError) -> None:
        failures.append(name)
        screen.note(f"left out: {error}")

    with screen.progress(len(inputs)) as bar:

        def begin(name: str) -> None:
            bar.picture(name)
            bar.advance()

        found = evaluate(inputs, run, weights, k, on_picture=begin, on_failure=failed)
    _show(found, screen)
    raise typer.Exit(3 if failures else 0)


def _show(found: Retrieval, screen: Screen) -> None:
    """A row for each way of comparing, a column for each condition."""
    from texsynth.evaluation.match import DESCRIPTOR

    conditions = list(dict.fromkeys(score.condition for score in found.scores))
    rows = []
    for method in dict.fromkeys(score.method for score in found.scores):
        mine = {score.condition: score for score in found.scores if score.method == method}
        means = {name: mine[name].precision.mean for name in conditions}
        cells = {"compared by": method, "numbers": str(mine[conditions[0]].numbers)}
        texts = {name: f"{value:.3f}" for name, value in means.items()}
        rows.append((cells | texts, {"method": method, "conditions": [asdict(mine[c]) for c in conditions]}))
    show_rows(rows, screen)
    ours = {score.condition: score for score in found.scores if score.method == DESCRIPTOR}
    screen.note(f"precision at {found.k} of crops of {found.textures} textures")
    for name in conditions:
        best = found.best_baseline(name)
        share = (1 - ours[name].precision.mean) / max(1 - best.precision.mean, 1e-9)
        screen.note(f"{name}: {share:.2f} of the errors of the best baseline, {best.method}")


COMPARISON = "Comparison"

Folder = Annotated[
    Path,
    typer.Option(
        "-o",
        "--output",
        metavar="FOLDER",
        help="Folder for table.json and index.html, made when missing.",
        rich_help_panel=options.FILES,
    ),
]
HeldOut = Annotated[
    bool,
    typer.Option(
        "--held-out", help="Only the 10% of files that training never saw.", rich_help_panel=COMPARISON
    ),
]


def failed(screen: Screen, what: str, error: Exception) -> None:
    """One line, as soon as it is known."""
    if isinstance(error, TexsynthError):
        complain(str(error))
        return
    complain(f"{what}: this is a bug in texsynth: {type(error).__name__}: {error}")
    if screen.verbose:
        traceback.print_exception(error)


def show_rows(rows: Sequence[tuple[Mapping[str, str], Mapping[str, object]]], screen: Screen) -> None:
    """A table with aligned columns, or an object for each row.

    rows: the texts of a row by column, the first a name, and the same row's figures.
    """
    widest: dict[str, int] = {}
    for cells, _ in rows:
        for name, text in cells.items():
            widest[name] = max(widest.get(name, max(len(name), MIN_WIDTH)), len(text))
    if rows and not screen.as_json:
        screen.result(_line({name: name for name in rows[0][0]}, widest))
    for cells, fields in rows:
        screen.result(_line(cells, widest), **fields)


MIN_WIDTH = 6


def _line(cells: Mapping[str, str], widths: Mapping[str, int]) -> str:
    (first, name), *rest = cells.items()
    return "  ".join([name.ljust(widths[first]), *(text.rjust(widths[key]) for key, text in rest)])


def figure(value: float | None) -> str:
    """Three digits that count."""
    return "-" if value is None else f"{value:.3g}"


app.command()(match)
