"""Files from the network: continued where they were cut off, and never taken for whole when they are not."""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPException, RemoteDisconnected
from itertools import chain
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

import requests
from requests import exceptions
from urllib3.exceptions import HTTPError, ReadTimeoutError

import texsynth
from texsynth import strict_json
from texsynth.errors import ModelError
from texsynth.models.hub.cache import discard
from texsynth.models.hub.watch import SilenceError, watched
from texsynth.paths import is_file, is_folder, unreadable

PAUSES = (0.2, 0.4, 0.8, 1.6)  # Seconds before each new attempt after a connection was cut off

CHUNK = 1 << 15

LARGEST = 1 << 32
"""Bytes of the largest file that is taken; published checkpoints have an eighth of that."""

SLOWNESS = 4
"""An answer, and each chunk of it, may take so many times as long as a server may be silent."""

_PLAIN = re.compile(r"[\x20-\x7e]{1,256}")
"""What a server may be told to mark a version by."""

_RANGE = re.compile(r"bytes (?:([0-9]{1,18})-[0-9]{1,18}|\*)/([0-9]{1,18})")

STATE = "state.json"
"""File beside an unfinished download: its URL, and what tells versions of the file apart."""

ELSEWHERE = "give another address with --url, or import a file with `texsynth models import FILE`"

OnBytes = Callable[[int, int | None], None]
"""Told how many bytes are there, and of how many where that is known."""


class _CutOffError(Exception):
    """The connection ended too early, or the server is busy; another attempt may go on."""


def public(url: str) -> str:
    """Return `url` without user and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def file_name(url: str) -> str:
    """Return the last part of the path of `url` as a safe file name."""
    last = unquote(urlsplit(url).path).rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9._-]", "_", last).lstrip(".") or "download"


def silent(*_: object) -> None:
    """Ignore a progress report."""


def download(url: str, folder: Path, *, timeout: float = 30, on_bytes: OnBytes = silent) -> Path:
    """Download the file at `url` into `folder`, which is made when missing, and return its path.

    An unfinished download there is continued when the server still has the same version. timeout: seconds
    without a connection or without a byte. Raises ModelError, and OSError when the folder cannot be written.
    """
    if _state(folder).get("url") != url or is_folder(folder / file_name(url)):
        discard(folder)
    folder.mkdir(exist_ok=True)
    path = folder / file_name(url)
    for pause in (*PAUSES, None):
        try:
            with closing(watched(_transfer(url, path, timeout), SLOWNESS * timeout)) as items:
                response = next(items)
                assert isinstance(response, requests.Response), "it comes before the chunks"
                _receive(
                    response, (chunk for chunk in items if isinstance(chunk, bytes)), url, path, on_bytes
                )
            return path
        except SilenceError:
            raise _too_slow(url, SLOWNESS * timeout) from None
        except _CutOffError as error:
            if pause is None:
                raise ModelError(
                    f"{public(url)} was cut off {len(PAUSES) + 1} times ({error}); run the same command "
                    f"again to go on from where it stopped"
                ) from error
            time.sleep(pause)
    raise AssertionError("the last attempt returns or raises")


def _state(folder: Path) -> dict[str, str]:
    """Return `url` and `validator` of an unfinished download, nothing where that is damaged."""
    file = folder / STATE
    if unreadable(file) or file.stat().st_size > CHUNK:
        return {}
    try:
        state = strict_json.parse(file.read_bytes(), is_text=False)
        return {key: str(state[key]) for key in ("url", "validator")}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def _transfer(url: str, path: Path, timeout: float) -> Iterator[requests.Response | bytes]:
    """Yield the answer and, as long as they are asked for, the chunks of its body."""
    with requests.Session() as session, _answer(session, url, path, timeout) as response:
        yield response
        yield from _chunks(response, url, timeout)


def _answer(session: requests.Session, url: str, path: Path, timeout: float) -> requests.Response:
    """Ask for the file, or for what is missing of it."""
    # Compressed answers have other lengths than the file.
    headers = {"Accept-Encoding": "identity", "User-Agent": f"texsynth/{texsynth.__version__}"}
    validator = _state(path.parent).get("validator", "")
    if _PLAIN.fullmatch(validator) and is_file(path) and (size := path.stat().st_size):
        headers |= {"Range": f"bytes={size}-", "If-Range": validator}
    try:
        response = session.get(url, headers=headers, stream=True, timeout=timeout)
        if urlsplit(url).scheme == "https" and urlsplit(response.url).scheme != "https":
            raise ModelError(f"{public(url)} leads to {public(response.url)}, which is not safe; {ELSEWHERE}")
        return response
    except exceptions.Timeout:
        raise _stalled(url, timeout) from None
    # Where a redirect leads to what is no address, the libraries raise errors of other kinds.
    except (exceptions.RequestException, HTTPError, HTTPException, ValueError) as error:
        cause: BaseException = error
        while cause.__context__ is not None:
            cause = cause.__context__
        if isinstance(cause, (ConnectionResetError, RemoteDisconnected)):
            raise _CutOffError("no answer") from error
        raise ModelError(
            f"{public(url)} cannot be reached ({getattr(cause, 'strerror', None) or cause}); check "
            f"the network and the proxy settings, or {ELSEWHERE}"
        ) from error


def _receive(
    response: requests.Response, chunks: Iterator[bytes], url: str, path: Path, on_bytes: OnBytes
) -> None:
    """Write the answer, which comes in `chunks`, to `path`, or after what is there."""
    start, total = _extent(response, url, path)
    if total is not None and total > LARGEST:
        raise _too_large(url)
    if "text/html" in response.headers.get("Content-Type", ""):
        raise _page(url)
    if start == total:
        return
    first = next(chunks, b"")
    if not start:
        if first.lstrip().startswith(b"<"):
            raise _page(url)
        # What marks this version of the file, byte for byte; empty if the server has nothing of the kind.
        tag, date = (response.headers.get(name, "") for name in ("ETag", "Last-Modified"))
        validator = tag if tag and not tag.startswith("W/") else date
        state = {"url": url, "validator": validator if _PLAIN.fullmatch(validator) else ""}
        (path.parent / STATE).write_text(json.dumps(state))
    done = start
    with path.open("ab" if start else "wb") as file:
        for chunk in chain([first], chunks):
            done += len(chunk)
            if done > LARGEST:
                raise _too_large(url)
            file.write(chunk)
            on_bytes(done, total)
    if total not in (None, done):
        raise _CutOffError(f"after {done} of {total} bytes")


def _extent(response: requests.Response, url: str, path: Path) -> tuple[int, int | None]:
    """Return the start of the body in the file, and the size of the file if the server tells it."""
    status, headers = response.status_code, response.headers
    if status in (206, 416):
        size = path.stat().st_size if is_file(path) else 0
        extent = re.fullmatch(
            r"bytes (?:(\d{1,18})-\d{1,18}|\*)/(\d{1,18})", headers.get("Content-Range", "").strip()
        )
        if extent and int(extent[1] or extent[2]) == size:
            return size, int(extent[2])
        # Not what was asked for: the part is of no use.
        path.unlink(missing_ok=True)
        raise _CutOffError(f"the server answers {status} with another range")
    if status in (408, 429) or status >= 500:
        raise _CutOffError(f"the server answers {status}")
    if status != 200:
        raise ModelError(f"{public(url)} is refused ({status} {response.reason}); {ELSEWHERE}")
    length = headers.get("Content-Length", "")
    encoded = headers.get("Content-Encoding", "identity") != "identity"
    is_known = re.fullmatch(r"[0-9]{1,18}", length) and not encoded
    return 0, int(length) if is_known else None


def _chunks(response: requests.Response, url: str, timeout: float) -> Iterator[bytes]:
    try:
        yield from response.iter_content(CHUNK)
    except exceptions.ChunkedEncodingError as error:
        raise _CutOffError("the connection ended") from error
    except exceptions.ConnectionError as error:
        if error.args and isinstance(error.args[0], ReadTimeoutError):
            raise _stalled(url, timeout) from error
        raise _CutOffError("the connection ended") from error
    except (exceptions.RequestException, HTTPError, HTTPException, ValueError) as error:
        raise ModelError(f"the answer of {public(url)} cannot be read ({error}); {ELSEWHERE}") from error


def _stalled(url: str, timeout: float) -> ModelError:
    return ModelError(
        f"{public(url)} has sent nothing for {timeout:g} s; run the same command again to go on, "
        f"with a longer --timeout if the network is slow"
    )


def _too_slow(url: str, seconds: float) -> ModelError:
    return ModelError(
        f"{public(url)} is too slow, it has sent less than {CHUNK // 1024} KiB in {seconds:g} s; run the "
        f"same command again to go on, with a longer --timeout"
    )


def _too_large(url: str) -> ModelError:
    return ModelError(
        f"{public(url)} gives more than {LARGEST >> 30} GiB, which no checkpoint has; {ELSEWHERE}"
    )


def _page(url: str) -> ModelError:
    return ModelError(f"{public(url)} gives a web page in place of a file; check the address, or {ELSEWHERE}")
