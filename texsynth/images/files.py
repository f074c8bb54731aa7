"""Files that appear whole or not at all, and never over another one by accident."""

import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from texsynth.errors import OutputError, OutputExistsError
from texsynth.paths import Place, is_taken, listing, status, why

LOCKS = os.name == "posix"  # Elsewhere temporary files of killed runs stay
if LOCKS:
    import fcntl

TEMPORARY = re.compile(r"\.texsynth-[0-9a-f]{12}\.tmp")


def store(data: bytes, path: Path, *, force: bool = False) -> None:
    """Write `data` to `path` as `placed` does. Raises OutputError."""
    with placed(path, force=force) as file:
        file.write(data)


@contextmanager
def placed(path: Path, *, force: bool = False) -> Iterator[BinaryIO]:
    """As `temporary`, placed at the end of the block. Raises OutputError, also for an OSError inside it."""
    with writing(path), temporary(path, force=force) as (file, place):
        yield file
        place()


@contextmanager
def temporary(path: Path, *, force: bool = False) -> Iterator[tuple[BinaryIO, Callable[[], None]]]:
    """An open temporary file beside `path`, and a function that closes it and gives it that name.

    Without `force` an existing file stays as it is, even one that another run has made in the meantime.
    Both raise OutputError; whatever happens, the temporary file is gone afterwards.
    """

    def place() -> None:
        with writing(path):
            file.flush()
            os.fsync(file.fileno())
            if not LOCKS:
                file.close()  # Windows renames no open file; elsewhere it is locked until it has its name
            if force:
                os.replace(name, path)
            else:
                _place(name, path)

    with writing(path):
        name, file = locked_file(path.parent)
    try:
        with file:
            yield file, place
    finally:
        # Where the folder cannot be written any more, that is the error to report.
        with suppress(OSError):
            name.unlink()


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of killed runs from `folder`: those that no process has locked."""
    for path in listing(folder, hidden=True).files:
        if TEMPORARY.fullmatch(path.name) and not os.path.islink(path) and status(path).kind is Place.FILE:
            with suppress(OSError), path.open("rb") as file:
                if _lock(file, wait=False):
                    path.unlink()


def locked_file(folder: Path) -> tuple[Path, BinaryIO]:
    """Open a new temporary file, which is locked while it is open. Returns its name, too."""
    while True:
        name = folder / f".texsynth-{secrets.token_hex(6)}.tmp"
        # Not mkstemp: its mode 0600 would stay with the finished file.
        file = name.open("x+b")
        _lock(file, wait=True)
        # Another run may have taken it for a leftover before it was locked.
        if is_taken(name):
            return name, file
        file.close()


def _lock(file: BinaryIO, *, wait: bool) -> bool:
    """Lock an open file; return whether that could be done. Some file systems know no locks."""
    if not LOCKS:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Whatever the system refuses inside becomes an OutputError about `path`."""
    try:
        yield
    except FileExistsError:
        raise taken(path) from None
    except FileNotFoundError:
        raise OutputError(f"{path} cannot be written: the folder {path.parent} does not exist") from None
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {why(error)}") from error


def taken(path: Path) -> OutputExistsError:
    """The error for a file that is there already."""
    return OutputExistsError(f"{path} exists already; use --force to replace it")


def _place(temporary: Path, path: Path) -> None:
    """Give `temporary` its final name unless that is taken."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: reserve the name, then rename over it
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        try:
            os.replace(temporary, path)
        except OSError:
            path.unlink()
            raise


def as_text(name: str) -> str:
    """Return a file name with what is not text replaced."""
    return os.fsencode(name).decode(errors="replace")
