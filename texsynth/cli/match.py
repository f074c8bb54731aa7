"""texsynth match and texsynth describe."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from texsynth import images
from texsynth.cli import options
from texsynth.cli.options import FILES, file_option, option
from texsynth.cli.run import do_jobs, piped, run_settings, shard_of, write_sheet
from texsynth.cli.show import Screen, print_error, reason
from texsynth.config.settings import RunSettings
from texsynth.errors import UsageError
from texsynth.images.files import as_text
from texsynth.images.picture import Pixels
from texsynth.interrupts import INTERRUPTED
from texsynth.jobs.checks import check_headers, check_outputs
from texsynth.jobs.files import read_input
from texsynth.jobs.inputs import Input, InputJob, Job, QueryJob, find_inputs
from texsynth.jobs.library import Kind, Library, SearchQuery, open_library
from texsynth.jobs.outcomes import Done, Failed, Outcome, Report, collect

search_option = partial(option, panel="Search")

COLUMNS = 5  # Of matches on a sheet

MOST_ROWS = 100  # Queries that a sheet shows at most; more would be a picture that nothing opens

IndexFile = Annotated[
    str | None,
    typer.Option(
        "--index",
        metavar="FILE",
        help="Where the library's descriptors are kept, a name that ends with .safetensors. "
        "Default: .texsynth-index.safetensors in the library.",
        rich_help_panel=FILES,
    ),
]


def match(
    pictures: list[str] = options.argument(
        ...,
        metavar="QUERY... LIBRARY",
        help="Pictures, folders or quoted patterns, - for standard input; then the folder to search, "
        "folders inside it too.",
    ),
    *,
    count: int = search_option(5, "-k", "--count", min=1, help="List this many matches."),
    rotation_invariant: bool = search_option(False, help="Pictures may be turned by 90, 180 or 270 degrees."),
    upright: bool = search_option(
        False, help="First turn pictures so that their lines are level and upright: any angle then matches."
    ),
    include_self: bool = search_option(
        False,
        "--include-self/--exclude-self",
        help="Whether a query that is in the library itself, or as a copy, is among its own matches.",
    ),
    sheet: Path | None = file_option(
        None, metavar="FILE", help="Also write a contact sheet: every query and its matches, small."
    ),
    index: IndexFile = None,
    rebuild: bool = file_option(False, help="Describe all pictures of the library again."),
    force: options.Force = False,
    common: options.AnalysisOptions,
) -> None:
    """Find the textures or styles in a folder that look most like a picture.

    The folder is indexed once; after that only new and changed pictures are looked at.
    """
    kind: Kind = "upright" if upright else "any-turn" if rotation_invariant else "as-is"
    *queries, folder = pictures
    if not queries:
        raise UsageError(f"only {folder!r} is given; a query and the folder of a library are needed")
    run = run_settings(common)
    library = open_library(folder, index)
    inputs = find_inputs(queries, recursive=common.recursive, piped=piped(pictures))
    if sheet is not None:
        images.output_format(sheet)
        if len(inputs) > MOST_ROWS:
            raise UsageError(f"a sheet shows at most {MOST_ROWS} queries, not {len(inputs)}; leave it out")
        check_outputs([], inputs, force=force, also=[sheet])
    screen = common.screen()

    def ended(outcome: Outcome) -> None:
        if not isinstance(outcome, Done):
            screen.outcome(outcome)
            return
        query = str(outcome.job.picture.path)
        for hit in outcome.written.value:
            line = f"{hit.rank}\t{hit.similarity:.3f}\t{hit.path}"
            screen.result(
                f"{query}\t{line}" if len(inputs) > 1 else line,
                query=query,
                rank=hit.rank,
                similarity=round(hit.similarity, 4),
                path=str(hit.path),
                compared=kind,
            )

    jobs = [QueryJob(item) for item in inputs]
    query = SearchQuery(count, kind, include_self)
    report = find_matches(jobs, library, query, run, screen, ended, rebuild=rebuild)
    if report.interrupted:
        print_error(f"interrupted; {len(report.done)} of {report.total} queries are answered")
    elif sheet is not None and report.done:
        write_sheet(_draw_sheet(report, run), sheet, force=force)
        screen.note(f"sheet: {sheet}")
    raise typer.Exit(report.exit_code)


def _draw_sheet(report: Report, run: RunSettings) -> images.Picture:
    """Draw every query and beside it its matches, in lines of five."""

    def cell(item: Input, frame: int | None, caption: str) -> Pixels:
        picture, _ = read_input(item, run.model_copy(update={"frame": frame}))
        return images.captioned(picture, as_text(caption))

    rows = []
    for done in report.done:
        query = cell(done.job.picture, run.frame, done.job.picture.stem)
        hits = [
            cell(Input(m.path, m.key), 0, f"{m.rank}.  {m.similarity:.3f}  {m.key}")
            for m in done.written.value
        ]
        lines = [hits[start : start + COLUMNS] for start in range(0, len(hits), COLUMNS)]
        blank = images.blank(query)
        rows += [[blank if number else query, *line] for number, line in enumerate(lines)]
    return images.contact_sheet(rows)


@dataclass(frozen=True)
class DescribeOptions(options.AnalysisOptions, options.ExecutorOptions):
    """The pictures to describe, and the workers."""


def describe(
    pictures: Annotated[list[str], options.pictures_argument("IMAGE...")], common: DescribeOptions
) -> None:
    """Say what textures are like: regularity, lattice, orientations, contrast, colours and descriptor."""
    run = run_settings(common)
    inputs = find_inputs(pictures, recursive=common.recursive, piped=piped(pictures))
    screen = common.screen()
    jobs = shard_of([InputJob(item) for item in inputs], common.shard)
    good, failed = check_headers(jobs, [], run)

    def ended(outcome: Outcome) -> None:
        if isinstance(outcome, Done):
            description, path = outcome.written.value, str(outcome.job.picture.path)
            head = f"{path}: {description.width} x {description.height}"
            screen.result(head, *(f"  {line}" for line in description.lines), path=path, **description.fields)
        else:
            screen.outcome(outcome)

    report = do_jobs(
        lambda _: import_module("texsynth.jobs.describe").Describe(run),
        good,
        screen,
        ended,
        failed=failed,
        executor=common,
    )
    if report.interrupted:
        print_error(f"interrupted; {len(report.done)} of {report.total} pictures are described")
    raise typer.Exit(report.exit_code)


def find_matches(
    jobs: Sequence[Job],
    library: Library,
    query: SearchQuery,
    run: RunSettings,
    screen: Screen,
    on_outcome: Callable[[Outcome], None],
    *,
    rebuild: bool = False,
) -> Report:
    """Find what looks most like the pictures of `jobs`; the value of an outcome is its list of matches.

    The index of the library is brought up to date first, unless no job can be done. Raises TexsynthError, and
    Exit on Ctrl-C before the index is complete.
    """
    good, failed = check_headers(jobs, [], run)
    if not good:
        return collect((), 0, failed=failed, on_outcome=on_outcome)
    from texsynth.jobs.match import FindMatches, IndexedLibrary

    for sentence in library.closed:
        screen.note(sentence)
    indexed = IndexedLibrary(library, run, query.kind, rebuild=rebuild)

    def ended(outcome: Outcome) -> None:
        indexed.add(outcome)
        if isinstance(outcome, Failed):
            screen.note(f"left out: {reason(outcome.error)}")

    update = do_jobs(lambda _: indexed.operation, indexed.jobs, screen, ended)
    indexed.finish(interrupted=update.interrupted)
    unreadable, left_out = len(indexed.index.unreadable), len(indexed.left_out)
    screen.detail(
        f"{library.index}: {len(update.done)} pictures described, {len(indexed.known)} known, "
        f"{indexed.gone} gone or changed, {unreadable} unreadable"
    )
    if update.interrupted:
        rest = len(library.files) - len(indexed.index.entries) - unreadable
        print_error(f"interrupted; {rest} pictures of {library.folder} are left for the next time")
        raise typer.Exit(INTERRUPTED)
    if left_out:
        what = "1 picture" if left_out == 1 else f"{left_out} pictures"
        screen.note(f"left out: {what} of {library.folder} that could not be read before; -v names them")
    for one in indexed.left_out:
        screen.detail(one.reason)
    operation = FindMatches(query, indexed)
    return do_jobs(lambda _: operation, good, screen, on_outcome, failed=failed)
