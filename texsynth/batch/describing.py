"""Pictures that are looked at and described, each while the next one is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from texsynth.batch.executors import Stages
from texsynth.batch.files import memory_guard, read_input, refuse_transparent
from texsynth.batch.plan import Input
from texsynth.batch.run import J, Written
from texsynth.images.tensors import to_image, to_weight
from texsynth.pipelines.describing import Describer, any_turn, describe, reduced
from texsynth.settings import RunSettings


@dataclass(frozen=True)
class Read:
    """A picture as `describe` takes it. width, height: of the file, in pixels."""

    image: Tensor
    mask: Tensor | None
    width: int
    height: int


def describing(
    describer: Callable[[], Describer], run: RunSettings, keep: Callable[[J, Tensor], None]
) -> Stages[J]:
    """How pictures are described. keep: gets the (4, size) descriptors of every one."""

    def load(job: J) -> Read:
        return read_small(job.picture, run)

    def make(job: J, read: Read, _: object) -> tuple[Read, Tensor]:
        with memory_guard(job.picture, "use a smaller picture"):
            return read, describe(read.image, describer(), mask=read.mask)

    def write(job: J, made: tuple[Read, Tensor]) -> Written:
        keep(job, made[1])
        return Written(made[0].width, made[0].height)

    return Stages(load, make, write)


def read_small(item: Input, run: RunSettings) -> Read:
    """Read a picture and reduce it. Raises InputError, also for one of which nothing can be seen."""
    picture, _ = read_input(item, run)
    refuse_transparent(item, picture)
    with memory_guard(item, "use a smaller picture"):
        return Read(*reduced(to_image(picture), to_weight(picture)), picture.width, picture.height)


def both_kinds(turned: Tensor) -> Tensor:
    """Descriptors of a picture as it is, and whichever way it is turned, from (4, size) of its turns."""
    return torch.stack([turned[0], any_turn(turned)])
