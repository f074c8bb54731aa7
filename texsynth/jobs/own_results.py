"""Results of earlier runs among the inputs: those of a folder that is run twice, and seamless pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from texsynth.config.records import ExpandRecord
from texsynth.config.settings import RunSettings
from texsynth.errors import TexsynthError
from texsynth.images import embedded_settings, pixel_hash, settings_inside
from texsynth.jobs.files import record_in
from texsynth.jobs.inputs import Input
from texsynth.strict_yaml import parse

SOURCES = ("content", "exemplar", "exemplars", "picture")  # What records call the picture they started from


def split_own_results(inputs: Sequence[Input], command: str) -> tuple[list[Input], list[Input]]:
    """Return the inputs without results that `command` made of others of them, and those results.

    A result whose source is not among the inputs is an input like any other. Only files that are called like
    results, NAME.SOMETHING.png or NAME_SOMETHING.png beside NAME.png, are opened.
    """
    stems = {(item.path.parent, item.stem): item for item in inputs if item.is_file}
    kept: list[Input] = []
    own: list[Input] = []
    for item in inputs:
        (own if _is_result(item, stems, command) else kept).append(item)
    return kept, own


def made_seamless(item: Input, run: RunSettings) -> bool:
    """Tell whether a file is what `tile` or `expand --tileable` made, its pixels unchanged since.

    Only a record inside counts: nothing else of the file's folder may decide on the pixels of a result.
    """
    if not item.is_file:
        return False
    try:
        text, digest = settings_inside(item.path)
        record = record_in(text, str(item)) if digest else None
        if not isinstance(record, ExpandRecord) or not (record.command == "tile" or record.expand.tileable):
            return False
        return pixel_hash(item.path, max_pixels=run.max_pixels) == digest
    except (TexsynthError, OSError):
        return False


def _is_result(item: Input, stems: Mapping[tuple[Path, str], Input], command: str) -> bool:
    folder, name = item.path.parent, item.path.stem
    beginnings = [(folder, name[:end]) for end, letter in enumerate(name) if letter in "._"]
    near = [stems[beginning] for beginning in beginnings if beginning in stems]
    if not near or not item.is_file:
        return False
    try:
        record: Any = parse(embedded_settings(item.path), source=str(item))
    except (TexsynthError, OSError):
        return False
    if not isinstance(record, dict) or record.get("command") != command:
        return False
    sources = [source for name in SOURCES for source in _listed(record.get(name))]
    names = {PurePath(str(source.get("path"))).name for source in sources if isinstance(source, dict)}
    return any(other.path.name in names for other in near)


def _listed(value: Any) -> list[Any]:  # noqa: ANN401 (any YAML)
    return value if isinstance(value, list) else [] if value is None else [value]
