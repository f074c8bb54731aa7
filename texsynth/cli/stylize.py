"""texsynth stylize."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated

import typer

from texsynth.cli import options
from texsynth.cli.app import INTERRUPTED
from texsynth.cli.match import IndexFile, consult, worked_through
from texsynth.cli.run import (
    Plan,
    Target,
    Work,
    carry_out,
    check_suffix,
    foresight,
    given,
    look_settings,
    machine_line,
    other_weights,
    piped,
    run_settings,
)
from texsynth.cli.show import Screen, complain
from texsynth.errors import UsageError

if TYPE_CHECKING:
    from texsynth.config.settings import RunSettings, StylizeSettings
    from texsynth.jobs.inputs import Input, Job, StyledJob
    from texsynth.jobs.library import Library
    from texsynth.jobs.match import Match
    from texsynth.jobs.outcomes import Failed, Outcome


Look = options.LOOK
Suggestions = "Suggestions"


def stylize(
    pictures: Annotated[
        list[str],
        typer.Argument(
            metavar="CONTENT... STYLE",
            help="Pictures, folders or quoted patterns, then one style picture, unless --suggest finds some; "
            "- is standard input.",
        ),
    ],
    output: options.Output = None,
    preset: options.Preset = None,
    assignments: options.Set = None,
    photo: options.Photo = None,
    transform: options.Transform = None,
    strength: options.Strength = None,
    level_strength: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LEVEL=X",
            help="Strength of one level, 5 (coarse) to 1 (fine), like 4=0.5. Repeatable.",
            rich_help_panel=Look,
        ),
    ] = None,
    preserve_color: options.PreserveColor = None,
    grain: Annotated[
        float | None,
        typer.Option(
            help="Noise that becomes strokes in flat areas, 0 to 1; artistic mode only.", rich_help_panel=Look
        ),
    ] = None,
    style_scale: Annotated[
        float | None,
        typer.Option(help="Resize the style first: above 1 for larger strokes.", rich_help_panel=Look),
    ] = None,
    suggest: Annotated[
        str | None,
        typer.Option(
            metavar="LIBRARY",
            help="Take the styles from this folder of pictures: those that look most like each content. All "
            "arguments are contents then.",
            rich_help_panel=Suggestions,
        ),
    ] = None,
    suggestions: Annotated[
        int | None,
        typer.Option(min=1, help="Styles for each content. Default: 3.", rich_help_panel=Suggestions),
    ] = None,
    index: IndexFile = None,
    model: options.Model = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    compiled: options.Compile = False,
    threads: options.Threads = None,
    memory_limit: options.MemoryLimit = None,
    seed: options.Seed = None,
    recursive: options.Recursive = False,
    suffix: options.Format = "png",
    max_side: options.MaxSide = None,
    max_pixels: options.MaxPixels = None,
    frame: options.Frame = None,
    bit_depth: options.BitDepth = None,
    quality: options.Quality = None,
    report: options.Report = None,
    force: options.Force = False,
    resume: options.Resume = False,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.Json = False,
) -> None:
    """Give pictures the style of another one.

    texsynth stylize photo.jpg painting.jpg -o out.png
    """
    from texsynth.config.settings import StylizeSettings

    look = {
        "mode": None if photo is None else ("photo" if photo else "artistic"),
        "transform": None if transform is None else {"name": transform},
        "strength": strength,
        "preserve_color": preserve_color,
        "grain": grain,
        "style_scale": style_scale,
    }
    sets = [*(assignments or ()), *map(_level_assignment, level_strength or ())]
    settings = look_settings(StylizeSettings, preset, sets, given(look))
    run = run_settings(
        model=model, device=device, dtype=dtype, compiled=compiled or None, threads=threads, seed=seed,
        max_pixels=max_pixels,
        frame=frame, max_side=max_side, bit_depth=bit_depth, quality=quality, memory_limit=memory_limit,
    )  # fmt: skip
    target = Target(output, suffix.lower().lstrip("."), force, resume, report)
    screen = Screen(quiet, verbose, as_json, results=output != "-")
    if suggest is not None:
        suggested = suggested_plan(
            pictures, suggest, suggestions or 3, index, settings, run, target, screen,
            recursive=recursive, preset=preset,
        )  # fmt: skip
        raise typer.Exit(carry_out(suggested, target, run, screen, dry_run=dry_run))
    if suggestions is not None or index is not None:
        raise UsageError("--suggestions and --index need --suggest LIBRARY; add it or leave them out")
    jobs, chosen = _planned(pictures, target, recursive=recursive)
    plan = stylize_plan(jobs, chosen, settings, run, target)
    raise typer.Exit(carry_out(plan, target, run, screen, dry_run=dry_run))


def stylize_plan(
    jobs: Sequence[Job],
    style: Input,
    settings: StylizeSettings,
    run: RunSettings,
    target: Target,
    *,
    made_with: str | None = None,
) -> Plan[Job]:
    """How `jobs` are checked and done. made_with: hash of the weights that are expected, for a replay."""
    from texsynth.jobs.checks import check_headers
    from texsynth.jobs.inputs import Job

    def begin() -> Work[Job]:
        from texsynth.jobs.operation import source_of, unfinished, written_once
        from texsynth.jobs.outcomes import Stages
        from texsynth.jobs.runner import Serial
        from texsynth.jobs.stylize import Content, load_content, prepare, record_of, stylize_content

        prepared = prepare(style, settings, run)

        def load(job: Job) -> Content | None:
            if target.resume:
                source = source_of(job.picture)
                record = record_of(job, source, prepared.source, settings, prepared.run, prepared.model)
                if not unfinished([(job.output, record)], force=target.force):
                    return None
            return load_content(job, prepared.model, settings, prepared.run)

        stages = Stages[Job](
            load,
            lambda job, content, on_step: stylize_content(job, content, prepared, on_step),
            lambda _, made: written_once(made, quality=run.quality, **target.rules),
        )
        notes = [*prepared.warnings, *other_weights(made_with, prepared.model.sha256, run.model)]
        return Work(Serial(stages), machine_line(prepared.model.name, prepared.run), notes)

    inputs = [*(job.picture for job in jobs), style]
    return Plan(
        jobs,
        inputs,
        lambda: check_headers(jobs, [style], run),
        begin,
        foresee=lambda: foresight(run, lambda _: settings),
    )


def _planned(pictures: Sequence[str], target: Target, *, recursive: bool) -> tuple[list[Job], Input]:
    """The jobs, at least one, and the style."""
    from texsynth.jobs.inputs import find_inputs, pair

    *contents, style = pictures
    if not contents:
        raise UsageError(f"only {style!r} is given; a content and a style are needed")
    suffix = check_suffix(target.suffix)
    data = piped(pictures)
    styles = find_inputs([style], recursive=False, piped=data)
    if len(styles) != 1 or Path(style).is_dir():
        raise UsageError(f"the style {style!r} is a folder or several files; give one picture")
    inputs = find_inputs(contents, recursive=recursive, piped=data)
    return pair(inputs, styles[0], target.output, suffix=suffix), styles[0]


def _level_assignment(text: str) -> str:
    level, sign, value = text.partition("=")
    if not (level.strip().isdecimal() and sign and value):
        raise UsageError(f"--level-strength {text!r} is not of the form LEVEL=X, like 4=0.5")
    return f"level_strength.{level.strip()}={value}"


def suggested_plan(
    contents: Sequence[str],
    folder: str,
    count: int,
    index: str | None,
    settings: StylizeSettings,
    run: RunSettings,
    target: Target,
    screen: Screen,
    *,
    recursive: bool,
    preset: str | None,
) -> Plan[StyledJob]:
    """How every content gets the `count` pictures of the library `folder` that look most like it as styles.

    The index of the library is brought up to date first. Raises TexsynthError, and Exit when no content can
    be used.
    """
    from texsynth.jobs.checks import check_headers, check_styled
    from texsynth.jobs.inputs import PIPE, Job, destinations, find_inputs
    from texsynth.jobs.library import open_library
    from texsynth.jobs.manifest import NO_PRESET
    from texsynth.jobs.outcomes import run as run_jobs

    suffix = check_suffix(target.suffix)
    library = open_library(folder, index)
    inputs = find_inputs(contents, recursive=recursive, piped=piped(contents))
    most = min(count, len(library.files))
    # What is wrong with the output shall be said before a large library is looked at.
    destinations(inputs * most, [""] * (most * len(inputs)), target.output, role="results")
    good, failed = check_headers([Job(item, PIPE) for item in inputs], [], run)
    jobs: list[StyledJob] = []
    if good:
        hits, more = _looked_up(good, library, count, run, screen)
        failed = [*failed, *more]
        jobs = _jobs(hits, settings, preset or NO_PRESET, target.output, suffix)
    if not jobs:
        raise typer.Exit(run_jobs((), 0, failed=failed, on_outcome=screen.outcome).exit_code)

    def check() -> tuple[list[StyledJob], list[Failed]]:
        sound, bad = check_styled(jobs, run)
        return sound, [*failed, *bad]

    def begin() -> Work[StyledJob]:
        from texsynth.jobs.runner import Serial
        from texsynth.jobs.stylize import Styler

        styler = Styler(run, screen.note)
        return Work(Serial(styler.stages(**target.rules)), machine_line(styler.model.name, styler.run))

    read = [item for job in jobs for item in (job.picture, job.style)]
    return Plan(jobs, read, check, begin, foresee=lambda: foresight(run, lambda job: job.settings))


def _looked_up(
    jobs: Sequence[Job], library: Library, count: int, run: RunSettings, screen: Screen
) -> tuple[dict[Job, list[Match]], list[Failed]]:
    """The matches of every content, and the contents that cannot be read. Raises Exit on Ctrl-C."""
    from texsynth.jobs.match import Wish, looking
    from texsynth.jobs.outcomes import Failed

    opened = consult(library, run, screen)
    found: dict[Job, list[Match]] = {}
    failed: list[Failed] = []

    def ended(outcome: Outcome) -> None:
        if isinstance(outcome, Failed):
            failed.append(outcome)
        for hit in found.get(outcome.job, ()):
            screen.note(f"{outcome.job.picture}: style {hit.path}, similarity {hit.similarity:.3f}")

    stages = looking(opened.catalogue, opened.describer, run, Wish(count), found.__setitem__)
    if worked_through(jobs, stages, screen, ended).interrupted:
        complain("interrupted; no picture is made")
        raise typer.Exit(INTERRUPTED)
    return found, failed


def _jobs(
    hits: Mapping[Job, Sequence[Match]],
    settings: StylizeSettings,
    preset: str,
    output: str | None,
    suffix: str,
) -> list[StyledJob]:
    """A job for every content and each of its styles, those with one style together."""
    from texsynth.jobs.inputs import Input, StyledJob, destinations
    from texsynth.jobs.manifest import grouped

    pairs = [(job.picture, hit) for job, matches in hits.items() for hit in matches]
    names = [
        f"{job.picture.stem}.{name}{suffix}"
        for job, matches in hits.items()
        for name in _style_names([hit.key for hit in matches])
    ]
    paths = destinations([content for content, _ in pairs], names, output, role="results")
    return grouped(
        [
            StyledJob(content, path, Input(hit.path, hit.key), settings, preset)
            for (content, hit), path in zip(pairs, paths, strict=True)
        ]
    )


def _style_names(keys: Sequence[str]) -> list[str]:
    """What results call the styles of one content: the stem, and more of the path for those that share it."""
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
