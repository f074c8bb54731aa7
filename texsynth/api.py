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

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Unpack, cast, overload

import torch

from texsynth.api_options import (
    STYLIZE_RUN_KEYS,
    ImageLike,
    Options,
    PathLike,
    Size,
    StylizeOptions,
    TextureOptions,
    expand_settings,
    given,
    loaded_model,
    run_settings,
    same_kind,
    sides,
    stylize_settings,
)
from texsynth.api_pictures import UserPicture, do_job, log, prepare, usual_torch
from texsynth.config import presets
from texsynth.config.expand_rules import check_weights
from texsynth.config.settings import ExpandSettings, StylizeSettings
from texsynth.errors import UsageError
from texsynth.jobs import cards
from texsynth.jobs.blend_inputs import StylizeJob
from texsynth.jobs.color_tables import with_new_table
from texsynth.jobs.expand import Expand
from texsynth.jobs.expand_inputs import Command, expand_job, plan_tasks
from texsynth.jobs.files import OutputPolicy, write_files
from texsynth.jobs.inputs import CARD_SUFFIX, PIPE
from texsynth.jobs.operation import resolve_run_and_model
from texsynth.jobs.stylize import Stylize
from texsynth.models.registry import Model
from texsynth.pipelines.progress import OnStep


@same_kind
def expand(
    exemplar: ImageLike,
    *,
    scale: float | None = None,
    size: Size | None = None,
    method: str | None = None,
    transposer: str | None = None,
    tileable: bool | None = None,
    upright: bool | None = None,
    mix: Sequence[ImageLike] = (),
    weights: Sequence[float] | None = None,
    siblings: Sequence[ImageLike] = (),
    mask: ImageLike | None = None,
    guide: ImageLike | None = None,
    guide_of: ImageLike | None = None,
    **options: Unpack[TextureOptions],
) -> Any:  # noqa: ANN401 (see SameKind)
    """Make more of a texture.

    exemplar: at least 16 pixels on both sides. scale: output over exemplar, 2 by default; size: (width,
    height) in pixels instead, or one number for both. method: auto, noise, patch, transposer, optimize, or
    stages with +. transposer: name or file of its network, in place of the embedded one. tileable: the
    borders meet. upright: turn the exemplar first. mix: further exemplars, mixed with the first into one
    output. weights: shares of the exemplar and of each of `mix`; equal by default. siblings: further maps
    of the same surface, of its size, which get the same layout. mask: white where the exemplar may be
    sampled. guide, guide_of: layout of the output, and what its values mean on the exemplar. options: see
    `TextureOptions`.

    Returns the texture; with siblings a list of it and of every sibling. Raises InputError, UsageError,
    ModelError, MemoryExhaustedError.

    >>> import numpy as np, texsynth
    >>> brick = np.random.default_rng(0).random((32, 48, 3))
    >>> texsynth.expand(brick, scale=1.5, method="patch").shape
    (48, 72, 3)
    """
    flags = given(size=sides(size), method=method, transposer=transposer)
    flags |= given(tileable=tileable, upright=upright)
    if scale is not None:
        flags |= {"scale": scale} if size is not None else {"scale": scale, "size": None}
    if weights is not None:
        check_weights(weights, f"weights {list(weights)}")
        if len(weights) != 1 + len(mix):
            raise UsageError(f"{1 + len(mix)} exemplars have {len(weights)} weights; give one for each")
    maps = {"mask": mask, "guide": guide, "guide_of": guide_of}
    return _texture("expand", exemplar, siblings, maps, flags, options, mix, weights or ())


@same_kind
def tile(
    image: ImageLike,
    *,
    size: Size | None = None,
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
    flags = {"method": method, "size": sides(size)}
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
        self._run = run_settings(options, STYLIZE_RUN_KEYS)
        self._name = options.get("name")
        self._progress = options.get("progress")
        self._style = UserPicture.of(style, "style")
        job = StylizeJob(self._style.input, PIPE, self._style.input, self._settings)
        self._operation = Stylize(self._run, job, model=loaded_model(options))
        prepare(self._operation)

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
        image = UserPicture.of(content, "content", name or self._name)
        vary = bool(name or self._name)
        job = StylizeJob(image.input, PIPE, self._style.input, self._settings, vary=vary)
        job = job if lut is None else with_new_table(job, os.fspath(lut))
        picture, *tables = do_job(self._operation, job, progress or self._progress).files
        write_files(tables, OutputPolicy())
        return image.back(picture.in_memory, self._run)


def make_card(
    styles: Sequence[ImageLike], output: PathLike, *, force: bool = False, **options: Unpack[Options]
) -> str:
    """Measure the pictures of a style once, several as one style, and keep that in a style card.

    styles: at least one. output: a new file, or with `force` any, whose name ends with .card. Of the
    options, model, device, dtype, lenient, threads and the `run` of a preset count. Returns the path. Raises
    InputError, ModelError, OutputError, UsageError.

    >>> import numpy as np, tempfile, texsynth
    >>> painting = np.random.default_rng(0).random((32, 48, 3))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     card = texsynth.make_card([painting], f"{folder}/painter.card")
    ...     texsynth.stylize(np.zeros((40, 40, 3)), card).shape
    (40, 40, 3)
    """
    path = Path(output)
    if path.suffix.lower() != CARD_SUFFIX:
        raise UsageError(f"the card {str(path)!r} needs a name that ends with {CARD_SUFFIX}")
    if not styles:
        raise UsageError("a card needs at least one style; give pictures")
    inputs = [UserPicture.of(style, f"style {number}").input for number, style in enumerate(styles, 1)]
    card, warnings = cards.make_card(inputs, run_settings(options))
    cards.write_card(card, path, force=force)
    for warning in warnings:
        log.warning(warning)
    return str(path)


def load_model(
    name: PathLike | None = None,
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    backend: str | None = None,
    preset: str | None = None,
) -> Model:
    """Load a network once, for many calls.

    name: one that `texsynth models list` shows, or a weight file; "lite" by default. device, dtype, backend:
    see `Options` and `StylizeOptions`. preset: name or file of one whose `run` says what is not given here.
    Raises ModelError, UsageError.

    >>> import texsynth
    >>> texsynth.load_model("lite", device="cpu", dtype="float32").name
    'lite'
    """
    options = given(model=name, device=device, dtype=dtype, backend=backend, preset=preset)
    with usual_torch():
        return resolve_run_and_model(run_settings(cast(Any, options), STYLIZE_RUN_KEYS))[1]


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
    if not sections:
        raise UsageError(f"preset {name!r} has no settings for {command or ' or '.join(kinds)}")
    if chosen not in sections:
        raise UsageError(f"preset {name!r} has settings for {' and '.join(sections)}; ask for one of them")
    return presets.resolve(kinds[chosen], preset, (), {})


def _texture(
    command: Command,
    exemplar: ImageLike,
    siblings: Sequence[ImageLike],
    maps: Mapping[str, ImageLike | None],
    flags: Mapping[str, object],
    options: TextureOptions,
    mix: Sequence[ImageLike] = (),
    weights: Sequence[float] = (),
) -> Any:  # noqa: ANN401 (see SameKind)
    image = UserPicture.of(exemplar, "exemplar", options.get("name"))
    mixed = [UserPicture.of(other, f"exemplar {number}").input for number, other in enumerate(mix, 2)]
    maps_of = [*siblings, *options.get("normals", ())]
    others = [UserPicture.of(other, f"sibling {number}") for number, other in enumerate(maps_of, 1)]
    files = {role: UserPicture.of(values, role).input for role, values in maps.items() if values is not None}
    settings = expand_settings(flags, options, limited=bool(command == "tile" or files or mixed))
    beside, normals = [o.input for o in others[: len(siblings)]], [o.input for o in others[len(siblings) :]]
    exemplars = [image.input, *mixed]
    (task,) = plan_tasks(
        command, exemplars, mixed=bool(mixed), weights=weights if mixed else (), siblings=beside,
        normals=normals, **cast(Any, files),
    )  # fmt: skip
    job = expand_job(task, settings, PIPE)
    run = run_settings(options)
    operation = Expand(run, model=loaded_model(options))
    prepare(operation)
    made = do_job(operation, job, options.get("progress")).files
    pictures = [one.back(file.in_memory, run) for one, file in zip([image, *others], made, strict=True)]
    return pictures if others else pictures[0]
