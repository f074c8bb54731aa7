"""Which pictures go in and where each result goes, settled before any work."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from texsynth.config.settings import StylizeSettings
from texsynth.errors import InputError, UsageError
from texsynth.images import OUTPUT_SUFFIXES, SUFFIXES, output_format, read_bytes

PIPE = Path("-")
"""Standard input or output."""


CARD_SUFFIX = ".card"
"""Files with the moments of a style instead of its picture."""


@dataclass(frozen=True)
class Input:
    """A picture to read. key: its path relative to the folder that was named, which seeds it."""

    path: Path
    key: str
    piped: bytes | None = None
    recorded: str | None = None
    """Path in the record of its outputs when that differs from `path`, because the file has moved."""

    def read(self) -> bytes:
        """The bytes of the file or of standard input."""
        return read_bytes(self.path) if self.piped is None else self.piped

    @property
    def is_card(self) -> bool:
        """Whether the name says that this is a style card."""
        return self.piped is None and self.path.suffix.lower() == CARD_SUFFIX

    @property
    def source(self) -> Path | bytes:
        """What the header can be probed from without reading it all."""
        return self.path if self.piped is None else self.piped

    @property
    def stem(self) -> str:
        """Name for outputs."""
        return self.path.stem if self.piped is None else "stdin"

    def __str__(self) -> str:
        """What messages call it."""
        return str(self.path) if self.piped is None else "standard input"


@dataclass(frozen=True)
class Job:
    """One picture and the file its result goes to."""

    picture: Input
    output: Path

    role: ClassVar[str] = "content"
    """What `picture` is to the command."""

    @property
    def outputs(self) -> tuple[Path, ...]:
        """All files that are written, PIPE among them."""
        return (self.output,)

    @property
    def to_pipe(self) -> bool:
        """True when the result goes to standard output."""
        return self.output == PIPE

    @property
    def facts(self) -> dict[str, str]:
        """What else tells it from the other jobs of a run."""
        return {}


@dataclass(frozen=True)
class StyledJob(Job):
    """A picture with the style and the settings that it gets. preset: a name for the settings."""

    style: Input
    settings: StylizeSettings
    preset: str

    @property
    def facts(self) -> dict[str, str]:
        """Style and preset."""
        return {"style": str(self.style.path), "preset": self.preset}


@dataclass(frozen=True)
class Look(Job):
    """A picture that is looked at, and nothing is made of it."""

    output: Path = PIPE

    role: ClassVar[str] = "path"


@dataclass(frozen=True)
class Query(Look):
    """A picture that others are compared with."""

    role: ClassVar[str] = "query"


def file_seed(seed: int, key: str) -> int:
    """The seed of one picture: the same alone or in a batch, on any machine."""
    digest = hashlib.sha256(f"{seed}\0{key}".encode(errors="surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def find_inputs(
    arguments: Sequence[str],
    *,
    recursive: bool,
    piped: bytes | None = None,
    suffixes: Collection[str] = SUFFIXES,
    deeper: str = "--recursive",
) -> list[Input]:
    """Files, the pictures of folders, and the matches of glob patterns, each once and in the given order.

    piped: the content of standard input, for `-`. suffixes: of the files that folders are searched for.
    deeper: how messages say to search folders inside folders. Raises InputError for a folder or pattern
    without pictures.
    """
    found: dict[str, Input] = {}
    for argument in arguments:
        hint = "" if recursive else f"; use {deeper} to search folders inside it"
        for item in _expand(argument, recursive=recursive, piped=piped, suffixes=suffixes, hint=hint):
            found.setdefault(os.path.realpath(item.path), item)
    return list(found.values())


def pair(inputs: Sequence[Input], style: Input, output: str | None, *, suffix: str = ".png") -> list[Job]:
    """A stylize job for every input, by default with the output `CONTENT.STYLE.png`. Raises UsageError."""
    names = [f"{i.stem}.{style.stem}{suffix}" for i in inputs]
    return [Job(i, path) for i, path in zip(inputs, destinations(inputs, names, output), strict=True)]


def destinations(
    inputs: Sequence[Input], names: Sequence[str], output: str | None, *, role: str = "contents"
) -> list[Path]:
    """Where the result of every input goes.

    names: file names, one per input. output: None for these names in the current folder, `-`, a file, or a
    folder when it exists, ends with a slash or when there are several inputs. role: what messages call the
    inputs. Raises UsageError.
    """
    if output == "-":
        if len(inputs) > 1:
            raise UsageError(f"{len(inputs)} {role} cannot share standard output; use -o FOLDER")
        return [PIPE]
    path = Path(output or ".")
    is_folder = output is None or path.is_dir() or output.endswith(("/", os.sep))
    if not is_folder and len(inputs) == 1:
        output_format(path)
        return [path]
    if not is_folder and path.suffix.lower() in OUTPUT_SUFFIXES:
        raise UsageError(f"{len(inputs)} {role} cannot share the output {path}; use -o FOLDER")
    inside = output is not None
    return [path / _parent(i, inside) / name for i, name in zip(inputs, names, strict=True)]


def _parent(item: Input, inside: bool) -> Path:
    """Below an output folder the inputs keep the folders they were found in."""
    return Path(item.key).parent if inside else Path()


def _expand(
    argument: str, *, recursive: bool, piped: bytes | None, suffixes: Collection[str], hint: str
) -> list[Input]:
    path = Path(argument)
    if path == PIPE:
        return [Input(PIPE, "-", piped or b"")]
    if path.is_dir():
        found = path.rglob("*") if recursive else path.glob("*")
        # A link to nothing, or a pipe, is an input that fails, and not one that nobody misses.
        pictures = [p for p in sorted(found) if _is_wanted(p.relative_to(path), suffixes) and not p.is_dir()]
        if not pictures:
            raise InputError(f"there are no pictures in the folder {path}{hint}")
        return [Input(p, p.relative_to(path).as_posix()) for p in pictures]
    if glob.has_magic(argument) and not path.exists():
        matches = [p for p in map(Path, sorted(glob.glob(argument, recursive=True))) if not p.is_dir()]
        if not matches:
            raise InputError(f"no file matches {argument!r}")
        return [Input(p, p.name) for p in matches]
    return [Input(path, path.name)]


def _is_wanted(path: Path, suffixes: Collection[str]) -> bool:
    hidden = any(part.startswith(".") for part in path.parts)
    return path.suffix.lower() in suffixes and not hidden
