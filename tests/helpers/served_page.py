"""`texsynth serve` as a process of its own, and its page in a browser."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
from helpers.browsers import tools
from helpers.waiting import PATIENCE

from texsynth.images import Picture, write

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver
    from selenium.webdriver.remote.webelement import WebElement

TEXT = "return document.getElementById(arguments[0])?.textContent ?? ''"
KEYS = {"\n": "\ue007", "\t": "\ue004"}
"""Keys of a keyboard for letters that some browsers take for text."""


@dataclass
class Served:
    """A running server. address: with its token."""

    process: subprocess.Popen[str]
    address: str

    @property
    def port(self) -> int:
        return urlsplit(self.address).port or 80

    @property
    def token(self) -> str:
        return self.address.partition("token=")[2]

    def stop(self) -> None:
        """As Ctrl-C does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def lasting_port() -> int:
    """A free port that the system gives to nobody by itself, so that it is free later, too."""
    while True:
        port = random.randrange(20_000, 30_000)
        with suppress(OSError), socket.socket() as one:
            one.bind(("127.0.0.1", port))
            return port


def start(folder: Path, *options: str) -> Served:
    """Start `texsynth serve` in a folder that also keeps its presets."""
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    environment["TEXSYNTH_PRESETS"] = str(folder / "presets")
    command = [sys.executable, "-m", "texsynth", "serve", "--no-open", *(options or ("--port", "0"))]
    with (folder / "serve.log").open("w") as errors:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    assert process.stdout is not None
    for line in process.stdout:
        if match := re.search(r"http://\S+", line):
            return Served(process, match[0])
    raise AssertionError((folder / "serve.log").read_text())


@contextmanager
def served(folder: Path, *options: str, lasting: bool = False) -> Iterator[Served]:
    """A server for the length of the block. lasting: at a port that another can have after it."""
    server = start(folder, *(("--port", str(lasting_port())) if lasting else options))
    try:
        yield server
    finally:
        server.stop()


class Page:
    """The page, as one who looks at it and types."""

    def __init__(self, browser: WebDriver, server: Served) -> None:
        self.browser, self.server = browser, server
        self.tools = tools(browser)
        self.tools.forget()
        self.open()

    def open(self) -> None:
        """A fresh tab's start: nothing is kept from before."""
        self.browser.get(self.server.address)
        self.browser.execute_script("sessionStorage.clear()")
        self.browser.get(self.server.address)
        self.wait(lambda: self.browser.find_elements("id", "make"))

    def find(self, name: str) -> WebElement:
        return self.browser.find_element("id", name)

    def wait(self, condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:  # noqa: ANN401
        """What the condition gives, once it is true; elements may be built anew meanwhile."""
        from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException

        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if value := condition():
                    return value
            except (NoSuchElementException, StaleElementReferenceException):
                pass
            time.sleep(0.05)
        raise AssertionError(f"waited in vain; the page says: {self.state!r}, {self.text('actions')!r}")

    @property
    def state(self) -> str:
        return self.text("state")

    def text(self, name: str) -> str:
        """Empty without such an element."""
        return str(self.browser.execute_script(TEXT, name))

    def attribute(self, name: str, key: str) -> str:
        """An attribute or property of an element, empty if it has none."""
        return self.find(name).get_attribute(key) or ""

    def put(self, name: str, *paths: Path) -> None:
        """Choose files in an input, which may be built anew meanwhile."""

        def chosen() -> bool:
            self.find(name).send_keys("\n".join(map(str, paths)))
            return True

        self.wait(chosen)

    def focus(self, name: str) -> None:
        self.browser.execute_script("document.getElementById(arguments[0]).focus()", name)

    def press(self, *keys: str) -> None:
        """Keys for what has the focus, as without a mouse."""
        from selenium.webdriver import ActionChains

        for key in keys:
            ActionChains(self.browser).send_keys(KEYS.get(key, key)).perform()

    def use(self, name: str, *keys: str) -> None:
        """Focus a control and press keys."""
        self.focus(name)
        self.press(*keys)

    def enter(self, name: str, text: str) -> None:
        """Type a text in place of what a field holds, and leave the field."""
        self.focus(name)
        self.browser.execute_script("document.activeElement.select()")
        self.press(text, "\t")

    def previewed(self) -> None:
        """Wait until the preview shows what the controls say."""
        time.sleep(0.2)
        self.wait(lambda: self.state.startswith("Preview,"))

    def picture(self) -> str:
        """What the canvas shows, to be compared."""
        self.browser.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
        return str(self.browser.execute_script("return document.getElementById('canvas').toDataURL()"))

    def width(self, pixels: int, height: int = 900) -> None:
        """Give the window this size in CSS pixels."""
        self.tools.resize(pixels, height)

    def hosts(self) -> set[str]:
        """Hosts of all requests since the page was made; data and blob addresses have none."""
        return {urlsplit(url).netloc for url in self.tools.requested() if url.startswith(("http", "ws"))}

    def downloads_to(self, folder: Path) -> None:
        self.tools.downloads_to(folder)


def blocks(path: Path, *, width: int, height: int, seed: int = 0, cell: int = 6, grain: float = 0.2) -> Path:
    """A picture of coloured blocks with some grain."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((-(-height // cell), -(-width // cell), 3)).repeat(cell, 0).repeat(cell, 1)
    pixels = coarse[:height, :width] * (1 - grain) + rng.random((height, width, 3)) * grain
    write(Picture((pixels * 255).astype(np.uint8)), path)
    return path
