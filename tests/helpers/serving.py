"""The server in this process, for tests that need no address."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.waiting import PATIENCE, until

from texsynth.config.settings import RunSettings

if TYPE_CHECKING:
    from httpx2 import Response

    from texsynth.serve.state import Limits, State

LONG = {"command": "expand", "changes": {"size": [1500, 1500], "method": "patch"}}
"""Takes longer than any test."""

PORT, TOKEN = 8765, "a-token-of-tests"


class Client:
    """A script with the token."""

    def __init__(self, http: Any, state: State) -> None:  # noqa: ANN401 (a test client)
        self.http, self.state = http, state

    def get(self, path: str, **more: Any) -> Response:  # noqa: ANN401 (of httpx2)
        answer: Response = self.http.get(path, **more)
        return answer

    def post(self, path: str, **more: Any) -> Response:  # noqa: ANN401 (of httpx2)
        answer: Response = self.http.post(path, **more)
        return answer

    def give(self, path: Path, name: str | None = None) -> str:
        """Give a picture; returns its id."""
        answer = self.post("/v1/pictures", params={"name": name or path.name}, content=path.read_bytes())
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def give_bytes(self, data: bytes, name: str = "picture.png") -> Response:
        return self.post("/v1/pictures", params={"name": name}, content=data)

    def made(self, request: dict[str, Any], **headers: str) -> Response:
        """Do a job and wait for it."""
        answer = self.post(f"/v1/{request['command']}", json=request, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer

    def results(self, request: dict[str, Any]) -> dict[str, bytes]:
        """Do a job; returns the bytes of its files by their names."""
        job = self.made(request, Accept="application/json").json()
        return {one["name"]: self.get(one["url"]).content for one in job["results"]}

    def error(self, answer: Response, status: int) -> str:
        """The sentence of an answer with this status."""
        assert answer.status_code == status, answer.text
        data = answer.json()
        assert list(data) == ["error"]
        assert data["error"]
        assert "bug" not in data["error"]
        assert "\n" not in data["error"]
        assert str(self.state.folder) not in data["error"]
        return str(data["error"])


@contextmanager
def client(run: RunSettings | None = None, limits: Limits | None = None) -> Iterator[Client]:
    """A server for the length of the block, and what asks it."""
    from starlette.testclient import TestClient

    from texsynth.serve.app import make_app
    from texsynth.serve.guard import Access
    from texsynth.serve.state import Limits, State

    limits = limits or Limits()
    state = State(run or RunSettings(), limits)
    access = Access(TOKEN, PORT, frozenset({"127.0.0.1", "localhost", "::1"}), limits.upload)
    http = TestClient(
        make_app(state, access), base_url=f"http://127.0.0.1:{PORT}", raise_server_exceptions=False,
        headers={"Authorization": f"Bearer {TOKEN}"}, follow_redirects=False,
    )  # fmt: skip
    try:
        with http:
            yield Client(http, state)
    finally:
        state.close()
        assert not state.folder.exists()


def as_json(value: object) -> str:
    return json.dumps(value)


class Started:
    """A server of its own with a client. address: with its token."""

    def __init__(self, folder: Path, *options: str) -> None:
        import httpx2

        self.temporary = folder / "temporary"
        self.temporary.mkdir(exist_ok=True)
        own = {"OMP_NUM_THREADS": "1", "TMPDIR": str(self.temporary)}
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **own}
        words = [sys.executable, "-m", "texsynth", "serve", "--no-open", "--port", "0"]
        with (folder / "errors").open("w") as file:
            self.process = subprocess.Popen(
                [*words, *options],
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
            )
        assert self.process.stdout
        self.address = self.process.stdout.readline().strip()
        parts = re.fullmatch(r"(http://127\.0\.0\.1:(\d+))/\?token=(\S+)", self.address)
        assert parts, self.address
        self.base, self.port, self.token = parts[1], int(parts[2]), parts[3]
        self.http = httpx2.Client(
            base_url=self.base, headers={"Authorization": f"Bearer {self.token}"}, timeout=PATIENCE
        )

    def folder(self) -> Path:
        """Where it keeps its files, as the only server of its folder for temporary files."""
        (folder,) = [path for path in self.temporary.iterdir() if path.is_dir()]
        return folder

    def give(self, path: Path) -> str:
        answer = self.http.post("/v1/pictures", params={"name": path.name}, content=path.read_bytes())
        return str(answer.json()["id"])

    def long_job(self, place: Path) -> dict[str, Any]:
        """Start a job that does not end by itself, and wait until it is at work."""
        job: dict[str, Any] = self.http.post(
            "/v1/jobs", json={**LONG, "picture": self.give(place / "wall.png")}
        ).json()
        until(lambda: self.http.get(f"/v1/jobs/{job['id']}").json()["share"] > 0)
        return job

    def raw(self, data: bytes, *, end: bool = False, silence: float = PATIENCE) -> bytes:
        """Send bytes, and return what comes until the server closes, or says nothing for so many seconds."""
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.settimeout(silence)
            received = b""
            try:
                connection.sendall(data)
                if end:
                    connection.shutdown(socket.SHUT_WR)
                while part := connection.recv(1 << 16):
                    received += part
            except OSError:
                pass
            return received

    def end(self, number: int = signal.SIGTERM) -> int:
        self.http.close()
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)
