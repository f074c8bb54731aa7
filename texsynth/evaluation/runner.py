"""Every method on every subject, and the files that are left of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from torch import Tensor

from texsynth import images
from texsynth.config.records import Source
from texsynth.config.settings import RunSettings
from texsynth.errors import InputError, OutputError, TexsynthError
from texsynth.evaluation.report import page, table
from texsynth.evaluation.results import B, Candidate, Cell, Evaluation
from texsynth.images.tensors import to_weight
from texsynth.jobs.checks import check_folder
from texsynth.jobs.files import make_folder, read_input, refuse_transparent
from texsynth.jobs.inputs import Input
from texsynth.jobs.outcomes import BUG
from texsynth.pipelines.progress import Step

TABLE, PAGE = "table.json", "index.html"
"""Files of an evaluation."""

OnFailure = Callable[[str, Exception], None]
"""Called with what failed and why."""


class Watcher(Protocol):
    """What shows how far it is; one picture is one method on one subject."""

    def picture(self, name: str) -> None:
        """A new picture begins."""

    def step(self, step: Step) -> None:
        """Part of a picture is done."""

    def advance(self) -> None:
        """A picture is finished."""


Item = TypeVar("Item", contravariant=True)
"""What the plan names for a subject."""

Method = TypeVar("Method", bound=Candidate, contravariant=True)

R = TypeVar("R")
"""What results are compared with."""


class Bench(Protocol[Item, R, B, Method]):
    """How one kind of evaluation treats an item of its plan."""

    def begin(self, item: Item) -> B:
        """A subject that nothing is known of but its name."""

    def examine(self, item: Item, subject: B) -> R:
        """Read the item, note what it is, and measure what no method changes. Raises TexsynthError."""

    def attempt(self, candidate: Method, item: Item, reference: R, watcher: Watcher) -> Cell[Any]:
        """What a method makes of it. May raise anything."""


def compare(
    bench: Bench[Item, R, B, Method],
    items: Iterable[Item],
    candidates: Iterable[Method],
    evaluation: Evaluation[B],
    watcher: Watcher,
    on_failure: OnFailure,
) -> None:
    """Fill `evaluation`. A bad item, or a method that fails on one, is noted and does not stop the rest.

    Ctrl-C ends the run with what is finished.
    """
    chosen = list(candidates)
    # Ctrl-C is an outcome, not an error: the report says what is finished.
    try:
        for item in items:
            subject = bench.begin(item)
            evaluation.subjects.append(subject)
            watcher.picture(subject.name)
            try:
                reference = bench.examine(item, subject)
            except TexsynthError as error:
                subject.error, subject.exit_code = str(error), error.exit_code
                on_failure(str(item), error)
                for _ in chosen:
                    watcher.advance()
                continue
            for candidate in chosen:
                watcher.picture(f"{subject.name}, {candidate.name}")
                subject.cells.append(_tried(bench, candidate, item, reference, watcher, on_failure))
                watcher.advance()
    except KeyboardInterrupt:
        evaluation.interrupted = True


def _tried(
    bench: Bench[Item, R, B, Method],
    candidate: Method,
    item: Item,
    reference: R,
    watcher: Watcher,
    on_failure: OnFailure,
) -> Cell[Any]:
    try:
        return bench.attempt(candidate, item, reference, watcher)
    except Exception as error:  # one method must not cost the others' results
        on_failure(f"{item}, {candidate.name}", error)
        if isinstance(error, TexsynthError):
            return Cell(candidate.name, error=str(error), exit_code=error.exit_code)
        return Cell(candidate.name, error=f"{type(error).__name__}: {error}", exit_code=BUG)


def check_target(folder: Path, *, force: bool) -> None:
    """OutputError when `folder` already holds an evaluation, without `force`, or cannot be written."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; choose another name with -o")
    for name in (TABLE, PAGE):
        if (folder / name).exists() and not force:
            raise OutputError(f"{folder / name} exists already; use --force to replace it")
    check_folder(folder)


def write(evaluation: Evaluation[Any], folder: Path, *, force: bool) -> None:
    """Leave table and page in `folder`, which is made when missing. Raises OutputError."""
    make_folder(folder)
    images.store(table(evaluation).encode(), folder / TABLE, force=force)
    images.store(page(evaluation).encode(), folder / PAGE, force=force)


def read_opaque(item: Input, run: RunSettings, what: str) -> tuple[images.Picture, Source]:
    """A picture and where it is from. what: how messages call its like. Raises InputError."""
    picture, source = read_input(item, run)
    refuse_transparent(item, picture)
    if to_weight(picture) is not None:
        raise InputError(f"{item} has transparent parts; an evaluation needs opaque {what}")
    return picture, source


def check_result(output: Tensor, size: tuple[int, int]) -> None:
    """ValueError unless `output` is a picture of `size` (height, width) with finite values."""
    if output.shape != (1, 3, *size) or not bool(output.isfinite().all()):
        raise ValueError(f"{tuple(output.shape)} with values {output.min()} to {output.max()} came out")
