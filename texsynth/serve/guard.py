"""Who may ask: requests of other sites, of other names of this machine, and without the token are refused."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from texsynth.serve.asking import COMMANDS

SAFE = ("GET", "HEAD")

IDLE = 60.0  # Seconds that a client may pause while it sends

TOO_LARGE = "the request is larger than {} bytes; give a smaller file"

UPLOAD = "/v1/pictures"

FORMS = tuple(f"/v1/{command}" for command in COMMANDS)
"""Addresses that take forms with pictures; JSON of that size would take all memory."""

OPEN = ("/health",)
"""Addresses that need no token."""

POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; style-src 'self'; script-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


RANGE = re.compile(rb"bytes=(?=[0-9-]*[0-9])([0-9]{0,18})-([0-9]{0,18})")

HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::([0-9]{1,5}))?")


@dataclass(frozen=True)
class Access:
    """What a request must show."""

    token: str
    port: int
    hosts: frozenset[str]
    """Names of this machine that an address may have, in lower case, without port."""
    upload: int
    """Most bytes of a picture, or of all that a form holds."""
    body: int = 1 << 20
    """Most bytes of any other body."""

    @property
    def cookie(self) -> str:
        """Its name; servers on other ports share a browser's cookies."""
        return f"texsynth-{self.port}"

    def knows_host(self, host: str) -> bool:
        """Tell whether the header Host, or what is behind the // of an Origin, names this server."""
        parts = HOST.fullmatch(host.lower())
        if parts is None:
            return False
        return parts[1].strip("[]") in self.hosts and int(parts[2] or 80) == self.port

    def is_token(self, text: str) -> bool:
        """Tell whether `text` is the token, in a time that does not depend on it."""
        return hmac.compare_digest(text.encode(errors="replace"), self.token.encode())


def new_token() -> str:
    """Return a token that nobody guesses."""
    return secrets.token_urlsafe(24)


STRANGER = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>texsynth</title>
<main><h1>texsynth</h1>
<p>This address is not complete. Open the one that texsynth serve has printed, with all that follows the
question mark.</p>
<p>If you have just done that, <a href="/">go on to the page</a>.</p></main></html>
"""


class Guard:
    """Lets requests through to an application, with a limit on their bodies."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        """access: what a request must show."""
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, guarded)
            return
        scope = {**scope, "headers": [field for field in scope["headers"] if not _is_odd_range(*field)]}
        # The bodies of the others are not looked at.
        if scope["method"] not in SAFE:
            receive = limited(receive, self._most(scope))
        await self._app(scope, receive, guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        access, headers = self._access, Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not access.knows_host(hosts[0]):
            return refused(421, "this address is not the server's; open the one that it printed")
        origins = headers.getlist("origin")
        if not all(map(self._is_own, origins)):
            return refused(403, "requests of other sites are refused")
        path, method = scope["path"], scope["method"]
        if path in OPEN and method in SAFE:
            return None
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        if path == "/" and method in SAFE and "token" in query and access.is_token(query["token"]):
            response = RedirectResponse("/", 303)
            response.set_cookie(access.cookie, access.token, httponly=True, samesite="strict")
            return response
        told, most = headers.get("content-length", "0"), self._most(scope)
        too_large = told.isascii() and told.isdecimal() and int(told[:20]) > most
        kind, _, text = headers.get("authorization", "").partition(" ")
        is_script = kind.lower() == "bearer" and access.is_token(text.strip())
        if is_script:
            return refused(413, TOO_LARGE.format(most)) if too_large else None
        if not access.is_token(_cookies(headers).get(access.cookie, "")):
            if path == "/" and method in SAFE:
                return HTMLResponse(STRANGER, 401)
            return refused(401, "the token is missing or wrong; open the address that the server printed")
        # A browser sends the cookie; whether its own page asks, it says in these.
        if method not in SAFE and not origins and headers.get("sec-fetch-site") != "same-origin":
            return refused(403, "requests of other sites are refused; scripts send the token as Bearer")
        return refused(413, TOO_LARGE.format(most)) if too_large else None

    def _is_own(self, origin: str) -> bool:
        scheme, sign, host = origin.partition("://")
        return bool(sign) and scheme == "http" and self._access.knows_host(host)

    def _most(self, scope: Scope) -> int:
        """Return the bytes that the body of a request may have."""
        is_form = Headers(scope=scope).get("content-type", "").startswith("multipart/form-data")
        path = scope["path"]
        return self._access.upload if path == UPLOAD or (is_form and path in FORMS) else self._access.body


def limited(receive: Receive, most: int) -> Receive:
    """Return `receive` with a limit on all that comes, and on its pauses. It raises HTTPException."""
    read, is_complete = 0, False

    async def counted() -> Message:
        nonlocal read, is_complete
        try:
            # After its end a body is followed by the end of the connection, whenever that comes.
            with anyio.fail_after(None if is_complete else IDLE):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, "the request did not come to its end in time") from None
        is_complete = not message.get("more_body", False)
        read += len(message.get("body", b""))
        if read > most:
            raise HTTPException(413, TOO_LARGE.format(most))
        return message

    return counted


def refused(status: int, sentence: str) -> JSONResponse:
    """Return the answer to a request that is refused."""
    return JSONResponse({"error": sentence}, status)


def _is_odd_range(name: bytes, value: bytes) -> bool:
    """Tell whether a field of a request asks for a part that is none; then all is sent."""
    if name != b"range":
        return False
    part = RANGE.fullmatch(value)
    return part is None or bool(part[1] and part[2] and int(part[1]) > int(part[2]))


def _cookies(headers: Headers) -> Mapping[str, str]:
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(headers.get("cookie", "")).items()}
    except CookieError:
        return {}
