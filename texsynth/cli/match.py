"""texsynth match."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from texsynth.cli import options
from texsynth.cli.app import INTERRUPTED
from texsynth.cli.run import piped, run_settings
from texsynth.cli.show import Screen, complain
from texsynth.errors import InputError, TexsynthError, UsageError

if TYPE_CHECKING:
    from texsynth.config.settings import RunSettings
    from texsynth.images.picture import Pixels
    from texsynth.jobs.describe import Kind, Portrait
    from texsynth.jobs.inputs import Input, Job, Look
    from texsynth.jobs.library import Library, Pending, Survey
    from texsynth.jobs.match import Catalogue, Match
    from texsynth.jobs.outcomes import Failed, Outcome, Report, Stages
    from texsynth.pipelines.describe import Describer


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
    from texsynth.images import output_format
    from texsynth.jobs.checks import check_headers, check_outputs
    from texsynth.jobs.inputs import Query, find_inputs
    from texsynth.jobs.library import open_library
    from texsynth.jobs.outcomes import run as run_jobs

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
        from texsynth.jobs.match import Wish, looking

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
    from texsynth.images.files import as_text
    from texsynth.jobs.inputs import Input
    from texsynth.jobs.operation import Delivery, deliver, read_input

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


def describe(
    pictures: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE...", help="Pictures, folders or quoted patterns; - is standard input."),
    ],
    device: options.Device = None,
    threads: options.Threads = None,
    recursive: options.Recursive = False,
    max_pixels: options.MaxPixels = None,
    frame: options.Frame = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.Json = False,
) -> None:
    """Say what textures are like: regularity, lattice, orientations, contrast, colours, and their descriptor.

    texsynth describe bricks.jpg --json
    """
    from texsynth.jobs.checks import check_headers
    from texsynth.jobs.inputs import Look, find_inputs
    from texsynth.jobs.outcomes import run as run_jobs

    run = run_settings(device=device, dtype=DTYPE, threads=threads, max_pixels=max_pixels, frame=frame)
    inputs = find_inputs(pictures, recursive=recursive, piped=piped(pictures))
    screen = Screen(quiet, verbose, as_json)
    good, failed = check_headers([Look(item) for item in inputs], [], run)
    found: dict[Look, Portrait] = {}

    def ended(outcome: Outcome) -> None:
        job = outcome.job
        if isinstance(job, Look) and job in found:
            _describe_show(job, found.pop(job), screen)
        else:
            screen.outcome(outcome)

    if good:
        from texsynth.jobs.describe import portraits
        from texsynth.jobs.operation import decided
        from texsynth.pipelines.describe import load_describer

        run, device_found, dtype_found = decided(run)
        describer = cache(lambda: load_describer(device_found, dtype_found))
        describer()
        stages = portraits(describer, run, found.__setitem__)
        report = worked_through(good, stages, screen, ended, failed)
    else:
        report = run_jobs((), 0, failed=failed, on_outcome=ended)
    if report.interrupted:
        complain(f"interrupted; {len(report.done)} of {report.total} pictures are described")
    raise typer.Exit(report.exit_code)


def _describe_show(job: Look, portrait: Portrait, screen: Screen) -> None:
    path = str(job.picture.path)
    head = f"{path}: {portrait.width} x {portrait.height}"
    screen.result("\n  ".join([head, *portrait.lines]), path=path, **portrait.fields)


J = TypeVar("J", bound="Job")

DTYPE = "float32"
"""Of descriptors: bfloat16 moves similarities by up to 0.04, and those of an index must be comparable."""

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
class Opened:
    """A library whose index is up to date, and what describes further pictures."""

    catalogue: Catalogue
    describer: Callable[[], Describer]


def consult(library: Library, run: RunSettings, screen: Screen, *, rebuild: bool = False) -> Opened:
    """Bring the index of `library` up to date; networks are loaded when that, or a query, needs them.

    run: says on what to compute, and how large pictures may be. Raises TexsynthError, and Exit on Ctrl-C.
    """
    from texsynth.jobs.library import Origin, brought_up_to_date, survey
    from texsynth.jobs.match import Catalogue
    from texsynth.jobs.operation import decided
    from texsynth.models.descriptor import load_descriptor
    from texsynth.pipelines.describe import load_describer

    run, device, dtype = decided(run.model_copy(update={"dtype": DTYPE}))
    descriptor = load_descriptor(device=device)
    describer = cache(lambda: load_describer(device, dtype, descriptor))
    for sentence in library.closed:
        screen.note(sentence)
    known = survey(library, Origin.of(descriptor), run.max_pixels, rebuild=rebuild)

    def do(jobs: Sequence[Pending], stages: Stages[Pending], on_outcome: Callable[[Outcome], None]) -> Report:
        def ended(outcome: Outcome) -> None:
            on_outcome(outcome)
            _note_failure(outcome, screen)

        return worked_through(jobs, stages, screen, ended)

    index, report = brought_up_to_date(known, describer, run, do)
    left_out = len(index.unreadable)
    screen.detail(
        f"{library.index}: {len(report.done)} pictures described, {len(known.rows)} known, "
        f"{known.gone} gone or changed, {left_out} unreadable"
    )
    if report.interrupted:
        rest = len(library.files) - len(index.entries) - left_out
        complain(f"interrupted; {rest} pictures of {library.folder} are left for the next time")
        raise typer.Exit(INTERRUPTED)
    _say_what_is_left_out(known, screen)
    if not index.entries:
        count = len(library.files)
        raise InputError(f"none of the pictures in the library {library.folder} can be read, {count} in all")
    return Opened(Catalogue(library, index), describer)


def worked_through(
    jobs: Sequence[J],
    stages: Stages[J],
    screen: Screen,
    on_outcome: Callable[[Outcome], None],
    failed: Sequence[Failed] = (),
) -> Report:
    """Do jobs with a bar. failed: further ones, that are not tried. Ctrl-C ends it, as the report says."""
    from texsynth.jobs.outcomes import Watch
    from texsynth.jobs.outcomes import run as run_jobs
    from texsynth.jobs.runner import Interrupts, Serial

    with screen.progress(len(jobs)) as bar, Interrupts() as interrupts:

        def ended(outcome: Outcome) -> None:
            bar.advance()
            on_outcome(outcome)

        watch = Watch[J](lambda job: bar.picture(str(job.picture)), bar.step, screen.note, interrupts.welcome)
        # Closed, so that nothing waits for a turn that never comes when results cannot be shown.
        with closing(Serial(stages).outcomes(jobs, watch)) as outcomes:
            return run_jobs(outcomes, len(jobs), failed=failed, on_outcome=ended)


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
