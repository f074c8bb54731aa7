"""The server in this process, for tests that need no address."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from texsynth.config.settings import RunSettings

if TYPE_CHECKING:
    from httpx import Response

    from texsynth.serve.state import Limits, State

PORT, TOKEN = 8765, "a-token-of-tests"


class Client:
    """A script with the token."""

    def __init__(self, http: Any, state: State) -> None:  # noqa: ANN401 (a test client)
        self.http, self.state = http, state

    def get(self, path: str, **more: Any) -> Response:  # noqa: ANN401 (of httpx)
        answer: Response = self.http.get(path, **more)
        return answer

    def post(self, path: str, **more: Any) -> Response:  # noqa: ANN401 (of httpx)
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
