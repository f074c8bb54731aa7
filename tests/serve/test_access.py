"""Who may ask: the token, the names of the machine, other sites, and what is said of addresses."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.serving import PORT, TOKEN, Client

HOST = f"127.0.0.1:{PORT}"


def ask(server: Client, method: str, path: str, headers: dict[str, str], **more: Any) -> Any:  # noqa: ANN401
    """A request with these headers alone."""
    server.http.cookies.clear()
    request = server.http.build_request(method, path, **more)
    request.headers.pop("authorization", None)
    for name, value in headers.items():
        request.headers[name] = value
    return server.http.send(request)


COOKIE = {"Cookie": f"texsynth-{PORT}={TOKEN}"}

BEARER = {"Authorization": f"Bearer {TOKEN}"}

OWN = {"Origin": f"http://{HOST}"}


@pytest.mark.parametrize("headers", [{}, {"Cookie": f"texsynth-{PORT}=other"}, {"Cookie": "\x7f;;=,"},
    {"Cookie": f"texsynth-1={TOKEN}"}, {"Authorization": "Bearer other"}, {"Authorization": f"Basic {TOKEN}"},
    {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": "Bearer "}])  # fmt: skip
def test_without_the_token_nothing_is_told(server: Client, headers: dict[str, str]) -> None:
    for method, path in (
        ("GET", "/v1/options"),
        ("POST", "/v1/jobs"),
        ("GET", "/static/main.js"),
        ("GET", "/x"),
    ):
        answer = ask(server, method, path, headers)
        assert "token" in server.error(answer, 401)
    page = ask(server, "GET", "/", headers)
    assert page.status_code == 401
    assert page.headers["content-type"].startswith("text/html")
    assert ask(server, "GET", "/?token=other", headers).status_code == 401


def test_health_needs_no_token(server: Client) -> None:
    answer = ask(server, "GET", "/health", {})
    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    assert ask(server, "POST", "/health", {}).status_code == 401


def test_the_address_gives_a_cookie(server: Client) -> None:
    answer = ask(server, "GET", f"/?token={TOKEN}", {})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"texsynth-{PORT}={TOKEN};")
    assert {"httponly", "samesite=strict"} <= {part.strip().lower() for part in cookie.split(";")}
    assert ask(server, "GET", "/v1/options", COOKIE).status_code == 200


HOSTS = (
    "evil.example", f"evil.example:{PORT}", "127.0.0.1", "127.0.0.1:1", f"127.0.0.1.evil.example:{PORT}",
    f"127.0.0.1@evil.example:{PORT}", f"user@127.0.0.1:{PORT}", f"127.0.0.1:{PORT}/x", f"[::1]x:{PORT}", "",
    f"0x7f000001:{PORT}", f"127.0.0.1:{PORT}0", "127.0.0.1:x", "[::1", f"localhost.:{PORT}",
)  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
def test_other_names_of_the_machine_are_refused(server: Client, host: str) -> None:
    """A page whose name has been made to lead here is of another site to the browser, but not to us."""
    for path in ("/health", "/v1/options", f"/?token={TOKEN}"):
        server.error(ask(server, "GET", path, {"Host": host, **BEARER}), 421)


@pytest.mark.parametrize("host", [HOST, f"localhost:{PORT}", f"LOCALHOST:{PORT}", f"[::1]:{PORT}"])
def test_names_of_this_machine_are_known(server: Client, host: str) -> None:
    assert ask(server, "GET", "/v1/options", {"Host": host, **BEARER}).status_code == 200


ORIGINS = (
    "null", "http://evil.example", f"https://{HOST}", "http://127.0.0.1", f"http://{HOST}.evil.example",
    f"http://evil.example/http://{HOST}", f"http://{HOST}/path", "file://", "", f"http://x@{HOST}",
)  # fmt: skip


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("who", [COOKIE, BEARER])
def test_other_sites_are_refused(server: Client, origin: str, who: dict[str, str]) -> None:
    for method, path in (("GET", "/v1/options"), ("POST", "/v1/command"), ("DELETE", "/v1/jobs/x")):
        server.error(ask(server, method, path, {**who, "Origin": origin}), 403)


def test_a_cookie_alone_changes_nothing(server: Client) -> None:
    """Forms of other sites send no Origin in some browsers."""
    refused = [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
    ]
    for more in refused:
        server.error(ask(server, "POST", "/v1/command", {**COOKIE, **more}, json={}), 403)
        server.error(ask(server, "DELETE", "/v1/jobs/x", {**COOKIE, **more}), 403)
    for more in (OWN, {"Sec-Fetch-Site": "same-origin"}, {"Origin": f"http://localhost:{PORT}"}):
        server.error(ask(server, "POST", "/v1/command", {**COOKIE, **more}, json={}), 422)
    server.error(ask(server, "POST", "/v1/command", BEARER, json={}), 422)


def test_every_answer_has_the_headers_of_safety(server: Client) -> None:
    for answer in (
        server.get("/v1/options"),
        server.get("/health"),
        server.get("/nowhere"),
        server.post("/v1/jobs"),
        ask(server, "GET", "/", {}),
        ask(server, "GET", "/", {"Host": "x"}),
        ask(server, "GET", f"/?token={TOKEN}", {}),
    ):
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'self'; ")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert TOKEN not in answer.text


def test_addresses_that_are_not_there(server: Client) -> None:
    for path in (
        "/nowhere",
        "/v1",
        "/v1/jobs/x",
        "/v1/jobs/x/events",
        "/v1/jobs/x/results/0",
        "/v1/pictures/x",
        "/v1/pictures/x/file",
        "/v1/pictures/x/view",
        "/static/nothing.js",
        "/static/..%2fapp.py",
        "/static/%2e%2e",
        "/static/",
        "/v1/jobs/../options/x",
        "/v1/jobs/x/results/-1",
        "/static/app.py",
        "/v1/jobs/%00",
        "/%ff",
    ):
        server.error(server.get(path), 404)
    for method, path in (
        ("GET", "/v1/jobs"),
        ("PUT", "/v1/pictures"),
        ("POST", "/v1/options"),
        ("DELETE", "/"),
        ("PATCH", "/v1/stylize"),
        ("OPTIONS", "/v1/jobs"),
        ("GET", "/v1/stylize"),
    ):
        server.error(server.http.request(method, path), 405)


def test_head_is_like_get(server: Client) -> None:
    for path in ("/health", "/v1/options"):
        answer = server.http.request("HEAD", path)
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-type"] == "application/json"
