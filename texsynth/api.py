"""texsynth from Python: the commands as functions on pictures in memory or in files.

Pictures go in as paths, PIL images, numpy arrays or torch tensors, and come out as the kind that went in:

- a path (str or Path): comes out as a PIL image of 8 bits per channel;
- a PIL image: the same;
- a numpy array (H, W), (H, W, 3) or (H, W, 4) of uint8, uint16, or floats in [0, 1]: comes out in the same
  type; (H, W) and the fourth channel, which is opacity, stay where the command keeps them;
- a torch tensor (3, H, W) or (1, 3, H, W) of floats in [0, 1]: comes out in the same shape, type and device.

Floats are held at 16 bits per channel inside. The same seed gives the same pixels as the command line; to
`expand` and `tile` the name of a file counts, too, and of a picture in memory its `name`. Errors are those of
`texsynth.errors`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Unpack, cast, overload

from texsynth.api_options import (
    ImageLike,
    PathLike,
    StylizeOptions,
    TextureOptions,
    expand_settings,
    given,
    loaded_model,
    run_settings,
    same_kind,
    stylize_settings,
)
from texsynth.config import presets
from texsynth.config.settings import ExpandSettings, RunSettings, StylizeSettings
from texsynth.config.validation import validate
from texsynth.errors import UsageError
from texsynth.images import Picture
from texsynth.images.tensors import from_memory, to_pil
from texsynth.jobs.blend_inputs import BlendJob, BlendSpec, StyleSource, StylizeJob, check_spec
from texsynth.jobs.color_tables import with_new_table
from texsynth.jobs.describe import Describe, TextureDescription
from texsynth.jobs.expand import Expand
from texsynth.jobs.expand_inputs import Command, expand_job, plan_tasks
from texsynth.jobs.files import JobResult, OutputPolicy, write_files
from texsynth.jobs.inputs import PIPE, Input, InputJob, Job
from texsynth.jobs.interrupts import Interrupts
from texsynth.jobs.library import Kind as Comparison
from texsynth.jobs.library import SearchQuery, open_library
from texsynth.jobs.match import FindMatches, IndexedLibrary, Match
from texsynth.jobs.operation import Operation, resolve_run
from texsynth.jobs.outcomes import Events, collect
from texsynth.jobs.runner import SerialExecutor
from texsynth.jobs.stylize import Stylize
from texsynth.models import registry
from texsynth.models.registry import Model
from texsynth.pipelines.progress import OnStep, silent

log = logging.getLogger("texsynth")  # Warnings about pictures go here; nothing is printed
log.addHandler(logging.NullHandler())


@same_kind
def expand(
    exemplar: ImageLike,
    *,
    scale: float | None = None,
    size: tuple[int, int] | None = None,
    method: str | None = None,
    transposer: str | None = None,
    tileable: bool | None = None,
    upright: bool | None = None,
    siblings: Sequence[ImageLike] = (),
    mask: ImageLike | None = None,
    guide: ImageLike | None = None,
    guide_of: ImageLike | None = None,
    **options: Unpack[TextureOptions],
) -> Any:  # noqa: ANN401 (see SameKind)
    """Make more of a texture.

    exemplar: at least 16 pixels on both sides. scale: output over exemplar, 2 by default; size: (width,
    height) in pixels instead. method: auto, noise, patch, transposer, optimize, or stages with +. transposer:
    name or file of its network, in place of the embedded one. tileable: the borders meet. upright: turn the
    exemplar first. siblings: further maps of the same surface, of its size, which get the same layout. mask:
    white where the exemplar may be sampled. guide, guide_of: layout of the output, and what its values mean
    on the exemplar. options: see `TextureOptions`.

    Returns the texture; with siblings a list of it and of every sibling. Raises InputError, UsageError,
    ModelError, MemoryExhaustedError.

    >>> import numpy as np, texsynth
    >>> brick = np.random.default_rng(0).random((32, 48, 3))
    >>> texsynth.expand(brick, scale=1.5, method="patch").shape
    (48, 72, 3)
    """
    flags = given(size=size and list(size), method=method, transposer=transposer)
    flags |= given(tileable=tileable, upright=upright)
    if scale is not None:
        flags |= {"scale": scale} if size else {"scale": scale, "size": None}
    maps = {"mask": mask, "guide": guide, "guide_of": guide_of}
    return _texture("expand", exemplar, siblings, maps, flags, options)


@same_kind
def tile(
    image: ImageLike,
    *,
    size: tuple[int, int] | None = None,
    method: str | None = None,
    siblings: Sequence[ImageLike] = (),
    mask: ImageLike | None = None,
    **options: Unpack[TextureOptions],
) -> Any:  # noqa: ANN401 (see SameKind)
    """Make a picture seamless: the borders meet, the middle stays.

    Arguments, result and errors are those of `expand`; size is that of the picture by default.

    >>> import numpy as np, texsynth
    >>> texsynth.tile(np.random.default_rng(0).random((32, 48, 3))).shape
    (32, 48, 3)
    """
    flags = {"method": method, "size": size and list(size)}
    return _texture("tile", image, siblings, {"mask": mask}, given(**flags), options)


@same_kind
def fill(
    image: ImageLike,
    hole: ImageLike,
    *,
    method: str | None = None,
    siblings: Sequence[ImageLike] = (),
    mask: ImageLike | None = None,
    **options: Unpack[TextureOptions],
) -> Any:  # noqa: ANN401 (see SameKind)
    """Fill the hole in a texture: in place, where `hole` is white, from the rest of it.

    hole: of the size of `image`. The other arguments, result and errors are those of `expand`.

    >>> import numpy as np, texsynth
    >>> wall, hole = np.random.default_rng(0).random((40, 40, 3)), np.zeros((40, 40))
    >>> hole[10:18, 10:18] = 1
    >>> texsynth.fill(wall, hole).shape
    (40, 40, 3)
    """
    return _texture("expand", image, siblings, {"mask": mask, "hole": hole}, given(method=method), options)


@same_kind
def stylize(
    content: ImageLike, style: ImageLike, *, lut: PathLike | None = None, **options: Unpack[StylizeOptions]
) -> Any:  # noqa: ANN401 (see SameKind)
    """Give a picture the style of another one; arguments, result and errors are those of `Stylizer`.

    >>> import numpy as np, texsynth
    >>> random = np.random.default_rng(0)
    >>> texsynth.stylize(random.random((48, 64, 3)), random.random((32, 32, 3)), strength=0.5).shape
    (48, 64, 3)
    """
    return Stylizer(style, **options)(content, lut=lut)


class Stylizer:
    """A style that is fitted once, for many contents, such as the requests to a server.

    Several threads may call it at once. The frames of a film flicker less with `stylize_sequence`.

    >>> import numpy as np, texsynth
    >>> paint = texsynth.Stylizer(np.random.default_rng(0).random((32, 32, 3)), photo=True)
    >>> frames = np.random.default_rng(1).random((3, 40, 56, 3)).astype("float32")
    >>> np.stack([paint(frame) for frame in frames]).shape
    (3, 40, 56, 3)
    """

    def __init__(self, style: ImageLike, **options: Unpack[StylizeOptions]) -> None:
        """Load the model and measure the style: a picture, or the path of a style card.

        options: see `StylizeOptions` and `Options`. Raises InputError, UsageError, ModelError,
        MemoryExhaustedError.
        """
        self._settings = stylize_settings(options)
        self._run = run_settings(options)
        self._name = options.get("name")
        self._progress = options.get("progress")
        self._style = _Image.of(style, "style")
        job = StylizeJob(self._style.input, PIPE, self._style.input, self._settings)
        self._operation = Stylize(self._run, job, model=loaded_model(options))
        self._operation.prepare(log.warning)

    def __call__(
        self,
        content: ImageLike,
        *,
        name: str | None = None,
        progress: OnStep | None = None,
        lut: PathLike | None = None,
    ) -> Any:  # noqa: ANN401 (see SameKind)
        """Give a picture the style. name: mixed into the seed, so that another one gives another grain.

        lut: a new .cube file for the colours, in photo mode. Returns a picture of the size of `content`, or
        reduced to max_side. Raises InputError, MemoryExhaustedError, UsageError, OutputError.
        """
        image = _Image.of(content, "content", name or self._name)
        vary = bool(name or self._name)
        job = StylizeJob(image.input, PIPE, self._style.input, self._settings, vary=vary)
        job = job if lut is None else with_new_table(job, os.fspath(lut))
        picture, *tables = _do(self._operation, job, progress or self._progress).files
        write_files(tables, OutputPolicy())
        return image.back(picture.in_memory)


@same_kind
def blend(
    content: ImageLike,
    styles: Sequence[ImageLike],
    *,
    weights: Sequence[float] | None = None,
    masks: Sequence[ImageLike | None] | None = None,
    sequential: bool = False,
    **options: Unpack[StylizeOptions],
) -> Any:  # noqa: ANN401 (see SameKind)
    """Give a picture several styles at once, by weight or by region.

    styles: pictures, or paths of style cards. weights: one for each, at least 0; equal by default. masks: one
    for each, white where its style goes, None for what the others leave. sequential: one style after the
    other. The other arguments, result and errors are those of `Stylizer`.

    >>> import numpy as np, texsynth
    >>> random = np.random.default_rng(0)
    >>> styles = [random.random((32, 32, 3)), random.random((40, 24, 3)) ** 2]
    >>> texsynth.blend(random.random((48, 64, 3)), styles, weights=[3, 1]).shape
    (48, 64, 3)
    """
    weights = [1.0] * len(styles) if weights is None else weights
    masks = [None] * len(styles) if masks is None else masks
    if not len(styles) == len(weights) == len(masks) > 0:
        raise UsageError(
            f"{len(styles)} styles have {len(weights)} weights and {len(masks)} masks; give one for each"
        )
    settings = stylize_settings(options)
    image = _Image.of(content, "content", options.get("name"))
    sources = tuple(
        StyleSource(
            (_Image.of(style, f"style {number}").input,),
            float(weight),
            mask=None if mask is None else _Image.of(mask, f"mask {number}").input,
        )
        for number, (style, weight, mask) in enumerate(zip(styles, weights, masks, strict=True), 1)
    )
    spec = BlendSpec(sources, sequential=sequential)
    check_spec(spec, settings)
    shares, vary = tuple(source.weight for source in sources), bool(options.get("name"))
    job = BlendJob(image.input, PIPE, spec, settings, shares, vary=vary)
    operation = Stylize(run_settings(options), job, model=loaded_model(options))
    operation.prepare(log.warning)
    return image.back(_do(operation, job, options.get("progress")).files[0].in_memory)


def describe(image: ImageLike, *, device: str = "auto", threads: int | None = None) -> TextureDescription:
    """Say what a texture is like: regularity, lattice, orientations, contrast, colours, and its descriptor.

    Returns a TextureDescription; its `fields` are those of `texsynth describe --json`. Raises InputError.

    >>> import numpy as np, texsynth
    >>> stripes = np.tile(np.repeat([0.2, 0.8], 8), (96, 6))
    >>> texsynth.describe(stripes).width
    96
    """
    operation = Describe(RunSettings(device=device, threads=threads))
    operation.prepare(log.warning)
    result = _do(operation, InputJob(_Image.of(image, "image").input), None)
    assert isinstance(result.value, TextureDescription)
    return result.value


def match(
    query: ImageLike,
    library: PathLike,
    *,
    count: int = 5,
    compare: Comparison = "as-is",
    include_self: bool = False,
    index: PathLike | None = None,
    rebuild: bool = False,
    device: str = "auto",
    threads: int | None = None,
) -> list[Match]:
    """Find the pictures below the folder `library` that look most like `query`.

    The folder is indexed first; after that only new and changed pictures are looked at. compare: as-is,
    any-turn (by quarters), or upright (by any angle). include_self: also the query itself. index: the file of
    the index, by default in the library. rebuild: describe all pictures again.

    Returns `count` or fewer matches, best first, each with path, key, rank and similarity (cosine, -1 to 1).
    Raises InputError, UsageError, OutputError, ModelError.
    """
    run = RunSettings(device=device, threads=threads)
    folder = open_library(os.fspath(library), None if index is None else os.fspath(index))

    indexed = IndexedLibrary(folder, run, rebuild=rebuild)
    with Interrupts() as interrupts:
        events = Events(note=log.warning, interruptible=interrupts.allowed, check=interrupts.check)
        with closing(
            SerialExecutor(indexed.operation, OutputPolicy()).outcomes(indexed.jobs, events)
        ) as outcomes:
            report = collect(outcomes, len(indexed.jobs), on_outcome=indexed.add)
    indexed.finish(interrupted=report.interrupted)
    if report.interrupted:
        raise KeyboardInterrupt
    operation = FindMatches(SearchQuery(count, compare, include_self), indexed)
    matches: list[Match] = _do(operation, InputJob(_Image.of(query, "query").input), None).value
    return matches


def load_model(name: str = "lite", *, device: str = "auto", dtype: str = "auto") -> Model:
    """Load a network once, for many calls. name: one that `texsynth models list` shows, or a weight file.

    Raises ModelError, UsageError.

    >>> import texsynth
    >>> texsynth.load_model("lite", device="cpu", dtype="float32").name
    'lite'
    """
    run = validate(RunSettings, {"device": device, "dtype": dtype}, "")
    return registry.load_model(name, *resolve_run(run)[1:])


@overload
def load_preset(name: str, command: Literal["stylize"]) -> StylizeSettings: ...
@overload
def load_preset(name: str, command: Literal["expand"]) -> ExpandSettings: ...
@overload
def load_preset(name: str) -> StylizeSettings | ExpandSettings: ...
def load_preset(
    name: str, command: Literal["stylize", "expand"] | None = None
) -> StylizeSettings | ExpandSettings:
    """Return the settings of a preset, by name or file. command: which, where the preset has both.

    Raises UsageError.

    >>> import texsynth
    >>> texsynth.load_preset("photo").mode
    'photo'
    """
    preset = presets.load(name)
    kinds: dict[str, type[StylizeSettings | ExpandSettings]]
    kinds = {"stylize": StylizeSettings, "expand": ExpandSettings}
    sections = [section for section in kinds if section in preset.sections]
    chosen = command or (sections[0] if len(sections) == 1 else "")
    if chosen not in sections:
        raise UsageError(f"preset {name!r} has settings for {' and '.join(sections)}; ask for one of them")
    return presets.resolve(kinds[chosen], preset, (), {})


@dataclass(frozen=True)
class _Image:
    """A picture that went in, and what turns results into its kind."""

    input: Input
    back: Callable[[Picture], Any]

    @classmethod
    def of(cls, image: ImageLike, role: str, name: str | None = None) -> _Image:
        """role: what messages call a picture in memory; no other one of a call has it."""
        if isinstance(image, str | os.PathLike):
            path = Path(image)
            return cls(Input(path, name or path.name), to_pil)
        picture, back = from_memory(image, role)
        return cls(Input(Path(f"the {role}"), name or "image", picture=picture), back)


def _texture(
    command: Command,
    exemplar: ImageLike,
    siblings: Sequence[ImageLike],
    maps: Mapping[str, ImageLike | None],
    flags: Mapping[str, object],
    options: TextureOptions,
) -> Any:  # noqa: ANN401 (see SameKind)
    image = _Image.of(exemplar, "exemplar", options.get("name"))
    maps_of = [*siblings, *options.get("normals", ())]
    others = [_Image.of(other, f"sibling {number}") for number, other in enumerate(maps_of, 1)]
    files = {role: _Image.of(values, role).input for role, values in maps.items() if values is not None}
    settings = expand_settings(flags, options, limited=command == "tile" or bool(files))
    beside, normals = [o.input for o in others[: len(siblings)]], [o.input for o in others[len(siblings) :]]
    (task,) = plan_tasks(command, [image.input], siblings=beside, normals=normals, **cast(Any, files))
    job = expand_job(task, settings, PIPE)
    operation = Expand(run_settings(options), model=loaded_model(options))
    operation.prepare(log.warning)
    made = _do(operation, job, options.get("progress")).files
    pictures = [one.back(file.in_memory) for one, file in zip([image, *others], made, strict=True)]
    return pictures if others else pictures[0]


def _do(operation: Operation[Any], job: Job, progress: OnStep | None) -> JobResult:
    result = operation.compute(job, operation.load(job), progress or silent)
    for warning in result.warnings:
        log.warning("%s: %s", job.picture, warning)
    return result
