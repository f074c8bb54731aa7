"""texsynth match."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from texsynth.cli import options
from texsynth.cli.jobs import piped
from texsynth.cli.library import DTYPE, IndexFile, consult, worked_through
from texsynth.cli.show import Screen, complain
from texsynth.cli.values import run_settings
from texsynth.errors import UsageError

if TYPE_CHECKING:
    from texsynth.batch.describing import Kind
    from texsynth.batch.looking import Match
    from texsynth.batch.plan import Input, Job
    from texsynth.batch.run import Outcome
    from texsynth.images.picture import Pixels
    from texsynth.settings import RunSettings

Search = "Search"

MOST_ROWS = 100
"""Queries that a sheet shows at most; more would be a picture that nothing opens."""


def match(
    pictures: Annotated[
        list[str],
        typer.Argument(
            metavar="QUERY... LIBRARY",
            help="Pictures, folders or quoted patterns, - for standard input; then the folder to search, "
            "folders inside it too.",
        ),
    ],
    count: Annotated[
        int,
        typer.Option("-k", "--count", min=1, help="List this many matches.", rich_help_panel=Search),
    ] = 5,
    rotation_invariant: Annotated[
        bool,
        typer.Option(
            "--rotation-invariant",
            help="Pictures may be turned by 90, 180 or 270 degrees.",
            rich_help_panel=Search,
        ),
    ] = False,
    upright: Annotated[
        bool,
        typer.Option(
            "--upright",
            help="First turn pictures so that their lines are level and upright: any angle then matches.",
            rich_help_panel=Search,
        ),
    ] = False,
    include_self: Annotated[
        bool,
        typer.Option(
            "--include-self/--exclude-self",
            help="Whether a query that is in the library itself, or as a copy, is among its own matches.",
            rich_help_panel=Search,
        ),
    ] = False,
    sheet: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also write a contact sheet: every query and its matches, small.",
            rich_help_panel=options.FILES,
        ),
    ] = None,
    index: IndexFile = None,
    rebuild: Annotated[
        bool,
        typer.Option(
            "--rebuild", help="Describe all pictures of the library again.", rich_help_panel=options.FILES
        ),
    ] = False,
    device: options.Device = None,
    threads: options.Threads = None,
    recursive: options.Recursive = False,
    max_pixels: options.MaxPixels = None,
    frame: options.Frame = None,
    force: options.Force = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.Json = False,
) -> None:
    """Find the textures or styles in a folder that look most like a picture.

    texsynth match bricks.jpg textures/

    The folder is indexed once; after that only new and changed pictures are looked at.
    """
    from texsynth.batch.check import check_headers, check_outputs
    from texsynth.batch.library import open_library
    from texsynth.batch.plan import Query, find_inputs
    from texsynth.batch.run import run as run_jobs
    from texsynth.images import output_format

    kind: Kind = "upright" if upright else "any-turn" if rotation_invariant else "as-is"
    *queries, folder = pictures
    if not queries:
        raise UsageError(f"only {folder!r} is given; a query and the folder of a library are needed")
    run = run_settings(device=device, dtype=DTYPE, threads=threads, max_pixels=max_pixels, frame=frame)
    library = open_library(folder, index)
    inputs = find_inputs(queries, recursive=recursive, piped=piped(pictures))
    if sheet is not None:
        output_format(sheet)
        if len(inputs) > MOST_ROWS:
            raise UsageError(f"a sheet shows at most {MOST_ROWS} queries, not {len(inputs)}; leave it out")
        check_outputs([], inputs, force=force, also=[sheet])
    screen = Screen(quiet, verbose, as_json)
    good, failed = check_headers([Query(item) for item in inputs], [], run)
    found: dict[Job, list[Match]] = {}

    def ended(outcome: Outcome) -> None:
        job = outcome.job
        if job in found:
            for hit in found[job]:
                _show(hit, job, screen, several=len(inputs) > 1, kind=kind)
        else:
            screen.outcome(outcome)

    if good:
        from texsynth.batch.looking import Wish, looking

        opened = consult(library, run, screen, rebuild=rebuild)
        wish = Wish(count, kind, include_self)
        stages = looking(opened.catalogue, opened.describer, run, wish, found.__setitem__)
        report = worked_through(good, stages, screen, ended, failed)
    else:
        report = run_jobs((), 0, failed=failed, on_outcome=ended)
    if report.interrupted:
        complain(f"interrupted; {len(found)} of {report.total} queries are answered")
    elif sheet is not None and found:
        _write_sheet(found, sheet, run, force=force)
        screen.note(f"sheet: {sheet}")
    raise typer.Exit(report.exit_code)


def _show(found: Match, job: Job, screen: Screen, *, several: bool, kind: Kind) -> None:
    query = str(job.picture.path)
    line = f"{found.rank}\t{found.similarity:.3f}\t{found.path}"
    screen.result(
        f"{query}\t{line}" if several else line,
        query=query,
        rank=found.rank,
        similarity=round(found.similarity, 4),
        path=str(found.path),
        compared=kind,
    )


def _write_sheet(found: Mapping[Job, Sequence[Match]], path: Path, run: RunSettings, *, force: bool) -> None:
    from texsynth import images
    from texsynth.batch.files import Delivery, as_text, deliver, read_input
    from texsynth.batch.plan import Input

    def cell(item: Input, frame: int | None, caption: str) -> Pixels:
        picture, _ = read_input(item, run.model_copy(update={"frame": frame}))
        return images.captioned(picture, as_text(caption))

    rows = [
        [
            cell(job.picture, run.frame, job.picture.stem),
            *(cell(Input(hit.path, hit.key), 0, f"{hit.similarity:.3f}  {hit.key}") for hit in hits),
        ]
        for job, hits in found.items()
    ]
    deliver([Delivery(images.contact_sheet(rows), path, "")], quality=95, force=force)
