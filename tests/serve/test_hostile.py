"""What strangers and misfortune do to a server: disguised settings, crowds, disks, folders of others."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import unquote

import pytest
from helpers.faults import linux
from helpers.serving import PORT, Client, Started, client
from helpers.waiting import PATIENCE

from texsynth.errors import OutputError
from texsynth.serve.asking import COMMANDS
from texsynth.serve.state import LOCK, PREFIX, new_folder

pytestmark = linux

anyio = pytest.importorskip("anyio")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def lonely(temporary: Path, packages: None) -> Iterator[Client]:
    """A server whose folder may be harmed."""
    with client() as asking:
        yield asking


@pytest.mark.parametrize("path", ["transposer={} #", "transposer ", " transposer", "transposer={}\n#",
    "transposer\t", "method=transposer #", "="])  # fmt: skip
def test_a_path_holds_no_value(server: Client, place: Path, path: str) -> None:
    """As `--set` would take it, it would be another setting than the one that was looked at."""
    weights = str(place / "wall.png")
    request = {
        "command": "expand",
        "picture": server.give(place / "wall.png"),
        "changes": {path.format(weights): weights, "method": "transposer"},
    }
    for address in ("/v1/expand", "/v1/jobs", "/v1/command"):
        assert "give its path alone" in server.error(server.post(address, json=request), 422)


def test_very_long_changes_are_refused(server: Client, place: Path) -> None:
    request: dict[str, Any] = {"command": "expand", "picture": server.give(place / "wall.png")}
    for value in ([1] * 100_000, "x" * 100_000, {str(n): n for n in range(9000)}):
        answer = server.post("/v1/command", json={**request, "changes": {"size": value}})
        assert "changes are" in server.error(answer, 422)
        assert len(answer.content) < 400


@pytest.mark.parametrize("number", ["9" * 5000, "-1", "+0", "00", "0x0", "\u0660", "1.0", "1"])
def test_numbers_of_results(server: Client, place: Path, number: str) -> None:
    job = server.made(
        {"command": "tile", "picture": server.give(place / "wall.png")}, Accept="application/json"
    )
    for more in ("", "/view"):
        server.error(server.get(f"/v1/jobs/{job.json()['id']}/results/{number}{more}"), 404)


@pytest.mark.parametrize("charset", ["undefined", "idna", "zlib", "utf-7", "unicode_escape", "none"])
def test_charsets_of_forms(server: Client, charset: str) -> None:
    part = b'--B\r\nContent-Disposition: form-data; name="picture"; filename="\xe9\\ud800.png"\r\n\r\nx\r\n'
    kind = f"multipart/form-data; boundary=B; charset={charset}"
    answer = server.post("/v1/maps", content=part + b"--B--\r\n", headers={"Content-Type": kind})
    server.error(answer, answer.status_code)
    assert answer.status_code in (400, 422)


def test_only_forms_may_be_as_large_as_pictures(server: Client) -> None:
    """JSON of that size would take all memory."""
    body = b'{"a": [' + b"1," * 600_000 + b"1]}"
    for path in ("preview", "jobs", "command", "preset"):
        answer = server.post(
            f"/v1/{path}", content=body, headers={"Content-Type": "multipart/form-data; boundary=B"}
        )
        server.error(answer, 413)
    for command in COMMANDS:
        server.error(server.post(f"/v1/{command}", content=body), 413)


def test_one_own_origin_is_not_enough(server: Client) -> None:
    own, other = ("Origin", f"http://127.0.0.1:{PORT}"), ("Origin", "http://evil.example")
    for headers in ([own, other], [other, own]):
        answer = server.http.request("POST", "/v1/command", headers=headers, json={})
        assert "other sites" in server.error(answer, 403)


def test_names_of_devices_are_no_presets(server: Client, place: Path) -> None:
    request = {"command": "maps", "picture": server.give(place / "wall.png")}
    for name in ("con", "NUL", "com1.x"):
        answer = server.post("/v1/preset", json={"name": name, "request": request})
        assert "cannot be called" in server.error(answer, 422)


def test_the_page_answers_while_many_pictures_are_read(
    lonely: Client, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = Event()
    monkeypatch.setattr(lonely.state.pictures, "view", lambda number, side: go.wait(PATIENCE) and b"seen")
    with ThreadPoolExecutor(60) as pool:
        views = [pool.submit(lonely.get, "/v1/pictures/x/view") for _ in range(60)]
        time.sleep(0.5)
        page = pool.submit(lonely.get, "/v1/options")
        try:
            assert lonely.get("/static/main.js").status_code == 200
        finally:
            go.set()
        assert {view.result().content for view in views} == {b"seen"}
        assert page.result().status_code == 200


def test_a_folder_that_is_gone(lonely: Client, place: Path) -> None:
    """Systems clear the folder for temporary files from time to time."""
    picture, card = lonely.give(place / "wall.png"), lonely.give(place / "ink.png")
    shutil.rmtree(lonely.state.folder)
    request = {"command": "tile", "picture": picture}
    for path in ("/v1/tile", "/v1/jobs"):
        assert "cannot keep its files" in lonely.error(lonely.post(path, json=request), 507)
    lonely.error(lonely.give_bytes((place / "photo.jpg").read_bytes()), 507)
    form = {"picture": (place / "photo.jpg").read_bytes()}
    lonely.error(lonely.post("/v1/maps", files=form), 507)
    assert "wall.png does not exist" in lonely.error(lonely.get(f"/v1/pictures/{picture}/view"), 422)
    assert lonely.get(f"/v1/pictures/{card}/view?side=32").status_code == 200
    lonely.state.folder.mkdir()


def test_a_full_disk(lonely: Client, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("texsynth.serve.pictures.os.replace", full)
    answer = lonely.give_bytes((place / "photo.jpg").read_bytes())
    assert "no space left on device" in lonely.error(answer, 507)
    assert not list((lonely.state.folder / "uploads").iterdir())


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_a_disk_that_is_full_when_a_result_is_written(
    server: Client, place: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("texsynth.images.files.os.fsync", full)
    request = {"command": "tile", "picture": server.give(place / "wall.png"), "run": {"format": suffix}}
    sentence = server.error(server.post("/v1/tile", json=request), 507)
    assert sentence == f"wall.tile.{suffix} cannot be written: no space left on device"
    folders = list((server.state.folder / "jobs").iterdir())
    assert not [path for folder in folders for path in folder.iterdir() if path.suffix == ".tmp"]
    monkeypatch.undo()
    assert server.made(request).content


@pytest.mark.parametrize("part", ["a-b", "9-3", "-", "", "0-0,2-3", "0-0" + ",1-1" * 500, "0" * 5000 + "-"])
def test_odd_ranges_get_all(server: Client, place: Path, part: str) -> None:
    path = f"/v1/pictures/{server.give(place / 'wall.png')}/file"
    whole = (place / "wall.png").read_bytes()
    for unit in ("bytes", "items"):
        answer = server.get(path, headers={"Range": f"{unit}={part}"})
        assert (answer.status_code, answer.content) == (200, whole)


@pytest.mark.parametrize(
    ("part", "piece"), [("3-7", slice(3, 8)), ("5-", slice(5, None)), ("-4", slice(-4, None))]
)
def test_ranges_go_on_where_a_download_broke_off(
    server: Client, place: Path, part: str, piece: slice
) -> None:
    answer = server.get(
        f"/v1/pictures/{server.give(place / 'wall.png')}/file", headers={"Range": f"bytes={part}"}
    )
    assert (answer.status_code, answer.content) == (206, (place / "wall.png").read_bytes()[piece])


NAMES = (
    'a"b.png',
    "a\nb.png",
    "a\r\nSet-Cookie: x.png",
    "a;b=c.png",
    "\u65e5\u672c.png",
    "a\u202eb.png",
    "%0d%0a.png",
)


@pytest.mark.parametrize("name", NAMES)
def test_names_in_downloads(server: Client, place: Path, name: str) -> None:
    picture = server.give(place / "wall.png", name)
    answer = server.get(f"/v1/pictures/{picture}/file")
    assert not answer.headers.get("set-cookie")
    told = answer.headers["content-disposition"]
    assert told.isascii()
    assert told.isprintable()
    _, _, quoted = told.partition("filename")
    assert not set('"\r\n;') & set(unquote(quoted.lstrip("*=").removeprefix("utf-8''").strip('"')))


@pytest.mark.parametrize("depth", [33, 900, 100_000])
def test_deep_json(server: Client, depth: int) -> None:
    deep = "[" * depth + "]" * depth
    for text in (deep, f'{{"command": {deep}}}', f'{{"command": "maps", "changes": {{"depth": {deep}}}}}'):
        for path in ("/v1/jobs", "/v1/preview", "/v1/command", "/v1/preset", "/v1/maps"):
            assert "levels are nested" in server.error(server.post(path, content=text), 400)


def stale(parent: Path, name: str, *more: str) -> Path:
    folder = parent / f"{PREFIX}{name}"
    for part in more:
        (folder / part).mkdir(parents=True)
    return folder


def test_only_folders_of_own_servers_are_removed(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = stale(temporary, "ours", "jobs", "pictures")
    (ours / LOCK).touch()
    (ours / "jobs" / "link").symlink_to(temporary)
    mine = stale(temporary, "mine", "jobs", "thesis")
    (mine / LOCK).touch()
    os.mkfifo(stale(temporary, "pipe", "jobs") / LOCK)
    (stale(temporary, "link", "jobs") / LOCK).symlink_to(ours / LOCK)
    stale(temporary, "folder", LOCK)
    (temporary / f"{PREFIX}other").symlink_to(mine)
    before = {path.name for path in temporary.iterdir()}
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    _, lock = new_folder()
    assert lock
    assert before <= {path.name for path in temporary.iterdir()}
    monkeypatch.undo()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    _, other = new_folder()
    assert other
    assert before - {path.name for path in temporary.iterdir()} == {ours.name}
    lock.close()
    other.close()


def test_file_systems_without_locks(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    folder, lock = new_folder()
    assert lock is None
    assert list(temporary.iterdir()) == [folder]
    assert new_folder()[0] != folder
    assert folder.exists()


def test_no_place_for_temporary_files(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(temporary / "nowhere"))
    with pytest.raises(OutputError, match="name another one as TMPDIR"):
        new_folder()


def test_a_client_that_pauses_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, packages: None) -> None:
    """But one whose request is complete may wait as long as it likes."""
    from starlette.exceptions import HTTPException

    from texsynth.serve import guard

    parts = iter([{"body": b"a", "more_body": True}, {"body": b"b"}, {"type": "http.disconnect"}])

    async def receive() -> Any:  # noqa: ANN401 (a message)
        await anyio.sleep(0.3)
        return next(parts)

    async def ask() -> None:
        receive_all = guard.limited(receive, 10)
        await receive_all()
        monkeypatch.setattr(guard, "IDLE", 0.01)
        with pytest.raises(HTTPException, match="in time"):
            await receive_all()
        monkeypatch.setattr(guard, "IDLE", 60)
        await receive_all()
        monkeypatch.setattr(guard, "IDLE", 0.01)
        assert await receive_all() == {"type": "http.disconnect"}

    anyio.run(ask)


def test_connections_that_ask_nothing(tmp_path: Path, packages: None) -> None:
    from texsynth.serve import connections

    server = Started(tmp_path)
    held = []
    try:
        for number in range(connections.MOST + 50):
            held.append(socket.create_connection(("127.0.0.1", server.port)))
            held[-1].send(b"GET / HT" * (number % 2))
        assert server.http.get("/v1/options").status_code == 200
        held[0].settimeout(PATIENCE)
        with suppress(ConnectionResetError):
            assert not held[0].recv(1)
        held[-1].settimeout(0.2)
        with pytest.raises(TimeoutError):
            held[-1].recv(1)
    finally:
        for one in held:
            one.close()
        assert server.end() == 0
