"""texsynth evaluate: methods compared on the same pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from texsynth.cli import options
from texsynth.cli.expand import size_settings
from texsynth.cli.options import argument, file_option, look_option, option
from texsynth.cli.pace import Bar
from texsynth.cli.run import check_model, given, run_settings
from texsynth.cli.show import Screen
from texsynth.config.presets import resolve
from texsynth.config.settings import ExpandSettings
from texsynth.errors import UsageError
from texsynth.evaluation import subjects
from texsynth.evaluation.methods import expand_methods, stylize_methods
from texsynth.jobs.inputs import Input, find_inputs
from texsynth.jobs.outcomes import PARTLY_FAILED

if TYPE_CHECKING:
    from texsynth.evaluation.results import Evaluation, Table, Value

MIN_WIDTH = 6  # Least width of a column in letters

app = typer.Typer(
    no_args_is_help=True, help="Compare methods on the same pictures, in figures and side by side."
)

comparison_option = partial(option, panel="Comparison")

Names = list[str] | None


@dataclass(frozen=True)
class CommonOptions(options.AnalysisOptions):
    """The options of all evaluations."""

    dtype: options.Dtype = None
    seed: options.Seed = None
    held_out: bool = comparison_option(False, help="Only the 10% of files no training saw.")
    limit: int | None = comparison_option(None, min=1, help="Use at most so many textures, or pairs.")


@dataclass(frozen=True)
class FolderOptions:
    """The folder that an evaluation is left in."""

    output: Path = file_option(
        ...,
        "-o",
        "--output",
        metavar="FOLDER",
        help="Folder for table.json, table.csv and index.html, made when missing.",
    )
    force: options.Force = False


def _textures_argument() -> Any:  # noqa: ANN401 (as Typer)
    return argument(..., metavar="TEXTURE...", help="Textures, folders or quoted patterns.")


@app.command()
def expand(
    exemplars: list[str] = _textures_argument(),
    *,
    folder: FolderOptions,
    method: Names = comparison_option(
        None,
        metavar="NAME",
        help="tile, mirror, quilting, seamless, a method, or preset:NAME. Repeatable. Default: all.",
    ),
    crop: int | None = comparison_option(
        None, min=16, help="Side of a centre crop to expand; the picture around it is the truth."
    ),
    scale: float | None = look_option(None, help="Output over exemplar. Default: 2."),
    size: str | None = look_option(None, metavar="WxH", help="Size of outputs in pixels."),
    tileable: bool = look_option(False, help="Make outputs periodic."),
    assignments: options.Set = None,
    model: options.Model = None,
    common: CommonOptions,
) -> None:
    """Expand textures with several methods and measure the results.

    texsynth evaluate expand textures/ --crop 128 -o comparison
    """
    from texsynth.evaluation.expand import Plan, evaluate

    run, sets = run_settings(common, model=model), assignments or ()
    extents = {**size_settings(size, scale), **given({"tileable": tileable or None})}
    settings = resolve(ExpandSettings, None, sets, extents)
    methods = expand_methods(method or (), sets, settings)
    inputs = _textures(exemplars, common)
    plan = Plan(inputs, methods, settings, run, crop)
    _carry_out(partial(evaluate, plan), len(inputs) * len(methods), folder, common.screen())


@app.command()
def stylize(
    *,
    folder: FolderOptions,
    content: Names = file_option(
        None, metavar="PATH", help="Contents: files, folders, quoted patterns; repeatable."
    ),
    style: Names = file_option(
        None, metavar="PATH", help="Styles, likewise. Every content gets every style."
    ),
    one_to_one: bool = file_option(False, "--zip", help="The first content gets the first style, and so on."),
    pairs: Path | None = file_option(
        None, metavar="FILE", help="Pairs: a .csv or .jsonl with columns content and style."
    ),
    method: Names = comparison_option(
        None,
        metavar="NAME",
        help="content, colour, preset:NAME, or a transform like ift or photo:ift; with a model of its "
        "own like photo:ift@lite. Repeatable. Default: content, colour and all presets.",
    ),
    model: Names = comparison_option(
        None, metavar="NAME|FILE", help="Network that stylizes: each with every method. Default: lite."
    ),
    features: str = comparison_option("lite", metavar="NAME|FILE", help="Network that measures."),
    frechet_level: int = comparison_option(3, min=1, max=5, help="Level of the Frechet distance."),
    baseline: Path | None = comparison_option(
        None, metavar="table.json", help="Compare with an earlier table pair by pair."
    ),
    seeds: int = comparison_option(1, min=1, help="Do each pair so often, and take the mean."),
    max_side: int = comparison_option(512, min=1, help="Reduce larger pictures to this side in pixels."),
    assignments: options.Set = None,
    common: CommonOptions,
) -> None:
    """Stylize pictures with several methods and measure the results.

    texsynth evaluate stylize --content photos/ --style paintings/ -o comparison
    """
    run = run_settings(common, max_side=max_side)
    methods = stylize_methods(method or (), assignments or (), model or [run.model])
    for name in (features, *(each.model for each in methods if each.model)):
        check_model(name)
    if pairs is not None:
        if content or style or one_to_one:
            raise UsageError("--pairs names contents and styles; leave out --content, --style and --zip")
        named = subjects.listed(pairs)
    elif content and style:
        combine = subjects.zipped if one_to_one else subjects.crossed
        named = combine(*(find_inputs(names, recursive=common.recursive) for names in (content, style)))
    else:
        raise UsageError("contents and styles are needed; give --content and --style, or --pairs FILE")
    chosen = subjects.choose_pairs(named, held_out=common.held_out, limit=common.limit)
    subjects.check_files(chosen)

    from texsynth.evaluation.baseline import read_baseline
    from texsynth.evaluation.stylize import Plan, evaluate

    earlier = read_baseline(baseline) if baseline else None
    plan = Plan(chosen, methods, run, features, frechet_level, seeds, common.held_out, earlier)
    _carry_out(partial(evaluate, plan), len(chosen) * len(methods), folder, common.screen())


@app.command()
def match(
    textures: list[str] = _textures_argument(),
    *,
    weights: Path | None = comparison_option(
        None, "--descriptor", metavar="FILE", help="Descriptor to use, not the embedded one."
    ),
    k: int = comparison_option(5, "-k", min=1, help="How many neighbours count."),
    common: CommonOptions,
) -> None:
    """Measure how well crops of textures find others of the same texture.

    Each texture is cut into nine squares that do not overlap. Each square is looked for among all others, as
    it is, in other size and light, and turned; beside the descriptor by pooled features without training.

    texsynth evaluate match textures/ --held-out
    """
    from texsynth.evaluation.match import evaluate, sentences

    run, screen = run_settings(common), common.screen()
    inputs = _textures(textures, common)
    with screen.progress(len(inputs)) as bar:
        evaluation = evaluate(inputs, run, weights, k, bar, screen.failure)
    fields = []
    for name in evaluation.names:
        about = {"method": name, "numbers": evaluation.pooled[name]["numbers"]}
        precisions = {condition: asdict(e) for condition, e in evaluation.estimates(name).items() if e}
        conditions = [{**about, "condition": c, "precision": p} for c, p in precisions.items()]
        fields.append({"method": name, "conditions": conditions})
    _show(evaluation.tables[0], fields, screen)
    for sentence in sentences(evaluation):
        screen.note(sentence)
    raise typer.Exit(PARTLY_FAILED if len(evaluation.subjects) < len(inputs) else 0)


@app.command()
def flicker(
    content: str = argument(..., metavar="CONTENT", help="Folder or quoted pattern of the frames."),
    results: list[str] = argument(
        ..., metavar="RESULT...", help="Folders or patterns of what was made of them, a row for each."
    ),
    *,
    threshold: float = comparison_option(
        2.0, min=0, help="A blurred pixel of the content that changes by no more levels of 255 is still."
    ),
    common: options.AnalysisOptions,
) -> None:
    """Measure how much results change from frame to frame where the content does not.

    texsynth evaluate flicker frames/ out/
    """
    from texsynth.evaluation.flicker import evaluate, in_order, table

    run, screen = run_settings(common), common.screen()
    frames, *results_frames = (
        in_order(find_inputs([name], recursive=common.recursive)) for name in (content, *results)
    )
    with screen.progress(len(frames) * len(results_frames)) as bar:
        figures = evaluate(frames, list(zip(results, results_frames, strict=True)), run, threshold, bar)
    _show(table(figures), [{"result": name, **asdict(figure)} for name, figure in figures], screen)


def _textures(arguments: Sequence[str], common: CommonOptions) -> list[Input]:
    """Return the textures to evaluate. Raises InputError."""
    inputs = find_inputs(arguments, recursive=common.recursive)
    return subjects.choose(
        inputs, lambda item: [item.path], "pictures", held_out=common.held_out, limit=common.limit
    )


def _carry_out(
    evaluate: Callable[[Bar, Callable[[str, Exception], None]], Evaluation],
    total: int,
    folder: FolderOptions,
    screen: Screen,
) -> NoReturn:
    """Evaluate `total` pictures, write the files, show the summary, and leave with the exit code."""
    from texsynth.evaluation.runner import PAGE, check_target, exit_code, write

    check_target(folder.output, force=folder.force)
    with screen.progress(total) as bar:
        evaluation = evaluate(bar, screen.failure)
        write(evaluation, folder.output, force=folder.force)
    if evaluation.interrupted:
        screen.note("interrupted; the page shows what is finished")
    _show(evaluation.tables[0], evaluation.summaries(), screen)
    if comparison := evaluation.comparison:
        _show(evaluation.tables[-1], [asdict(difference) for difference in comparison.differences], screen)
        screen.note(str(comparison))
    screen.written(str(folder.output / PAGE), page=str(folder.output / PAGE))
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


def _figure(value: Value) -> str:
    """Write a text as it is, and a number or the mean of an interval with three digits that count."""
    if value is None or isinstance(value, str):
        return value or "-"
    return f"{value if isinstance(value, int | float) else value.mean:.3g}"
