"""Downloads: whole or not at all, continued where they were cut off, every fault a sentence."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.faults import linux
from helpers.http_server import PROXIES, Site, serving
from helpers.waiting import until

from texsynth.errors import ModelError
from texsynth.models.hub import download as module
from texsynth.models.hub.cache import writing
from texsynth.models.hub.download import STATE, download, file_name, public

BODY = np.random.default_rng(0).bytes(300_000)

CUTS = (150_000, 1000, 1000)
"""Enough for one download to give up, half-way."""


@pytest.fixture(autouse=True)
def _own_network(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(module, "PAUSES", (0.01, 0.01))


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(BODY) as site:
        yield site


def test_a_whole_file_comes_with_its_name_and_its_progress(site: Site, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    path = download(site.url, tmp_path / "part", on_bytes=lambda done, total: seen.append((done, total)))
    assert path == tmp_path / "part" / "weights.bin"
    assert path.read_bytes() == BODY
    assert site.ranges_asked == [None]
    assert seen == sorted(seen)
    assert seen[-1] == (len(BODY), len(BODY))


def test_a_cut_connection_is_resumed_at_once(site: Site, tmp_path: Path) -> None:
    site.cuts = [150_000]
    assert download(site.url, tmp_path / "part").read_bytes() == BODY
    first, second = site.ranges_asked
    assert first is None
    assert second is not None
    assert 0 < int(second.removeprefix("bytes=").removesuffix("-")) <= 150_000
    assert site.requests[1][1]["if-range"] == site.etag


def test_what_an_earlier_run_left_is_continued(site: Site, tmp_path: Path) -> None:
    site.cuts = list(CUTS)
    with pytest.raises(ModelError, match="was cut off 3 times"):
        download(site.url, tmp_path / "part")
    there = (tmp_path / "part" / "weights.bin").stat().st_size
    assert 0 < there < len(BODY)
    assert download(site.url, tmp_path / "part").read_bytes() == BODY
    assert site.ranges_asked[-1] == f"bytes={there}-"


def test_a_changed_file_begins_anew(site: Site, tmp_path: Path) -> None:
    site.cuts = list(CUTS)
    with pytest.raises(ModelError):
        download(site.url, tmp_path / "part")
    site.body, site.etag = BODY[::-1], '"two"'
    assert download(site.url, tmp_path / "part").read_bytes() == BODY[::-1]
    assert site.ranges_asked[-1] is not None


@pytest.mark.parametrize("etag", ["", 'W/"one"'])
def test_without_a_mark_of_its_version_a_file_begins_anew(site: Site, tmp_path: Path, etag: str) -> None:
    site.etag, site.cuts = etag, [150_000]
    assert download(site.url, tmp_path / "part").read_bytes() == BODY
    assert site.ranges_asked == [None, None]


def test_the_time_of_change_marks_a_version_too(site: Site, tmp_path: Path) -> None:
    site.etag, site.cuts = "", [150_000]
    site.extra = {"Last-Modified": "Sat, 01 Jan 2022 00:00:00 GMT"}
    assert download(site.url, tmp_path / "part").read_bytes() == BODY
    assert site.ranges_asked[1] is not None
    assert site.requests[1][1]["if-range"] == "Sat, 01 Jan 2022 00:00:00 GMT"


def test_a_server_without_ranges_begins_anew(site: Site, tmp_path: Path) -> None:
    site.ranges, site.cuts = False, [150_000]
    assert download(site.url, tmp_path / "part").read_bytes() == BODY
    assert len(site.requests) == 2


def test_another_address_does_not_continue_the_part_of_the_first(site: Site, tmp_path: Path) -> None:
    site.cuts = list(CUTS)
    with pytest.raises(ModelError):
        download(site.url, tmp_path / "part")
    site.requests.clear()
    path = download(site.url.replace("weights", "other"), tmp_path / "part")
    assert site.ranges_asked == [None]
    assert {p.name for p in path.parent.iterdir()} == {"other.bin", STATE}


@pytest.mark.parametrize("more", [b"", b"more than the server has"])
def test_a_part_that_is_whole_or_too_long(site: Site, tmp_path: Path, more: bytes) -> None:
    path = download(site.url, tmp_path / "part")
    path.write_bytes(path.read_bytes() + more)
    assert download(site.url, tmp_path / "part").read_bytes() == BODY
    assert site.ranges_asked[:2] == [None, f"bytes={len(BODY + more)}-"]
    assert len(site.requests) == (3 if more else 2)


def test_a_file_of_unknown_length(site: Site, tmp_path: Path) -> None:
    site.has_length = False
    seen: list[int | None] = []
    path = download(site.url, tmp_path / "part", on_bytes=lambda _, total: seen.append(total))
    assert path.read_bytes() == BODY
    assert set(seen) == {None}


@pytest.mark.parametrize(
    ("body", "type_"), [(BODY, "text/html; charset=utf-8"), (b" \n<!doctype html>", "x/y")]
)
def test_a_web_page_is_no_file_and_spoils_no_part(
    site: Site, tmp_path: Path, body: bytes, type_: str
) -> None:
    site.cuts = list(CUTS)
    with pytest.raises(ModelError):
        download(site.url, tmp_path / "part")
    before = (tmp_path / "part" / "weights.bin").read_bytes()
    good = site.type
    site.body, site.type, site.etag = body, type_, '"page"'
    with pytest.raises(ModelError, match="gives a web page in place of a file"):
        download(site.url, tmp_path / "part")
    assert (tmp_path / "part" / "weights.bin").read_bytes() == before
    site.body, site.type, site.etag = BODY, good, '"one"'
    assert download(site.url, tmp_path / "part").read_bytes() == BODY
    assert site.ranges_asked[-1] == f"bytes={len(before)}-"


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_refusal_names_the_address_and_the_cure(site: Site, tmp_path: Path, status: int) -> None:
    site.status = status
    with pytest.raises(ModelError) as caught:
        download(site.url, tmp_path / "part")
    assert f"{site.url} is refused ({status}" in str(caught.value)
    assert "--url" in str(caught.value)
    assert len(site.requests) == 1


def test_a_busy_server_is_asked_again(site: Site, tmp_path: Path) -> None:
    site.status = 503
    with pytest.raises(ModelError, match=r"was cut off 3 times \(the server answers 503"):
        download(site.url, tmp_path / "part")
    assert len(site.requests) == 3


def test_a_stall_ends_and_keeps_what_came(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("texsynth.models.hub.download.SLOWNESS", 1000)
    site.gate = threading.Event()
    part = tmp_path / "part" / "weights.bin"

    def came() -> bool:
        with pytest.raises(ModelError, match=r"has sent nothing for 0\.3 s"):
            download(site.url, tmp_path / "part", timeout=0.3)
        return part.is_file() and part.stat().st_size > 0

    until(came)  # A busy machine may send nothing at all in that time
    site.gate.set()
    assert download(site.url, tmp_path / "part").read_bytes() == BODY
    assert site.ranges_asked[-1] is not None


def test_nobody_there(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        # It is kept from others, and nobody listens.
        with pytest.raises(ModelError, match=r"cannot be reached \(Connection refused\)"):
            download(f"http://127.0.0.1:{port}/x", tmp_path / "part")


def test_a_proxy_is_asked_for_other_hosts_and_not_for_those_without(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", site.url.removesuffix("/files/weights.bin"))
    monkeypatch.setenv("http_proxy", site.url.removesuffix("/files/weights.bin"))
    assert download("http://models.invalid/a.bin", tmp_path / "part").read_bytes() == BODY
    assert site.requests[0][0] == "http://models.invalid/a.bin"
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with pytest.raises(ModelError, match="cannot be reached"):
        download(site.url, tmp_path / "two")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert download(site.url, tmp_path / "two").read_bytes() == BODY
    assert site.requests[-1][0] == "/files/weights.bin"


@linux
def test_a_full_disk(site: Site, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    with writing(folder):
        (folder / "net.part").mkdir()
    (folder / "net.part" / STATE).write_text(f'{{"url": "{site.url}", "validator": ""}}')
    (folder / "net.part" / "weights.bin").symlink_to("/dev/full")
    with pytest.raises(ModelError, match=r"the disk of .*cache is full.*TEXSYNTH_CACHE"), writing(folder):
        download(site.url, folder / "net.part")
    (folder / "net.part" / "weights.bin").unlink()
    assert download(site.url, folder / "net.part").read_bytes() == BODY


def test_names_and_addresses_are_safe_to_show_and_to_write() -> None:
    assert public("https://me:secret@host:8080/a?b=c") == "https://host:8080/a?b=c"
    for url, name in [
        ("https://host/a/vgg_normalised.pth?download=1", "vgg_normalised.pth"),
        ("https://host/..%2F..%2Fetc%2Fpasswd", "passwd"),
        ("https://host/.hidden", "hidden"),
        ("https://host/a%00b%5Cc", "a_b_c"),
        ("https://host/", "download"),
    ]:
        assert file_name(url) == name
