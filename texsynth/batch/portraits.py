"""All that can be said of a picture's texture: what it looks like, and its descriptor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from texsynth.batch.executors import Stages
from texsynth.batch.files import memory_guard, read_input, refuse_transparent
from texsynth.batch.plan import Look
from texsynth.batch.run import Written
from texsynth.images import Picture
from texsynth.images.tensors import to_image, to_weight
from texsynth.pipelines.appearance import Appearance, appearance
from texsynth.pipelines.describing import Describer, describe
from texsynth.settings import RunSettings

DIGITS = 4
"""Of the figures that are shown."""


@dataclass(frozen=True)
class Portrait:
    """What is known of a picture. width, height: in pixels. descriptor: (size,)."""

    width: int
    height: int
    looks: Appearance
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
            return Portrait(picture.width, picture.height, appearance(image, mask), described)

    def write(job: Look, made: Portrait) -> Written:
        keep(job, made)
        return Written(made.width, made.height)

    return Stages(load, make, write)
