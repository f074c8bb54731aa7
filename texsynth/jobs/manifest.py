"""Manifests: jobs of several commands in one file, as YAML, JSON lines or CSV."""

import csv
import io
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from texsynth import strict_json
from texsynth.config.preset_places import is_file_name
from texsynth.config.presets import Tree
from texsynth.config.settings import ExpandSettings, RunSettings, Settings, StylizeSettings
from texsynth.config.validation import nearest, validate
from texsynth.errors import UsageError
from texsynth.images import ResultFormat, output_format, read_bytes
from texsynth.images.formats import FOLLOWING
from texsynth.jobs.checks import check_headers
from texsynth.jobs.expand_inputs import ExpandJob
from texsynth.jobs.expand_reading import check_batch
from texsynth.jobs.inputs import Job
from texsynth.jobs.manifest_entries import (
    Entry,
    Text,
    as_tuple,
    build_stylize_jobs,
    entries_of,
    file_in,
    located,
    mapping_in,
    preset_in,
)
from texsynth.jobs.outcomes import Failed
from texsynth.paths import real
from texsynth.strict_yaml import MAX_BYTES, parse

NO_PRESET = "default"  # Value of the field {preset} where none is named

ResolveSettings = Callable[[type[Settings], str | None, Tree], Any]
"""Makes settings of a type from the name of a preset, or None, and changes to it. Raises UsageError."""


class Head(Settings):
    """A YAML manifest whose jobs are not looked at yet."""

    output: str | None = None
    name: str | None = None
    jobs: Annotated[tuple[Any, ...], BeforeValidator(as_tuple)]


def read_manifest(
    path: Path, root: str | None, resolve: ResolveSettings, result_format: ResultFormat = FOLLOWING
) -> list[Job]:
    """Read the jobs of a manifest, at least one, in its order.

    root: the folder of the outputs; None for the one that the manifest names. result_format: of those without
    a name. Raises UsageError, and InputError for a manifest, folder or pattern where nothing can be read.
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
    known: dict[str, Any] = {}
    return [
        job
        for number, entry in enumerate(entries, 1)
        for job in _jobs(number, entry, folder, resolve, known, result_format)
    ]


def check_mixed(jobs: Sequence[Job], run: RunSettings) -> tuple[list[Job], list[Failed]]:
    """Return the jobs whose inputs have sound headers, in their order, and the others."""
    textures = [job for job in jobs if isinstance(job, ExpandJob)]
    others = [job for job in jobs if not isinstance(job, ExpandJob)]
    sound, bad = check_headers(others, (), run)
    more, worse = check_batch(textures, run)
    good = {id(job) for job in (*sound, *more)}
    return [job for job in jobs if id(job) in good], [*bad, *worse]


def _jobs(
    number: int,
    entry: Entry,
    root: Path,
    resolve: ResolveSettings,
    known: dict[str, Any],
    result_format: ResultFormat,
) -> Sequence[Job]:
    with located(entry.where):
        key = f"{entry.kind.__name__} {entry.preset} {entry.changes}"
        if key not in known:
            known[key] = resolve(entry.kind, entry.preset, entry.changes)
        settings = known[key]
        exact = entry.exact or (isinstance(settings, ExpandSettings) and settings.tileable)
        preset = NO_PRESET if entry.preset is None else entry.preset
        values = {
            "content": entry.picture.stem,
            "preset": Path(preset).stem if is_file_name(preset) else preset,
            "index": str(number),
            "folder": Path(entry.picture.key).parent.as_posix(),
            "command": entry.command,
            "format": entry.picture.result_suffix(result_format, exact=exact).lstrip("."),
        }
        if entry.style:
            values["style"] = entry.style.stem
        name = filled(entry.template, values) if entry.output is None else entry.output
        return entry.build(entry, inside(root, name), settings, preset)


def _yaml(path: Path, text: str) -> tuple[Path | None, list[Entry]]:
    if len(text.encode()) > MAX_BYTES:
        raise UsageError(
            f"{path} is larger than {MAX_BYTES // 1024} KiB; name folders or patterns, or use .csv or .jsonl"
        )
    head = validate(Head, mapping_in(parse(text, source=str(path)), str(path)), str(path))
    if head.name is not None:
        with located(str(path)):
            check_template(head.name)
    entries = [
        entry
        for number, data in enumerate(head.jobs, 1)
        for entry in entries_of(f"{path}: job {number}", data, path.parent, head.name)
    ]
    return None if head.output is None else path.parent / head.output, entries


COLUMNS = ("content", "style", "preset", "output", "exemplar", "picture", "command")
"""Keys of a line of JSON or CSV; a line of JSON for another command than stylize may have any of an entry."""

PLURALS = {
    "content": "contents",
    "style": "styles",
    "exemplar": "exemplars",
    "picture": "pictures",
    "preset": "presets",
}


class Row(Settings):
    """A line of a JSON-lines or CSV manifest for a stylization."""

    content: Text
    style: Text
    preset: str | None = None
    output: str | None = None
    command: Literal["stylize"] = "stylize"


def _row(where: str, data: dict[Any, Any], base: Path) -> list[Entry]:
    if data.get("command", "stylize") != "stylize":
        return entries_of(where, {PLURALS.get(key, key): value for key, value in data.items()}, base, None)
    row = validate(Row, data, where)
    with located(where):
        content, style = (file_in(text, base) for text in (row.content, row.style))
    preset = row.preset or None
    template = f"{{folder}}/{{content}}.{{style}}{'.{preset}' if preset else ''}.{{format}}"
    return [
        Entry(
            where, "stylize", content, style, StylizeSettings, preset_in(preset, base), {}, template,
            build_stylize_jobs, row.output or None,
        )
    ]  # fmt: skip


def json_lines(path: Path, text: str) -> tuple[None, list[Entry]]:
    """Read the entries of the manifest `path` that holds `text`; it names no folder. Raises UsageError."""
    entries: list[Entry] = []
    for number, line in enumerate(text.split("\n"), 1):
        where = f"{path}, line {number}"
        if line.strip():
            try:
                data = strict_json.parse(line)
            except ValueError as error:
                raise UsageError(f"{where}: {error}") from None
            entries += _row(where, mapping_in(data, where), path.parent)
    return None, entries


def comma_separated(path: Path, text: str) -> tuple[None, list[Entry]]:
    """Read the entries of a CSV manifest, as `json_lines` does."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    entries: list[Entry] = []
    try:
        header = [name.strip() for name in next(reader, [])]
        for name in header:
            if name not in COLUMNS:
                raise UsageError(f"{path}, line 1: unknown column {name!r}{nearest(name, COLUMNS)}")
            if header.count(name) > 1:
                raise UsageError(f"{path}, line 1: the column {name!r} is given twice")
        for cells in reader:
            where = f"{path}, line {reader.line_num}"
            if len(cells) > len(header):
                raise UsageError(f"{where} has {len(cells)} cells, but there are {len(header)} columns")
            data = {name: cell for name, cell in zip(header, cells, strict=False) if cell}
            if data:
                entries += _row(where, data, path.parent)
    except csv.Error as error:
        raise UsageError(f"{path}, line {reader.line_num} is not CSV: {error}") from None
    return None, entries


def text_of(path: Path) -> str:
    """Return the text of a manifest. UsageError when it is none, InputError when it cannot be read."""
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text; save it as UTF-8") from None


FIELDS = ("content", "style", "preset", "index", "folder", "command", "format")
"""Fields of a template; `folder` alone may stand for several folders, or for none."""

UNSAFE = re.compile(r"[/\\\x00-\x1f\x7f]")  # Separators and control characters


def check_template(template: str) -> None:
    """Raise UsageError for a template with an unknown field or a stray brace."""
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
    """Fill a checked `template`. Separators and control characters in `values` become `_`."""
    safe = {field: UNSAFE.sub("_", value) for field, value in values.items()}
    folders = values["folder"].split("/")
    safe["folder"] = "/".join(UNSAFE.sub("_", folder) for folder in folders if folder != ".")
    try:
        name = template.format_map(safe)
    except KeyError as error:
        raise UsageError(f"the name {template!r} has a field {error}, but this job has none") from None
    # Without folders, `{folder}/` shall leave nothing behind.
    return name if template.startswith("/") else re.sub("/+", "/", name).lstrip("/")


def inside(root: Path, name: str) -> Path:
    """Return the file `name` in the folder `root`. UsageError when it is not inside, or cannot be written."""
    parts = name.split("/")
    leaves = Path(name).is_absolute() or ".." in parts
    if leaves or not name or UNSAFE.search(name.replace("/", "")):
        raise UsageError(f"the output {name!r} is no file inside {root}; use a relative name without '..'")
    path = root / name
    folder = real(path.parent)
    if os.path.commonpath([folder, real(root)]) != real(root):
        raise UsageError(f"the output {path} is not inside {root}, for one of its folders is a link")
    output_format(path)
    return path


READERS: dict[str, Callable[[Path, str], tuple[Path | None, list[Entry]]]] = {
    ".yaml": _yaml,
    ".yml": _yaml,
    ".jsonl": json_lines,
    ".csv": comma_separated,
}
