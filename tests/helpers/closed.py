"""Folders that the system lets nobody into, also for tests that run with all rights."""

from __future__ import annotations

import builtins
import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CALLS: dict[Any, tuple[str, ...]] = {
    os: ("stat", "lstat", "open", "mkdir", "unlink", "link", "replace"),
    io: ("open",),
    builtins: ("open",),
}
"""Where the system is asked about what is in a folder."""


def close(folder: Path, monkeypatch: pytest.MonkeyPatch, *, listed: bool = False) -> None:
    """Let nobody into `folder`. listed: its names can be read nevertheless."""
    inside = str(folder.absolute()) + os.sep

    def guarded(call: Callable[..., Any], *, itself: bool = False) -> Callable[..., Any]:
        def guard(path: Any = ".", *arguments: Any, **flags: Any) -> Any:  # noqa: ANN401
            name = "" if isinstance(path, int) else os.path.abspath(os.fsdecode(path))
            if name.startswith(inside) or (itself and name + os.sep == inside):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))
            return call(path, *arguments, **flags)

        return guard

    for module, names in CALLS.items():
        for name in names:
            monkeypatch.setattr(module, name, guarded(getattr(module, name)))
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, *rest, **flags: (
        str(Path(path).absolute()) + os.sep != inside and access(path, *rest, **flags)))  # fmt: skip
    if not listed:
        for name in ("scandir", "listdir"):
            monkeypatch.setattr(os, name, guarded(getattr(os, name), itself=True))
