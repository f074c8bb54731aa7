"""What every setting does, in the words of the documentation, which has a row for each."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from texsynth.config.preset_places import spellings
from texsynth.config.presets import SECTIONS
from texsynth.config.validation import nearest
from texsynth.errors import UsageError

COMMANDS = {
    "stylize": ("stylize", "blend"),
    "expand": ("expand", "tile"),
    "maps": ("maps",),
    "tileset": ("tileset",),
    "transposer": ("train transposer",),
    "decoder": ("train decoder",),
    "cascade": ("train decoder --stylised",),
    "descriptor": ("train descriptor",),
    "borders": ("train borders",),
    "blend": ("blend",),
    "run": ("stylize", "blend", "expand", "tile", "maps", "tileset"),
}
"""The commands that take the settings of a section."""

_PLACE = re.compile(r"below `(\w+):`|section `(\w+)`")
_ROW = re.compile(r"\| `([\w.]+)` \| (.+) \| (.+) \| (`.*`) \|")
_LINK = re.compile(r"\[([^]]+)\]\([^)]+\)")


@dataclass(frozen=True)
class Row:
    """A setting of a section, described."""

    section: str
    key: str  # Like `transform.pull`
    text: str
    range: str
    default: str


@cache
def rows() -> tuple[Row, ...]:
    """Return all settings in the order of the documentation."""
    page = Path(str(files("texsynth"))) / "docs" / "presets.md"
    return tuple(_read(page.read_text(encoding="utf-8")))


def section_rows(section: str) -> dict[str, Row]:
    """Return the rows of a section by key; a group that it shares with another one is described there."""
    own = {row.key: row for row in rows() if row.section == section}
    kind = SECTIONS[section]
    for row in rows():
        group = row.key.partition(".")[0]
        if row.section == "expand" and group != row.key and group in kind.model_fields:
            own.setdefault(row.key, row)
    return own


def explained(key: str) -> list[Row]:
    """Return the rows of a setting, of all in a group, or of a flag; with its section or without.

    Raises UsageError for a key that is none.
    """
    name = key.removeprefix("--").replace("-", "_") if key.startswith("--") else key
    for spelling in spellings(name):
        section, _, rest = spelling.partition(".")
        chosen = [
            row
            for row in rows()
            if _within(row.key, spelling) or (row.section == section and (not rest or _within(row.key, rest)))
        ]
        if chosen:
            return chosen
    raise UsageError(f"unknown setting {key!r}{nearest(name, {row.key for row in rows()})}")


def _within(key: str, name: str) -> bool:
    return key == name or key.startswith(f"{name}.")


def _read(page: str) -> Iterator[Row]:
    section = ""
    for line in page.splitlines():
        if row := _ROW.fullmatch(line):
            key, *cells = row.groups()
            text, limits, default = (_LINK.sub(r"\1", cell).replace("`", "") for cell in cells)
            if section:
                yield Row(section, key, text, limits, default)
        elif line.startswith("## "):
            section = ""
        elif not line.startswith("|") and (place := _PLACE.search(line)):
            section = place[1] or place[2]
