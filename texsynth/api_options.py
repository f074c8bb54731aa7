"""Keyword arguments of the functions in `texsynth.api`, and the settings that they become."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, Protocol, TypedDict, TypeVar, cast, overload

import numpy as np
import torch
from PIL import Image

from texsynth.config import presets
from texsynth.config.expand_rules import with_preset_method
from texsynth.config.settings import ExpandSettings, RunSettings, Settings, StylizeSettings
from texsynth.config.validation import validate
from texsynth.errors import UsageError
from texsynth.images.tensors import InMemory
from texsynth.models.registry import Model
from texsynth.pipelines.progress import OnStep

PathLike = str | os.PathLike[str]

ImageLike = PathLike | InMemory  # A picture as it goes in

Size = int | Sequence[int]  # Width and height in pixels; one number is a square

Kind = TypeVar("Kind", Image.Image, np.ndarray[Any, Any], torch.Tensor)
P = ParamSpec("P")
S = TypeVar("S", bound=Settings)


class SameKind(Protocol[P]):
    """A function whose result is a picture of the kind that it got."""

    @overload
    def __call__(self, image: PathLike, /, *args: P.args, **options: P.kwargs) -> Image.Image: ...
    @overload
    def __call__(self, image: Kind, /, *args: P.args, **options: P.kwargs) -> Kind: ...


def same_kind(function: Callable[Concatenate[ImageLike, P], Any]) -> SameKind[P]:
    """Tell type checkers that the result of `function` is of the kind of its first argument."""
    return cast(SameKind[P], function)


class Options(TypedDict, total=False):
    """Keyword arguments that all functions on pictures take."""

    preset: str
    """Name or file of a preset that the settings start from; so do arguments like `seed`, from its `run`."""
    settings: Settings  # Settings to start from instead: ExpandSettings, or StylizeSettings
    changes: Mapping[str, object]  # Any settings by their path, like `{"patch.iterations": [4, 2]}`
    seed: int
    """0 to 2^63 - 1, decides all random numbers; in expansions together with the name. Default: 0."""
    name: str
    """The name of a picture in memory, or another name for that of a file; expansions have "image".

    Stylizations have none, and one that is given is mixed into the seed."""
    model: str | Model
    """Name or file of a network, or what `load_model` gave, which is not loaded again. Default: "lite"."""
    device: str | torch.device  # auto, cpu, cuda, cuda:N or mps. Default: auto.
    dtype: str | torch.dtype  # auto, float32, bfloat16 or float16. Default: auto.
    lenient: bool  # Read what is left of damaged files, with a warning
    strip: bool  # Let PIL images that come out say nothing of what their inputs say beside their pixels
    threads: int  # CPU threads of torch for the whole process. Default: they are left as they are.
    progress: OnStep  # Called with a `Step(stage, done, total)` again and again


class TextureOptions(Options, total=False):
    """Keyword arguments of what is made of a texture and its maps."""

    normals: Sequence["ImageLike"]
    """Further siblings, which are normal maps though neither values nor names show it; results come last."""
    even_light: str | float
    """Take slow changes of light out first: auto, off, or a share from 0 to 1. Default: auto."""
    orientations: str
    """Turns and mirror images of pieces: auto, as the texture allows, none, mirror or all. Default: auto."""
    variety: float  # 0 to 1: how hard copies are kept apart, above all of what stands out. Default: 0.5.


class StylizeOptions(Options, total=False):
    """Keyword arguments of a stylization."""

    photo: bool  # Keep contours as in a photograph; False: paint
    transform: str  # ift, wct, ot, adain or optimize
    strength: float  # 0 keeps the content, 1 applies the whole style
    preserve_color: bool  # Keep the content's colours
    grain: float  # 0 to 1: noise that becomes strokes in flat areas
    preserve_detail: float  # 0 to 1: small faces and lettering stay readable
    preserve_light: float  # 0 to 1: dark things stay dark and light ones light
    style_scale: float  # 0.25 to 8: size of strokes over the style's
    regions: str  # auto: match regions that content and style share, like sky and ground; or off
    max_side: int  # Reduce larger contents to this longer side in pixels
    backend: str  # What computes the networks of paintings: torch, or openvino on CPUs. Default: torch.


RUN_KEYS = frozenset(
    {"model", "seed", "device", "dtype", "threads", "lenient", "strip", "max_pixels", "frame"}
)
"""What a preset may say about a run; the other keys are about files, or about stylizations."""

STYLIZE_RUN_KEYS = RUN_KEYS | {"max_side", "backend", "compiled", "memory_limit", "tile"}


def preset_of(options: Options) -> presets.Preset | None:
    """Return the preset that is asked for, if one is. Raises UsageError."""
    name, start = options.get("preset"), options.get("settings")
    if start is not None and name is not None:
        raise UsageError("settings and preset are both given; change the settings of the preset instead")
    # photo=True alone is the preset of that name: what paints would tear a photograph's contours.
    name = name or ("photo" if options.get("photo") and start is None else None)
    return None if name is None else presets.load(os.fspath(name))


def resolve_settings(
    kind: type[S],
    flags: Mapping[Any, object],
    options: Options,
    known: frozenset[str] = Options.__optional_keys__,
    beside: Sequence[str] = ("run",),
) -> S:
    """Return the settings: a preset or given ones < changes < arguments. Raises UsageError, TypeError.

    beside: further sections of a preset that the function takes.
    """
    if unknown := set(options) - known:
        raise TypeError(f"unexpected keyword argument {min(unknown)!r}")
    start, preset = options.get("settings"), preset_of(options)
    if start is not None and not isinstance(start, kind):
        raise UsageError(f"settings are {type(start).__name__}, but must be {kind.__name__}")
    if preset:
        presets.check_usable(preset, presets.section_of(kind), beside)
    tree = presets.as_tree(start or presets.resolve(kind, preset, (), {}))
    for path, value in options.get("changes", {}).items():
        tree = presets.merge(tree, presets.present_names(kind, presets.nested(path, value)))
    return validate(kind, presets.merge(tree, dict(flags)), "")


def expand_settings(flags: Mapping[str, object], options: TextureOptions, *, limited: bool) -> ExpandSettings:
    """Return the settings of an expansion; see `with_preset_method`. Raises UsageError, TypeError."""
    keys = ("even_light", "orientations", "variety")
    own = {key: options[key] for key in keys if key in options}  # type: ignore[literal-required]
    settings = resolve_settings(ExpandSettings, {**flags, **own}, options, TextureOptions.__optional_keys__)
    if options.get("preset") is None or "method" in flags or "method" in options.get("changes", {}):
        return settings
    return with_preset_method(settings, limited=limited)


def run_settings(options: Options, keys: frozenset[str] = RUN_KEYS) -> RunSettings:
    """Return what a run needs besides the look: what a preset says < arguments. Raises UsageError.

    keys: those that count. A loaded model decides about itself.
    """
    preset, model = preset_of(options), options.get("model")
    values = dict(preset.sections.get("run", {})) if preset else {}
    values |= {key: _plain(value) for key, value in options.items() if key != "model"}
    if isinstance(model, Model):
        if (asked := options.get("backend", model.backend)) != model.backend:
            raise UsageError(
                f"backend is {asked!r}, but the model is loaded for {model.backend}; "
                f"use load_model(..., backend={asked!r})"
            )
        values["backend"] = model.backend
    elif model is not None:
        values["model"] = os.fspath(model)
    return validate(RunSettings, {key: value for key, value in values.items() if key in keys}, "")


def loaded_model(options: Options) -> Model | None:
    """Return the model that is loaded already, if it is given."""
    model = options.get("model")
    return model if isinstance(model, Model) else None


def stylize_settings(options: StylizeOptions, beside: Sequence[str] = ("run",)) -> StylizeSettings:
    """Return the settings of a stylization; see `resolve_settings`. Raises UsageError, TypeError."""
    photo, transform = options.get("photo"), options.get("transform")
    flags = given(
        mode=None if photo is None else "photo" if photo else "artistic",
        transform=None if transform is None else {"name": transform},
        strength=options.get("strength"),
        preserve_color=options.get("preserve_color"),
        grain=options.get("grain"),
        preserve_detail=options.get("preserve_detail"),
        preserve_light=options.get("preserve_light"),
        style_scale=options.get("style_scale"),
        regions=options.get("regions"),
    )
    return resolve_settings(StylizeSettings, flags, options, StylizeOptions.__optional_keys__, beside)


def given(**values: object) -> dict[str, object]:
    """Return the `values` that are not None, as settings hold them."""
    return {key: _plain(value) for key, value in values.items() if value is not None}


def sides(size: Size | None) -> list[object] | None:
    """Return the width and height that are asked for."""
    if size is None:
        return None
    return [_plain(side) for side in ([size, size] if np.ndim(size) == 0 else size)]  # type: ignore[union-attr]


def _plain(value: object) -> object:
    """Return numbers of numpy, and devices and dtypes of torch, as settings hold them."""
    if isinstance(value, torch.device | torch.dtype):
        return str(value).removeprefix("torch.")
    return value.item() if isinstance(value, np.generic) else value
