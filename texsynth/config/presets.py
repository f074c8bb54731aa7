"""Presets: named settings in YAML files, and the order in which defaults, preset, --set and flags apply."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from texsynth.config.map_settings import MapsSettings, TilesetSettings
from texsynth.config.settings import ExpandSettings, Settings, StylizeSettings, TransposerSettings
from texsynth.config.training import (
    RENAMED,
    BorderSettings,
    DecoderSettings,
    DescriptorSettings,
    StylisedSettings,
)
from texsynth.config.validation import nearest, validate
from texsynth.errors import UsageError
from texsynth.paths import is_folder, listing, real, unreadable
from texsynth.strict_yaml import parse

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
}
"""Sections of a preset, one per command, and the settings each is read into."""

MAX_CHAIN = 16
SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class Preset:
    """A preset with all it extends merged in."""

    name: str
    description: str = ""
    sections: Mapping[str, Tree] = field(default_factory=dict)


def package_data(name: str) -> Path:
    """Return the folder `name` of this installation: `texsynth/_name` in a wheel, or beside the package."""
    package = Path(str(files("texsynth")))
    inside = package / f"_{name}"
    return inside if is_folder(inside) else package.parent / name


def names() -> list[str]:
    """Return the names of the presets that come with texsynth."""
    return sorted(path.stem for path in listing(package_data("presets")).files if path.suffix == SUFFIXES[0])


def is_file_name(name: str) -> bool:
    """Return whether a preset of this name is a file, not one of those of texsynth."""
    return name.endswith(SUFFIXES) or "/" in name or "\\" in name


def load(name: str) -> Preset:
    """Return the preset called `name`, or in the file `name`; checked as a whole. Raises UsageError."""
    preset = _merged(_find(name, Path()), ())
    for section, tree in preset.sections.items():
        kind = SECTIONS[section]
        validate(kind, merge(as_tree(kind()), tree), f"preset {preset.name}")
    return preset


def resolve(kind: type[S], preset: Preset | None, sets: Sequence[str], flags: Mapping[Any, Any]) -> S:
    """Return settings of class `kind`: defaults < preset < --set < flags.

    sets: `key.path=value` with a YAML value. flags: nested like a preset. Raises UsageError.
    """
    tree = as_tree(kind())
    if preset:
        section = next(name for name, other in SECTIONS.items() if other is kind)
        tree = merge(tree, preset.sections.get(section, {}))
    # The command line is one layer: a `--set` that a flag makes meaningless is an error, not dropped.
    line: Tree = {}
    for assignment in sets:
        path, sign, text = assignment.partition("=")
        path = path.strip()
        if not sign or "" in path.split("."):
            raise UsageError(f"--set {assignment!r} is not of the form key=value, like --set grain=0.1")
        changes = nested(path, parse(text, source=f"--set {assignment}"))
        line = _deep_update(line, _present_names(kind, changes))
    return validate(kind, merge(tree, _deep_update(line, dict(flags))), "")


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


def _present_names(kind: type[Settings], tree: Tree) -> Tree:
    """Give settings of class `kind` that earlier versions called otherwise their present names."""
    known = kind.model_fields
    names = {old: new for old, new in RENAMED.items() if old in tree and new in known and old not in known}
    for old, new in names.items():
        if new in tree:
            raise UsageError(f"settings {old!r} and {new!r} are the same; leave the first, older name out")
    return {names.get(str(key), key): value for key, value in tree.items()}


def _find(name: str, base: Path) -> Path:
    """Return the file of preset `name`; names of files count from the folder `base`."""
    path = base / name if is_file_name(name) else package_data("presets") / f"{name}.yaml"
    reason = unreadable(path)
    if not reason:
        return path
    if is_file_name(name):
        raise UsageError(f"preset file {path} {reason}")
    raise UsageError(f"unknown preset {name!r}{nearest(name, names())}")


def _merged(path: Path, below: tuple[str, ...]) -> Preset:
    """Read `path` and what it extends; `below` are the files that led here."""
    if real(path) in below:
        chain = " -> ".join(Path(file).stem for file in (*below, str(path)))
        raise UsageError(f"presets extend each other in a circle: {chain}")
    if len(below) >= MAX_CHAIN:
        raise UsageError(f"preset {path.stem} extends more than {MAX_CHAIN} others")
    preset, parent = _read(path)
    if not parent:
        return preset
    base = _merged(_find(parent, path.parent), (*below, real(path)))
    own = {name: merge(base.sections.get(name, {}), tree) for name, tree in preset.sections.items()}
    sections = {**base.sections, **own}
    return Preset(preset.name, preset.description or base.description, sections)


def _read(path: Path) -> tuple[Preset, str]:
    """Return one file as it stands, and the name it extends or ''."""
    source = f"preset {path.stem}"
    try:
        data = parse(path.read_text(encoding="utf-8"), source=source)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"preset file {path} cannot be read: {error}") from None
    data = {} if data is None else data
    if not isinstance(data, dict):
        raise UsageError(f"{source} must be a mapping with the keys {', '.join(SECTIONS)}")
    kinds = {"description": str, "extends": str, **dict.fromkeys(SECTIONS, dict)}
    for key, value in data.items():
        if key not in kinds:
            raise UsageError(f"{source}: unknown key {key!r}{nearest(str(key), kinds)}")
        if not isinstance(value, kinds[key]):
            kind = "a mapping" if key in SECTIONS else "text"
            raise UsageError(f"{source}: {key} must be {kind}, not {value!r}")
    sections = {name: _present_names(kind, data[name]) for name, kind in SECTIONS.items() if name in data}
    return Preset(path.stem, data.get("description", ""), sections), data.get("extends", "")
