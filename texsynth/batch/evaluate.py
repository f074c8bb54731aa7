"""Methods x exemplars: expand each texture with each method and measure what comes out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from texsynth import images
from texsynth.batch.candidates import BASELINES, Candidate
from texsynth.batch.check import check_folder
from texsynth.batch.evaluation import TRUTH, Cell, Evaluation, Plan, Shown, Subject, table
from texsynth.batch.expand_plan import Task
from texsynth.batch.files import make_folder, memory_guard, read_input, refuse_transparent
from texsynth.batch.machine import decided
from texsynth.batch.material import check_size
from texsynth.batch.plan import Input, file_seed
from texsynth.batch.report import page
from texsynth.batch.run import BUG
from texsynth.batch.scores import Reference, refer, score
from texsynth.errors import InputError, OutputError, TexsynthError
from texsynth.images.tensors import to_image, to_picture, to_weight
from texsynth.pipelines.expand import Networks, expand, load_networks, output_size
from texsynth.pipelines.progress import Step
from texsynth.settings import ExpandSettings, Method
from texsynth.texture.source import Exemplar
from texsynth.training.data import is_held_out

TABLE, PAGE = "table.json", "index.html"
"""Files of an evaluation."""

OnFailure = Callable[[str, Exception], None]
"""Called with what failed and why."""

Loaded = Mapping[Method, Networks]
"""By method."""


class Watcher(Protocol):
    """What shows how far it is; one picture is one method on one exemplar."""

    def picture(self, name: str) -> None:
        """A new picture begins."""

    def step(self, step: Step) -> None:
        """Part of a picture is done."""

    def advance(self) -> None:
        """A picture is finished."""


def choose(inputs: Sequence[Input], *, held_out: bool, limit: int | None) -> list[Input]:
    """The exemplars to use: at most `limit`, and only those that no training has seen when `held_out`.

    Raises InputError when none is left.
    """
    chosen = [item for item in inputs if not held_out or is_held_out(item.path)][:limit]
    if not chosen:
        raise InputError(f"none of {len(inputs)} pictures is held out from training; drop --held-out")
    return chosen


def check_target(folder: Path, *, force: bool) -> None:
    """OutputError when `folder` already holds an evaluation, without `force`, or cannot be written."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; choose another name with -o")
    for name in (TABLE, PAGE):
        if (folder / name).exists() and not force:
            raise OutputError(f"{folder / name} exists already; use --force to replace it")
    check_folder(folder)


def evaluate(plan: Plan, watcher: Watcher, on_failure: OnFailure) -> Evaluation:
    """Do it all. A bad picture, or a method that fails on one, is noted and does not stop the rest.

    Ctrl-C ends the run with what is finished. Raises ModelError when the weights cannot be loaded.
    """
    run, device, dtype = decided(plan.run)
    evaluation = Evaluation(replace(plan, run=run))
    # Before any work: with damaged weights there is nothing to compare.
    networks = {
        settings.method: load_networks(settings, run.model, device, dtype)
        for settings in (candidate.settings for candidate in plan.candidates)
        if settings is not None
    }
    # Ctrl-C is an outcome, not an error: the report says what is finished.
    try:
        for item in plan.inputs:
            _examine(item, evaluation, networks, watcher, on_failure)
    except KeyboardInterrupt:
        evaluation.interrupted = True
    return evaluation


def write(evaluation: Evaluation, folder: Path, *, force: bool) -> None:
    """Leave table and page in `folder`, which is made when missing. Raises OutputError."""
    make_folder(folder)
    images.store(table(evaluation).encode(), folder / TABLE, force=force)
    images.store(page(evaluation).encode(), folder / PAGE, force=force)


def _examine(
    item: Input, evaluation: Evaluation, networks: Loaded, watcher: Watcher, on_failure: OnFailure
) -> None:
    """All methods on one exemplar."""
    plan = evaluation.plan
    subject = Subject(_name(item, plan.inputs))
    evaluation.subjects.append(subject)
    watcher.picture(item.path.name)
    try:
        exemplar, truth, subject.sha256 = _read(item, plan)
        with memory_guard(item, "choose a smaller --crop"):
            reference = refer(exemplar, truth)
    except TexsynthError as error:
        subject.error, subject.exit_code = str(error), error.exit_code
        on_failure(str(item), error)
        for _ in plan.candidates:
            watcher.advance()
        return
    subject.shown, _ = _as_shown(exemplar)
    if reference.lattice:
        subject.lattice = tuple(map(tuple, reference.lattice.vectors.tolist()))
        subject.confidence = reference.lattice.confidence
    if truth is not None:
        shown, measured = _as_shown(truth)
        subject.cells.append(Cell(TRUTH, None, shown, score(measured, reference)))
    for candidate in plan.candidates:
        watcher.picture(f"{item.path.name}, {candidate.name}")
        try:
            cell = _attempt(candidate, item, reference, plan, networks, watcher)
        except Exception as error:  # one method must not cost the others' results
            cell = Cell(candidate.name, error=f"{type(error).__name__}: {error}", exit_code=BUG)
            if isinstance(error, TexsynthError):
                cell = Cell(candidate.name, error=str(error), exit_code=error.exit_code)
            on_failure(f"{item}, {candidate.name}", error)
        subject.cells.append(cell)
        watcher.advance()


def _attempt(
    candidate: Candidate, item: Input, reference: Reference, plan: Plan, networks: Loaded, watcher: Watcher
) -> Cell:
    exemplar = reference.exemplar
    size = output_size(plan.size, *exemplar.shape[2:])
    rng = torch.Generator().manual_seed(file_seed(plan.run.seed, item.key))
    if candidate.settings is None:
        make = partial(BASELINES[candidate.name], exemplar, size)
    else:
        make = partial(_expanded, exemplar, candidate.settings, networks[candidate.settings.method], watcher)
    with memory_guard(f"{candidate.name} on {item}", "choose a smaller --crop"):
        start = time.perf_counter()
        output = make(rng).cpu()
        seconds = time.perf_counter() - start
        if output.shape != (1, 3, *size) or not bool(output.isfinite().all()):
            raise ValueError(f"{tuple(output.shape)} with values {output.min()} to {output.max()} came out")
        shown, measured = _as_shown(output)
        return Cell(candidate.name, seconds, shown, score(measured, reference))


def _expanded(
    exemplar: Tensor, settings: ExpandSettings, networks: Networks, watcher: Watcher, rng: torch.Generator
) -> Tensor:
    return expand([Exemplar(exemplar)], settings, networks, rng=rng, on_step=watcher.step).image


def _read(item: Input, plan: Plan) -> tuple[Tensor, Tensor | None, str]:
    """Exemplar, truth where there is one, and the hash of the file."""
    picture, source = read_input(item, plan.run)
    refuse_transparent(item, picture)
    if to_weight(picture) is not None:
        raise InputError(f"{item} has transparent parts; an evaluation needs opaque textures")
    image = to_image(picture)
    exemplar = image if plan.crop is None else _centre(image, plan.crop, plan.crop)
    check_size(item, exemplar.shape[3], exemplar.shape[2], plan.size, plan.run, Task("expand", (item,)))
    height, width = output_size(plan.size, *exemplar.shape[2:])
    known = plan.crop is not None and image.shape[2] >= height and image.shape[3] >= width
    return exemplar, _centre(image, height, width) if known else None, source.sha256


def _centre(image: Tensor, height: int, width: int) -> Tensor:
    """The middle of `image`, no larger than it is."""
    height, width = min(height, image.shape[2]), min(width, image.shape[3])
    top, left = (image.shape[2] - height) // 2, (image.shape[3] - width) // 2
    return image[:, :, top : top + height, left : left + width].contiguous()


def _as_shown(image: Tensor) -> tuple[Shown, Tensor]:
    """The PNG of `image`, and what is left of it in 8 bits: what can be seen is what is measured."""
    picture = to_picture(image, None, 8)
    data, _ = images.encode(picture, "PNG")
    return Shown(data, picture.width, picture.height), to_image(picture)


def _name(item: Input, inputs: Sequence[Input]) -> str:
    """The shortest that no other input has."""
    return item.key if sum(other.key == item.key for other in inputs) == 1 else str(item.path)
