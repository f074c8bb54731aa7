"""texsynth evaluate: methods compared on the same pictures."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from texsynth.cli import options
from texsynth.cli.expand import extent
from texsynth.cli.options import FILES, LOOK, DeviceOptions, InputOptions, NetworkOptions, grouped
from texsynth.cli.run import check_model, given, run_settings
from texsynth.cli.show import Screen, complain
from texsynth.errors import TexsynthError, UsageError

if TYPE_CHECKING:
    from texsynth.evaluation.bootstrap import Estimate
    from texsynth.evaluation.results import Evaluation, Summary, Table
    from texsynth.evaluation.subjects import Pair

PANEL = "Comparison"

MIN_WIDTH = 6
"""Least width of a column in letters."""

app = typer.Typer(
    no_args_is_help=True, help="Compare methods on the same pictures, in figures and side by side."
)

Textures = Annotated[
    list[str], typer.Argument(metavar="TEXTURE...", help="Textures, folders or quoted patterns.")
]


def _option(*names: str, help: str, panel: str = PANEL, **more: int | str) -> object:  # noqa: A002
    return typer.Option(*names, help=help, rich_help_panel=panel, **more)  # type: ignore[arg-type]


@dataclass(frozen=True)
class SelectionOptions:
    """The pictures that are used of those that are given."""

    held_out: Annotated[
        bool, _option("--held-out", help="Only the 10% of files that training never saw.")
    ] = False
    limit: Annotated[int | None, _option(min=1, help="Use at most so many textures, or pairs.")] = None


@dataclass(frozen=True)
class FolderOptions:
    """The folder of an evaluation."""

    output: Annotated[
        Path,
        _option(
            "-o", "--output", metavar="FOLDER", panel=FILES,
            help="Folder for table.json, table.csv and index.html, made when missing.",
        ),
    ]  # fmt: skip
    force: options.Force = False


@dataclass(frozen=True)
class ExpandOptions:
    """Methods, exemplars and sizes."""

    method: Annotated[
        list[str] | None,
        _option(
            metavar="NAME",
            help="tile, mirror, quilting, a method of expand, or preset:NAME. Repeatable. Default: all.",
        ),
    ] = None
    crop: Annotated[
        int | None,
        _option(
            min=16, help="Use the centre crop of this side as exemplar; the rest of the picture is the truth."
        ),
    ] = None
    scale: Annotated[float | None, _option(help="Output over exemplar. Default: 2.", panel=LOOK)] = None
    size: Annotated[str | None, _option(metavar="WxH", help="Size of outputs in pixels.", panel=LOOK)] = None
    tileable: Annotated[bool, _option("--tileable", help="Make outputs periodic.", panel=LOOK)] = False
    assignments: options.Set = None


@dataclass(frozen=True)
class PairOptions:
    """Contents and styles."""

    content: Annotated[
        list[str] | None,
        _option(metavar="PATH", help="Contents: a file, folder or quoted pattern. Repeatable.", panel=FILES),
    ] = None
    style: Annotated[
        list[str] | None,
        _option(metavar="PATH", help="Styles, likewise. Every content gets every style.", panel=FILES),
    ] = None
    one_to_one: Annotated[
        bool, _option("--zip", help="The first content gets the first style, and so on.", panel=FILES)
    ] = False
    pairs: Annotated[
        Path | None,
        _option(
            metavar="FILE",
            help="Pairs in a .csv or .jsonl file with the columns content and style.",
            panel=FILES,
        ),
    ] = None


@dataclass(frozen=True)
class StylizeOptions:
    """Methods, and what measures them."""

    method: Annotated[
        list[str] | None,
        _option(
            metavar="NAME",
            help="content, colour, preset:NAME, or a transform like ift or photo:ift; with a model of its "
            "own like photo:ift@lite. Repeatable. Default: content, colour and all presets.",
        ),
    ] = None
    model: Annotated[
        list[str] | None,
        _option(
            metavar="NAME|FILE",
            help="Network that stylizes. Repeatable: every method with every one. Default: lite.",
        ),
    ] = None
    features: Annotated[str, _option(metavar="NAME|FILE", help="Network that measures.")] = "lite"
    frechet_level: Annotated[
        int, _option(min=1, max=5, help="Level of the Frechet distance, 3 for relu3_1.")
    ] = 3
    baseline: Annotated[
        Path | None, _option(metavar="table.json", help="Compare with an earlier table pair by pair.")
    ] = None
    seeds: Annotated[int, _option(min=1, help="Do each pair so often, and take the mean.")] = 1
    max_side: Annotated[
        int, _option(min=1, help="Reduce larger contents and styles to this longer side in pixels.")
    ] = 512
    assignments: options.Set = None


@dataclass(frozen=True)
class MachineOptions(DeviceOptions):
    """The device, the numbers on it and their seed."""

    dtype: options.Dtype = None
    seed: options.Seed = None


@dataclass(frozen=True)
class MatchOptions:
    """The descriptor, and how it is measured."""

    weights: Annotated[
        Path | None,
        _option(
            "--descriptor",
            metavar="FILE",
            help="A descriptor made by `texsynth train descriptor`. Default: the embedded one.",
        ),
    ] = None
    k: Annotated[int, _option("-k", min=1, help="How many neighbours count.")] = 5


@app.command()
@grouped
def expand(
    exemplars: Textures,
    target: FolderOptions,
    compared: ExpandOptions,
    selection: SelectionOptions,
    network: NetworkOptions,
    reading: InputOptions,
    showing: options.ScreenOptions,
) -> None:
    """Expand textures with several methods and measure the results.

    texsynth evaluate expand textures/ --crop 128 -o comparison
    """
    from texsynth.config.presets import resolve
    from texsynth.config.settings import ExpandSettings
    from texsynth.evaluation.expand import Plan, evaluate
    from texsynth.evaluation.methods import expand_methods
    from texsynth.evaluation.runner import check_target, write
    from texsynth.evaluation.subjects import choose_pictures
    from texsynth.jobs.inputs import find_inputs

    run = run_settings(**asdict(network), max_pixels=reading.max_pixels, frame=reading.frame)
    sets = compared.assignments or ()
    flags = {**extent(compared.size, compared.scale), **given({"tileable": compared.tileable or None})}
    size = resolve(ExpandSettings, None, sets, flags)
    methods = expand_methods(compared.method or (), sets, size)
    inputs = choose_pictures(find_inputs(exemplars, recursive=reading.recursive), **asdict(selection))
    check_target(target.output, force=target.force)
    screen = Screen(**asdict(showing))
    with screen.progress(len(inputs) * len(methods)) as bar:
        plan = Plan(inputs, methods, size, run, compared.crop)
        evaluation = evaluate(plan, bar, lambda *what: _failed(screen, *what))
        write(evaluation, target.output, force=target.force)
    _end(evaluation, target, screen)


@app.command()
@grouped
def stylize(
    target: FolderOptions,
    sources: PairOptions,
    compared: StylizeOptions,
    selection: SelectionOptions,
    machine: MachineOptions,
    reading: InputOptions,
    showing: options.ScreenOptions,
) -> None:
    """Stylize pictures with several methods and measure the results.

    texsynth evaluate stylize --content photos/ --style paintings/ -o comparison
    """
    from texsynth.evaluation.methods import stylize_methods
    from texsynth.evaluation.subjects import check_files, choose_pairs

    pixels = {"max_pixels": reading.max_pixels, "max_side": compared.max_side}
    run = run_settings(**asdict(machine), **pixels, frame=reading.frame)
    models = compared.model or [run.model]
    methods = stylize_methods(compared.method or (), compared.assignments or (), models)
    for name in (compared.features, *(method.model for method in methods if method.model)):
        check_model(name)
    pairs = choose_pairs(_pairs(sources, recursive=reading.recursive), **asdict(selection))
    check_files(pairs)

    from texsynth.evaluation.baseline import read_baseline
    from texsynth.evaluation.runner import check_target, write
    from texsynth.evaluation.stylize import Plan, evaluate

    baseline = read_baseline(compared.baseline) if compared.baseline else None
    check_target(target.output, force=target.force)
    screen = Screen(**asdict(showing))
    with screen.progress(len(pairs) * len(methods)) as bar:
        plan = Plan(
            pairs, methods, run, compared.features, compared.frechet_level, compared.seeds,
            selection.held_out, baseline,
        )  # fmt: skip
        evaluation = evaluate(plan, bar, lambda *what: _failed(screen, *what))
        write(evaluation, target.output, force=target.force)
    _end(evaluation, target, screen)


@app.command()
@grouped
def match(
    textures: Textures,
    compared: MatchOptions,
    selection: SelectionOptions,
    machine: MachineOptions,
    reading: InputOptions,
    showing: options.ScreenOptions,
) -> None:
    """Measure how well crops of textures find others of the same texture.

    Each texture is cut into nine squares that do not overlap. Each square is looked for among all others, as
    it is, in other size and light, and turned; beside the descriptor by pooled features without training.

    texsynth evaluate match textures/ --held-out
    """
    from texsynth.evaluation.match import evaluate, sentences
    from texsynth.evaluation.subjects import choose_pictures
    from texsynth.jobs.inputs import find_inputs
    from texsynth.jobs.outcomes import PARTLY_FAILED

    run = run_settings(**asdict(machine), max_pixels=reading.max_pixels, frame=reading.frame)
    inputs = choose_pictures(find_inputs(textures, recursive=reading.recursive), **asdict(selection))
    screen = Screen(**asdict(showing))
    failures = []

    def failed(name: str, error: TexsynthError) -> None:
        failures.append(name)
        screen.note(f"left out: {error}")

    with screen.progress(len(inputs)) as bar:

        def begin(name: str) -> None:
            bar.picture(name)
            bar.advance()

        evaluation = evaluate(inputs, run, compared.weights, compared.k, on_picture=begin, on_failure=failed)
    fields = [_match_fields(summary) for summary in evaluation.summaries()]
    _show(evaluation.tables[0], fields, screen)
    for sentence in sentences(evaluation):
        screen.note(sentence)
    raise typer.Exit(PARTLY_FAILED if failures else 0)


def _match_fields(summary: Summary) -> dict[str, object]:
    about = {"method": summary.method, "numbers": summary.pooled["numbers"]}
    precisions = {name: asdict(e) for name, e in summary.estimates.items() if e}
    conditions = [{**about, "condition": name, "precision": p} for name, p in precisions.items()]
    return {"method": summary.method, "conditions": conditions}


def _pairs(sources: PairOptions, *, recursive: bool) -> list[Pair]:
    from texsynth.evaluation import subjects
    from texsynth.jobs.inputs import find_inputs

    contents, styles = sources.content or (), sources.style or ()
    if sources.pairs is not None:
        if contents or styles or sources.one_to_one:
            raise UsageError("--pairs names contents and styles; leave out --content, --style and --zip")
        return subjects.listed(sources.pairs)
    if not contents or not styles:
        raise UsageError("contents and styles are needed; give --content and --style, or --pairs FILE")
    combine = subjects.zipped if sources.one_to_one else subjects.crossed
    return combine(find_inputs(contents, recursive=recursive), find_inputs(styles, recursive=recursive))


def _failed(screen: Screen, what: str, error: Exception) -> None:
    """Say in one line, as soon as it is known, why something failed."""
    if isinstance(error, TexsynthError):
        complain(str(error))
        return
    complain(f"{what}: this is a bug in texsynth: {type(error).__name__}: {error}")
    if screen.verbose:
        traceback.print_exception(error)


def _end(evaluation: Evaluation, target: FolderOptions, screen: Screen) -> None:
    """Show the summary, and leave with the exit code."""
    from texsynth.evaluation.runner import PAGE, exit_code

    if evaluation.interrupted:
        screen.note("interrupted; the page shows what is finished")
    _show(evaluation.tables[0], [summary.as_dict() for summary in evaluation.summaries()], screen)
    if comparison := evaluation.comparison:
        _show(evaluation.tables[-1], [asdict(difference) for difference in comparison.differences], screen)
        screen.note(str(comparison))
    screen.result(str(target.output / PAGE), page=str(target.output / PAGE))
    raise typer.Exit(exit_code(evaluation))


def _show(table: Table, fields: Sequence[Mapping[str, object]], screen: Screen) -> None:
    """Print a table with aligned columns, or a JSON object for each row. fields: of these objects."""
    from texsynth.evaluation.results import json_values

    rows = [["method", *table.head]]
    rows += [[method, *map(_figure, values)] for method, values in table.rows]
    widths = [max(MIN_WIDTH, *map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([first.ljust(widths[0]), *map(str.rjust, rest, widths[1:])]) for first, *rest in rows]
    if not screen.as_json and fields:
        screen.result(lines[0])
    for line, each in zip(lines[1:], fields, strict=True):
        screen.result(line, **json_values(each))


def _figure(value: str | float | Estimate | None) -> str:
    """Text, or three digits that count, of a mean where there is an interval."""
    if value is None or isinstance(value, str):
        return value or "-"
    return f"{value if isinstance(value, int | float) else value.mean:.3g}"
