"""What a path is. The system is asked here alone, and no answer of it is an exception.

`Path.exists` and its like raise where a folder may not be entered or a name is too long, and take a link to
nothing for nothing, although no new file can be put there.
"""

import errno
import os
import stat
from enum import Enum
from pathlib import Path
from typing import NamedTuple

FOLDER = "is a folder"

LONGEST_TEMPORARY = ".texsynth-000000000000.tmp"
"""A name as long as those of the files that become results."""


class Place(Enum):
    """What is at a path, behind links."""

    MISSING = "missing"
    FILE = "file"
    FOLDER = "folder"
    DEVICE = "device"  # A pipe, a socket or a device: it would have to be waited for, or never ends
    DANGLING = "dangling"  # A link to nothing, or to itself
    REFUSED = "refused"  # The system does not let it be used, whatever it is


class Status(NamedTuple):
    """What is at a path. why: the reason of the system, where it refuses."""

    kind: Place
    why: str = ""


class Listing(NamedTuple):
    """What is in a folder, sorted, and the folders that cannot be searched, with the reason."""

    files: list[Path]
    folders: list[Path]
    refused: list[tuple[Path, str]]


def status(path: Path) -> Status:
    """Return what is at `path`."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return Status(Place.DANGLING if os.path.lexists(path) else Place.MISSING)
    except (OSError, ValueError) as error:
        is_loop = isinstance(error, OSError) and error.errno == errno.ELOOP and os.path.islink(path)
        return Status(Place.DANGLING) if is_loop else Status(Place.REFUSED, why(error))
    if stat.S_ISDIR(mode):
        return Status(Place.FOLDER)
    return Status(Place.FILE if stat.S_ISREG(mode) else Place.DEVICE)


def exists(path: Path) -> bool:
    """Return whether something can be seen at `path`, behind links."""
    return os.path.exists(path)


def is_file(path: Path) -> bool:
    """Return whether `path` is a file, behind links."""
    return os.path.isfile(path)


def is_folder(path: Path) -> bool:
    """Return whether `path` is a folder, behind links."""
    return os.path.isdir(path)


def is_taken(path: Path) -> bool:
    """Return whether no new file can be made at `path`, for one is there, or a link to nothing."""
    return os.path.lexists(path)


def why(error: OSError | ValueError) -> str:
    """Say in a few words why the system refuses: it has a ValueError for names that no file can have."""
    if isinstance(error, OSError):
        return (error.strerror or str(error) or type(error).__name__).lower()
    return "no file can have such a name"


def unreadable(path: Path) -> str:
    """Say why no file can be read at `path`, as the end of a sentence; '' for one that can."""
    kind, reason = status(path)
    if kind is Place.FOLDER:
        reason = "".join(refusal for _, refusal in listing(path).refused)
        return f"is a folder that cannot be read: {reason}" if reason else FOLDER
    if kind is Place.DEVICE:
        return "is a pipe or a device"
    if kind is Place.DANGLING:
        return "is a link to nothing"
    if kind is Place.MISSING:
        return "does not exist"
    if kind is Place.FILE:
        try:
            path.open("rb").close()
        except (OSError, ValueError) as error:
            reason = why(error)
    return f"cannot be read: {reason}" if reason else ""


def real(path: Path) -> str:
    """Return the path behind all links, as far as the system lets them be followed."""
    try:
        return os.path.realpath(path)
    except (OSError, ValueError):
        return os.path.abspath(path)


def listing(folder: Path, *, recursive: bool = False, hidden: bool = False) -> Listing:
    """Return what is in `folder`, and with `recursive` in folders inside it, but not behind links to folders.

    hidden: also what has a name that begins with a dot.
    """
    files: list[Path] = []
    folders: list[Path] = []
    refused: list[tuple[Path, str]] = []
    left = [folder]
    while left:
        place = left.pop()
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    if entry.name.startswith(".") and not hidden:
                        continue
                    (folders if _is_folder(entry) else files).append(place / entry.name)
                    if recursive and _is_folder(entry) and not entry.is_symlink():
                        left.append(place / entry.name)
        except (OSError, ValueError) as error:
            refused.append((place, why(error)))
    return Listing(sorted(files), sorted(folders), sorted(refused))


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link into a folder that may not be entered: reading it then says why
        return False


def unwritable(path: Path) -> str:
    """Say why no file can be made at `path`, whose folder need not exist yet; '' where nothing is known."""
    folder, missing = path.parent, [path.name]
    while (kind := status(folder).kind) is Place.MISSING and folder != folder.parent:
        missing.append(folder.name)
        folder = folder.parent
    if kind is Place.REFUSED:
        return f"the folder {folder} cannot be used: {status(folder).why}"
    if kind is Place.DANGLING:
        return f"the folder {folder} is a link to nothing"
    if kind is not Place.FOLDER:
        return f"{folder} is a file, so nothing can be written below it"
    # A folder that is not there hides that the names below it are too long.
    places = [path, path.parent / LONGEST_TEMPORARY, *(folder / name for name in missing)]
    for place in places:
        if (answer := status(place)).kind is Place.REFUSED:
            return f"{path} cannot be written: {answer.why}"
    if not os.access(folder, os.W_OK):
        return f"the folder {folder} is not writable"
    return ""
