"""The methods that are compared, by name: baselines, presets, and methods or transforms with settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from texsynth.config import presets
from texsynth.config import settings as config
from texsynth.config.preset_places import built_in
from texsynth.config.settings import ExpandSettings, StylizeSettings
from texsynth.config.validation import nearest
from texsynth.errors import UsageError

PRESET, PHOTO, AT = "preset:", "photo:", "@"
"""Marks before the name of a preset, a transform in photo mode, and the model of a single method."""

BASELINES = {
    "expand": {
        "tile": "the exemplar again and again",
        "mirror": "the exemplar and its mirror image in turn",
        "quilting": "image quilting (Efros and Freeman 2001) with blocks of 0.28 of the shorter side",
        "seamless": "the exemplar, made seamless by texsynth tile, again and again",
    },
    "stylize": {
        "content": "the content as it is",
        "colour": "the content with the mean and covariance of the style's RGB values",
    },
}
"""By command: what needs no settings, and a sentence for the page."""

EXPAND_METHODS: tuple[str, ...] = get_args(config.Method)

TRANSFORMS = ("ift", "wct", "ot", "adain")  # Transforms for both modes; `optimize` only paints


@dataclass(frozen=True)
class Method:
    """A baseline, or a command with settings; its network where methods may have different ones."""

    name: str
    description: str
    settings: ExpandSettings | StylizeSettings | None = None
    model: str | None = None


def presets_for(section: str) -> list[str]:
    """Names of the presets of texsynth with settings for the command `section`."""
    known = presets.fitting(section)
    return [name for name in built_in() if name in known]


def default_names(command: str) -> list[str]:
    """Baselines of a command, its methods where there are any, and the presets that have settings for it."""
    own = EXPAND_METHODS if command == "expand" else ()
    return [*BASELINES[command], *own, *(f"{PRESET}{name}" for name in presets_for(command))]


def expand_methods(names: Sequence[str], sets: Sequence[str], size: ExpandSettings) -> list[Method]:
    """The methods called `names`, each once; all of `default_names` when empty.

    sets: settings of all but the baselines, as in `presets.resolve`. size: whose size, scale and tileable
    all have, whatever a preset says. Raises UsageError.
    """
    flags = {key: presets.as_tree(size)[key] for key in ("size", "scale", "tileable")}
    return [_expand_method(name, sets, flags) for name in dict.fromkeys(names or default_names("expand"))]


def _expand_method(name: str, sets: Sequence[str], flags: Mapping[Any, Any]) -> Method:
    if name in BASELINES["expand"]:
        return Method(name, BASELINES["expand"][name])
    preset = None
    if name.startswith(PRESET):
        preset = presets.load(name.removeprefix(PRESET))
    elif name in EXPAND_METHODS:
        flags = {**flags, "method": name}
    else:
        raise UsageError(f"unknown method {name!r}{nearest(name, default_names('expand'))}")
    settings = presets.resolve(ExpandSettings, preset, sets, flags)
    return Method(name, f"texsynth expand, method {settings.method}", settings)


def stylize_methods(names: Sequence[str], sets: Sequence[str], models: Sequence[str]) -> list[Method]:
    """The methods called `names`, each once; all of `default_names` when empty.

    A name may end with @MODEL; the others are tried with each of `models`, at least one, and named after it
    when there are several. sets: settings of all but the baselines, as in `presets.resolve`. Raises
    UsageError.
    """
    parts = [name.partition(AT) for name in names or default_names("stylize")]
    used = [*models, *(model for _, sign, model in parts if sign)]
    methods: dict[str, Method] = {}
    for base, sign, model in parts:
        name = f"{base}{sign}{model}"
        if sign and not model:
            raise UsageError(f"method {name!r} names no model after {AT}; write it like {base}{AT}lite")
        if base in BASELINES["stylize"]:
            if sign:
                raise UsageError(f"method {name!r}: {base} uses no model; leave out {AT}{model}")
            methods.setdefault(base, Method(base, BASELINES["stylize"][base]))
            continue
        settings = _stylize_settings(base, sets)
        for each in [model] if sign else models:
            # A weight file goes without folder and ending, unless another model would be called the same.
            others = {Path(other).stem for other in used if other != each}
            label = each if Path(each).stem in others else Path(each).stem
            full = f"{base}{AT}{label}" if sign or len(models) > 1 else base
            sentence = f"texsynth stylize, {settings.mode}, {settings.transform.name}, model {each}"
            methods.setdefault(full, Method(full, sentence, settings, each))
    return list(methods.values())


def _stylize_settings(name: str, sets: Sequence[str]) -> StylizeSettings:
    if name.startswith(PRESET):
        title = name.removeprefix(PRESET)
        preset = presets.load(title)
        if "stylize" not in preset.sections:
            hint = nearest(title, presets_for("stylize"))
            raise UsageError(f"preset {title!r} has no settings for stylize{hint}")
        return presets.resolve(StylizeSettings, preset, sets, {})
    transform = name.removeprefix(PHOTO)
    if transform not in (*TRANSFORMS, "optimize"):
        known = [*default_names("stylize"), *TRANSFORMS, "optimize", *(PHOTO + t for t in TRANSFORMS)]
        raise UsageError(f"unknown method {name!r}{nearest(name, known)}")
    mode = {"mode": "photo"} if name.startswith(PHOTO) else {}
    return presets.resolve(StylizeSettings, None, sets, {**mode, "transform": {"name": transform}})
