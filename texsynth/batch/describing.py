"""Pictures that are looked at and described, each while the next one is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from texsynth.batch.executors import Stages
from texsynth.batch.files import memory_guard, read_input, refuse_transparent
from texsynth.batch.plan import Input
from texsynth.batch.run import J, Written
from texsynth.images.tensors import to_image, to_weight
from texsynth.pipelines.describing import Describer, any_turn, describe, reduced
from texsynth.settings import RunSettings
from texsynth.texture.upright import turned, upright_angle

Kind = Literal["as-is", "any-turn", "upright"]
"""How pictures are compared: as they are, whichever way they are turned by quarters, or the latter once their
lines are level and upright, so whichever way they are turned at all."""

AS_IS, ANY_TURN, UPRIGHT = KINDS = get_args(Kind)
"""In the order of an index."""


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
    """How pictures are described. keep: gets the (3, size) descriptors of every one."""

    def load(job: J) -> Read:
        return read_small(job.picture, run)

    def make(job: J, read: Read, _: object) -> tuple[Read, Tensor]:
        with memory_guard(job.picture, "use a smaller picture"):
            return read, all_kinds(read, describer())

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


def all_kinds(read: Read, describer: Describer) -> Tensor:
    """Descriptors of a picture of every kind, (3, size)."""
    turns = describe(read.image, describer, mask=read.mask)
    shown, angle = _upright(read)
    found = any_turn(turns)
    straight = any_turn(describe(shown.image, describer, mask=shown.mask)) if angle else found
    return torch.stack([turns[0], found, straight])


def of_kind(read: Read, describer: Describer, kind: Kind) -> Tensor:
    """The descriptor of one kind, (size,)."""
    if kind == AS_IS:
        return describe(read.image, describer, mask=read.mask, turns=(0,))[0]
    shown = _upright(read)[0] if kind == UPRIGHT else read
    return any_turn(describe(shown.image, describer, mask=shown.mask))


def _upright(read: Read) -> tuple[Read, float]:
    """The picture with its lines level and upright, and the angle it was turned by; 0 where it was not."""
    angle = upright_angle(read.image, read.mask) or 0.0
    if not angle:
        return read, 0.0
    mask = None if read.mask is None else turned(read.mask, angle).clamp(0, 1)
    return replace(read, image=turned(read.image, angle).clamp(0, 1), mask=mask), angle
