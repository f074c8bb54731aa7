"""Presets as text: what one sets and where, and a new one to begin with."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import wrap
from typing import Any

from texsynth.config.preset_places import is_file_name
from texsynth.config.preset_schema import LANGUAGE_SERVER
from texsynth.config.preset_texts import Row, section_rows
from texsynth.config.presets import SECTIONS, Preset, PresetFile, Tree, as_tree, load, merge, resolve
from texsynth.paths import real
from texsynth.strict_yaml import inline

SCHEMA = "preset.schema.json"
"""Name of the file beside new presets by which editors know the settings."""

WIDTH = 100  # Letters of a line of a new preset, or a few more

WIDEST = 40  # Column at which remarks begin, unless a value is longer

Line = tuple[str, tuple[str | int, ...] | None]


def preset_text(preset: Preset, *, complete: bool) -> str:
    """Return a preset as YAML that can be used as one, with a remark where each setting comes from.

    complete: with the defaults of all that it does not set.
    """
    first, *rest = preset.files
    lines: list[Line] = [(f"# {preset.name}: {first.place}", None)]
    lines += [(f"# extends {file.path.stem}: {file.place}", None) for file in rest]
    lines.append((f"description: {inline(preset.description)}", None))
    remarks: dict[tuple[str | int, ...], str] = {}
    for section, tree in preset.sections.items():
        full = as_tree(resolve(SECTIONS[section], preset, [], {}))
        defaults = _defaults(section, full)
        lines.append((f"{section}:" if full and (tree or complete) else f"{section}: {{}}", None))
        for text, keys in _lines(full if complete else _in_order(tree, full), (section,)):
            lines.append((text, keys))
            if keys and _has(tree, keys[1:]):
                remarks[keys] = _remark(preset, keys, defaults)
    widths = [len(text) for text, keys in lines if keys in remarks]
    width = min(WIDEST, max(widths, default=0))
    return "".join(
        f"{text:{width}}  # {remarks[keys]}\n" if keys in remarks else f"{text}\n" for text, keys in lines
    )


def new_text(name: str, start: str | None) -> str:
    """Return a preset to begin with: each setting is there with what it does, and has to be uncommented."""
    preset = load(start) if start else None
    lines = [
        f"{LANGUAGE_SERVER}{SCHEMA}",
        f"# `-p {name}` uses this preset. Lines with ## explain. To change a setting, take away the # and",
        "# the space before it, and before the group that it is in. What is set is said by",
        f"# `texsynth presets show {name}`.",
        f"description: {inline(f'Like {preset.name}, but' if preset else 'My own look')}",
    ]
    # A file counts from the folder of what extends it, which is another one.
    base = real(Path(start)) if start and is_file_name(start) else start
    lines.append(f"extends: {inline(base)}" if base else "# extends: artistic")
    sections = list(preset.sections) if preset else ["stylize", "expand"]
    for section in [*sections, *(name for name in ("blend", "run") if name not in sections)]:
        tree = as_tree(resolve(SECTIONS[section], preset, [], {}))
        lines += ["", f"{section}:" if section in sections else f"# {section}:"]
        if section not in sections:
            lines += [f"# {line}" for line in _commented(tree, section_rows(section), "", "  ", "")]
            continue
        lines += _commented(tree, section_rows(section), "", "  ", "# ")
    return "\n".join(lines) + "\n"


def _commented(tree: Tree, rows: Mapping[str, Row], prefix: str, indent: str, sign: str) -> Iterator[str]:
    """Yield the settings below the key `prefix`. sign: what comments them out, behind the indent."""
    for key, value in tree.items():
        path = f"{prefix}{key}"
        if row := rows.get(path):
            for line in wrap(row.text, WIDTH, break_on_hyphens=False):
                yield f"{indent}## {line}"
            if "text" not in row.range:
                yield f"{indent}## Values: {row.range}"
        if _is_group(value):
            yield f"{indent}{sign}{key}:"
            inner = _commented(value, rows, f"{path}.", "  ", "")
            yield from (f"{indent}{sign}{line}" for line in inner)
        else:
            yield f"{indent}{sign}{key}: {inline(value)}"


def _lines(tree: Tree, above: tuple[str | int, ...]) -> Iterator[Line]:
    for key, value in tree.items():
        indent, keys = "  " * len(above), (*above, key)
        if _is_group(value):
            yield f"{indent}{key}:", None
            yield from _lines(value, keys)
        else:
            yield f"{indent}{key}: {inline(value)}", keys


def _is_group(value: object) -> bool:
    """Return whether a value is a group of settings, not numbers by level."""
    return isinstance(value, dict) and bool(value) and all(isinstance(key, str) for key in value)


def _has(tree: Any, keys: tuple[str | int, ...]) -> bool:  # noqa: ANN401 (nested settings)
    for key in keys:
        if not isinstance(tree, dict) or key not in tree:
            return False
        tree = tree[key]
    return True


def _in_order(tree: Tree, full: Tree) -> Tree:
    """Return `tree` with its keys in the order of the settings."""
    return {
        key: _in_order(tree[key], full[key]) if _is_group(tree[key]) and _is_group(full[key]) else tree[key]
        for key in full
        if key in tree
    }


def _defaults(section: str, full: Tree) -> Tree:
    """Return the defaults of a section; of a transform, those of its own kind."""
    kind, defaults = SECTIONS[section], as_tree(SECTIONS[section]())
    named = full.get("transform")
    if not isinstance(named, dict) or named["name"] == defaults["transform"]["name"]:
        return defaults
    own = as_tree(kind.model_validate(merge(defaults, {"transform": {"name": named["name"]}})))
    return merge(own, {"transform": {"name": defaults["transform"]["name"]}}) | {
        "transform": {**own["transform"], "name": defaults["transform"]["name"]}
    }


def _remark(preset: Preset, keys: tuple[str | int, ...], defaults: Tree) -> str:
    file = preset.origin(*keys)
    line = next(file.lines[keys[:n]] for n in range(len(keys), 0, -1) if keys[:n] in file.lines)
    default: Any = defaults
    for key in keys[1:]:
        default = default.get(key) if isinstance(default, dict) else None
    value: Any = preset.sections[str(keys[0])]
    for key in keys[1:]:
        value = value[key]
    same = "the default" if value == default else f"default {inline(default)}"
    return f"{_called(file, preset)}, line {line}; {same}"


def _called(file: PresetFile, preset: Preset) -> str:
    twins = [other for other in preset.files if other.path.stem == file.path.stem]
    return file.path.stem if len(twins) == 1 else f"{file.path.stem} ({file.place})"
