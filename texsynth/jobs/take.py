"""Statistics of a take's frames, measured when first needed, and kept for the frames that follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from texsynth.errors import InputError
from texsynth.jobs.blend import MeasuredStyles
from texsynth.jobs.blend_inputs import StyledJob
from texsynth.jobs.inputs import Input
from texsynth.models.registry import Model
from texsynth.pipelines.progress import OnStep, silent
from texsynth.pipelines.rasters import MakeCanvas, Raster
from texsynth.pipelines.stylize import Statistics, StyledRegion, stylize_raster
from texsynth.pipelines.take import Frame, between, measure

KEPT = 4
"""Statistics that are kept: those before and after a frame, and two more for frames out of turn."""

LayerStatistics = list[Sequence[Statistics]]  # By layer and region

ReadFrame = Callable[[Input], tuple[Raster, Tensor | None, MakeCanvas]]
"""Reads a picture, its opacity (1, 1, H, W), and what allocates results of its size. Raises InputError."""


@dataclass(frozen=True)
class TakeMeasurer:
    """Measures the statistics for one frame, or finds those that were measured for another."""

    job: StyledJob
    styles: MeasuredStyles
    model: Model
    read: ReadFrame
    seed: int
    tile: int | None
    on_step: OnStep

    def statistics(self, known: dict[object, LayerStatistics]) -> LayerStatistics | None:
        """Return what the maps of the frame are fitted to; None for a picture of its own.

        known: statistics by what they were measured on; new ones are added. Raises InputError when none of
        the frames that count can be read.
        """
        tween = self.job.tween
        if tween is None:
            return None
        before, *after = (self._find(inputs, known) for inputs in (tween.before, tween.after) if inputs)
        if not after:
            return before
        return [between(a, b, tween.share) for a, b in zip(before, after[0], strict=True)]

    def _find(self, inputs: tuple[Input, ...], known: dict[object, LayerStatistics]) -> LayerStatistics:
        key = inputs, self.job.spec, self.job.weights, self.job.settings.model_dump_json()
        if key not in known:
            known[key] = self._measure(inputs)
            while len(known) > KEPT:
                del known[next(iter(known))]
        return known[key]

    def _measure(self, inputs: tuple[Input, ...]) -> LayerStatistics:
        frames: list[Frame] = []
        layers: list[Sequence[Sequence[StyledRegion]]] = []
        faults = []
        for item in inputs:
            # A broken frame is left out here, and reported as a job of its own.
            try:
                raster, weight, make_canvas = self.read(item)
                layers.append(self.styles.layers(self.job, raster.size))
                frames.append(Frame(raster, layers[-1][0], weight, make_canvas))
            except InputError as error:
                faults.append(str(error))
        if not frames:
            raise InputError(
                f"{self.job.picture} takes its statistics from {len(faults)} frames, none of which can be "
                f"used; mend them or leave out --sequence: {faults[0]}"
            )
        result: LayerStatistics = []
        settings, seed, tile = self.job.settings, self.seed, self.tile
        for number in range(len(layers[0])):
            if number:
                frames = [self._stylized(frame, result[-1]) for frame in frames]
            frames = [replace(f, regions=each[number]) for f, each in zip(frames, layers, strict=True)]
            result.append(measure(frames, self.model, settings, seed=seed, tile=tile, on_step=self.on_step))
        return result

    def _stylized(self, frame: Frame, moments: Sequence[Statistics]) -> Frame:
        """Lay a layer over a frame, for the next one."""
        raster = stylize_raster(
            frame.raster, frame.regions, self.model, self.job.settings, weight=frame.weight, seed=self.seed,
            tile=self.tile, moments=moments, make_canvas=frame.make_canvas, on_step=silent,
        )  # fmt: skip
        return replace(frame, raster=raster)
