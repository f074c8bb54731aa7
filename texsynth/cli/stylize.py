"""texsynth stylize."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated

import typer

from texsynth.cli import frames, options
from texsynth.cli.match import IndexFile, find_matches
from texsynth.cli.options import argument, look_option, option
from texsynth.cli.run import (
    Setup,
    look_settings,
    make_setup,
    piped,
    run_operation,
    stylize_changes,
    without_results,
)
from texsynth.cli.searching import search
from texsynth.cli.show import print_error
from texsynth.errors import UsageError
from texsynth.interrupts import INTERRUPTED
from texsynth.paths import is_folder

if TYPE_CHECKING:
    from texsynth.config.settings import StylizeSettings
    from texsynth.images.formats import ResultFormat
    from texsynth.jobs.blend_inputs import StylizeJob
    from texsynth.jobs.inputs import Input
    from texsynth.jobs.match import Match
    from texsynth.jobs.outcomes import Failed, Outcome, Report

suggest_option = partial(option, panel="Suggestions")


@dataclass(frozen=True)
class StrokeOptions(options.StylizeLookOptions):
    """All options for the look of a stylization."""

    level_strength: list[str] | None = look_option(
        None, metavar="LEVEL=X", help="Strength of one level, 5 (coarse) to 1 (fine), like 4=0.5. Repeatable."
    )
    grain: float | None = look_option(
        None, help="Noise that becomes strokes in flat areas, 0 to 1; artistic mode only."
    )
    preserve_detail: float | None = look_option(
        None, help="Keep small faces and lettering readable, 0 to 1; artistic mode only."
    )
    preserve_light: float | None = look_option(
        None, help="Keep dark things dark and light ones light, 0 to 1; artistic mode only."
    )
    style_scale: float | None = look_option(
        None, help="Size of strokes over the style's, 0.25 to 8: 2 doubles them; artistic mode only."
    )
    regions: str | None = look_option(
        None,
        metavar="auto|off",
        help="auto: match regions that content and style share, like sky and ground. -v says which.",
    )


@dataclass(frozen=True)
class SuggestOptions:
    """Styles from a library instead of one that is named."""

    suggest: str | None = suggest_option(
        None,
        metavar="LIBRARY",
        help="Take the styles from this folder of pictures: those that look most like each content. All "
        "arguments are contents then.",
    )
    suggestions: int | None = suggest_option(None, min=1, help="Styles for each content. Default: 3.")
    index: IndexFile = None


def stylize(
    pictures: list[str] = argument(
        ...,
        metavar="CONTENT... STYLE",
        help="Pictures, folders or quoted patterns, then one style picture, unless --suggest finds some; "
        "- is standard input.",
    ),
    *,
    output: Annotated[str | None, options.output_option("CONTENT.STYLE.png")] = None,
    lut: str | None = options.file_option(
        None,
        metavar="FILE.cube|FOLDER",
        help="Also write the change of colours as a 3D table (LUT) for video editors; with --photo.",
    ),
    look: StrokeOptions,
    suggest: SuggestOptions,
    common: options.StylizeRunOptions,
) -> None:
    """Give pictures the style of another one."""
    from texsynth.config.settings import StylizeSettings
    from texsynth.jobs.blend_inputs import stylize_jobs
    from texsynth.jobs.checks import check_headers
    from texsynth.jobs.inputs import find_inputs
    from texsynth.jobs.manifest import NO_PRESET

    changes = stylize_changes(
        look,
        grain=look.grain,
        preserve_detail=look.preserve_detail,
        preserve_light=look.preserve_light,
        style_scale=look.style_scale,
        regions=look.regions,
    )
    sets = []
    for text in look.level_strength or ():
        level, sign, value = text.partition("=")
        if not (level.strip().isdecimal() and sign and value):
            raise UsageError(f"--level-strength {text!r} is not of the form LEVEL=X, like 4=0.5")
        sets.append(f"level_strength.{level.strip()}={value}")
    settings = look_settings(StylizeSettings, look, changes, sets, beside=["run"])
    setup = make_setup(common, output, look)
    run = setup.run
    failed: Sequence[Failed] = ()
    shared = None
    if suggest.suggest is not None:
        if common.sequence:
            raise UsageError(
                "--suggest gives each content styles of its own, so it does not go with --sequence"
            )
        report = _suggest(pictures, suggest.suggest, suggest, output, setup)
        failed = report.failed
        jobs = _suggested_jobs(report, settings, look.preset or NO_PRESET, output, setup.result_format)
    elif suggest.suggestions is not None or suggest.index is not None:
        raise UsageError("--suggestions and --index need --suggest LIBRARY; add it or leave them out")
    else:
        *contents, style = pictures
        if not contents:
            raise UsageError(f"only {style!r} is given; a content and a style are needed")
        data = piped(pictures)
        styles = find_inputs([style], recursive=False, piped=data)
        if len(styles) != 1 or is_folder(Path(style)):
            raise UsageError(f"the style {style!r} is a folder or several files; give one picture")
        inputs = search(setup, contents, recursive=common.recursive, piped=data)
        inputs = without_results(inputs, "stylize", setup)
        _tell_style(contents, style, inputs, setup)
        jobs = stylize_jobs(inputs, styles[0], settings, output, result_format=setup.result_format)
        shared = jobs[0]
    if lut is not None:
        from texsynth.jobs.color_tables import with_tables

        if common.resume:
            raise UsageError(
                "--lut makes a table of every result, and --resume skips some; leave one of them out"
            )
        jobs = with_tables(jobs, lut)
        shared = shared and jobs[0]
    jobs = frames.arranged(jobs, common)
    run_operation(
        jobs,
        partial(check_headers, needed=[shared.style] if shared else [], run=run),
        lambda _: import_module("texsynth.jobs.stylize").Stylize(run, shared),
        setup,
        failed=failed,
    )


def _tell_style(contents: Sequence[str], style: str, inputs: Sequence[Input], setup: Setup) -> None:
    """Say which picture is the style: aloud where it may be one of a pattern like *.jpg, and forgotten."""
    paths = [Path(name) for name in (*contents, style)]
    alike = len({(path.parent, path.suffix.lower()) for path in paths}) == 1 and paths == sorted(paths)
    if len(contents) > 1 and alike and not is_folder(paths[0]):
        setup.screen.note(
            f"the style is {style}, the last of {len(paths)} pictures; if it was to be a content like the "
            f"others, give the style after it"
        )
    elif len(inputs) > 1:
        setup.screen.detail(f"style: {style}")


def _suggest(
    contents: Sequence[str], library: str, suggest: SuggestOptions, output: str | None, setup: Setup
) -> Report:
    """Find the pictures of the library that look most like every content; its index is brought up to date.

    Raises TexsynthError, and Exit when no content can be used.
    """
    from texsynth.jobs.inputs import PIPE, Job, destinations
    from texsynth.jobs.library import SearchQuery, open_library
    from texsynth.jobs.outcomes import Done

    pictures, count = open_library(library, suggest.index), suggest.suggestions or 3
    inputs = search(setup, contents, recursive=setup.options.recursive, piped=piped(contents))
    most = min(count, len(pictures.files))
    # What is wrong with the output shall be said before a large library is looked at.
    destinations(inputs * most, [""] * (most * len(inputs)), output, role="results")

    def answered(outcome: Outcome) -> None:
        for hit in outcome.written.value if isinstance(outcome, Done) else ():
            setup.screen.note(f"{outcome.job.picture}: style {hit.path}, similarity {hit.similarity:.3f}")

    jobs = [Job(item, PIPE) for item in inputs]
    report = find_matches(jobs, pictures, SearchQuery(count), setup.run, setup.screen, answered)
    if report.interrupted:
        print_error("interrupted; no picture is made")
        raise typer.Exit(INTERRUPTED)
    if not report.done:
        for failure in report.failed:
            setup.screen.outcome(failure)
        raise typer.Exit(report.exit_code)
    return report


def _suggested_jobs(
    report: Report, settings: StylizeSettings, preset: str, output: str | None, result_format: ResultFormat
) -> list[StylizeJob]:
    """Return a job for every content and each of its styles, those with one style together."""
    from texsynth.jobs.blend_inputs import StylizeJob
    from texsynth.jobs.inputs import Input, destinations, grouped

    answers: list[tuple[Input, list[Match]]] = [
        (done.job.picture, done.written.value) for done in report.done
    ]
    pairs = [(content, hit) for content, matches in answers for hit in matches]
    names = [
        f"{content.stem}.{name}{content.result_suffix(result_format)}"
        for content, matches in answers
        for name in _style_names([hit.key for hit in matches])
    ]
    paths = destinations([content for content, _ in pairs], names, output, role="results")
    return grouped(
        [
            StylizeJob(content, path, Input(hit.path, hit.key), settings, preset)
            for (content, hit), path in zip(pairs, paths, strict=True)
        ]
    )


def _style_names(keys: Sequence[str]) -> list[str]:
    """Name the styles of one content: by their stem, and by more of the path for those that share it."""
    paths = [PurePath(key) for key in keys]
    choices = [
        [path.stem for path in paths],
        ["-".join(path.with_suffix("").parts) for path in paths],
        ["-".join(path.parts).replace(".", "-") for path in paths],
    ]
    shared = [Counter(names) for names in choices]
    return [
        next((name for name, many in zip(names, shared, strict=True) if many[name] == 1), names[-1])
        for names in zip(*choices, strict=True)
    ]
