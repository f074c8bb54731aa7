"""Styles that a library suggests: those that look most like the content."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

import typer

from texsynth.cli.app import INTERRUPTED
from texsynth.cli.jobs import Plan, Target, Work, check_suffix, foresight, machine_line, piped
from texsynth.cli.library import consult, worked_through
from texsynth.cli.show import Screen, complain

if TYPE_CHECKING:
    from texsynth.batch.library import Library
    from texsynth.batch.looking import Match
    from texsynth.batch.plan import Job, StyledJob
    from texsynth.batch.run import Failed, Outcome
    from texsynth.settings import RunSettings, StylizeSettings


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
    from texsynth.batch.check import check_headers, check_styled
    from texsynth.batch.library import open_library
    from texsynth.batch.manifest import NO_PRESET
    from texsynth.batch.plan import PIPE, Job, destinations, find_inputs
    from texsynth.batch.run import run as run_jobs

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
        from texsynth.batch.serial import Serial
        from texsynth.batch.styled_work import Styler

        styler = Styler(run, screen.note)
        return Work(Serial(styler.stages(**target.rules)), machine_line(styler.model.name, styler.run))

    read = [item for job in jobs for item in (job.picture, job.style)]
    return Plan(jobs, read, check, begin, foresee=lambda: foresight(run, lambda job: job.settings))


def _looked_up(
    jobs: Sequence[Job], library: Library, count: int, run: RunSettings, screen: Screen
) -> tuple[dict[Job, list[Match]], list[Failed]]:
    """The matches of every content, and the contents that cannot be read. Raises Exit on Ctrl-C."""
    from texsynth.batch.looking import Wish, looking
    from texsynth.batch.run import Failed

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
    from texsynth.batch.manifest import grouped
    from texsynth.batch.plan import Input, StyledJob, destinations

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
