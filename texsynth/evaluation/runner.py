"""The loop of an evaluation: every method on every subject, and the files that are left of it."""

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import torch
from torch import Tensor

import texsynth
from texsynth import images
from texsynth.config.records import Source
from texsynth.config.settings import RunSettings
from texsynth.device import cpu_name, gpu_name
from texsynth.errors import InputError, OutputError, TexsynthError
from texsynth.evaluation.methods import Method
from texsynth.evaluation.results import Evaluation, Row, Subject, csv_table, json_table
from texsynth.html.page import render
from texsynth.images.tensors import to_picture, to_weight
from texsynth.jobs.checks import check_outputs
from texsynth.jobs.files import make_folder, read_input
from texsynth.jobs.inputs import Input
from texsynth.jobs.outcomes import BUG, joint_exit_code
from texsynth.paths import is_folder, is_taken
from texsynth.pipelines.progress import OnStep, Step

TABLE, SHEET, PAGE = "table.json", "table.csv", "index.html"  # Files of an evaluation

OnFailure = Callable[[str, Exception], None]  # Called with what failed and why

Item = TypeVar("Item", contravariant=True)


class Progress(Protocol):
    """Callbacks that report progress; a picture is one method on one subject."""

    def picture(self, name: str) -> None:
        """Report that work on a picture begins."""

    def step(self, step: Step) -> None:
        """Report that part of a picture is done."""

    def advance(self) -> None:
        """Report that a picture is finished."""


class Experiment(Protocol[Item]):
    """How methods are tried on one subject after the other."""

    def begin(self, item: Item) -> Subject:
        """Turn to another subject, of which only names are known."""

    def prepare(self) -> Sequence[Row]:
        """Read the pictures, fill the subject, and return rows of what nobody made. Raises TexsynthError."""

    def attempt(self, method: Method, on_step: OnStep) -> Row:
        """Compute and measure the result of a method. May raise anything."""


def compare(
    evaluation: Evaluation,
    experiment: Experiment[Item],
    items: Iterable[Item],
    progress: Progress,
    on_failure: OnFailure,
) -> None:
    """Fill the table. A bad subject, or a method that fails on one, is noted and does not stop the rest."""
    # Ctrl-C is an outcome, not an error: the page says what is finished.
    try:
        for item in items:
            subject = experiment.begin(item)
            evaluation.subjects.append(subject)
            progress.picture(subject.name)
            try:
                evaluation.rows += experiment.prepare()
            except TexsynthError as error:
                subject.error, subject.exit_code = str(error), error.exit_code
                on_failure(str(item), error)
            for method in evaluation.methods:
                if not subject.error:
                    progress.picture(f"{subject.name}, {method.name}")
                    try:
                        row = experiment.attempt(method, progress.step)
                    except Exception as error:  # one method must not cost the others' results
                        on_failure(f"{item}, {method.name}", error)
                        known = isinstance(error, TexsynthError)
                        text = str(error) if known else f"{type(error).__name__}: {error}"
                        code = error.exit_code if isinstance(error, TexsynthError) else BUG
                        row = Row(subject, method.name, error=text, exit_code=code)
                    evaluation.rows.append(row)
                progress.advance()
    except KeyboardInterrupt:
        evaluation.interrupted = True


def exit_code(evaluation: Evaluation) -> int:
    """The exit code as of a batch, by the results of methods and the subjects that could not be used."""
    tried = {method.name for method in evaluation.methods}
    codes = [row.exit_code for row in evaluation.rows if row.method in tried]
    codes += [subject.exit_code for subject in evaluation.subjects if subject.error]
    return joint_exit_code(codes, interrupted=evaluation.interrupted)


def check_target(folder: Path, *, force: bool) -> None:
    """OutputError when `folder` already holds an evaluation, without `force`, or cannot be written."""
    if is_taken(folder) and not is_folder(folder):
        raise OutputError(f"{folder} is a file; choose another name with -o")
    check_outputs((), force=force, also=[folder / name for name in (TABLE, SHEET, PAGE)])


def write(evaluation: Evaluation, folder: Path, *, force: bool) -> None:
    """Write tables and page to `folder`, which is made when missing. Raises OutputError."""
    make_folder(folder)
    texts = {TABLE: json_table(evaluation), SHEET: csv_table(evaluation), PAGE: page(evaluation)}
    for name, text in texts.items():
        images.store(text.encode(), folder / name, force=force)


def read_opaque(item: Input, run: RunSettings, what: str) -> tuple[images.Picture, Source]:
    """Read a picture, with its source. what: how messages call its like. Raises InputError."""
    picture, source = read_input(item, run)
    if to_weight(picture) is not None:
        raise InputError(f"{item} has transparent parts; an evaluation needs opaque {what}")
    return picture, source


def checked(output: Tensor, shape: Sequence[int]) -> images.Picture:
    """`output` in 8 bits: what can be seen is what is measured.

    ValueError unless it is a picture of this `shape`, (1, 3, H, W), with finite values.
    """
    if tuple(output.shape) != tuple(shape) or not bool(output.isfinite().all()):
        raise ValueError(f"{tuple(output.shape)} with values {output.min()} to {output.max()} came out")
    return to_picture(output, None, 8)


def page(evaluation: Evaluation) -> str:
    """Return the whole page."""
    processor = gpu_name(evaluation.run.device) or cpu_name()
    pieces = render(
        "evaluation",
        title=f"texsynth {evaluation.command}",
        evaluation=evaluation,
        summaries=evaluation.summaries(),
        machine={"processor": processor, "texsynth": texsynth.__version__, "torch": torch.__version__},
        number=number,
    )
    return "".join(pieces)


def number(value: float) -> str:
    """Three digits that count, all of a whole number."""
    if math.isinf(value):
        return "none"
    return str(value) if isinstance(value, int) else f"{value:.3g}"
