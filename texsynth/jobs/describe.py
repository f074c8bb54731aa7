"""Descriptions of textures in files, as an operation, and the descriptors that a library keeps of them."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from texsynth.analysis.appearance import Appearance, measure_appearance
from texsynth.config.settings import RunSettings
from texsynth.images import Picture
from texsynth.images.tensors import to_image, to_weight
from texsynth.jobs.files import JobResult, memory_guard, read_input
from texsynth.jobs.inputs import Input, InputJob, J
from texsynth.jobs.library import AS_IS, KINDS, UPRIGHT, Kind
from texsynth.jobs.operation import Operation, resolve_run
from texsynth.pipelines.describe import Describer, any_turn, describe, limit_size, load_describer
from texsynth.pipelines.progress import OnStep
from texsynth.synthesis.warp import rotate, upright_angle


@dataclass(frozen=True)
class ReducedImage:
    """A picture as `describe` takes it."""

    image: Tensor
    mask: Tensor | None


class DescribeForIndex(Operation[J]):
    """Gives pictures their descriptors of one kind, the value of a job: (3, size), zero for the others."""

    def __init__(self, run: RunSettings, describer: Callable[[], Describer], kind: Kind) -> None:
        """describer: called when the first picture comes."""
        self.run, self._describer, self._kind = run, describer, kind

    def load(self, job: J) -> ReducedImage:
        """Read a picture and reduce it."""
        return read_reduced(job.picture, self.run)

    def compute(self, job: J, loaded: ReducedImage, on_step: OnStep) -> JobResult:
        """Describe one picture."""
        del on_step
        with memory_guard(job.picture, "use a smaller picture"):
            descriptor = of_kind(loaded, self._describer(), self._kind)
            value = torch.zeros(len(KINDS), len(descriptor))
            value[KINDS.index(self._kind)] = descriptor
            return JobResult(value=value)


def read_reduced(item: Input, run: RunSettings) -> ReducedImage:
    """Read a picture and reduce it. Raises InputError."""
    picture, _ = read_input(item, run)
    with memory_guard(item, "use a smaller picture"):
        return ReducedImage(*limit_size(to_image(picture), to_weight(picture)))


def of_kind(image: ReducedImage, describer: Describer, kind: Kind) -> Tensor:
    """The descriptor of one kind, (size,)."""
    if kind == AS_IS:
        return describe(image.image, describer, mask=image.mask, turns=(0,))[0]
    shown = _upright(image)[0] if kind == UPRIGHT else image
    return any_turn(describe(shown.image, describer, mask=shown.mask))


def _upright(image: ReducedImage) -> tuple[ReducedImage, float]:
    """The picture with its lines level and upright, and the angle it was turned by; 0 where it was not."""
    angle = upright_angle(image.image, image.mask) or 0.0
    if not angle:
        return image, 0.0
    mask = None if image.mask is None else rotate(image.mask, angle).clamp(0, 1)
    return ReducedImage(rotate(image.image, angle).clamp(0, 1), mask), angle


DTYPE: Literal["float32"] = "float32"
"""Number type of descriptors: bfloat16 moves similarities by up to 0.04, and an index must be comparable."""

DIGITS = 4  # Of the figures that are shown


@dataclass(frozen=True)
class TextureDescription:
    """The looks of a picture, its width and height in pixels, and its descriptor."""

    width: int
    height: int
    looks: Appearance
    descriptor: tuple[float, ...]

    @property
    def fields(self) -> dict[str, object]:
        """The description for JSON. Vectors are (dx, dy) in pixels, dx to the right and dy down."""
        looks = self.looks
        return {
            "width": self.width,
            "height": self.height,
            "regularity": round(looks.regularity, DIGITS),
            "kind": looks.kind,
            "lattice": looks.lattice and [[round(dx, 2), round(dy, 2)] for dy, dx in looks.lattice],
            "periods": [round(period, 2) for period in looks.periods],
            "repeats": looks.repeats
            and {key: round(value, 2) for key, value in dataclasses.asdict(looks.repeats).items()},
            "orientations": [
                {"degrees": round(turn.angle, 1), "weight": round(turn.weight, 2)}
                for turn in looks.orientations
            ],
            "contrast": round(looks.contrast, DIGITS),
            "lightness": round(looks.lightness, DIGITS),
            "palette": [
                {"colour": hexadecimal(color.rgb), "share": round(color.share, DIGITS)}
                for color in looks.palette
            ],
            "descriptor": [round(value, DIGITS) for value in self.descriptor],
        }

    @property
    def lines(self) -> list[str]:
        """The description for readers, a line each."""
        looks = self.looks
        lines = [f"regularity: {looks.regularity:.2f} of 1 ({looks.kind})"]
        if looks.repeats_in_words:
            lines += [f"repeats: {looks.repeats_in_words}"]
        turned = ", ".join(
            f"{turn.angle:.0f}° ({turn.weight:.1f} times the mean)" for turn in looks.orientations
        )
        colours = ", ".join(f"{hexadecimal(color.rgb)} {color.share:.0%}" for color in looks.palette)
        return [
            *lines,
            f"lines at: {turned or 'none'}",
            f"lightness: {looks.lightness:.2f} of 1, contrast: {looks.contrast:.2f} of at most 0.5",
            f"palette: {colours}",
            f"descriptor: {len(self.descriptor)} numbers, shown with --json",
        ]


def hexadecimal(rgb: tuple[int, int, int]) -> str:
    """A colour of 8 bits per channel like #ffc800."""
    return "#{:02x}{:02x}{:02x}".format(*rgb)


class Describe(Operation[InputJob]):
    """Says what textures are like; the value of a job is its TextureDescription."""

    def __init__(self, run: RunSettings) -> None:
        """run: with `auto` still open; only the device counts, and how large pictures may be."""
        self.run = run.model_copy(update={"dtype": DTYPE})

    def prepare(self, note: Callable[[str], None]) -> None:
        """Load the networks."""
        del note
        self.run, device, dtype = resolve_run(self.run)
        self._describer = load_describer(device, dtype)

    def load(self, job: InputJob) -> Picture:
        """Read a picture."""
        return read_input(job.picture, self.run)[0]

    def compute(self, job: InputJob, loaded: Picture, on_step: OnStep) -> JobResult:
        """Describe one picture."""
        del on_step
        size = loaded.width, loaded.height
        with memory_guard(job.picture, "use a smaller picture"):
            image, mask = to_image(loaded), to_weight(loaded)
            descriptor = describe(image, self._describer, mask=mask, turns=(0,))[0].tolist()
            looks = measure_appearance(image, mask)
        return JobResult(value=TextureDescription(*size, looks, tuple(descriptor)), size=size)
