"""Hashes of weight files, and the list of them beside the files, in the format of `sha256sum`."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from texsynth.images.store import store
from texsynth.models.names import ASSETS

SUMS = "SHA256SUMS"

_LINE = re.compile(r"([0-9a-f]{64}) [ *](\S.*)")


def file_hash(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def expected_hashes(folder: Path = ASSETS) -> dict[str, str]:
    """File name to SHA-256 of the weights in `folder`, as its list has them."""
    sums = folder / SUMS
    lines = sums.read_text(errors="replace").splitlines() if sums.is_file() else []
    return {found[2]: found[1] for line in lines if (found := _LINE.fullmatch(line))}


def record_hash(path: Path) -> None:
    """Note the SHA-256 of a weight file in the list beside it. Raises OutputError."""
    _write(path.parent, expected_hashes(path.parent) | {path.name: file_hash(path)})


def forget_hash(path: Path) -> None:
    """Take a weight file off the list beside it. Raises OutputError."""
    hashes = expected_hashes(path.parent)
    if hashes.pop(path.name, None):
        _write(path.parent, hashes)


def _write(folder: Path, hashes: dict[str, str]) -> None:
    lines = [f"{digest}  {name}\n" for name, digest in sorted(hashes.items())]
    store("".join(lines).encode(), folder / SUMS, force=True)


def is_sound(path: Path) -> bool:
    """Whether a weight file is there and as the list beside it has it."""
    return path.is_file() and file_hash(path) == expected_hashes(path.parent).get(path.name)


def verified(folder: Path = ASSETS) -> list[tuple[str, bool]]:
    """Name of every weight file that is in `folder` or on its list, and whether it is sound."""
    found = {path.name for path in folder.glob("[!.]*.safetensors")}
    return [(name, is_sound(folder / name)) for name in sorted(found | expected_hashes(folder).keys())]
