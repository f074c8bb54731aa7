"""texsynth match and texsynth describe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from texsynth.cli import options
from texsynth.cli.app import INTERRUPTED
from texsynth.cli.run import do_jobs, make_screen, piped, run_settings, shard_of
from texsynth.cli.show import Screen, print_error
from texsynth.errors import TexsynthError, UsageError

if TYPE_CHECKING:
    from texsynth.config.settings import RunSettings
    from texsynth.images.picture import Pixels
    from texsynth.jobs.describe import Describe, Kind
    from texsynth.jobs.inputs import Input, InputJob, Job
    from texsynth.jobs.library import Library
    from texsynth.jobs.library_index import Pending, Survey
    from texsynth.jobs.match import Match, OpenedIndex, SearchQuery
    from texsynth.jobs.operation import Operation
    from texsynth.jobs.outcomes import Failed, Outcome, Report

SEARCH = "Search"

MOST_ROWS = 100
"""Queries that a sheet shows at most; more would be a picture that nothing opens."""

DTYPE = "float32"
"""Number type of descriptors: bfloat16 moves similarities by up to 0.04, and an index must be comparable."""

IndexFile = Annotated[
    str | None,
    typer.Option(
        "--index",
        metavar="FILE",
        help="Where the library's descriptors are kept, a name that ends with .safetensors. "
        "Default: .texsynth-index.safetensors in the library.",
        rich_help_panel=options.FILES,
    ),
]


@dataclass(frozen=True)
class SearchOptions:
    """What matches, and where the answer goes."""

    count: Annotated[
        int, typer.Option("-k", "--count", min=1, help="List this many matches.", rich_help_panel=SEARCH)
    ] = 5
    rotation_invariant: Annotated[
        bool,
        typer.Option(
            "--rotation-invariant",
            help="Pictures may be turned by 90, 180 or 270 degrees.",
            rich_help_panel=SEARCH,
        ),
    ] = False
    upright: Annotated[
        bool,
        typer.Option(
            "--upright",
            help="First turn pictures so that their lines are level and upright: any angle then matches.",
            rich_help_panel=SEARCH,
        ),
    ] = False
    include_self: Annotated[
        bool,
        typer.Option(
            "--include-self/--exclude-self",
            help="Whether a query that is in the library itself, or as a copy, is among its own matches.",
            rich_help_panel=SEARCH,
        ),
    ] = False
    sheet: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also write a contact sheet: every query and its matches, small.",
            rich_help_panel=options.FILES,
        ),
    ] = None
    index: IndexFile = None
    rebuild: Annotated[
        bool,
        typer.Option(
            "--rebuild", help="Describe all pictures of the library again.", rich_help_panel=options.FILES
        ),
    ] = False


@options.grouped
def match(
    pictures: Annotated[
        list[str],
        typer.Argument(
            metavar="QUERY... LIBRARY",
            help="Pictures, folders or quoted patterns, - for standard input; then the folder to search, "
            "folders inside it too.",
        ),
    ],
    *,
    search: SearchOptions,
    machine: options.DeviceOptions,
    reading: options.InputOptions,
    force: options.Force = False,
    screen: options.ScreenOptions,
) -> None:
    """Find the textures or styles in a folder that look most like a picture.

    texsynth match bricks.jpg textures/

    The folder is indexed once; after that only new and changed pictures are looked at.
    """
    from texsynth.images import output_format
    from texsynth.jobs.checks import check_headers, check_outputs
    from texsynth.jobs.inputs import QueryJob, find_inputs
    from texsynth.jobs.library import open_library
    from texsynth.jobs.outcomes import Done, collect

    kind: Kind = "upright" if search.upright else "any-turn" if search.rotation_invariant else "as-is"
    *queries, folder = pictures
    if not queries:
        raise UsageError(f"only {folder!r} is given; a query and the folder of a library are needed")
    run = run_settings(machine, reading, dtype=DTYPE)
    library = open_library(folder, search.index)
    inputs = find_inputs(queries, recursive=reading.recursive, piped=piped(pictures))
    sheet = search.sheet
    if sheet is not None:
        output_format(sheet)
        if len(inputs) > MOST_ROWS:
            raise UsageError(f"a sheet shows at most {MOST_ROWS} queries, not {len(inputs)}; leave it out")
        check_outputs([], inputs, force=force, also=[sheet])
    show = make_screen(screen)
    good, failed = check_headers([QueryJob(item) for item in inputs], [], run)
    answers: dict[Job, list[Match]] = {}

    def ended(outcome: Outcome) -> None:
        if isinstance(outcome, Done):
            answers[outcome.job] = outcome.written.value
            for hit in outcome.written.value:
                _show_match(hit, outcome.job, show, several=len(inputs) > 1, kind=kind)
        else:
            show.outcome(outcome)

    if good:
        from texsynth.jobs.match import SearchQuery

        opened = open_index(library, run, show, rebuild=search.rebuild)
        query = SearchQuery(search.count, kind, search.include_self)
        report = do_queries(good, opened, query, run, show, ended, failed)
    else:
        report = collect((), 0, failed=failed, on_outcome=ended)
    if report.interrupted:
        print_error(f"interrupted; {len(answers)} of {report.total} queries are answered")
    elif sheet is not None and answers:
        _write_sheet(answers, sheet, run, force=force)
        show.note(f"sheet: {sheet}")
    raise typer.Exit(report.exit_code)


def _show_match(hit: Match, job: Job, screen: Screen, *, several: bool, kind: Kind) -> None:
    query = str(job.picture.path)
    line = f"{hit.rank}\t{hit.similarity:.3f}\t{hit.path}"
    screen.result(
        f"{query}\t{line}" if several else line,
        query=query,
        rank=hit.rank,
        similarity=round(hit.similarity, 4),
        path=str(hit.path),
        compared=kind,
    )


def _write_sheet(
    answers: Mapping[Job, Sequence[Match]], path: Path, run: RunSettings, *, force: bool
) -> None:
    from texsynth import images
    from texsynth.images.files import as_text
    from texsynth.jobs.files import OutputFile, read_input, write_files
    from texsynth.jobs.inputs import Input

    def cell(item: Input, frame: int | None, caption: str) -> Pixels:
        picture, _ = read_input(item, run.model_copy(update={"frame": frame}))
        return images.captioned(picture, as_text(caption))

    rows = [
        [
            cell(job.picture, run.frame, job.picture.stem),
            *(cell(Input(hit.path, hit.key), 0, f"{hit.similarity:.3f}  {hit.key}") for hit in hits),
        ]
        for job, hits in answers.items()
    ]
    write_files([OutputFile(images.contact_sheet(rows), path, "")], force=force)


@options.grouped
def describe(
    pictures: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE...", help="Pictures, folders or quoted patterns; - is standard input."),
    ],
    *,
    machine: options.DeviceOptions,
    workers: options.ExecutorOptions,
    reading: options.InputOptions,
    screen: options.ScreenOptions,
) -> None:
    """Say what textures are like: regularity, lattice, orientations, contrast, colours, and their descriptor.

    texsynth describe bricks.jpg --json
    """
    from texsynth.jobs.checks import check_headers
    from texsynth.jobs.files import OutputPolicy
    from texsynth.jobs.inputs import InputJob, find_inputs
    from texsynth.jobs.outcomes import Done

    run = run_settings(machine, reading, dtype=DTYPE)
    inputs = find_inputs(pictures, recursive=reading.recursive, piped=piped(pictures))
    show = make_screen(screen)
    jobs = shard_of([InputJob(item) for item in inputs], workers.shard)
    good, failed = check_headers(jobs, [], run)

    def ended(outcome: Outcome) -> None:
        if isinstance(outcome, Done):
            description, path = outcome.written.value, str(outcome.job.picture.path)
            head = f"{path}: {description.width} x {description.height}"
            show.result("\n  ".join([head, *description.lines]), path=path, **description.fields)
        else:
            show.outcome(outcome)

    def operation(_: Sequence[InputJob]) -> Describe:
        from texsynth.jobs.describe import Describe

        return Describe(run)

    report = do_jobs(operation, good, OutputPolicy(), show, ended, failed=failed, executor=workers)
    if report.interrupted:
        print_error(f"interrupted; {len(report.done)} of {report.total} pictures are described")
    raise typer.Exit(report.exit_code)


def do_queries(
    jobs: Sequence[Job],
    opened: OpenedIndex,
    query: SearchQuery,
    run: RunSettings,
    screen: Screen,
    on_outcome: Callable[[Outcome], None],
    failed: Sequence[Failed] = (),
) -> Report:
    """Answer queries with a bar; the value of an outcome is its list of matches."""
    from texsynth.jobs.files import OutputPolicy
    from texsynth.jobs.match import FindMatches

    operation = FindMatches(run, query, opened.library, opened.describer)
    return do_jobs(lambda _: operation, jobs, OutputPolicy(), screen, on_outcome, failed=failed)


def open_index(library: Library, run: RunSettings, screen: Screen, *, rebuild: bool = False) -> OpenedIndex:
    """Bring the index of `library` up to date, with a bar. Raises TexsynthError, and Exit on Ctrl-C."""
    from texsynth.jobs import match
    from texsynth.jobs.files import OutputPolicy

    for sentence in library.closed:
        screen.note(sentence)

    def run_operation(
        operation: Operation[Pending], jobs: Sequence[Pending], on_outcome: Callable[[Outcome], None]
    ) -> Report:
        def ended(outcome: Outcome) -> None:
            on_outcome(outcome)
            _note_failure(outcome, screen)

        return do_jobs(lambda _: operation, jobs, OutputPolicy(), screen, ended)

    opened = match.open_index(library, run, run_operation, rebuild=rebuild)
    index, known, report = opened.library.index, opened.known, opened.report
    left_out = len(index.unreadable)
    screen.detail(
        f"{library.index}: {len(report.done)} pictures described, {len(known.rows)} known, "
        f"{known.gone} gone or changed, {left_out} unreadable"
    )
    if report.interrupted:
        rest = len(library.files) - len(index.entries) - left_out
        print_error(f"interrupted; {rest} pictures of {library.folder} are left for the next time")
        raise typer.Exit(INTERRUPTED)
    _say_what_is_left_out(known, screen)
    return opened


def _note_failure(outcome: Outcome, screen: Screen) -> None:
    from texsynth.jobs.outcomes import Failed

    if isinstance(outcome, Failed):
        error = outcome.error
        expected = isinstance(error, TexsynthError)
        what = "" if expected else f"this is a bug in texsynth: {type(error).__name__}: "
        screen.note(f"left out: {what}{error}")


def _say_what_is_left_out(known: Survey, screen: Screen) -> None:
    """Of files that were not tried again."""
    count = len(known.unreadable)
    if count:
        what = "1 picture" if count == 1 else f"{count} pictures"
        screen.note(
            f"left out: {what} of {known.library.folder} that could not be read before; -v names them"
        )
    for one in known.unreadable:
        screen.detail(one.reason)
