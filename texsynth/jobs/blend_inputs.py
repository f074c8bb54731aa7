"""The styles of stylizations and blends, and the files of their results, settled before any work."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product, zip_longest
from pathlib import Path
from typing import ClassVar

from texsynth.config.settings import StylizeSettings
from texsynth.config.shared_settings import REST
from texsynth.errors import UsageError
from texsynth.images.formats import FOLLOWING, ResultFormat
from texsynth.jobs.frames import FrameJob
from texsynth.jobs.inputs import Input, destinations
from texsynth.paths import exists

MAX_SWEEP = 64

_STYLE = re.compile(r"(?P<path>.+?)(?::(?P<weight>\d+\.?\d*|\.\d+))?(?:@(?P<levels>[\d,]*))?")


@dataclass(frozen=True)
class StyleArgument:
    """The parts of `PATH[:WEIGHT][@LEVELS]`."""

    path: str
    weight: float | None = None
    levels: tuple[int, ...] | None = None  # From coarse to fine; None for all


@dataclass(frozen=True)
class StyleSource:
    """A style of a blend: a picture, a card, or several of them whose moments add up."""

    sources: tuple[Input, ...]
    weight: float = 1.0
    levels: tuple[int, ...] | None = None
    mask: Input | None = None
    """Where in the content it goes; None for everywhere, or for what the other masks leave."""
    labels: Input | None = None  # Label map of the style picture: one flat colour for each region

    @property
    def inputs(self) -> tuple[Input, ...]:
        """All files that are read."""
        return (*self.sources, *(item for item in (self.mask, self.labels) if item))


@dataclass(frozen=True)
class BlendSpec:
    """The styles of a blend and how they come together."""

    styles: tuple[StyleSource, ...]
    content_labels: Input | None = None
    """Label map of the content; each label takes its style from the same label."""
    sequential: bool = False  # One style after the other instead of all at once
    feather: int = 4  # Width in pixels over which the borders of labels fade

    @property
    def masks(self) -> int:
        """The number of parts with a mask that a picture has, without labels."""
        given = sum(part.mask is not None for part in self.styles)
        return given + (0 < given < len(self.styles))

    @property
    def inputs(self) -> tuple[Input, ...]:
        """All files that are read besides the contents."""
        own = (item for part in self.styles for item in part.inputs)
        return (*own, *((self.content_labels,) if self.content_labels else ()))


@dataclass(frozen=True)
class StylizeJob(FrameJob):
    """A picture with the style and the settings that it gets."""

    style: Input
    settings: StylizeSettings
    preset: str | None = None  # A name for the settings, where jobs differ in them
    lut: Path | None = None  # The file of the table of colours that explains the result

    weights: ClassVar[tuple[float, ...]] = (1.0,)

    @property
    def spec(self) -> BlendSpec:
        """The style as a blend of one."""
        return BlendSpec((StyleSource((self.style,)),))

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The content and the style."""
        return (self.picture, self.style)

    @property
    def tables(self) -> tuple[Path, ...]:
        """The table of colours, where there is one."""
        return (self.lut,) if self.lut else ()

    @property
    def facts(self) -> dict[str, str]:
        """The table of colours, and style and preset where jobs differ in them."""
        table = {"lut": str(self.lut)} if self.lut else {}
        return (
            table if self.preset is None else {"style": str(self.style.path), "preset": self.preset, **table}
        )


@dataclass(frozen=True)
class BlendJob(FrameJob):
    """One picture, the styles that it gets, and how much of every one."""

    spec: BlendSpec
    settings: StylizeSettings
    weights: tuple[float, ...]

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The content, the styles, masks and label maps."""
        return (self.picture, *self.spec.inputs)

    @property
    def overlays(self) -> tuple[Input, ...]:
        """The masks and the content's label map, where they are used."""
        labels, masks = self.spec.content_labels, (part.mask for part in self.spec.styles)
        return tuple(item for item in (labels, *masks) if item)


StyledJob = StylizeJob | BlendJob


def style_argument(text: str) -> StyleArgument:
    """Parse `PATH[:WEIGHT][@LEVELS]`, like `swirl.jpg:0.7@3,4`; a file of that whole name is that file.

    Raises UsageError.
    """
    if not text:
        raise UsageError("--style is empty; give PATH[:WEIGHT][@LEVELS], like swirl.jpg:0.7")
    match = _STYLE.fullmatch(text)
    if match is None or exists(Path(text)):
        return StyleArgument(text)
    weight = None if match["weight"] is None else float(match["weight"])
    levels = None
    if match["levels"] is not None:
        numbers = match["levels"].split(",")
        if any(n not in ("1", "2", "3", "4", "5") for n in numbers):
            raise UsageError(f"--style {text!r}: levels are numbers from 1 (fine) to 5 (coarse), like @3,4")
        levels = tuple(sorted({int(n) for n in numbers}, reverse=True))
    return StyleArgument(match["path"], weight, levels)


def make_spec(
    styles: Sequence[str],
    find: Callable[[str], Sequence[Input]],
    find_one: Callable[[str], Input],
    *,
    masks: Sequence[str] = (),
    content_labels: str | None = None,
    style_labels: Sequence[str] = (),
    sequential: bool = False,
    feather: int = 4,
) -> BlendSpec:
    """Return the blend of styles like `PATH[:WEIGHT][@LEVELS]`, with one mask and one label map for each.

    find, find_one: the files that an argument names, or the only one. Raises UsageError, InputError.
    """
    for option, values in (("--mask", masks), ("--style-labels", style_labels)):
        if values and len(values) != len(styles):
            raise UsageError(
                f"{option} is given {len(values)} times for {len(styles)} styles; give one for each"
            )

    def optional(text: str | None) -> Input | None:
        return find_one(text) if text is not None else None

    sources: list[StyleSource] = []
    for text, mask, labels in zip_longest(styles, masks, style_labels):
        argument = style_argument(text)
        files = tuple(find(argument.path))
        if labels is not None and len(files) > 1:
            raise UsageError(f"{argument.path} has {len(files)} pictures, but labels belong to one; name it")
        weight = 1.0 if argument.weight is None else argument.weight
        where = None if mask in (None, REST) else find_one(mask)
        sources.append(StyleSource(files, weight, argument.levels, where, optional(labels)))
    return BlendSpec(tuple(sources), optional(content_labels), sequential, feather)


def check_spec(spec: BlendSpec, settings: StylizeSettings) -> None:
    """Raise UsageError for what cannot be done together."""
    parts, levels = spec.styles, settings.levels
    if not any(part.weight > 0 for part in parts):
        raise UsageError("the weights of all styles are 0; give one of them a weight above 0")
    for part in parts:
        missing = set(part.levels or ()) - set(levels)
        if missing:
            raise UsageError(
                f"style {part.sources[0]} asks for level {min(missing)}, but the settings transform levels "
                f"{', '.join(map(str, levels))}; change levels"
            )
    masked = any(part.mask for part in parts)
    if spec.content_labels and masked:
        raise UsageError("--mask and --content-labels both say what goes where; use one of them")
    if any(part.labels for part in parts) != bool(spec.content_labels):
        raise UsageError("--content-labels and --style-labels belong together; give both")
    if settings.regions == "auto" and (masked or spec.content_labels):
        raise UsageError("masks and labels already say what goes where; use regions off with them")
    if spec.sequential and (masked or spec.content_labels):
        raise UsageError("--sequential lays every style over all; use it without masks and labels")


def stylize_jobs(
    contents: Sequence[Input],
    style: Input,
    settings: StylizeSettings,
    output: str | None,
    *,
    result_format: ResultFormat = FOLLOWING,
) -> list[StylizeJob]:
    """Return a job for every content, by default with the output `CONTENT.STYLE.jpg`. Raises UsageError."""
    names = [f"{item.stem}.{style.stem}{item.result_suffix(result_format)}" for item in contents]
    paths = destinations(contents, names, output)
    return [StylizeJob(item, path, style, settings) for item, path in zip(contents, paths, strict=True)]


def blend_jobs(
    contents: Sequence[Input],
    spec: BlendSpec,
    settings: StylizeSettings,
    output: str | None,
    *,
    sweep: int | None = None,
    result_format: ResultFormat = FOLLOWING,
) -> list[BlendJob]:
    """Return a job for every content and step of the sweep, by default with outputs `CONTENT.blend.jpg`.

    Raises UsageError.
    """
    check_spec(spec, settings)
    steps: list[tuple[float, ...]] = [tuple(part.weight for part in spec.styles)]
    if sweep is not None:
        if output == "-":
            raise UsageError("the pictures of a sweep cannot share standard output; use -o FOLDER")
        steps = list(sweep_weights(len(spec.styles), sweep))
    names = [f"{item.stem}.blend{item.result_suffix(result_format)}" for item in contents]
    jobs = []
    for item, path in zip(contents, destinations(contents, names, output), strict=True):
        for index, weights in enumerate(steps, 1):
            number = f".{index:0{len(str(len(steps)))}}" if len(steps) > 1 else ""
            file = path.with_name(f"{path.stem}{number}{path.suffix}") if number else path
            jobs.append(BlendJob(item, file, spec, settings, weights))
    return jobs


def sweep_weights(styles: int, steps: int) -> Iterator[tuple[float, ...]]:
    """Yield the weights of the pictures between `styles` styles, `steps` along every side.

    Two lie on a line, three in a triangle, row by row, four at the corners of a square. Raises UsageError.
    """
    if not 2 <= steps <= MAX_SWEEP:
        raise UsageError(f"--sweep is {steps} but must be a whole number from 2 to {MAX_SWEEP}")
    if not 2 <= styles <= 4:
        raise UsageError(f"--sweep goes between two to four styles, not {styles}")
    ways = [k / (steps - 1) for k in range(steps)]
    if styles == 2:
        yield from ((1 - t, t) for t in ways)
    elif styles == 3:
        for row in range(steps):
            for column in range(row + 1):
                down, right = ways[row], column / (steps - 1)
                yield 1 - down, down - right, right
    else:
        for down, right in product(ways, ways):
            yield (1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right
