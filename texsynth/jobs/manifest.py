"""Manifests: many contents, styles and presets in one file, as YAML, JSON lines or CSV."""

from __future__ import annotations

import csv
import glob
import io
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from texsynth.config.presets import Tree, is_file_name
from texsynth.config.settings import Settings, StylizeSettings
from texsynth.config.validation import MAX_BYTES, nearest, parse, validated
from texsynth.errors import InputError, UsageError
from texsynth.images import SUFFIXES, output_format, read_bytes
from texsynth.jobs.inputs import CARD_SUFFIX, PIPE, Input, StyledJob, find_inputs

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


class Row(Settings):
    """A line of a JSON-lines or CSV manifest."""

    content: Annotated[str, Field(min_length=1)]
    style: Annotated[str, Field(min_length=1)]
    preset: str | None = None
    output: str | None = None


def json_lines(path: Path, text: str) -> tuple[None, list[Entry]]:
    """The entries of the manifest `path` that holds `text`; it names no folder. Raises UsageError."""
    entries = []
    for number, line in enumerate(text.split("\n"), 1):
        where = f"{path}, line {number}"
        if line.strip():
            try:
                data = json.loads(line, object_pairs_hook=_unrepeated)
            except json.JSONDecodeError as error:
                raise UsageError(f"{where} is not JSON: {error.msg} in column {error.colno}") from None
            except (UsageError, RecursionError) as error:
                raise UsageError(f"{where}: {error}") from None
            entries.append(_row(where, mapping_in(data, where), path.parent))
    return None, entries


def comma_separated(path: Path, text: str) -> tuple[None, list[Entry]]:
    """As `json_lines`."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    entries: list[Entry] = []
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(f"{path}, line 1", header)
        for cells in reader:
            where = f"{path}, line {reader.line_num}"
            if len(cells) > len(header):
                raise UsageError(f"{where} has {len(cells)} cells, but there are {len(header)} columns")
            data = {name: cell for name, cell in zip(header, cells, strict=False) if cell}
            if data:
                entries.append(_row(where, data, path.parent))
    except csv.Error as error:
        raise UsageError(f"{path}, line {reader.line_num} is not CSV: {error}") from None
    return None, entries


def _check_header(where: str, header: list[str]) -> None:
    for name in header:
        if name not in Row.model_fields:
            raise UsageError(f"{where}: unknown column {name!r}{nearest(name, Row.model_fields)}")
        if header.count(name) > 1:
            raise UsageError(f"{where}: the column {name!r} is given twice")


def _row(where: str, data: object, base: Path) -> Entry:
    row = validated(Row, data, where)
    with located(where):
        content, style = (file_in(text, base) for text in (row.content, row.style))
    preset = row.preset or None
    template = DEFAULT_NAME_WITH_PRESET if preset else DEFAULT_NAME
    return Entry(where, content, style, preset_in(preset, base), {}, template, row.output or None)


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for key, _ in pairs:
        if [other for other, _ in pairs].count(key) > 1:
            raise UsageError(f"the key {key!r} is given twice")
    return dict(pairs)


DEFAULT_NAME = "{folder}/{content}.{style}.png"
DEFAULT_NAME_WITH_PRESET = "{folder}/{content}.{style}.{preset}.png"


@dataclass(frozen=True)
class Entry:
    """One picture to make. where: what messages call it. output: its name when no template decides it."""

    where: str
    content: Input
    style: Input
    preset: str | None
    changes: Tree
    template: str
    output: str | None = None


def text_of(path: Path) -> str:
    """The text of a manifest. UsageError when it is none, InputError when it cannot be read."""
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text; save it as UTF-8") from None


@contextmanager
def located(where: str) -> Iterator[None]:
    """Say in which part of the manifest something is wrong."""
    try:
        yield
    except (UsageError, InputError) as error:
        raise type(error)(f"{where}: {error}") from None


def mapping_in(data: object, where: str) -> dict[Any, Any]:
    """`data` when it is a mapping, else UsageError."""
    if not isinstance(data, dict):
        raise UsageError(
            f"{where} must be a mapping, like {{content: a.jpg, style: b.jpg}}, not {data!r:.40}"
        )
    return data


def file_in(text: str, base: Path) -> Input:
    """The file that an entry names, counted from the folder `base`. UsageError for standard input."""
    path = base / text
    if path == PIPE or "\0" in text:
        raise UsageError(f"{text!r} cannot be used in a manifest; name a file")
    return Input(path, path.name)


def preset_in(name: str | None, base: Path) -> str | None:
    """Names stay, files count from the folder `base`."""
    return str(base / name) if name is not None and is_file_name(name) else name


FIELDS = ("content", "style", "preset", "index", "folder")
"""What a template may name; `folder` alone may stand for several folders, or for none."""

UNSAFE = re.compile(r"[/\\\x00-\x1f\x7f]")
"""Separators and control characters."""


def check_template(template: str) -> None:
    """UsageError for a template with an unknown field or a stray brace."""
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise UsageError(f"the name {template!r} is no template ({error}); write {{content}}.png") from None
    for _, field, spec, conversion in parts:
        if field is not None and field not in FIELDS:
            raise UsageError(f"unknown field {field!r} in the name {template!r}{nearest(field, FIELDS)}")
        if spec or conversion:
            raise UsageError(
                f"the field {field!r} in the name {template!r} takes no format; write {{{field}}}"
            )


def filled(template: str, values: Mapping[str, str]) -> str:
    """The name that a checked `template` gives. Separators and control characters in `values` become `_`."""
    safe = {field: UNSAFE.sub("_", value) for field, value in values.items()}
    folders = values["folder"].split("/")
    safe["folder"] = "/".join(UNSAFE.sub("_", folder) for folder in folders if folder != ".")
    name = template.format_map(safe)
    # Without folders, `{folder}/` shall leave nothing behind.
    return name if template.startswith("/") else re.sub("/+", "/", name).lstrip("/")


def inside(root: Path, name: str) -> Path:
    """The file `name` in the folder `root`. UsageError when it is not inside, or cannot be written."""
    parts = name.split("/")
    leaves = Path(name).is_absolute() or ".." in parts
    if leaves or not name or UNSAFE.search(name.replace("/", "")):
        raise UsageError(f"the output {name!r} is no file inside {root}; use a relative name without '..'")
    path = root / name
    folder = os.path.realpath(path.parent)
    if os.path.commonpath([folder, os.path.realpath(root)]) != os.path.realpath(root):
        raise UsageError(f"the output {path} is not inside {root}, for one of its folders is a link")
    output_format(path)
    return path


READERS: dict[str, Callable[[Path, str], tuple[Path | None, list[Entry]]]] = {
    ".yaml": _yaml,
    ".yml": _yaml,
    ".jsonl": json_lines,
    ".csv": comma_separated,
}
