"""The cache of models: one safetensors file per name, their hashes, and the addresses they came from.

Beside `NAME.safetensors` lie SHA256SUMS, `fetched.json` (URL and hash of each download) and, while a download
is under way or was cut off, the folder `NAME.part`. Reading never makes the folder. The embedded weights have
such a list of hashes too.
"""

import errno
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from texsynth import strict_json
from texsynth.errors import ModelError, OutputError, OutputExistsError
from texsynth.images.files import store
from texsynth.models.hub.catalog import ASSETS, SUFFIX
from texsynth.paths import Place, is_folder, is_taken, listing, status, unreadable, why

SUMS, FETCHED = "SHA256SUMS", "fetched.json"

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_LINE = re.compile(r"([0-9a-f]{64}) [ *](\S.*)")


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def expected_hashes(folder: Path = ASSETS) -> dict[str, str]:
    """Return file name to SHA-256 of the weights in `folder`, from its list."""
    sums = folder / SUMS
    lines = [] if unreadable(sums) else sums.read_text(errors="replace").splitlines()
    return {match[2]: match[1] for line in lines if (match := _LINE.fullmatch(line))}


def record_hash(path: Path) -> None:
    """Note the SHA-256 of a weight file in the list beside it. Raises OutputError."""
    _write_hashes(path.parent, expected_hashes(path.parent) | {path.name: file_hash(path)})


def check_hash(path: Path, digest: str) -> None:
    """Raise ModelError unless the list beside a weight file has this SHA-256."""
    if expected_hashes(path.parent).get(path.name) == digest:
        return
    if path.parent == ASSETS:
        raise ModelError(f"the weights of {path.stem} do not match their published hash; reinstall texsynth")
    raise ModelError(
        f"model file {path} is not as it was stored (see `texsynth models verify`); fetch or import it again"
    )


def is_sound(path: Path) -> bool:
    """Return whether a weight file is there and has the hash in the list beside it."""
    return not unreadable(path) and file_hash(path) == expected_hashes(path.parent).get(path.name)


def verified(folder: Path = ASSETS) -> list[tuple[str, bool]]:
    """Return the name of every weight file that is in `folder` or on its list, and whether it is sound."""
    names = {path.name for path in listing(folder).files if path.suffix == SUFFIX} | expected_hashes(
        folder
    ).keys()
    return [(name, is_sound(folder / name)) for name in sorted(names)]


def downloads(folder: Path) -> dict[str, Mapping[str, str]]:
    """Return the name of every fetched model with `url` and `sha256` of its download."""
    if unreadable(folder / FETCHED):
        return {}
    try:
        entries = strict_json.parse((folder / FETCHED).read_bytes())
        return {name: {key: str(entry[key]) for key in ("url", "sha256")} for name, entry in entries.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def check_download(folder: Path, fetched: Mapping[str, str]) -> None:
    """Raise ModelError when an earlier download of the `url` of `fetched` had another `sha256`."""
    for name, entry in downloads(folder).items():
        if entry["url"] == fetched["url"] and entry["sha256"] != fetched["sha256"]:
            raise ModelError(
                f"{entry['url']} has changed since model {name} was fetched (SHA-256 "
                f"{fetched['sha256'][:8]}…, was {entry['sha256'][:8]}…); if that is right, run "
                f"`texsynth models remove {name}` and fetch it again"
            )


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Make the cache `folder` when missing; an error of the system inside becomes a ModelError."""
    elsewhere = "set TEXSYNTH_CACHE to a folder"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OutputExistsError:
        raise
    except (OSError, ValueError, OutputError) as error:
        if isinstance(error, ValueError) and status(folder).kind is not Place.REFUSED:
            raise
        cause = error.__cause__ if isinstance(error, OutputError) else error
        if isinstance(cause, OSError) and cause.errno in FULL:
            raise ModelError(f"the disk of {folder} is full; make room, or {elsewhere} on another") from error
        reason = why(cause) if isinstance(cause, OSError | ValueError) else str(error)
        raise ModelError(f"the cache {folder} cannot be written ({reason}); {elsewhere} that can") from error


@contextmanager
def locked(folder: Path, name: str, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Keep others from changing the model `name`, or the lists if empty. on_wait: when one is at it."""
    lock = FileLock(folder / (f".{name}.lock" if name else ".lock"))
    try:
        held = lock.acquire(blocking=False)
    except Timeout:
        on_wait()
        held = lock.acquire()
    with held:
        yield


def part_of(folder: Path, name: str) -> Path:
    """Return the folder of the unfinished download of a model; its name is never that of a model."""
    return folder / f"{name}.part"


def parts(folder: Path) -> list[str]:
    """Return the models whose download is unfinished."""
    files, folders, _ = listing(folder)
    return sorted(path.name.removesuffix(".part") for path in [*files, *folders] if path.suffix == ".part")


def discard(folder: Path) -> None:
    """Remove an unfinished download, or what lies in its place."""
    if is_folder(folder) and not folder.is_symlink():
        shutil.rmtree(folder)
    else:
        folder.unlink(missing_ok=True)


def drop_part(folder: Path, name: str) -> None:
    """Remove the unfinished download of a model."""
    with suppress(OSError):
        discard(part_of(folder, name))


def check_free(folder: Path, name: str) -> None:
    """Raise OutputExistsError when the cache has a model of this name."""
    if is_taken(folder / f"{name}{SUFFIX}"):
        raise OutputExistsError(
            f"model {name} is in the cache already; use --force to replace it, or --name for another name"
        )


def keep(name: str, data: bytes, folder: Path, fetched: Mapping[str, str] | None = None) -> Path:
    """Put a model file into the cache, in place of one with its name. fetched: `url` and `sha256`.

    The caller holds its lock, inside `writing`. Raises OSError, OutputError.
    """
    path = folder / f"{name}{SUFFIX}"
    store(data, path, force=True)
    with locked(folder, ""):
        record_hash(path)
        _note_download(folder, name, fetched)
    return path


def remove(name: str, folder: Path) -> None:
    """Remove a model, its entries in the lists and its unfinished download; otherwise as `keep`."""
    path = folder / f"{name}{SUFFIX}"
    with locked(folder, ""):
        hashes = expected_hashes(folder)
        hashes.pop(path.name, None)
        _write_hashes(folder, hashes)
        _note_download(folder, name, None)
    path.unlink(missing_ok=True)
    drop_part(folder, name)


def _write_hashes(folder: Path, hashes: Mapping[str, str]) -> None:
    lines = [f"{digest}  {name}\n" for name, digest in sorted(hashes.items())]
    store("".join(lines).encode(), folder / SUMS, force=True)


def _note_download(folder: Path, name: str, fetched: Mapping[str, str] | None) -> None:
    """Set the address and the hash of the download of a model, or forget them."""
    entries = {**downloads(folder), name: fetched}
    noted = {key: dict(entry) for key, entry in sorted(entries.items()) if entry}
    store((json.dumps(noted, indent=1) + "\n").encode(), folder / FETCHED, force=True)
