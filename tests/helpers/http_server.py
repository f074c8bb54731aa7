"""A small server of files, with the faults that networks have."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from helpers.waiting import PATIENCE

PROXIES = [
    name for kind in ("http", "https", "all", "no") for name in (f"{kind}_proxy", f"{kind}_PROXY".upper())
]


@dataclass
class Site:
    """What is served at every path, and how. cuts: bytes of the body after which an answer ends, one each."""

    url: str
    body: bytes = b""
    etag: str = '"one"'
    status: int = 200
    type: str = "application/octet-stream"
    extra: Mapping[str, str] = field(default_factory=dict)
    ranges: bool = True
    has_length: bool = True
    cuts: list[int] = field(default_factory=list)
    gate: threading.Event | None = None
    """Answers wait for it, once their headers are sent."""
    asked: threading.Event = field(default_factory=threading.Event)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Path and headers of every request so far."""

    @property
    def ranges_asked(self) -> list[str | None]:
        return [headers.get("range") for _, headers in self.requests]


class _Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        site, headers = self.site, {key.lower(): value for key, value in self.headers.items()}
        site.requests.append((self.path, headers))
        start = 0
        wanted = headers.get("range")
        if wanted and site.ranges and headers.get("if-range") in (site.etag, site.extra.get("Last-Modified")):
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start and start >= len(site.body):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(site.body)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else site.status)
        self.send_header("Content-Type", site.type)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(site.body) - 1}/{len(site.body)}")
        if site.has_length:
            self.send_header("Content-Length", str(len(site.body) - start))
        if site.etag:
            self.send_header("ETag", site.etag)
        for key, value in site.extra.items():
            self.send_header(key, value)
        self.end_headers()
        rest = site.body[start:]
        if site.gate:
            self.wfile.write(rest[: len(rest) // 2])
            site.asked.set()
            site.gate.wait(PATIENCE)
            rest = rest[len(rest) // 2 :]
        self.wfile.write(rest[: site.cuts.pop(0)] if site.cuts else rest)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(body: bytes = b"") -> Iterator[Site]:
    """A server for the length of the block."""
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads, server.block_on_close = True, False
    site = Site(f"http://127.0.0.1:{server.server_address[1]}/files/weights.bin", body)
    handler.site = site  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        if site.gate:
            site.gate.set()
        server.shutdown()
        server.server_close()
        thread.join()
