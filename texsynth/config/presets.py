"""Presets: named settings in YAML files, and the order in which defaults, preset, --set and flags apply."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from texsynth.config.map_settings import MapsSettings, TilesetSettings
from texsynth.config.preset_places import find, is_built_in, names
from texsynth.config.settings import ExpandSettings, Settings, StylizeSettings
from texsynth.config.shared_settings import BlendPreset, RunPreset, with_paths
from texsynth.config.training import (
    RENAMED,
    BorderSettings,
    DecoderSettings,
    DescriptorSettings,
    StylisedSettings,
    TransposerSettings,
)
from texsynth.config.validation import nearest, validate
from texsynth.errors import UsageError
from texsynth.paths import real
from texsynth.strict_yaml import Keys, parse

S = TypeVar("S", bound=Settings)

Tree = dict[str | int, Any]  # Nested settings as YAML holds them

SECTIONS: dict[str, type[Settings]] = {
    "stylize": StylizeSettings,
    "expand": ExpandSettings,
    "maps": MapsSettings,
    "tileset": TilesetSettings,
    "transposer": TransposerSettings,
    "decoder": DecoderSettings,
    "cascade": StylisedSettings,
    "descriptor": DescriptorSettings,
    "borders": BorderSettings,
    "blend": BlendPreset,
    "run": RunPreset,
}
"""Sections of a preset, and the settings each is read into: one per command, and `run` for several."""

MAX_CHAIN = 16


@dataclass(frozen=True)
class PresetFile:
    """One file as it stands."""

    path: Path
    description: str = ""
    extends: str = ""
    sections: Mapping[str, Tree] = field(default_factory=dict)
    lines: Mapping[Keys, int] = field(default_factory=dict)
    """Where its keys are, by the keys that lead there."""

    @property
    def place(self) -> str:
        """Where it comes from, for messages and lists."""
        return "built in" if is_built_in(self.path) else str(self.path)

    def at(self, *keys: str | int) -> str:
        """Name the preset and the line of a key, or of what it stands in."""
        line = next((self.lines[keys[:n]] for n in range(len(keys), 0, -1) if keys[:n] in self.lines), None)
        return f"preset {self.path.stem} ({self.place}{f', line {line}' if line else ''})"


@dataclass(frozen=True)
class Preset:
    """A preset with all it extends merged in."""

    name: str
    description: str = ""
    sections: Mapping[str, Tree] = field(default_factory=dict)
    files: tuple[PresetFile, ...] = ()
    """Its own file, then what that extends, and so on."""

    def origin(self, *keys: str | int) -> PresetFile:
        """Return the file that sets what is at these keys, or what they stand in."""
        for count in range(len(keys), 0, -1):
            for file in self.files:
                if keys[:count] in file.lines:
                    return file
        return self.files[0]

    def at(self, section: str, path: Keys = ()) -> str:
        """Say in which file and line a setting of a section is set."""
        keys = (section, *path)
        file = self.origin(*keys)
        return file.at(*keys) + ("" if file is self.files[0] else f", which {self.name} extends")


def load(name: str) -> Preset:
    """Return the preset called `name`, or in the file `name`; checked as a whole. Raises UsageError."""
    chain = _chain(find(name))
    sections: dict[str, Tree] = {}
    for file in reversed(chain):
        for section, tree in file.sections.items():
            sections[section] = merge(sections.get(section, {}), tree)
    description = next((file.description for file in chain if file.description), "")
    preset = Preset(chain[0].path.stem, description, sections, chain)
    for section, tree in sections.items():
        kind = SECTIONS[section]
        validate(kind, merge(as_tree(kind()), tree), partial(preset.at, section))
    return preset


BESIDE = ("run", "blend")
"""Sections that say nothing about the look; a preset may have one of them and no other."""


def usable(preset: Preset, section: str, beside: Sequence[str] = ()) -> bool:
    """Return whether a preset says something for a command that takes `section`, and those in `beside`."""
    own = set(preset.sections)
    return section in own or bool(own & set(beside) and own <= set(BESIDE))


def fitting(section: str, beside: Sequence[str] = ()) -> list[str]:
    """Return the names of the presets that are `usable`, those that cannot be read left out."""
    return [name for name, preset in sound().items() if usable(preset, section, beside)]


def check_usable(preset: Preset, section: str, beside: Sequence[str] = ()) -> None:
    """Raise UsageError for a preset that says nothing for a command, or whose `run` would be lost."""
    if not usable(preset, section, beside):
        choice = ", ".join(fitting(section))
        raise UsageError(f"preset {preset.name!r} has no settings for {section}; use one of {choice}")
    if "run" in preset.sections and "run" not in beside:
        raise UsageError(
            f"{preset.at('run')} has settings of a run, which are options of this command; leave it out"
        )


def sound() -> dict[str, Preset]:
    """Return all presets that can be read, by name."""
    presets = {}
    for name in names():
        with suppress(UsageError):
            presets[name] = load(name)
    return presets


def resolve(kind: type[S], preset: Preset | None, sets: Sequence[str], flags: Mapping[Any, Any]) -> S:
    """Return settings of class `kind`: defaults < preset < --set < flags.

    sets: `key.path=value` with a YAML value. flags: nested like a preset. Raises UsageError.
    """
    tree = as_tree(kind())
    if preset:
        tree = merge(tree, preset.sections.get(section_of(kind), {}))
    # The command line is one layer: a `--set` that a flag makes meaningless is an error, not dropped.
    line: Tree = {}
    for assignment in sets:
        path, sign, text = assignment.partition("=")
        path = path.strip()
        if not sign or "" in path.split("."):
            raise UsageError(f"--set {assignment!r} is not of the form key=value, like --set grain=0.1")
        changes = nested(path, parse(text, source=f"--set {assignment}"))
        line = _deep_update(line, present_names(kind, changes))
    return validate(kind, merge(tree, _deep_update(line, present_names(kind, dict(flags)))), "")


def section_of(kind: type[Settings]) -> str:
    """Return the section that is read into settings of class `kind`."""
    return next(name for name, other in SECTIONS.items() if other is kind)


def merge(below: Tree, above: Tree) -> Tree:
    """Return `above` over `below`; a transform of another name starts from its own defaults."""
    new, old = above.get("transform"), below.get("transform")
    if isinstance(new, dict) and isinstance(old, dict) and new.get("name") not in (None, old.get("name")):
        below = {**below, "transform": {}}
    return _deep_update(below, above)


def as_tree(settings: Settings) -> Tree:
    """Return settings as plain YAML data."""
    return {key: _plain(value) for key, value in settings.model_dump().items()}


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _deep_update(below: Tree, above: Tree) -> Tree:
    out = dict(below)
    for key, value in above.items():
        old = out.get(key)
        out[key] = _deep_update(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return out


def keys_of(path: str) -> list[str | int]:
    """Return the keys in `a.b.3`; those that are short numbers are numbers."""
    return [int(key) if re.fullmatch("[0-9]{1,9}", key) else key for key in path.split(".")]


def nested(path: str, value: object) -> Tree:
    """Return the settings that have `value` at `path`, like {a: {b: value}} for `a.b`."""
    *outer, last = keys_of(path)
    tree: Tree = {last: value}
    for key in reversed(outer):
        tree = {key: tree}
    return tree


def present_names(kind: type[Settings], tree: Tree) -> Tree:
    """Give settings of class `kind` their names: earlier versions had others, and colour is color, too."""
    known = kind.model_fields
    others = {key: key.replace("colour", "color") for key in tree if isinstance(key, str) and "colour" in key}
    others = {**RENAMED, **others}
    names = {old: new for old, new in others.items() if old in tree and new in known and old not in known}
    for old, new in names.items():
        if new in tree:
            raise UsageError(f"settings {old!r} and {new!r} are the same; leave the first out")
    return {names.get(str(key), key): value for key, value in tree.items()}


def _chain(path: Path) -> tuple[PresetFile, ...]:
    """Read `path` and what it extends."""
    chain: list[PresetFile] = []
    while True:
        if real(path) in [real(file.path) for file in chain]:
            circle = " -> ".join([*(file.path.stem for file in chain), path.stem])
            raise UsageError(f"{chain[-1].at('extends')}: presets extend each other in a circle: {circle}")
        if len(chain) >= MAX_CHAIN:
            raise UsageError(f"{chain[0].at('extends')}: it extends more than {MAX_CHAIN} others in a row")
        chain.append(_read(path))
        if not chain[-1].extends:
            return tuple(chain)
        try:
            path = find(chain[-1].extends, chain[-1].path)
        except UsageError as error:
            raise UsageError(f"{chain[-1].at('extends')}: {error}") from None


def _read(path: Path) -> PresetFile:
    """Return one file as it stands."""
    lines: dict[Keys, int] = {}
    source = PresetFile(path).at()
    try:
        data = parse(path.read_text(encoding="utf-8-sig"), source=source, lines=lines)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"preset file {path} cannot be read: {error}") from None
    data = {} if data is None else data
    if not isinstance(data, dict):
        raise UsageError(f"{source} must be a mapping with the keys {', '.join(SECTIONS)}")
    kinds = {"description": str, "extends": str, **dict.fromkeys(SECTIONS, dict)}
    for key, value in data.items():
        where = PresetFile(path, lines=lines).at(key)
        if key not in kinds:
            raise UsageError(f"{where}: unknown key {key!r}{nearest(str(key), kinds)}")
        if key in SECTIONS and value is None:
            data[key] = {}  # Every setting of it is commented out
        elif not isinstance(value, kinds[key]):
            kind = "a mapping" if key in SECTIONS else "text"
            raise UsageError(f"{where}: {key} must be {kind}, not {value!r}")
    sections = {
        name: with_paths(name, present_names(kind, data[name]), path.parent)
        for name, kind in SECTIONS.items()
        if name in data
    }
    for keys, line in list(lines.items()):
        # A key of an older name, or spelt otherwise, counts as that of today.
        if len(keys) > 1 and keys[0] in SECTIONS and keys[1] not in sections[str(keys[0])]:
            lines[(keys[0], *present_names(SECTIONS[str(keys[0])], {keys[1]: None}), *keys[2:])] = line
    return PresetFile(path, data.get("description", ""), data.get("extends", ""), sections, lines)
