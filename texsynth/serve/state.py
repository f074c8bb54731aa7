"""All that a server keeps while it runs, in a folder of its own."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from texsynth.config.settings import RunSettings
from texsynth.images.files import LOCKS
from texsynth.paths import is_folder, listing
from texsynth.serve.models import Models
from texsynth.serve.pictures import Pictures
from texsynth.serve.previews import Previews
from texsynth.serve.work import Queue

PREFIX = "texsynth-serve-"

LOCK = "lock"

PICTURE_BYTES = RESULT_BYTES = 4 << 30
"""Bytes of all pictures, and of all results, that are kept."""

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
        for name in ("pictures", "jobs", "uploads"):
            (self.folder / name).mkdir()
        self.models = models or Models(run)
        self.pictures = Pictures(self.folder / "pictures", run, limits.pictures)
        self.queue = Queue(
            self.folder / "jobs",
            self.pictures,
            self.models,
            run,
            most=limits.queue,
            most_bytes=limits.results,
            report=report,
        )
        self.previews = Previews(self.pictures, self.models, run)

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
    """Make a folder for a server, and remove those of servers that were killed. Returns it and its lock."""
    _remove_stale()
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        if not LOCKS:
            return folder, None
        with suppress(OSError):
            file = (folder / LOCK).open("xb")
            # Another server that begins may have taken it for a stale one before it was locked.
            if _lock(file) and is_folder(folder):
                return folder, file
            file.close()


def _remove_stale() -> None:
    # Folders of others cannot be opened, and those of running servers are locked.
    for folder in listing(Path(tempfile.gettempdir())).folders if LOCKS else ():
        if folder.name.startswith(PREFIX) and not os.path.islink(folder):
            with suppress(OSError), (folder / LOCK).open("rb") as file:
                if _lock(file):
                    shutil.rmtree(folder, ignore_errors=True)


def _lock(file: IO[bytes]) -> bool:
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
