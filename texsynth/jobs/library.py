"""A folder of textures or styles to search, and what is searched for."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from texsynth.errors import InputError, UsageError
from texsynth.images import SUFFIXES
from texsynth.paths import Place, exists, status, why

INDEX_NAME = ".texsynth-index.safetensors"
INDEX_SUFFIX = ".safetensors"

Kind = Literal["as-is", "any-turn", "upright"]
"""How pictures are compared: as they are, whichever way they are turned by quarters, or the latter once their
lines are level and upright, so whichever way they are turned at all."""

AS_IS, ANY_TURN, UPRIGHT = KINDS = get_args(Kind)  # In the order of an index


@dataclass(frozen=True)
class SearchQuery:
    """A search for similar pictures. itself: also the picture itself and its copies."""

    count: int
    kind: Kind = AS_IS
    itself: bool = False


class LibraryFile(NamedTuple):
    """A picture file. key: its path relative to the library."""

    key: str
    bytes: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True)
class Library:
    """The picture files below a folder, and the file for their descriptors."""

    folder: Path
    index: Path
    files: tuple[LibraryFile, ...]  # At least one, sorted by key
    elsewhere: bool
    """Whether the place of the index was named, so that it might be that of another library."""
    closed: tuple[str, ...]  # What is to be said of folders that cannot be searched


def open_library(folder: str, index: str | None) -> Library:
    """List the pictures below `folder`, also in folders inside it. index: its file, None for the usual one.

    Links to folders are not followed. Raises UsageError for what is no folder and for an index without the
    right suffix, InputError when there are no pictures.
    """
    if not folder:
        raise UsageError("the name of the library is empty; give the folder with the pictures")
    path = Path(folder)
    if index is not None and Path(index).suffix.lower() != INDEX_SUFFIX:
        raise UsageError(f"--index {index!r} needs a name that ends with {INDEX_SUFFIX}")
    place, reason = status(path)
    if place in (Place.FILE, Place.DEVICE):
        raise UsageError(f"the library {path} is a file; give the folder with the pictures as last argument")
    if place is Place.REFUSED:
        raise InputError(f"the library {path} cannot be read: {reason}")
    if place is not Place.FOLDER:
        raise InputError(f"the library {path} does not exist; give the folder with the pictures")
    closed: list[str] = []
    files = tuple(sorted(_files(path, closed)))
    if not files:
        raise InputError(closed[0] if closed else f"there are no pictures in the library {path}")
    file = path / INDEX_NAME if index is None else Path(index)
    return Library(path, file, files, index is not None, tuple(closed))


def _files(folder: Path, closed: list[str]) -> Iterator[LibraryFile]:
    def refuse(error: OSError) -> None:
        closed.append(f"the folder {error.filename} cannot be read: {why(error)}")

    for root, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = Path(root).relative_to(folder).as_posix()
        prefix = "" if below == "." else f"{below}/"
        for name in names:
            if os.path.splitext(name)[1].lower() in SUFFIXES and not name.startswith("."):
                path = os.path.join(root, name)
                try:
                    # A link that leads nowhere is listed; reading it then says what is wrong.
                    facts = os.stat(path, follow_symlinks=exists(Path(path)))
                except FileNotFoundError:  # it was removed a moment ago
                    continue
                except OSError as error:  # of all in a folder that may be listed and not be entered
                    refuse(OSError(error.errno, error.strerror, root))
                    break
                yield LibraryFile(prefix + name, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
