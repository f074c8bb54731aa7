"""Manifests with a row per picture: JSON lines and CSV."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from texsynth.batch.entries import (
    DEFAULT_NAME,
    DEFAULT_NAME_WITH_PRESET,
    Entry,
    file_in,
    located,
    mapping_in,
    preset_in,
)
from texsynth.errors import UsageError
from texsynth.explain import nearest, validated
from texsynth.settings import Settings


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
