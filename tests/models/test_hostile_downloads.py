"""Servers that answer anything, and damage in the cache: one sentence, and the next download is whole."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import requests
from helpers.faults import linux
from helpers.http_server import PROXIES, serving
from helpers.waiting import PATIENCE

from texsynth.errors import ModelError
from texsynth.models.hub import cache
from texsynth.models.hub import download as module
from texsynth.models.hub.download import STATE, download

BODY = np.random.default_rng(0).bytes(100_000)

OK = "HTTP/1.1 200 OK\r\n"

PLACES = (
    "", "/", "//", "?", "#", "http://", "http://[", "http://[::1", "file:///etc/passwd", "ftp://127.0.0.1/a",
    "data:,x", "javascript:x", "http://127.0.0.1:99999999/", "http://127.0.0.1:x/", "http://a..b/",
    "http://\x80/", "http://xn--/", "http://" + "a" * 300 + "/", "\xff\xfe", "http://127.0.0.1:1/",
    "weights.bin", "http:\\\\x", "https://127.0.0.1:1/", "http://user:pass@/", "http://%00/",
    "http://127.0.0.1:1/%ff" + "x" * 9000,
)  # fmt: skip
"""Where answers lead; the server gives the same one at every place of its own."""

LENGTHS = ("9" * 5000, "99999999999999999", "-1", "1e5", "1, 2", "", "0x10", " ", "+3", "\u00b2")

ANSWERS = {
    **{f"redirect {place!r:.30}": f"HTTP/1.1 302 Found\r\nLocation: {place}\r\n\r\n" for place in PLACES},
    "redirect nowhere": "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
    "nothing": "",
    "no status": "\0" * 100,
    "odd status": "HTTP/9.9 abc\r\n\r\n",
    "status with an escape": "HTTP/1.1 404 \x1b[31mred\r\nContent-Length: 0\r\n\r\n",
    "long line": f"{OK}X: {'a' * 70_000}\r\n\r\n",
    "many headers": OK + "X: a\r\n" * 200 + "\r\n",
    "odd range": "HTTP/1.1 206 Partial\r\nContent-Range: bytes x-y/z\r\n\r\n",
    "huge range": f"HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-{'9' * 5000}/{'9' * 5000}\r\n\r\nabc",
    "large range": "HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-9/99999999999999999\r\n\r\nabc",
    "no range": "HTTP/1.1 416 No\r\nContent-Range: bytes */99999999999999999\r\nContent-Length: 0\r\n\r\n",
    "odd chunks": f"{OK}Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
    "huge chunk": f"{OK}Transfer-Encoding: chunked\r\n\r\n{'f' * 40}\r\nabc\r\n",
    "negative chunk": f"{OK}Transfer-Encoding: chunked\r\n\r\n-5\r\nabc\r\n",
    "no gzip": f"{OK}Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
    "no such encoding": f"{OK}Content-Encoding: br, zstd, x\r\nContent-Length: 5\r\n\r\nabc",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _own_network(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(module, "PAUSES", (0.0,))


@pytest.fixture
def answering() -> Iterator[Callable[[Callable[[socket.socket], None]], str]]:
    """Serves what a function writes to every connection; returns the address."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(answer: Callable[[socket.socket], None]) -> str:
        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    try:
                        connection.recv(1 << 16)
                        answer(connection)
                    except OSError:
                        continue

        threading.Thread(target=accept, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/weights.bin"

    yield serve
    listener.close()


def whole(folder: Path) -> None:
    with serving(BODY) as site:
        assert download(site.url, folder).read_bytes() == BODY


@pytest.mark.parametrize("name", ANSWERS)
def test_an_odd_answer_is_a_sentence(
    answering: Callable[[Callable[[socket.socket], None]], str], tmp_path: Path, name: str
) -> None:
    url = answering(lambda connection: connection.sendall(ANSWERS[name].encode("latin-1")))
    with pytest.raises(ModelError) as caught:
        download(url, tmp_path / "part", timeout=1)
    assert url in str(caught.value)
    whole(tmp_path / "part")


@pytest.mark.parametrize("length", LENGTHS)
def test_an_odd_length_is_a_sentence_or_left_out(
    answering: Callable[[Callable[[socket.socket], None]], str], tmp_path: Path, length: str
) -> None:
    answer = f"{OK}Content-Length: {length}\r\n\r\nabc".encode("latin-1")
    url = answering(lambda connection: connection.sendall(answer))
    # A server that says more than it has is asked again.
    with suppress(ModelError):
        assert download(url, tmp_path / "part", timeout=1).read_bytes() in (b"abc", b"")
    whole(tmp_path / "part")


def test_a_safe_address_does_not_lead_to_an_unsafe_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = requests.Response()
    answer.status_code, answer.url = 200, "http://elsewhere/weights.bin"
    monkeypatch.setattr(requests.Session, "get", lambda *_, **__: answer)
    with pytest.raises(ModelError, match=r"leads to http://elsewhere/weights.bin, which is not safe"):
        download("https://host/weights.bin", tmp_path / "part")
    assert not (tmp_path / "part" / "weights.bin").exists()


def test_a_file_has_a_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST", len(BODY) - 1)
    with serving(BODY) as site:
        for site.has_length in (True, False):
            with pytest.raises(ModelError, match=r"gives more than .* which no checkpoint has"):
                download(site.url, tmp_path / "part")
        assert len(site.requests) == 2, "no second attempt"


@pytest.mark.parametrize("start", ["HTTP/1.1 200 OK\r\nX-Slow: ", f"{OK}\r\n"])
def test_a_server_that_drips_ends(
    answering: Callable[[Callable[[socket.socket], None]], str],
    tmp_path: Path,
    start: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(start.encode())
        while True:
            connection.sendall(b"x")
            time.sleep(0.02)

    url = answering(drip)
    # Between two drops a busy machine may take longer than that.
    monkeypatch.setattr(module, "SLOWNESS", 0.01)
    began = time.monotonic()
    with pytest.raises(ModelError, match=r"is too slow, it has sent less than 32 KiB in 0\.4 s"):
        download(url, tmp_path / "part", timeout=40)
    assert time.monotonic() - began < PATIENCE, "it would drip for ever"


def damage(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": damage(b""),
    "null": damage(b"null"),
    "a list": damage(b"[]"),
    "a number": damage(b"9" * 5000),
    "infinity": damage(b'{"url": 1e999, "validator": NaN}'),
    "deep": damage(b'{"url": ' + b"[" * 30_000),
    "no text": damage(b"\xff\xfe\0"),
    "nul": damage(b'{"url": "\\u0000", "validator": "\\ud800"}'),
    "folder": Path.mkdir,
    "pipe": os.mkfifo,
    "dangling": lambda path: path.symlink_to("nowhere"),
    "long": damage(b" " * 10_000_000),
}


@linux
@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_state_begins_anew(tmp_path: Path, name: str) -> None:
    part = tmp_path / "part"
    part.mkdir()
    DAMAGES[name](part / STATE)
    (part / "weights.bin").write_bytes(b"of something else")
    whole(part)


@linux
@pytest.mark.parametrize("name", DAMAGES)
def test_what_lies_in_the_place_of_a_download_is_removed(tmp_path: Path, name: str) -> None:
    DAMAGES[name](tmp_path / "part")
    whole(tmp_path / "part")


@pytest.mark.parametrize("validator", ["a\r\nX: y", "\u00e9", "\ud800", "", "x" * 300, None, 5, []])
def test_an_odd_mark_of_a_version_is_not_sent(tmp_path: Path, validator: object) -> None:
    part = tmp_path / "part"
    part.mkdir()
    with serving(BODY) as site:
        (part / STATE).write_text(json.dumps({"url": site.url, "validator": validator}))
        (part / "weights.bin").write_bytes(BODY[:10])
        assert download(site.url, part).read_bytes() == BODY


def test_a_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    with serving(BODY) as site:
        (tmp_path / "part" / "weights.bin").mkdir(parents=True)
        (tmp_path / "part" / STATE).write_text(json.dumps({"url": site.url, "validator": '"one"'}))
        assert download(site.url, tmp_path / "part").read_bytes() == BODY


@linux
@pytest.mark.parametrize("file", [cache.FETCHED, cache.SUMS])
@pytest.mark.parametrize("name", [name for name in DAMAGES if name != "folder"])
def test_damaged_lists_of_the_cache_are_made_anew(tmp_path: Path, name: str, file: str) -> None:
    DAMAGES[name](tmp_path / file)
    assert cache.downloads(tmp_path) == {}
    assert cache.expected_hashes(tmp_path) == {}
    with cache.writing(tmp_path), cache.locked(tmp_path, "net"):
        path = cache.keep("net", b"weights", tmp_path, {"url": "http://x", "sha256": "1"})
    assert cache.is_sound(path)
    assert list(cache.downloads(tmp_path)) == ["net"]
