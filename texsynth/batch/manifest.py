"""Manifests: many contents, styles and presets in one file, as YAML, JSON lines or CSV."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from texsynth.batch.entries import (
    DEFAULT_NAME,
    DEFAULT_NAME_WITH_PRESET,
    Entry,
    file_in,
    located,
    mapping_in,
    preset_in,
    text_of,
)
from texsynth.batch.names import check_template, filled, inside
from texsynth.batch.plan import CARD_SUFFIX, StyledJob, find_inputs
from texsynth.batch.rows import comma_separated, json_lines
from texsynth.errors import UsageError
from texsynth.explain import validated
from texsynth.images import SUFFIXES
from texsynth.presets import Tree, is_file_name
from texsynth.settings import Settings, StylizeSettings
from texsynth.strict_yaml import MAX_BYTES, parse

NO_PRESET = "default"
"""Value of the field {preset} where none is named."""

Look = Callable[[str | None, Tree], StylizeSettings]
"""Settings from the name of a preset, or None, and changes to it. Raises UsageError."""


def _as_tuple(value: object) -> object:
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


Texts = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_as_tuple)]


class Group(Settings):
    """An entry of `jobs:`: every content gets every style with every preset."""

    contents: Annotated[Texts, Field(min_length=1)]
    styles: Annotated[Texts, Field(min_length=1)]
    presets: Texts = ()
    changes: Annotated[dict[str, Any], Field(alias="set", default_factory=dict)]
    recursive: bool = False


class Head(Settings):
    """A YAML manifest whose jobs are not looked at yet."""

    output: str | None = None
    name: str | None = None
    jobs: Annotated[tuple[Any, ...], BeforeValidator(_as_tuple)]


def read_manifest(path: Path, root: str | None, look: Look) -> list[StyledJob]:
    """The jobs in a manifest, at least one, in its order.

    root: the folder of the outputs; None for the one that the manifest names. look: makes the settings.
    Raises UsageError, and InputError for a manifest, folder or pattern where nothing can be read.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise UsageError(f"the manifest {path} must end with {', '.join(READERS)}")
    named, entries = reader(path, text_of(path))
    folder = Path(root) if root is not None else named
    if folder is None:
        raise UsageError(f"{path} names no folder for the outputs; give one with -o FOLDER")
    if not entries:
        raise UsageError(f"{path} has no jobs; list at least one")
    known: dict[str, StylizeSettings] = {}
    return [_job(number, entry, folder, look, known) for number, entry in enumerate(entries, 1)]


def grouped(jobs: list[StyledJob]) -> list[StyledJob]:
    """The same jobs with those of one style, and of its settings, together; otherwise in the given order."""
    first: dict[object, int] = {}

    def order(thing: object) -> int:
        return first.setdefault(thing, len(first))

    return sorted(jobs, key=lambda job: (order(job.style), order(job.settings.model_dump_json())))


def _job(number: int, entry: Entry, root: Path, look: Look, known: dict[str, StylizeSettings]) -> StyledJob:
    with located(entry.where):
        key = f"{entry.preset} {entry.changes}"
        if key not in known:
            known[key] = look(entry.preset, entry.changes)
        preset = NO_PRESET if entry.preset is None else entry.preset
        values = {
            "content": entry.content.stem,
            "style": entry.style.stem,
            "preset": Path(preset).stem if is_file_name(preset) else preset,
            "index": str(number),
            "folder": Path(entry.content.key).parent.as_posix(),
        }
        name = filled(entry.template, values) if entry.output is None else entry.output
        return StyledJob(entry.content, inside(root, name), entry.style, known[key], preset)


def _yaml(path: Path, text: str) -> tuple[Path | None, list[Entry]]:
    if len(text.encode()) > MAX_BYTES:
        raise UsageError(
            f"{path} is larger than {MAX_BYTES // 1024} KiB; name folders or patterns, or use .csv or .jsonl"
        )
    head = validated(Head, mapping_in(parse(text, source=str(path)), str(path)), str(path))
    if head.name is not None:
        with located(str(path)):
            check_template(head.name)
    entries = [
        entry
        for number, job in enumerate(head.jobs, 1)
        for entry in _crossed(f"{path}: job {number}", job, path.parent, head.name)
    ]
    return None if head.output is None else path.parent / head.output, entries


def _crossed(where: str, data: object, base: Path, name: str | None) -> Iterator[Entry]:
    """All contents with the first style and preset, then the next ones: styles are measured one by one."""
    group = validated(Group, mapping_in(data, where), where)
    with located(where):
        arguments = [_argument(text, base) for text in group.contents]
        contents = find_inputs(arguments, recursive=group.recursive, deeper="recursive: true")
        arguments = [_argument(text, base) for text in group.styles]
        styles = find_inputs(
            arguments,
            recursive=group.recursive,
            suffixes={*SUFFIXES, CARD_SUFFIX},
            deeper="recursive: true",
        )
        changes = _nested(group.changes)
    template = name or (DEFAULT_NAME_WITH_PRESET if group.presets else DEFAULT_NAME)
    for style in styles:
        for preset in group.presets or (None,):
            for content in contents:
                yield Entry(where, content, style, preset_in(preset, base), changes, template)


READERS: dict[str, Callable[[Path, str], tuple[Path | None, list[Entry]]]] = {
    ".yaml": _yaml,
    ".yml": _yaml,
    ".jsonl": json_lines,
    ".csv": comma_separated,
}


def _argument(text: str, base: Path) -> str:
    """A file, folder or pattern, counted from the folder `base`."""
    path = file_in(text, base).path
    if glob.has_magic(text) and not path.exists():
        # Brackets in the name of the manifest's own folder are no pattern.
        return str(Path(glob.escape(str(base))) / text)
    return str(path)


def _nested(changes: dict[str, Any]) -> Tree:
    """`{a.b: 1}` as {a: {b: 1}}."""
    tree: Tree = {}
    for path, value in changes.items():
        *folders, last = (int(key) if key.isdecimal() else key for key in path.split("."))
        inner = tree
        for key in folders:
            inner = inner.setdefault(key, {})
            if not isinstance(inner, dict):
                break
        if not isinstance(inner, dict) or last in inner:
            raise UsageError(f"set gives {path!r} and a part or the whole of it; give one of them")
        inner[last] = value
    return tree
