"""Presets: named settings in YAML files, and the order in which defaults, preset, --set and flags apply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from texsynth.config.settings import ExpandSettings, Settings, StylizeSettings, TransposerSettings
from texsynth.config.training import RENAMED, DecoderSettings, DescriptorSettings
from texsynth.config.validation import nearest, parse, validate
from texsynth.errors import UsageError

S = TypeVar("S", bound=Settings)

Tree = dict[str | int, Any]
"""Nested settings as YAML holds them."""

SECTIONS: dict[str, type[Settings]] = {
    "stylize": StylizeSettings,
    "expand": ExpandSettings,
    "transposer": TransposerSettings,
    "decoder": DecoderSettings,
    "descriptor": DescriptorSettings,
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


def folder() -> Path:
    """The presets of this installation: inside the wheel, or beside the package in a source checkout."""
    return package_data("presets")


def names() -> list[str]:
    """Names of the presets that come with texsynth."""
    return sorted(path.stem for path in folder().glob("*.yaml"))


def is_file_name(name: str) -> bool:
    """Whether a preset of this name is looked for as a file, not among those of texsynth."""
    return name.endswith(SUFFIXES) or "/" in name or "\\" in name


def load(name: str) -> Preset:
    """The preset called `name`, or in the file `name`; checked as a whole. Raises UsageError."""
    path = _find(name, None)
    preset = _merged(path, ())
    for section, tree in preset.sections.items():
        validate(SECTIONS[section], merge(_defaults(SECTIONS[section]), tree), f"preset {preset.name}")
    return preset


def resolve(kind: type[S], preset: Preset | None, sets: Sequence[str], flags: Mapping[Any, Any]) -> S:
    """Settings of class `kind`: defaults < preset < --set < flags.

    sets: `key.path=value` with a YAML value. flags: nested like a preset. Raises UsageError.
    """
    section = next(name for name, other in SECTIONS.items() if other is kind)
    tree = _defaults(kind)
    if preset:
        tree = merge(tree, preset.sections.get(section, {}))
    # The command line is one layer: a `--set` that a flag makes meaningless is an error, not dropped.
    line: Tree = {}
    for assignment in sets:
        line = _deep_update(line, _present_names(kind, _assigned(assignment)))
    return validate(kind, merge(tree, _deep_update(line, dict(flags.items()))), "")


def merge(below: Tree, above: Tree) -> Tree:
    """`above` over `below`; a transform of another name starts from its own defaults."""
    new, old = above.get("transform"), below.get("transform")
    if (
        isinstance(new, dict)
        and isinstance(old, dict)
        and new.get("name", old.get("name")) != old.get("name")
    ):
        below = {**below, "transform": {}}
    return _deep_update(below, above)


def as_tree(settings: Settings) -> Tree:
    """Settings as plain YAML data."""
    plain = _plain(settings.model_dump())
    assert isinstance(plain, dict)
    return plain


def _defaults(kind: type[Settings]) -> Tree:
    return as_tree(kind())


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


def _assigned(assignment: str) -> Tree:
    """`a.b=1` as {a: {b: 1}}."""
    path, sign, text = assignment.partition("=")
    keys = [int(key) if key.isdecimal() else key for key in path.strip().split(".")]
    if not sign or "" in keys:
        raise UsageError(f"--set {assignment!r} is not of the form key=value, like --set transform.pull=2")
    tree: Any = parse(text, source=f"--set {assignment}")
    for key in reversed(keys):
        tree = {key: tree}
    assert isinstance(tree, dict)
    return tree


def _present_names(kind: type[Settings], tree: Tree) -> Tree:
    """Give settings of class `kind` that earlier versions called otherwise their present names."""
    known = kind.model_fields
    names = {old: new for old, new in RENAMED.items() if old in tree and new in known and old not in known}
    for old, new in names.items():
        if new in tree:
            raise UsageError(f"settings {old!r} and {new!r} are the same; leave the first, older name out")
    return {names.get(str(key), key): value for key, value in tree.items()}


def _find(name: str, base: Path | None) -> Path:
    """The file of preset `name`; file names in `extends:` count from the folder `base`."""
    if is_file_name(name):
        path = (base or Path()) / name
        if not path.is_file():
            raise UsageError(f"preset file {path} does not exist")
        return path
    path = folder() / f"{name}.yaml"
    if not path.is_file():
        raise UsageError(f"unknown preset {name!r}{nearest(name, names())}")
    return path


def _merged(path: Path, below: tuple[Path, ...]) -> Preset:
    """Read `path` and what it extends; `below` are the files that led here."""
    if path.resolve() in below:
        chain = " -> ".join(p.stem for p in (*below, path))
        raise UsageError(f"presets extend each other in a circle: {chain}")
    if len(below) >= MAX_CHAIN:
        raise UsageError(f"preset {path.stem} extends more than {MAX_CHAIN} others")
    preset, parent = _read(path)
    if not parent:
        return preset
    base = _merged(_find(parent, path.parent), (*below, path.resolve()))
    sections = {
        name: merge(base.sections.get(name, {}), preset.sections.get(name, {}))
        for name in {**base.sections, **preset.sections}
    }
    return Preset(preset.name, preset.description or base.description, sections)


def _read(path: Path) -> tuple[Preset, str]:
    """One file as it stands, and the name it extends or ''."""
    source = f"preset {path.stem}"
    try:
        data = parse(path.read_text(encoding="utf-8"), source=source)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"preset file {path} cannot be read: {error}") from None
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise UsageError(f"{source} must be a mapping with the keys {', '.join(SECTIONS)}")
    known = ("description", "extends", *SECTIONS)
    for key, value in data.items():
        if key not in known:
            raise UsageError(f"{source}: unknown key {key!r}{nearest(str(key), known)}")
        wanted = dict if key in SECTIONS else str
        if not isinstance(value, wanted):
            kind = "a mapping" if key in SECTIONS else "text"
            raise UsageError(f"{source}: {key} must be {kind}, not {value!r}")
    sections = {name: _present_names(kind, data[name]) for name, kind in SECTIONS.items() if name in data}
    return Preset(path.stem, data.get("description", ""), sections), data.get("extends", "")


def package_data(name: str) -> Path:
    """The folder `name` of this installation; in a wheel it is `texsynth/_name`."""
    package = Path(str(files("texsynth")))
    inside = package / f"_{name}"
    return inside if inside.is_dir() else package.parent / name
