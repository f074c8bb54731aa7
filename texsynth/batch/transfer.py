"""One content through the pipelines, in as much room as there is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from texsynth import images
from texsynth.batch.files import LargePicture, memory_guard
from texsynth.batch.originals import Content, finished, opened
from texsynth.batch.plan import Job, file_seed
from texsynth.batch.tiles import Room, chosen_room, halving
from texsynth.models.registry import Model
from texsynth.pipelines.progress import OnStep, part_of
from texsynth.pipelines.rasters import Raster
from texsynth.pipelines.stylize import FittedStyle, Part, stylize_raster
from texsynth.settings import RunSettings, StylizeSettings

Style = FittedStyle | Sequence[Part]

Styles = Callable[[tuple[int, int]], Sequence[Style]]
"""What is laid over a content of a size (height, width), one after the other. Raises InputError."""


@dataclass(frozen=True)
class Transferred:
    """A finished picture, the tiles it was made in, and what to say about its content."""

    picture: images.Picture | LargePicture
    tile: int | None
    warnings: tuple[str, ...]


def transferred(
    job: Job,
    content: Content,
    styles: Styles,
    model: Model,
    settings: StylizeSettings,
    run: RunSettings,
    *,
    masks: int = 0,
    on_step: OnStep | None = None,
) -> Transferred:
    """Give `content` its styles. run: with every `auto` decided. masks: number of parts that have one."""
    with memory_guard(job.picture):
        original = opened(job, content, run)
        size = original.raster.size
        room = content.room or chosen_room(job.picture, size, model, settings, run, masks=masks)
        rounds = styles(size)

        def attempt(room: Room) -> Raster:
            result = original.raster
            for number, style in enumerate(rounds):
                result = stylize_raster(
                    result,
                    style,
                    model,
                    settings,
                    weight=original.weight,
                    seed=file_seed(run.seed, job.picture.key),
                    tile=room.tile,
                    blank=original.blank,
                    on_step=part_of(on_step, number, len(rounds)),
                )
            return result

        result, room = halving(attempt, room, size, automatic=run.tile is None)
        return Transferred(finished(job, result, original), room.tile, original.warnings)
