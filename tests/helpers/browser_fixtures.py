"""A browser for the pages that are written, without any network: Chromium, or the one that is asked for."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from helpers.waiting import PATIENCE

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver

CHOICE = "TEXSYNTH_TEST_BROWSER"
"""A variable of the environment: chromium, firefox or webkit."""


def tool(*names: str) -> str:
    """The first of these programs that is installed; skips the test without."""
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(f"no {' or '.join(names)} on this machine")
    return found


@pytest.fixture(scope="module")
def driver() -> Iterator[WebDriver]:
    """A browser in the background that cannot reach any other machine."""
    pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    driver = started(BROWSERS[os.environ.get(CHOICE, "chromium")])
    driver.set_script_timeout(PATIENCE)
    try:
        yield driver
    finally:
        driver.quit()


def started(begin: Callable[[], WebDriver]) -> WebDriver:
    """Start a browser, at most three times: another program may take its driver's port meanwhile."""
    from selenium.common.exceptions import WebDriverException

    for _ in range(2):
        with suppress(WebDriverException):
            return begin()
    return begin()


def chromium() -> WebDriver:
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = tool("chromium", "google-chrome", "chromium-browser")
    for flag in (
        "headless=new",
        "no-sandbox",
        "disable-dev-shm-usage",
        "disable-gpu",
        "window-size=1000,900",
        "force-device-scale-factor=1",
        "host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        "proxy-server=127.0.0.1:9",
    ):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return Chrome(options=options, service=Service(tool("chromedriver")))


def firefox() -> WebDriver:
    from selenium.webdriver import Firefox, FirefoxOptions
    from selenium.webdriver.firefox.service import Service

    options = FirefoxOptions()
    options.binary_location = tool("firefox", "firefox-esr")
    # Preferences, like that for the dark, can be changed while it runs.
    for flag in ("-headless", "-remote-allow-system-access"):
        options.add_argument(flag)
    preferences: dict[str, str | int | bool] = {
        "browser.download.folderList": 2,
        "browser.download.alwaysOpenPanel": False,
        "network.proxy.type": 1,
        "network.proxy.http": "127.0.0.1",
        "network.proxy.http_port": 9,
        "network.proxy.ssl": "127.0.0.1",
        "network.proxy.ssl_port": 9,
    }
    for name, value in preferences.items():
        options.set_preference(name, value)
    options.set_capability("webSocketUrl", True)
    driver = Firefox(options=options, service=Service(tool("geckodriver")))
    driver.set_window_size(1000, 985)
    return driver


def webkit() -> WebDriver:
    """WebKitGTK's small browser, with the engine of Safari; it needs a display, as `xvfb-run` gives one."""
    from selenium.webdriver.webkitgtk.options import Options
    from selenium.webdriver.webkitgtk.service import Service
    from selenium.webdriver.webkitgtk.webdriver import WebDriver as WebKitGTK

    if not os.environ.get("DISPLAY"):
        pytest.skip("WebKit needs a display; run the tests under xvfb-run")
    driver = WebKitGTK(options=Options(), service=Service(tool("WebKitWebDriver")))
    driver.set_window_size(1000, 938)
    return driver


BROWSERS: dict[str, Callable[[], WebDriver]] = {
    "chromium": chromium,
    "firefox": firefox,
    "webkit": webkit,
}
