"""A request as a command line, and as a preset."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from texsynth.config.preset_places import SUFFIXES, user_folders
from texsynth.config.presets import SECTIONS, Tree, merge, nested, present_names
from texsynth.config.settings import RunSettings
from texsynth.config.shared_settings import REST
from texsynth.errors import OutputError, UsageError
from texsynth.images.files import store
from texsynth.paths import why
from texsynth.serve.asking import Asked
from texsynth.serve.names import RESERVED
from texsynth.serve.settled import as_yaml, settle, usable_preset
from texsynth.strict_yaml import dump, parse

NAME = re.compile(r"\w[\w.-]{0,63}")

FLAGS: Mapping[str, Mapping[str, str]] = {
    "stylize": {
        name: f"--{name.replace('_', '-')}"
        for name in ("strength", "grain", "preserve_detail", "preserve_light", "style_scale", "regions")
    },
    "blend": {"strength": "--strength"},
    "expand": {
        name: f"--{name.replace('_', '-')}" for name in ("method", "orientations", "variety", "even_light")
    },
    "tile": {
        name: f"--{name.replace('_', '-')}" for name in ("method", "orientations", "variety", "even_light")
    },
    "maps": {"depth": "--depth", "green": "--green"},
}
"""Settings with an option that takes their value."""

SWITCHES: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "stylize": {"preserve_color": ("--preserve-color", "--no-preserve-color")},
    "blend": {"preserve_color": ("--preserve-color", "--no-preserve-color")},
    "expand": {"tileable": ("--tileable", "--no-tileable"), "upright": ("--upright", "--no-upright")},
    "tile": {},
    "maps": {"tileable": ("--tileable", "--no-tileable"), "invert": ("--invert", "--no-invert")},
}
"""Settings with a pair of flags: for true, and for false."""


def command_line(asked: Asked, base: RunSettings, names: Mapping[str, str]) -> list[str]:
    """Return the words of the command that makes what a request asks for. names: of the files, by id.

    Raises UsageError.
    """
    settle(asked, base)
    words = ["texsynth", asked.command, names[asked.picture]]
    if asked.command == "stylize":
        words.append(names[asked.styles[0].picture])
    masked = any(style.mask for style in asked.styles)
    for style in asked.styles if asked.command == "blend" else ():
        # Without an exponent, which a style on the command line has not.
        weight = f":{format(Decimal(repr(style.weight)), 'f')}" if style.weight != 1 else ""
        words += ["--style", names[style.picture] + weight]
        if masked:
            words += ["--mask", _as_file(names[style.mask]) if style.mask else REST]
    for option, one in (("--hole", asked.hole), ("--mask", asked.mask)):
        words += [option, names[one]] if one else []
    for sibling in asked.siblings:
        words += ["--with", names[sibling]]
    if asked.preset is not None:
        words += ["--preset", asked.preset]
    for path, value in asked.changes.items():
        words += _change(asked, path, value)
    run = asked.run
    words += ["--seed", str(run.seed)] if run.seed is not None else []
    words += ["--max-side", str(run.max_side)] if run.max_side is not None else []
    words += ["--format", run.format] if run.format is not None else []
    return [*words, *_of_server(asked, base)]


def _as_file(name: str) -> str:
    """Return what names a file to an option that takes `rest`, too."""
    return f"./{name}" if name == REST else name


def _change(asked: Asked, path: str, value: Any) -> list[str]:  # noqa: ANN401 (JSON)
    command = asked.command
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if path in FLAGS[command] and (is_number or isinstance(value, str)):
        return [FLAGS[command][path], value if isinstance(value, str) else json.dumps(value)]
    if path in SWITCHES[command] and isinstance(value, bool):
        return [SWITCHES[command][path][not value]]
    # Without a preset --photo would be the preset of that name.
    if path == "mode" and value in ("photo", "artistic") and asked.preset is not None:
        return [f"--{value}"]
    if path == "size" and isinstance(value, list | tuple) and len(value) == 2:
        return ["--size", f"{value[0]}x{value[1]}"]
    level = re.fullmatch(r"level_strength\.([1-5])", path)
    if command == "stylize" and level and is_number:
        return ["--level-strength", f"{level[1]}={json.dumps(value)}"]
    return ["--set", f"{path}={as_yaml(path, value)}"]


def _of_server(asked: Asked, base: RunSettings) -> list[str]:
    """Return the options with which the server was started, as far as they change results."""
    usual = RunSettings()
    names = ("model", "device", "dtype") if asked.command != "maps" else ()
    words = []
    for name in (*names, "threads"):
        if (value := getattr(base, name)) != getattr(usual, name):
            words += [f"--{name}", str(value)]
    return [*words, *(["--lenient"] if base.lenient else [])]


def shell_line(words: list[str]) -> str:
    """Return words as a line for a shell."""
    return shlex.join(words)


def preset_yaml(name: str, asked: Asked, base: RunSettings) -> str:
    """Return the look of a request as a preset, which extends the request's. Raises UsageError."""
    if not NAME.fullmatch(name) or name.endswith(SUFFIXES) or RESERVED.fullmatch(name):
        raise UsageError(
            f"a preset cannot be called {name!r}; use letters, digits, dashes and dots, no suffix, "
            f"and no name of a device"
        )
    settle(asked, base)
    preset = usable_preset(asked)
    tree: Tree = {}
    for path, value in asked.changes.items():
        read = parse(as_yaml(path, value), source=path)
        tree = merge(tree, present_names(SECTIONS[asked.section], nested(path, read)))
    run = {key: value for key, value in asked.run.model_dump().items() if value is not None}
    data: Tree = {"description": f"Made from {preset.name} on the page" if preset else "Made on the page"}
    if preset:
        data["extends"] = preset.name
    data[asked.section] = tree
    if run:
        data["run"] = run
    return dump(data)


def save_preset(name: str, text: str) -> Path:
    """Put a preset into the user's folder. Raises OutputExistsError for a name that is taken, OutputError."""
    folder = user_folders()[0]
    path = folder / f"{name}{SUFFIXES[0]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {folder} cannot be made: {why(error)}") from None
    store(text.encode(), path)
    return path
