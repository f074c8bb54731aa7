"""All that a server keeps while it runs, in a folder of its own."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from texsynth.config.settings import RunSettings
from texsynth.errors import OutputError
from texsynth.images.files import LOCKS
from texsynth.paths import is_folder, listing, why
from texsynth.serve.models import Models
from texsynth.serve.pictures import Pictures
from texsynth.serve.previews import Previews
from texsynth.serve.work import Queue

PREFIX = "texsynth-serve-"

LOCK = "lock"

PICTURE_BYTES = RESULT_BYTES = 4 << 30
"""Bytes of all pictures, and of all results, that are kept."""

PARTS = ("pictures", "jobs", "uploads")
"""Folders inside that of a server."""

AT_ONCE = 4
"""Pictures that are taken, shown or planned with at the same time; the page answers meanwhile."""

PATIENCE = 10.0  # Seconds that work in progress has to end


@dataclass(frozen=True)
class Limits:
    """How much a server takes."""

    upload: int = 256 << 20  # Bytes of a file
    queue: int = 16  # Jobs that wait
    pictures: int = PICTURE_BYTES
    results: int = RESULT_BYTES


Report = Callable[[Exception], None]
"""Is told of an error that nobody expects."""


def unreported(error: Exception) -> None:
    """Tell nobody."""
    del error


class State:
    """The pictures, the work and the networks of a server."""

    def __init__(
        self, run: RunSettings, limits: Limits, models: Models | None = None, report: Report = unreported
    ) -> None:
        """run: base of all runs. models: those of this run. report: is told of bugs."""
        self.run, self.limits, self.stopping, self.report = run, limits, False, report
        self.folder, self._lock = new_folder()
        # Limits can be imported without what the server needs.
        from anyio import CapacityLimiter

        self.turns = CapacityLimiter(AT_ONCE)
        self.models = models or Models(run)
        self.pictures = Pictures(self.folder / "pictures", run, limits.pictures)
        self.queue = Queue(
            self.folder / "jobs",
            self.pictures,
            self.models,
            most=limits.queue,
            most_bytes=limits.results,
            report=report,
        )
        self.previews = Previews(self.pictures, self.models)

    def stop(self) -> None:
        """Take no more work; may be called by a handler of signals, which takes no locks."""
        self.stopping = True

    def cancel(self) -> None:
        """End all work, without waiting for it."""
        self.stopping = True
        self.previews.stop(0)
        self.queue.stop(0)

    def close(self) -> None:
        """End all work and remove the folder."""
        self.cancel()
        self.queue.stop(PATIENCE)
        self.previews.stop(PATIENCE)
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._lock:
            self._lock.close()


def new_folder() -> tuple[Path, IO[bytes] | None]:
    """Make a folder for a server, and remove those of servers that were killed.

    Returns it and its lock, None where files cannot be locked. Raises OutputError.
    """
    try:
        _remove_stale()
        while True:
            folder = Path(tempfile.mkdtemp(prefix=PREFIX))
            # Another server that begins may have taken it for a stale one before it was locked.
            with suppress(FileNotFoundError, BlockingIOError):
                lock = _locked(folder) if LOCKS else None
                if is_folder(folder):
                    for name in PARTS:
                        (folder / name).mkdir()
                    return folder, lock
    except OSError as error:
        raise OutputError(
            f"no folder for temporary files can be made: {why(error)}; name another one as TMPDIR"
        ) from None


def _locked(folder: Path) -> IO[bytes] | None:
    """Return the locked file of a folder, None on file systems without locks. Raises OSError."""
    file = (folder / LOCK).open("xb")
    try:
        _lock(file)
    except BlockingIOError:
        file.close()
        raise
    except OSError:
        file.close()
        return None
    return file


def _remove_stale() -> None:
    # Those of running servers are locked, and those of others are none of our business.
    for folder in listing(Path(tempfile.gettempdir())).folders if LOCKS else ():
        if folder.name.startswith(PREFIX) and _is_ours(folder):
            with suppress(OSError), (folder / LOCK).open("rb") as file:
                _lock(file)
                shutil.rmtree(folder, ignore_errors=True)


def _is_ours(folder: Path) -> bool:
    """Tell whether a folder is one that a server of this user has made, with nothing else inside."""
    with suppress(OSError):
        status, lock = folder.lstat(), (folder / LOCK).lstat()
        names = set(os.listdir(folder))
        is_plain = stat.S_ISDIR(status.st_mode) and stat.S_ISREG(lock.st_mode)
        return is_plain and status.st_uid == os.geteuid() and names <= {LOCK, *PARTS}
    return False


def _lock(file: IO[bytes]) -> None:
    """Lock a file. Raises OSError where that cannot be done."""
    import fcntl

    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
