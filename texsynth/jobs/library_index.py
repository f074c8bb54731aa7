"""The index of a library: its descriptors, and what has changed since they were computed."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

import texsynth
from texsynth import strict_json
from texsynth.errors import InputError, is_exhaustion
from texsynth.images import read_bytes, store
from texsynth.jobs.files import make_folder
from texsynth.jobs.library import KINDS, Kind, Library
from texsynth.models.weights import MISFITS, in_order, metadata_of
from texsynth.paths import is_folder, is_taken

FAMILY = "texsynth-index-"
FORMAT = f"{FAMILY}2"
FORMATS = (FORMAT, f"{FAMILY}1")  # That are read; in the first one every file had descriptors of all kinds
CURE = "make it again with `texsynth match --rebuild`"


class Entry(NamedTuple):
    """A file that was described. key: its path relative to the library."""

    key: str
    bytes: int
    mtime_ns: int


class Unreadable(NamedTuple):
    """A file that could not be. ctime_ns: changes with permissions too, which may be the reason."""

    key: str
    bytes: int
    ctime_ns: int
    reason: str


class Origin(NamedTuple):
    """The networks behind descriptors; those of two origins cannot be compared."""

    descriptor_sha256: str
    model: str
    model_sha256: str
    longest: int


@dataclass(frozen=True)
class Index:
    """The descriptors of a library."""

    origin: Origin
    entries: tuple[Entry, ...] = ()
    descriptors: Tensor = field(default_factory=lambda: torch.empty(0, len(KINDS), 0, dtype=torch.float16))
    """(n, 3, size) float16, a row for each entry, one of each of KINDS; zero where it was never asked for."""
    unreadable: tuple[Unreadable, ...] = ()
    max_pixels: int = 0  # Limit that the unreadable ones were held against

    def of(self, kind: Kind) -> Tensor:
        """(n, size), descriptors of one kind."""
        return self.descriptors[:, KINDS.index(kind)]

    def has(self, kind: Kind) -> list[bool]:
        """Tell for every entry whether it has a descriptor of the kind."""
        return [bool(row.any()) for row in self.of(kind)]


def write_index(index: Index, path: Path) -> None:
    """Write it, whole or not at all, in place of an older one. Raises OutputError."""
    header = {
        "format": FORMAT,
        "texsynth": texsynth.__version__,
        **{name: str(value) for name, value in index.origin._asdict().items()},
        # ASCII: names of files need not be text.
        "files": json.dumps(index.entries, separators=(",", ":")),
        "unreadable": json.dumps(index.unreadable, separators=(",", ":")),
        "max_pixels": str(index.max_pixels),
    }
    make_folder(path.parent)
    store(in_order(save({"descriptors": index.descriptors.contiguous()}, header)), path, force=True)


def read_index(path: Path, origin: Origin) -> Index:
    """The index in the file `path`, which must be of `origin`.

    Raises InputError for what is no index, is damaged, or was made by other weights or another version.
    """
    data = read_bytes(path)
    try:
        tensors, header = load(data), metadata_of(data)
    except (SafetensorError, *MISFITS) as error:
        if is_exhaustion(error):
            raise
        raise InputError(f"{path} is no index of texsynth or is damaged; {CURE}") from error
    _check_kind(header, path)
    if header["format"] not in FORMATS:
        raise InputError(f"{path} was made by another version of texsynth; {CURE}")
    try:
        recorded = Origin(
            header["descriptor_sha256"], header["model"], header["model_sha256"], int(header["longest"])
        )
        index = Index(
            recorded,
            tuple(Entry(*row) for row in _rows(header["files"], (str, int, int))),
            tensors["descriptors"],
            tuple(Unreadable(*row) for row in _rows(header["unreadable"], (str, int, int, str))),
            int(header["max_pixels"]),
        )
        shape, dtype = tuple(index.descriptors.shape), index.descriptors.dtype
        if dtype != torch.float16 or len(shape) != 3 or shape[:2] != (len(index.entries), len(KINDS)):
            raise ValueError(f"{len(index.entries)} files have descriptors of shape {shape} in {dtype}")
        if not bool(index.descriptors.isfinite().all()):
            raise ValueError("descriptors are not finite")
        if len({entry.key for entry in index.entries}) != len(index.entries):
            raise ValueError("a file is listed twice")
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"the index {path} is damaged ({error}); {CURE}") from error
    if recorded != origin:
        raise InputError(
            f"{path} was made with another descriptor ({recorded.descriptor_sha256[:8]}…, now "
            f"{origin.descriptor_sha256[:8]}…), so its figures cannot be compared; {CURE}"
        )
    return index


def _check_kind(header: dict[str, Any], path: Path) -> None:
    if not str(header.get("format")).startswith(FAMILY):
        raise InputError(f"{path} is no index of texsynth; name another file with --index")


def _rows(text: str, kinds: tuple[type, ...]) -> list[list[Any]]:
    """Read a list of rows, each with values of these `kinds`. Raises ValueError and TypeError."""
    rows: list[list[Any]] = strict_json.parse(text, is_text=False)
    for row in rows:
        if not (isinstance(row, list) and tuple(map(type, row)) == kinds):
            raise ValueError(f"{row!r:.40} is no entry")
    return rows


def known_index(library: Library, origin: Origin, *, rebuild: bool) -> Index:
    """The index as it was, empty when there is none or `rebuild` says so.

    Raises InputError for a file that is no index, is damaged, or is of another library or of other weights.
    """
    path = library.index
    if is_folder(path):
        raise InputError(f"{path} is a folder, no index; name a file with --index")
    if rebuild and is_taken(path):
        with suppress(ValueError):
            _check_kind(metadata_of(read_bytes(path)), path)
    if rebuild or not is_taken(path):
        return Index(origin)
    index = read_index(path, origin)
    keys = {file.key for file in library.files}
    if library.elsewhere and index.entries and not any(entry.key in keys for entry in index.entries):
        raise InputError(
            f"{path} is the index of another library than {library.folder}; name another file with --index, "
            f"or {CURE}"
        )
    return index
