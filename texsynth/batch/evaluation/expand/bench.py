"""Methods x exemplars: expand each texture with each method and measure what comes out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from texsynth.batch.evaluation.comparison import OnFailure, Watcher, check_result, compare, read_opaque
from texsynth.batch.evaluation.expand.candidates import BASELINES, Candidate
from texsynth.batch.evaluation.expand.findings import TRUTH, Exemplar, ExpandEvaluation, Plan
from texsynth.batch.evaluation.expand.scores import Reference, Scores, refer, score
from texsynth.batch.evaluation.findings import Cell, Shown
from texsynth.batch.expand_plan import Task
from texsynth.batch.files import memory_guard
from texsynth.batch.machine import decided
from texsynth.batch.material import check_size
from texsynth.batch.plan import Input, file_seed
from texsynth.errors import InputError
from texsynth.images.tensors import to_image, to_picture
from texsynth.pipelines.expand import Networks, expand, load_networks
from texsynth.pipelines.ready import output_size
from texsynth.settings import ExpandSettings, Method
from texsynth.texture import source
from texsynth.training.data import is_held_out

Loaded = Mapping[Method, Networks]
"""By method."""

CURE = "choose a smaller --crop"


def choose(inputs: Sequence[Input], *, held_out: bool, limit: int | None) -> list[Input]:
    """The exemplars to use: at most `limit`, and only those that no training has seen when `held_out`.

    Raises InputError when none is left.
    """
    chosen = [item for item in inputs if not held_out or is_held_out(item.path)][:limit]
    if not chosen:
        raise InputError(f"none of {len(inputs)} pictures is held out from training; drop --held-out")
    return chosen


def evaluate(plan: Plan, watcher: Watcher, on_failure: OnFailure) -> ExpandEvaluation:
    """Do it all, see `compare`. Raises ModelError when the weights cannot be loaded."""
    run, device, dtype = decided(plan.run)
    plan = replace(plan, run=run)
    evaluation = ExpandEvaluation(plan)
    # Before any work: with damaged weights there is nothing to compare.
    networks = {
        settings.method: load_networks(settings, run.model, device, dtype)
        for settings in (candidate.settings for candidate in plan.candidates)
        if settings is not None
    }
    compare(_Bench(plan, networks), plan.inputs, plan.candidates, evaluation, watcher, on_failure)
    return evaluation


@dataclass(frozen=True)
class _Bench:
    plan: Plan
    networks: Loaded

    def begin(self, item: Input) -> Exemplar:
        return Exemplar(_name(item, self.plan.inputs))

    def examine(self, item: Input, subject: Exemplar) -> Reference:
        exemplar, truth, subject.sha256 = self._read(item)
        with memory_guard(item, CURE):
            reference = refer(exemplar, truth)
        subject.shown, _ = _as_shown(exemplar)
        if reference.lattice:
            subject.lattice = tuple(map(tuple, reference.lattice.vectors.tolist()))
            subject.confidence = reference.lattice.confidence
        if truth is not None:
            shown, measured = _as_shown(truth)
            subject.cells.append(Cell(TRUTH, None, shown, score(measured, reference)))
        return reference

    def attempt(
        self, candidate: Candidate, item: Input, reference: Reference, watcher: Watcher
    ) -> Cell[Scores]:
        exemplar = reference.exemplar
        size = output_size(self.plan.size, *exemplar.shape[2:])
        rng = torch.Generator().manual_seed(file_seed(self.plan.run.seed, item.key))
        if candidate.settings is None:
            make = partial(BASELINES[candidate.name], exemplar, size)
        else:
            networks = self.networks[candidate.settings.method]
            make = partial(_expanded, exemplar, candidate.settings, networks, watcher)
        with memory_guard(f"{candidate.name} on {item}", CURE):
            start = time.perf_counter()
            output = make(rng).cpu()
            seconds = time.perf_counter() - start
            check_result(output, size)
            shown, measured = _as_shown(output)
            return Cell(candidate.name, seconds, shown, score(measured, reference))

    def _read(self, item: Input) -> tuple[Tensor, Tensor | None, str]:
        """Exemplar, truth where there is one, and the hash of the file."""
        picture, found = read_opaque(item, self.plan.run, "textures")
        crop, run = self.plan.crop, self.plan.run
        image = to_image(picture)
        exemplar = image if crop is None else _centre(image, crop, crop)
        check_size(item, exemplar.shape[3], exemplar.shape[2], self.plan.size, run, Task("expand", (item,)))
        height, width = output_size(self.plan.size, *exemplar.shape[2:])
        known = crop is not None and image.shape[2] >= height and image.shape[3] >= width
        return exemplar, _centre(image, height, width) if known else None, found.sha256


def _expanded(
    exemplar: Tensor, settings: ExpandSettings, networks: Networks, watcher: Watcher, rng: torch.Generator
) -> Tensor:
    return expand([source.Exemplar(exemplar)], settings, networks, rng=rng, on_step=watcher.step).image


def _centre(image: Tensor, height: int, width: int) -> Tensor:
    """The middle of `image`, no larger than it is."""
    height, width = min(height, image.shape[2]), min(width, image.shape[3])
    top, left = (image.shape[2] - height) // 2, (image.shape[3] - width) // 2
    return image[:, :, top : top + height, left : left + width].contiguous()


def _as_shown(image: Tensor) -> tuple[Shown, Tensor]:
    """The PNG of `image`, and what is left of it in 8 bits: what can be seen is what is measured."""
    picture = to_picture(image, None, 8)
    return Shown.whole(picture), to_image(picture)


def _name(item: Input, inputs: Sequence[Input]) -> str:
    """The shortest that no other input has."""
    return item.key if sum(other.key == item.key for other in inputs) == 1 else str(item.path)
