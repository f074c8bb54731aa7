"""What the commands that look into a library of pictures share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from texsynth.cli import options
from texsynth.cli.app import INTERRUPTED
from texsynth.cli.show import Screen, complain
from texsynth.errors import InputError, TexsynthError

if TYPE_CHECKING:
    from texsynth.batch.executors import Stages
    from texsynth.batch.indexing import Pending, Survey
    from texsynth.batch.library import Library
    from texsynth.batch.looking import Catalogue
    from texsynth.batch.plan import Job
    from texsynth.batch.run import Failed, Outcome, Report
    from texsynth.pipelines.describing import Describer
    from texsynth.settings import RunSettings

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
    from texsynth.batch.indexing import brought_up_to_date, survey
    from texsynth.batch.library_index import Origin
    from texsynth.batch.looking import Catalogue
    from texsynth.batch.machine import decided
    from texsynth.models.descriptor import load_descriptor
    from texsynth.pipelines.describing import load_describer

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
    from texsynth.batch.executors import Watch
    from texsynth.batch.interrupts import Interrupts
    from texsynth.batch.run import run as run_jobs
    from texsynth.batch.serial import Serial

    with screen.progress(len(jobs)) as bar, Interrupts() as interrupts:

        def ended(outcome: Outcome) -> None:
            bar.advance()
            on_outcome(outcome)

        watch = Watch[J](lambda job: bar.picture(str(job.picture)), bar.step, screen.note, interrupts.welcome)
        # Closed, so that nothing waits for a turn that never comes when results cannot be shown.
        with closing(Serial(stages).outcomes(jobs, watch)) as outcomes:
            return run_jobs(outcomes, len(jobs), failed=failed, on_outcome=ended)


def _note_failure(outcome: Outcome, screen: Screen) -> None:
    from texsynth.batch.run import Failed

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
