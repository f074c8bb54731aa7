"""The server as a process: its address, signals, raw connections, and what stays behind."""

from __future__ import annotations

import json
import re
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from helpers.cli import names, run_cli
from helpers.faults import linux
from helpers.serving import LONG
from helpers.serving import Started as Server
from helpers.waiting import PATIENCE, until

OUTSIDE = ("--host", "192.0.2.1")  # Of no machine


@pytest.fixture
def start(tmp_path: Path, model: Path, packages: None) -> Iterator[Callable[..., Server]]:
    """Starts servers, which end with the test."""
    servers: list[Server] = []

    def begin(*options: str) -> Server:
        servers.append(Server(tmp_path, "--model", str(model), *options))
        return servers[-1]

    yield begin
    for server in servers:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, model: Path, packages: None) -> Iterator[Server]:
    """A server for several tests."""
    server = Server(tmp_path_factory.mktemp("server"), "--model", str(model), "--queue", "40")
    yield server
    assert server.end() == 0
    assert not names(server.temporary)


@linux
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_work(number: signal.Signals, start: Callable[..., Server], place: Path) -> None:
    server = start()
    job = server.long_job(place)
    assert names(server.temporary)
    request = {"command": "tile", "picture": server.give(place / "wall.png")}
    events = server.http.stream("GET", f"/v1/jobs/{job['id']}/events")
    with ThreadPoolExecutor(1) as pool, events as stream:
        lines = stream.iter_lines()
        told = [next(lines)]
        waits = pool.submit(server.http.post, "/v1/tile", json=request)
        jobs = server.folder() / "jobs"
        until(lambda: len(list(jobs.iterdir())) == 2)
        server.process.send_signal(number)
        assert server.process.wait(PATIENCE) == 0
        told += [line for line in lines if line]
        assert json.loads(told[-1].removeprefix("data: "))["id"] == job["id"]
        assert waits.result().status_code == 503
    assert not list(server.temporary.iterdir())


@linux
def test_a_second_signal_ends_it_at_once(start: Callable[..., Server], place: Path) -> None:
    server = start()
    server.long_job(place)
    server.process.send_signal(signal.SIGSTOP)
    server.process.send_signal(signal.SIGTERM)
    server.process.send_signal(signal.SIGCONT)
    for _ in range(200):
        if server.process.poll() is not None:
            break
        time.sleep(0.6)
        server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(PATIENCE) in (0, 130, -signal.SIGTERM)


@linux
def test_a_killed_server_leaves_nothing_for_the_next(start: Callable[..., Server], place: Path) -> None:
    server = start()
    server.give(place / "photo.jpg")
    alive = start()
    alive.give(place / "photo.jpg")
    server.process.kill()
    server.process.wait()
    left = [path for path in server.temporary.iterdir() if path.is_dir()]
    assert len(left) == 2
    third = start()
    assert third.end() == 0
    now = [path for path in server.temporary.iterdir() if path.is_dir()]
    assert len(now) == 1
    assert now[0] in left
    assert alive.http.get("/v1/options").status_code == 200
    assert alive.end() == 0
    assert not list(server.temporary.iterdir())


def test_a_taken_port_is_told(running: Server, packages: None) -> None:
    result = run_cli("serve", "--port", running.port, "--no-open")
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"port {running.port} of '127.0.0.1' cannot be used: address already in use" in result.stderr
    assert "--port, or 0" in result.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--host", "192.0.2.1"), "others on the network can reach 192.0.2.1"),
        (("--host", ""), "--host is empty"),
        (("--token", "short"), "--token must be at least 8"),
        (("--token", "with a space and more"), "--token must be"),
        (("--allow-host", "http://x"), "is no name of a machine"),
        (("--model", "borders"), "borders is a Transposer"),
        (("--model", "none.safetensors"), "none.safetensors does not exist"),
        (("--device", "tpu"), "unknown device"),
        (("--memory-limit", "much"), "memory limit"),
    ],
)
def test_what_is_wrong_is_told_before_it_starts(
    words: tuple[str, ...], sentence: str, packages: None
) -> None:
    result = run_cli("serve", "--no-open", *(("--port", 0) if "--device" in words else OUTSIDE), *words)
    assert result.exit_code in (2, 4, 6)
    assert sentence in result.stderr
    assert "bug" not in result.stderr


def test_missing_packages_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from texsynth.cli import serve

    monkeypatch.setattr(serve, "find_spec", lambda name: None if name == "uvicorn" else object())
    result = run_cli("serve", "--no-open")
    assert result.exit_code == 2
    assert result.stderr == "texsynth: serve needs uvicorn; install with: pip install 'texsynth[serve]'\n"


def test_a_token_and_a_name_can_be_given(start: Callable[..., Server]) -> None:
    server = start("--token", "mine-and-only-mine", "--allow-host", "studio.local")
    assert server.token == "mine-and-only-mine"
    for host, status in (("studio.local", 200), ("other.local", 421)):
        answer = server.http.get("/v1/options", headers={"Host": f"{host}:{server.port}"})
        assert answer.status_code == status
    assert server.end(signal.SIGINT) == 0


def head(server: Server, *lines: str) -> bytes:
    first = ["GET /v1/options HTTP/1.1", f"Host: 127.0.0.1:{server.port}"]
    return "\r\n".join([*first, *lines, "", ""]).encode("latin-1")


def test_raw_connections(running: Server) -> None:
    """What no client of HTTP would send is refused, or the connection closed."""
    token = f"Authorization: Bearer {running.token}"
    assert running.raw(head(running, token, "Connection: close")).startswith(b"HTTP/1.1 200")
    host = f"Host: 127.0.0.1:{running.port}\r\n".encode()
    for data in (
        b"", b"\r\n\r\n", b"hello\r\n\r\n", b"\0" * 1000, b"\x16\x03\x01\x02\x00" + bytes(500),
        b"GET / HTTP/9.9\r\n" + host + b"\r\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + host + host + b"\r\n", b"GET http://evil/ HTTP/1.1\r\n" + host + b"\r\n",
        head(running, "Cookie: " + "a=b; " * 20_000), head(running, *(f"X-{n}: x" for n in range(5000))),
        head(running, "X: " + "y" * 200_000), head(running, "Authorization: Bearer \xe9\xff"),
        head(running, f"Cookie: texsynth-{running.port}=\xe9"), b"POST /" + b"x" * 100_000 + b" HTTP/1.1\r\n",
        b"POST /v1/jobs HTTP/1.1\r\n" + host + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n12345",
        b"POST /v1/jobs HTTP/1.1\r\n" + host + b"Content-Length: -1\r\n\r\n",
        b"POST /v1/jobs HTTP/1.1\r\n" + host + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ):  # fmt: skip
        for end in (False, True):
            answer = running.raw(data, end=end, silence=1.5)
            assert not answer or re.match(rb"HTTP/1\.1 4\d\d ", answer), (data[:80], answer[:200])
    absolute = running.raw(head(running, token, "Origin: http://\xe9", "Connection: close"))
    assert absolute.startswith(b"HTTP/1.1 403")
    assert running.http.get("/health").json()["status"] == "ok"


def test_old_clients_and_hasty_ones(running: Server) -> None:
    """One that knows no connection for several requests, and one that sends twenty before it reads."""
    one = head(running, f"Authorization: Bearer {running.token}")
    answer = running.raw(one.replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in answer.lower()
    last = one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    assert running.raw(one * 19 + last).count(b"HTTP/1.1 200 OK") == 20


@linux
def test_fifty_tabs_that_leave(running: Server, place: Path) -> None:
    """Half of them slam the door; files that nobody reads on hold up nobody, either."""
    job = running.long_job(place)
    number = running.give(place / "wall.png")
    files = Path(f"/proc/{running.process.pid}/fd")
    before = len(list(files.iterdir()))
    asked, tabs = head(running, f"Authorization: Bearer {running.token}"), []
    for path in (f"/v1/jobs/{job['id']}/events", f"/v1/pictures/{number}/file") * 25:
        tab = socket.create_connection(("127.0.0.1", running.port))
        tab.sendall(asked.replace(b"/v1/options", path.encode()))
        assert tab.recv(8) == b"HTTP/1.1"
        tabs.append(tab)
    assert running.http.get("/v1/options").status_code == 200
    # Some of those before may have been on their way out.
    assert len(list(files.iterdir())) >= before + 40
    for turn, tab in enumerate(tabs):
        if turn % 4 < 2:
            tab.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        tab.close()
    until(lambda: len(list(files.iterdir())) <= before + 2)
    running.http.delete(f"/v1/jobs/{job['id']}")


def post(server: Server, path: str) -> str:
    """The begin of a request."""
    host = f"Host: 127.0.0.1:{server.port}\r\n"
    return f"POST {path} HTTP/1.1\r\n{host}Authorization: Bearer {server.token}\r\n"


def test_bodies_that_break_off(running: Server, place: Path) -> None:
    begin = post(running, "/v1/pictures?name=a.png")
    for more in ("Content-Length: 1000\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n5\r\nabc"):
        running.raw((begin + more).encode(), end=True)
    long = f"{begin}Connection: close\r\nContent-Length: {1 << 40}\r\n\r\n".encode()
    assert running.raw(long).startswith(b"HTTP/1.1 413")
    until(lambda: not list((running.folder() / "uploads").iterdir()))
    running.give(place / "photo.jpg")


def test_a_client_that_hangs_up_ends_its_job(running: Server, place: Path) -> None:
    body = json.dumps({**LONG, "picture": running.give(place / "wall.png")}).encode()
    lines = f"{post(running, '/v1/expand')}Content-Length: {len(body)}\r\n\r\n"
    for _ in range(3):
        running.raw(lines.encode() + body, silence=1.5)
    request = {"command": "maps", "picture": running.give(place / "ink.png")}
    assert running.http.post("/v1/maps", json=request).status_code == 200


def test_several_clients_at_once(running: Server, place: Path) -> None:
    content, style = running.give(place / "photo.jpg"), running.give(place / "ink.png")
    request = {"command": "stylize", "picture": content, "styles": [{"picture": style}]}

    def work(number: int) -> set[bytes]:
        changes = {"strength": (number % 3) / 2}
        results = set()
        for turn in range(3):
            small = running.http.post(
                "/v1/preview", json={**request, "changes": changes, "tab": f"{number}", "side": 32}
            )
            assert small.status_code == 200, small.text
            if turn == 0:
                answer = running.http.post("/v1/stylize", json={**request, "changes": changes})
                assert answer.status_code == 200, answer.text
                results.add(answer.content)
        return results

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(work, range(12)))
    assert all(len(one) == 1 for one in results)
    for number, one in enumerate(results):
        assert one == results[number % 3]
    assert len(set.union(*results)) == 3
