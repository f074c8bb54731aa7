"""texsynth stylize."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated

import typer

from texsynth.cli import options
from texsynth.cli.app import INTERRUPTED
from texsynth.cli.match import IndexFile, do_queries, open_index
from texsynth.cli.run import (
    look_settings,
    make_screen,
    output_suffix,
    piped,
    run_operation,
    run_settings,
    stylize_changes,
)
from texsynth.cli.show import Screen, print_error
from texsynth.errors import UsageError

if TYPE_CHECKING:
    from texsynth.config.settings import RunSettings, StylizeSettings
    from texsynth.jobs.inputs import Job, StylizeJob
    from texsynth.jobs.match import Match
    from texsynth.jobs.outcomes import Failed, Outcome
    from texsynth.jobs.stylize import Stylize

SUGGESTIONS = "Suggestions"


@dataclass(frozen=True)
class StrokeOptions(options.StylizeLookOptions):
    """All options for the look of a stylization."""

    level_strength: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LEVEL=X",
            help="Strength of one level, 5 (coarse) to 1 (fine), like 4=0.5. Repeatable.",
            rich_help_panel=options.LOOK,
        ),
    ] = None
    grain: Annotated[
        float | None,
        typer.Option(
            help="Noise that becomes strokes in flat areas, 0 to 1; artistic mode only.",
            rich_help_panel=options.LOOK,
        ),
    ] = None
    style_scale: Annotated[
        float | None,
        typer.Option(
            help="Resize the style first: above 1 for larger strokes.", rich_help_panel=options.LOOK
        ),
    ] = None


@dataclass(frozen=True)
class SuggestOptions:
    """Styles from a library instead of one that is named."""

    suggest: Annotated[
        str | None,
        typer.Option(
            metavar="LIBRARY",
            help="Take the styles from this folder of pictures: those that look most like each content. All "
            "arguments are contents then.",
            rich_help_panel=SUGGESTIONS,
        ),
    ] = None
    suggestions: Annotated[
        int | None,
        typer.Option(min=1, help="Styles for each content. Default: 3.", rich_help_panel=SUGGESTIONS),
    ] = None
    index: IndexFile = None


@options.grouped
def stylize(
    pictures: Annotated[
        list[str],
        typer.Argument(
            metavar="CONTENT... STYLE",
            help="Pictures, folders or quoted patterns, then one style picture, unless --suggest finds some; "
            "- is standard input.",
        ),
    ],
    *,
    output: options.Output = None,
    look: StrokeOptions,
    suggest: SuggestOptions,
    network: options.StylizeNetworkOptions,
    workers: options.ExecutorOptions,
    reading: options.ContentOptions,
    out: options.OutputOptions,
    screen: options.ScreenOptions,
) -> None:
    """Give pictures the style of another one.

    texsynth stylize photo.jpg painting.jpg -o out.png
    """
    from texsynth.config.settings import StylizeSettings
    from texsynth.jobs.checks import check_headers

    changes = stylize_changes(look, grain=look.grain, style_scale=look.style_scale)
    sets = [_level_assignment(text) for text in look.level_strength or ()]
    settings = look_settings(StylizeSettings, look, changes, sets)
    run = run_settings(network, reading, out)
    show = make_screen(screen, output)
    failed: Sequence[Failed] = ()
    shared = None
    if suggest.suggest is not None:
        preset = look.preset
        jobs, failed = _suggested_jobs(
            pictures, suggest, settings, run, out, show, output, preset=preset, recursive=reading.recursive
        )
    elif suggest.suggestions is not None or suggest.index is not None:
        raise UsageError("--suggestions and --index need --suggest LIBRARY; add it or leave them out")
    else:
        jobs = _jobs(pictures, settings, output, output_suffix(out), recursive=reading.recursive)
        shared = jobs[0]

    def operation(_: Sequence[StylizeJob]) -> Stylize:
        from texsynth.jobs.stylize import Stylize

        return Stylize(run, shared)

    check = partial(check_headers, needed=[shared.style] if shared else [], run=run)
    raise typer.Exit(run_operation(jobs, check, operation, run, out, show, failed=failed, executor=workers))


def _jobs(
    pictures: Sequence[str], settings: StylizeSettings, output: str | None, suffix: str, *, recursive: bool
) -> list[StylizeJob]:
    """Return a job for every content, at least one, all with the style that is named last."""
    from texsynth.jobs.inputs import find_inputs, stylize_jobs

    *contents, style = pictures
    if not contents:
        raise UsageError(f"only {style!r} is given; a content and a style are needed")
    data = piped(pictures)
    styles = find_inputs([style], recursive=False, piped=data)
    if len(styles) != 1 or Path(style).is_dir():
        raise UsageError(f"the style {style!r} is a folder or several files; give one picture")
    inputs = find_inputs(contents, recursive=recursive, piped=data)
    return stylize_jobs(inputs, styles[0], settings, output, suffix=suffix)


def _level_assignment(text: str) -> str:
    level, sign, value = text.partition("=")
    if not (level.strip().isdecimal() and sign and value):
        raise UsageError(f"--level-strength {text!r} is not of the form LEVEL=X, like 4=0.5")
    return f"level_strength.{level.strip()}={value}"


def _suggested_jobs(
    contents: Sequence[str],
    suggest: SuggestOptions,
    settings: StylizeSettings,
    run: RunSettings,
    out: options.OutputOptions,
    screen: Screen,
    output: str | None,
    *,
    preset: str | None,
    recursive: bool,
) -> tuple[list[StylizeJob], list[Failed]]:
    """Return jobs for every content with the pictures of the library that look most like it as styles.

    The index of the library is brought up to date first. Also returns the contents that cannot be used.
    Raises TexsynthError, and Exit when no content can be used.
    """
    from texsynth.jobs.checks import check_headers
    from texsynth.jobs.inputs import PIPE, Job, destinations, find_inputs
    from texsynth.jobs.library import open_library
    from texsynth.jobs.manifest import NO_PRESET
    from texsynth.jobs.outcomes import Done, Failed, collect

    assert suggest.suggest is not None, "styles are asked for"
    suffix, count = output_suffix(out), suggest.suggestions or 3
    library = open_library(suggest.suggest, suggest.index)
    inputs = find_inputs(contents, recursive=recursive, piped=piped(contents))
    most = min(count, len(library.files))
    # What is wrong with the output shall be said before a large library is looked at.
    destinations(inputs * most, [""] * (most * len(inputs)), output, role="results")
    good, failed = check_headers([Job(item, PIPE) for item in inputs], [], run)
    jobs: list[StylizeJob] = []
    if good:
        from texsynth.jobs.match import SearchQuery

        opened = open_index(library, run, screen)
        answers: dict[Job, list[Match]] = {}

        def answered(outcome: Outcome) -> None:
            if isinstance(outcome, Failed):
                failed.append(outcome)
            elif isinstance(outcome, Done):
                answers[outcome.job] = outcome.written.value
                for hit in outcome.written.value:
                    screen.note(f"{outcome.job.picture}: style {hit.path}, similarity {hit.similarity:.3f}")

        if do_queries(good, opened, SearchQuery(count), run, screen, answered).interrupted:
            print_error("interrupted; no picture is made")
            raise typer.Exit(INTERRUPTED)
        jobs = _jobs_of_answers(answers, settings, preset or NO_PRESET, output, suffix)
    if not jobs:
        raise typer.Exit(collect((), 0, failed=failed, on_outcome=screen.outcome).exit_code)
    return jobs, failed


def _jobs_of_answers(
    answers: Mapping[Job, Sequence[Match]],
    settings: StylizeSettings,
    preset: str,
    output: str | None,
    suffix: str,
) -> list[StylizeJob]:
    """Return a job for every content and each of its styles, those with one style together."""
    from texsynth.jobs.inputs import Input, StylizeJob, destinations, grouped

    pairs = [(job.picture, hit) for job, matches in answers.items() for hit in matches]
    names = [
        f"{job.picture.stem}.{name}{suffix}"
        for job, matches in answers.items()
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
