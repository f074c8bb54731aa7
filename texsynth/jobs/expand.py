"""Expansion of textures in files, as an operation: `texsynth expand` and `texsynth tile`."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import texsynth
from texsynth.config.map_kinds import MapKind
from texsynth.config.records import ExpandRecord, Record, Sibling, Versions
from texsynth.config.settings import ExpandSettings, RunSettings
from texsynth.images import Picture, contact_sheet, read, thumbnails
from texsynth.images.files import as_text
from texsynth.images.tensors import to_image, to_picture
from texsynth.jobs.expand_inputs import ExpandJob, Task
from texsynth.jobs.expand_reading import ExpandInputs, LoadedInputs, load_inputs
from texsynth.jobs.files import JobResult, OutputFile, memory_guard, read_input
from texsynth.jobs.masks import Mask
from texsynth.jobs.operation import Operation, other_version, other_weights, resolve_run, run_on
from texsynth.jobs.outcomes import Report
from texsynth.jobs.own_results import made_seamless
from texsynth.jobs.recorded import record_text
from texsynth.jobs.sibling_values import light_plane, map_picture, map_values, with_light
from texsynth.models.registry import Model, load_model
from texsynth.ops.color import luma
from texsynth.pipelines import complete
from texsynth.pipelines import expand as pipeline
from texsynth.pipelines.method import ExpandPlan, plan_expand
from texsynth.pipelines.progress import OnStep, Step
from texsynth.pipelines.relight import in_even_light
from texsynth.synthesis.exemplar import Exemplar

SHEET_COLUMNS = 6

LIGHT_LEFT = "light stronger than 1 was cut; the method patch keeps that of a single exemplar"


class Expand(Operation[ExpandJob]):
    """Makes more of a texture, fills a hole in it, or makes it seamless."""

    def __init__(
        self,
        run: RunSettings,
        loaded: LoadedInputs | None = None,
        recorded: ExpandRecord | None = None,
        model: Model | None = None,
    ) -> None:
        """run: with `auto` still open.

        loaded: pictures of tasks that are read already. recorded: the record of a result that is made again.
        model: one that is loaded already.
        """
        self.run = run_on(run, model) if model else run
        self._recorded, self._model = recorded, model
        self._loaded = {} if loaded is None else loaded
        self._whole = set[str]()  # Transposers that could be loaded

    def __getstate__(self) -> dict[str, object]:
        """Leave out the pictures: workers read them themselves."""
        return {**vars(self), "_loaded": {}}

    def load_networks(self) -> None:
        """Load the model, to tell whether it is whole."""
        self._model = self._model or load_model(self.run.model)

    def estimate(self, job: ExpandJob) -> None:
        """Load the Transposer, to tell whether it is whole; how much memory it takes is not known."""
        assert self._model, "load_networks has been called"
        name = job.settings.transposer
        if name is not None and name not in self._whole:
            pipeline.load_networks(self._model, name)
            self._whole.add(name)

    def prepare(self, note: Callable[[str], None]) -> None:
        """Choose the device; networks are loaded when the first settings that need them come."""
        self.run, device, dtype = resolve_run(self.run)

        # All variations of a task are made one after the other: its pictures are read once, and what is
        # decided from them has the same bytes every time. One task is read ahead.
        @lru_cache(maxsize=2)
        def inputs(task: Task, settings: ExpandSettings) -> ExpandInputs:
            return self._loaded.get((task, settings)) or load_inputs(task, settings, self.run)

        @lru_cache(maxsize=2)
        def plan(task: Task, settings: ExpandSettings) -> ExpandPlan | None:
            if not task.resizes:
                return None
            loaded = inputs(task, settings)
            with memory_guard(task.exemplars[0], task.cure):
                return plan_expand(_exemplars(task, loaded), settings, guided="guide" in loaded.maps)

        @lru_cache(maxsize=1)
        def model() -> Model:
            return self._model or load_model(self.run.model, device, dtype)

        @lru_cache(maxsize=2)
        def networks(transposer: str | None) -> pipeline.Networks:
            return pipeline.load_networks(model(), transposer)

        self._inputs, self._plan, self._load_networks = inputs, plan, networks
        if self._recorded:
            loaded = self._networks(self._recorded.expand)
            for remark in (
                *other_version(self._recorded.versions.texsynth),
                *other_weights(self._recorded.model_sha256, loaded.model.sha256, self.run.model),
                *other_weights(self._recorded.transposer_sha256, loaded.transposer_sha256, "the transposer"),
            ):
                note(remark)

    def records(self, job: ExpandJob) -> list[tuple[Path, Record]]:
        """Say what each of the files of `job` will carry, in the order of its parts."""
        inputs = self._inputs(job.task, job.settings)
        plan = self._plan(job.task, job.settings) if job.settings.method == "auto" else None
        record = self._record(job, inputs, plan.settings if plan else job.settings)
        return [(path, record.model_copy(update={"part": part})) for part, path in job.parts]

    def load(self, job: ExpandJob) -> ExpandInputs:
        """Read all pictures of the task."""
        return self._inputs(job.task, job.settings)

    def compute(self, job: ExpandJob, loaded: ExpandInputs, on_step: OnStep) -> JobResult:
        """Make one variation and its siblings; the first file is the first part of the job."""
        on_step(Step("analysis", 0, 1))
        plan = self._plan(job.task, job.settings)
        settings = plan.settings if plan else job.settings
        networks, hole = self._networks(settings), loaded.hole
        rng = torch.Generator().manual_seed(job.seed(self.run.seed))
        with memory_guard(job.picture, job.task.cure):
            if plan is not None:
                guide = _guide(loaded, "guide")
                expanded = pipeline.expand(plan, networks, guide=guide, rng=rng, on_step=on_step)
            elif hole is None:
                exemplar = _exemplars(job.task, loaded)[0]
                if made_seamless(job.picture, self.run) and complete.still_closes(exemplar, settings):
                    expanded = complete.as_it_is(exemplar)
                else:
                    expanded = in_even_light(
                        exemplar,
                        settings.even_light,
                        lambda even: complete.tile(even, settings, networks, rng=rng, on_step=on_step),
                    )
            else:
                exemplar, mask = _exemplars(job.task, loaded)[0], _from_mask(hole)
                expanded = in_even_light(
                    exemplar,
                    settings.even_light,
                    lambda even: complete.fill(even, mask, settings, networks, rng=rng, on_step=on_step),
                    hole=mask,
                )
            pictures = [_texture(expanded.image, loaded, self.run)]
            lost = _has_strong_light(loaded)
            if _carries_light(loaded) and len(expanded.siblings) > len(loaded.siblings):
                *siblings, light = expanded.siblings
                expanded, lost = replace(expanded, siblings=tuple(siblings)), False
                pictures[0] = with_light(pictures[0], light)
            maps = zip(expanded.siblings, loaded.siblings, strict=True)
            pictures += [map_picture(values, like.picture) for values, like in maps]
        record = self._record(job, loaded, settings)
        files = tuple(
            OutputFile(pictures[part], path, record_text(record.model_copy(update={"part": part}), path))
            for part, path in job.parts
        )
        notes = (*loaded.warnings, *expanded.notes, *((LIGHT_LEFT,) if lost else ()))
        return JobResult(files, notes, {"method": settings.method})

    def _networks(self, settings: ExpandSettings) -> pipeline.Networks:
        return self._load_networks(settings.transposer)

    def _record(self, job: ExpandJob, inputs: ExpandInputs, settings: ExpandSettings) -> ExpandRecord:
        """settings: with the method decided."""
        networks = self._networks(settings)
        maps: dict[str, Any] = {name: image.source for name, image in inputs.maps.items()}
        return ExpandRecord(
            command=job.task.command,
            exemplars=tuple(loaded.source for loaded in inputs.exemplars),
            weights=job.task.weights,
            siblings=tuple(
                Sibling(**loaded.source.model_dump(), output=as_text(name), kind=kind)
                for loaded, name, kind in zip(inputs.siblings, job.names, inputs.kinds, strict=True)
            ),
            **maps,
            key=as_text(job.task.key),
            index=job.index,
            expand=settings,
            run=self.run.model_copy(update={"memory_limit": None}),
            model_sha256=networks.model.sha256,
            transposer_sha256=networks.transposer_sha256,
            versions=Versions(texsynth=texsynth.__version__, torch=torch.__version__),
        )


def preview_sheet(report: Report, run: RunSettings) -> Picture:
    """Lay every exemplar and its results side by side, small, each task at one scale."""
    results: dict[Task, list[Picture]] = {}
    for done in report.done:
        if isinstance(done.job, ExpandJob):
            picture = done.written.picture or read(done.job.output, max_pixels=run.max_pixels)
            results.setdefault(done.job.task, []).append(picture)
    rows = []
    for task, pictures in results.items():
        exemplars = [read_input(item, run)[0] for item in task.exemplars]
        row = thumbnails([*exemplars, *pictures])
        rows += [row[start : start + SHEET_COLUMNS] for start in range(0, len(row), SHEET_COLUMNS)]
    return contact_sheet(rows)


def _exemplars(task: Task, inputs: ExpandInputs) -> list[Exemplar]:
    weights = task.weights or (1.0,) * len(inputs.exemplars)
    siblings = tuple(map_values(loaded.picture) for loaded in inputs.siblings)
    light = light_plane(inputs.exemplars[0].picture) if _carries_light(inputs) else None
    if light is not None:
        siblings += (light,)

    def numbers(*kinds: MapKind) -> tuple[int, ...]:
        return tuple(number for number, kind in enumerate(inputs.kinds) if kind in kinds)

    return [
        Exemplar(
            image=to_image(loaded.picture),
            siblings=siblings,
            mask=None if allowed is None else _from_mask(allowed),
            guide=_guide(inputs, "guide_of"),
            weight=weight,
            normals=numbers("opengl", "directx"),
            green_down=numbers("directx"),
        )
        for loaded, allowed, weight in zip(inputs.exemplars, inputs.allowed, weights, strict=True)
    ]


def _has_strong_light(inputs: ExpandInputs) -> bool:
    return any(loaded.picture.highlights is not None for loaded in inputs.exemplars)


def _carries_light(inputs: ExpandInputs) -> bool:
    """Tell whether light stronger than 1 goes along with the pixels: maps are those of a single exemplar."""
    return len(inputs.exemplars) == 1 and _has_strong_light(inputs)


def _from_mask(mask: Mask) -> Tensor:
    return torch.from_numpy(mask.astype(np.float32))[None, None]


def _guide(inputs: ExpandInputs, name: str) -> Tensor | None:
    """(1, 3, H, W); (1, 1, H, W), its lightness, when it is alone and meets the exemplar's lightness."""
    if name not in inputs.maps:
        return None
    image = to_image(inputs.maps[name].picture)
    return image if "guide_of" in inputs.maps else luma(image)


def _texture(image: Tensor, inputs: ExpandInputs, run: RunSettings) -> Picture:
    """The result at the exemplar's depth, grey when all exemplars are; opaque, unless a hole was filled."""
    pictures = [loaded.picture for loaded in inputs.exemplars]
    grey = all(picture.grey for picture in pictures)
    if grey:
        image = image.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    depth = run.bit_depth or max(picture.bit_depth for picture in pictures)
    # A filled picture stays transparent where it was, except in the hole.
    hole, alpha = inputs.hole, pictures[0].alpha
    kept = None
    if hole is not None and alpha is not None and alpha.min() < (opaque := np.iinfo(alpha.dtype).max):
        kept = np.where(hole, opaque, alpha).astype(alpha.dtype)
    is_half = run.bit_depth is None and all(picture.is_half for picture in pictures)
    return replace(to_picture(image, kept, depth), grey=grey, profile=pictures[0].profile, is_half=is_half)
