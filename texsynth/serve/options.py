"""What can be chosen, for the page: commands, presets and settings with ranges and words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from functools import cache
from hashlib import sha256
from typing import Any

import texsynth
from texsynth.config.preset_places import is_built_in
from texsynth.config.preset_texts import section_rows
from texsynth.config.presets import SECTIONS, Preset, Tree, as_tree, keys_of, resolve, sound
from texsynth.config.settings import RunSettings
from texsynth.serve.asking import FORMATS, MOST_SIBLINGS, MOST_STYLES
from texsynth.serve.settled import OF_SERVER

PREVIEW = 384
"""Side in pixels of a preview, if the page does not ask for another."""

_LEVELS = tuple(f"level_strength.{level}" for level in range(1, 6))

_PAINT = (
    "mode", "strength", *_LEVELS, "style_scale", "grain", "preserve_detail", "preserve_light",
    "preserve_color", "edge_aware", "regions", "finish.steps",
)  # fmt: skip

_TEXTURE = ("variety", "orientations", "even_light", "method", "candidates")

PATHS: Mapping[str, tuple[str, ...]] = {
    "stylize": _PAINT,
    "blend": _PAINT,
    "expand": ("scale", "size", "tileable", "upright", *_TEXTURE),
    "tile": ("size", *_TEXTURE),
    "maps": ("depth", "invert", "green", "tileable", "even_light", "reach"),
}
"""The settings of every command that have a control."""

RUN_PATHS = ("seed", "max_side", "format", "quality", "bit_depth", "strip")
"""The settings of a run that the page chooses, or that a preview does not show."""

USUAL: Mapping[str, str | None] = {
    "stylize": "artistic", "blend": "artistic", "expand": "balanced", "tile": "balanced", "maps": None,
}  # fmt: skip
"""The preset that is what a command does without one."""

ENDS: Mapping[str, tuple[float, float]] = {
    "scale": (0.25, 8), "finish.steps": (0, 100), "candidates": (1, 12), "depth": (0.005, 0.2),
    "reach": (0.01, 0.3),
}  # fmt: skip
"""Ends of a slider, where those of the setting are far or open."""

STEPS: Mapping[str, float] = {"scale": 0.25, "depth": 0.005, "reach": 0.01}


def options(run: RunSettings, device: str, upload: int) -> dict[str, Any]:
    """Return what the page needs. run: that of the server. upload: bytes that a file may have."""
    presets = sound()
    return {
        "version": texsynth.__version__,
        "model": run.model,
        "device": device,
        "preview": PREVIEW,
        "limits": {"upload": upload, "styles": MOST_STYLES, "siblings": MOST_SIBLINGS},
        "formats": list(FORMATS),
        "commands": {command: _command(command, presets) for command in PATHS},
    }


def _command(command: str, presets: Mapping[str, Preset]) -> dict[str, Any]:
    section = {"blend": "stylize", "tile": "expand"}.get(command, command)
    fits = [preset for preset in presets.values() if section in preset.sections and _is_open(preset)]
    return {
        "default": USUAL[command],
        "presets": [_preset(preset, section, PATHS[command]) for preset in fits],
        "settings": [dict(_setting(section, path)) for path in PATHS[command]],
    }


def _is_open(preset: Preset) -> bool:
    """Tell whether a preset leaves the model and the machine to the server."""
    return not set(preset.sections.get("run", {})) & set(OF_SERVER)


def _preset(preset: Preset, section: str, paths: tuple[str, ...]) -> dict[str, Any]:
    tree = as_tree(resolve(SECTIONS[section], preset, [], {}))
    run = dict(preset.sections.get("run", {}))
    return {
        "name": preset.name,
        "description": preset.description,
        "own": not is_built_in(preset.files[0].path),
        "settings": {path: value_at(tree, path) for path in paths},
        "max_side": run.get("max_side"),
        "rest": _digest(_without(tree, paths), _without(run, RUN_PATHS), preset.sections.get("blend", {})),
    }


def _without(tree: Tree, paths: Iterable[str]) -> Tree:
    """Return a tree without the settings at some paths."""
    rest = deepcopy(tree)
    for path in paths:
        *above, last = keys_of(path)
        part: Any = rest
        for key in above:
            part = part.get(key, {})
        part.pop(last, None)
    return rest


def _digest(*trees: Tree) -> str:
    """Return a short text that is the same for the same settings."""
    text = json.dumps(trees, sort_keys=True, default=str)
    return sha256(text.encode()).hexdigest()[:16]


def value_at(tree: Tree, path: str) -> Any:  # noqa: ANN401 (any setting)
    """Return the value of a setting; the strength of a level that is not named is 1."""
    value: Any = tree
    for key in keys_of(path):
        value = value.get(key, 1.0 if path in _LEVELS else None)
    return value


@cache
def _setting(section: str, path: str) -> tuple[tuple[str, Any], ...]:
    kind = SECTIONS[section]
    schema = kind.model_json_schema()
    part = _schema_at(schema, path)
    row = section_rows(section).get("level_strength" if path in _LEVELS else path)
    default = value_at(as_tree(kind()), path)
    fields = {
        "path": path,
        "type": "number",
        "default": default,
        "minimum": None,
        "maximum": None,
        "step": STEPS.get(path),
        "choices": None,
        "help": row.text if row else "",
        "group": "levels" if path in _LEVELS else None,
        **_form(schema, part),
    }
    if path in ENDS:
        fields["minimum"], fields["maximum"] = ENDS[path]
    return tuple(fields.items())


def _schema_at(root: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    part: Mapping[str, Any] = root
    for key in path.split("."):
        part = _resolved(root, part)
        if key.isdecimal():
            part = next(
                iter(part.get("patternProperties", {}).values()), part.get("additionalProperties", {})
            )
        else:
            part = part["properties"][key]
    return _resolved(root, part)


def _resolved(root: Mapping[str, Any], part: Mapping[str, Any]) -> Mapping[str, Any]:
    name = part.get("$ref")
    return {**part, **root["$defs"][name.rsplit("/", 1)[1]]} if name else part


def _form(root: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    """Return the type of a control, its ends and its choices."""
    kinds = [_resolved(root, kind) for kind in (*part.get("anyOf", ()), *part.get("oneOf", ()))] or [part]
    form: dict[str, Any] = {}
    choices: list[Any] = []
    for kind in kinds:
        if kind.get("type") == "array":
            return {"type": "size"}
        if kind.get("type") == "null":
            choices.insert(0, None)
        elif "enum" in kind:
            choices += kind["enum"]
        elif kind.get("type") == "boolean":
            choices += [True, False]
        else:
            form = {"type": kind.get("type", "number"), **dict(_ends(kind))}
    if choices == [True, False]:
        return {"type": "boolean"}
    return {**form, "type": "choice", "choices": choices} if choices else form


def _ends(kind: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, others in (
        ("minimum", ("minimum", "exclusiveMinimum")),
        ("maximum", ("maximum", "exclusiveMaximum")),
    ):
        for other in others:
            if other in kind:
                yield name, kind[other]
