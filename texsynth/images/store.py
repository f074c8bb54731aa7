"""Files that appear whole or not at all, and never over another one by accident."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from texsynth.errors import OutputError


def store(data: bytes, path: Path, *, force: bool = False) -> None:
    """Write `data` to `path` as `storing` does."""
    with storing(path, force=force) as file:
        file.write(data)


@contextmanager
def storing(path: Path, *, force: bool = False) -> Iterator[BinaryIO]:
    """A file to write to, beside `path`, that is renamed to `path` at the end.

    Without `force` an existing file stays as it is, even one that another run has made in the meantime.
    Raises OutputError, for OSErrors inside the block, too; whatever happens, the temporary file is gone
    afterwards.
    """
    temporary = path.with_name(f".texsynth-{secrets.token_hex(6)}.tmp")
    try:
        with _opened(temporary) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if force:
            os.replace(temporary, path)
        else:
            _place(temporary, path)
    except FileExistsError:
        raise OutputError(f"{path} exists already; use --force to replace it") from None
    except FileNotFoundError:
        raise OutputError(f"{path} cannot be written: the folder {path.parent} does not exist") from None
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {(error.strerror or str(error)).lower()}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _opened(path: Path) -> BinaryIO:
    # Not mkstemp: its mode 0600 would stay with the finished file.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    return os.fdopen(descriptor, "wb")


def _place(temporary: Path, path: Path) -> None:
    """Give `temporary` its final name unless that is taken."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: reserve the name, then rename over it
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        os.replace(temporary, path)
