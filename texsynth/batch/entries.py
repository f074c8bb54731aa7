"""What every kind of manifest comes down to: one entry for each picture to make."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from texsynth.batch.plan import PIPE, Input
from texsynth.errors import InputError, UsageError
from texsynth.images import read_bytes
from texsynth.presets import Tree, is_file_name

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
