"""Pictures that are looked at and described, each while the next one is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from texsynth.analysis.appearance import TextureDescription, describe_texture
from texsynth.config.settings import RunSettings
from texsynth.images import Picture
from texsynth.images.tensors import to_image, to_weight
from texsynth.jobs.inputs import Input, Look
from texsynth.jobs.operation import memory_guard, read_input, refuse_transparent
from texsynth.jobs.outcomes import J, Stages, Written
from texsynth.pipelines.describe import Describer, any_turn, describe, limit_size
from texsynth.synthesis.warp import rotate, upright_angle

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
        return Read(*limit_size(to_image(picture), to_weight(picture)), picture.width, picture.height)


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
    mask = None if read.mask is None else rotate(read.mask, angle).clamp(0, 1)
    return replace(read, image=rotate(read.image, angle).clamp(0, 1), mask=mask), angle


DIGITS = 4
"""Of the figures that are shown."""


@dataclass(frozen=True)
class Portrait:
    """What is known of a picture. width, height: in pixels. descriptor: (size,)."""

    width: int
    height: int
    looks: TextureDescription
    descriptor: Tensor

    @property
    def fields(self) -> dict[str, object]:
        """For JSON. Vectors are (dx, dy) in pixels, dx to the right and dy down."""
        looks = self.looks
        return {
            "width": self.width,
            "height": self.height,
            "regularity": round(looks.regularity, DIGITS),
            "kind": looks.kind,
            "lattice": looks.lattice and [[round(dx, 2), round(dy, 2)] for dy, dx in looks.lattice],
            "periods": [round(period, 2) for period in looks.periods],
            "orientations": [
                {"degrees": round(found.angle, 1), "weight": round(found.weight, 2)}
                for found in looks.orientations
            ],
            "contrast": round(looks.contrast, DIGITS),
            "lightness": round(looks.lightness, DIGITS),
            "palette": [
                {"colour": hexadecimal(found.rgb), "share": round(found.share, DIGITS)}
                for found in looks.palette
            ],
            "descriptor": [round(value, DIGITS) for value in self.descriptor.tolist()],
        }

    @property
    def lines(self) -> list[str]:
        """For readers."""
        looks = self.looks
        lines = [f"regularity: {looks.regularity:.2f} ({looks.kind})"]
        if looks.lattice:
            vectors = " and ".join(f"({dx:.1f}, {dy:.1f})" for dy, dx in looks.lattice)
            periods = " and ".join(f"{period:.1f}" for period in looks.periods)
            lines += [f"repeats: every {periods} px, along {vectors}"]
        turned = ", ".join(f"{found.angle:.0f}° ({found.weight:.1f})" for found in looks.orientations)
        colours = ", ".join(f"{hexadecimal(found.rgb)} {found.share:.0%}" for found in looks.palette)
        return [
            *lines,
            f"orientations: {turned or 'none'}",
            f"lightness: {looks.lightness:.2f}, contrast: {looks.contrast:.2f}",
            f"palette: {colours}",
            f"descriptor: {len(self.descriptor)} numbers, shown with --json",
        ]


def hexadecimal(rgb: tuple[int, int, int]) -> str:
    """A colour of 8 bits per channel like #ffc800."""
    return "#{:02x}{:02x}{:02x}".format(*rgb)


def portraits(
    describer: Callable[[], Describer], run: RunSettings, keep: Callable[[Look, Portrait], None]
) -> Stages[Look]:
    """How portraits are made. keep: gets every one."""

    def load(job: Look) -> Picture:
        picture, _ = read_input(job.picture, run)
        refuse_transparent(job.picture, picture)
        return picture

    def make(job: Look, picture: Picture, _: object) -> Portrait:
        with memory_guard(job.picture, "use a smaller picture"):
            image, mask = to_image(picture), to_weight(picture)
            described = describe(image, describer(), mask=mask, turns=(0,))[0]
            return Portrait(picture.width, picture.height, describe_texture(image, mask), described)

    def write(job: Look, made: Portrait) -> Written:
        keep(job, made)
        return Written(made.width, made.height)

    return Stages(load, make, write)
