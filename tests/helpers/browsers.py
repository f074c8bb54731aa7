"""What browsers do each in its own way: sizes, preferences, what the console says, where files are saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

if TYPE_CHECKING:
    from selenium.webdriver import Chrome, Firefox
    from selenium.webdriver.remote.webdriver import WebDriver

RESOURCES = "return [location.href, ...performance.getEntriesByType('resource').map(each => each.name)]"
USUAL = 1000
INNER = "return [innerWidth, innerHeight]"


class Tools:
    """The tools of one browser; without a way to do something, the test is skipped."""

    def __init__(self, driver: WebDriver) -> None:
        self.driver = driver

    def prefer(self, scheme: str = "", *, still: bool = False, forced: bool = False) -> None:
        """Light or dark, whether to reduce motion, and whether the system forces its colours.

        Without arguments, what is usual.
        """
        if scheme or still or forced:
            pytest.skip("this browser cannot change preferences while it runs")

    def resize(self, width: int = 0, height: int = 900) -> None:
        """Give the window this size inside, in CSS pixels; without arguments, the usual one."""
        wide, high = self.driver.execute_script(INNER)
        outer = self.driver.get_window_size()
        width = width or USUAL
        self.driver.set_window_size(width + outer["width"] - wide, height + outer["height"] - high)
        self.driver.execute_async_script("setTimeout(arguments[0], 100)")
        if self.driver.execute_script(INNER)[0] != width:
            pytest.skip(f"a window of this browser cannot be {width} pixels wide")

    def touch(self, width: int, height: int) -> None:
        """Be a phone of this size, which fingers use; `resize` without arguments ends that."""
        pytest.skip("this browser cannot be a phone")

    def forget(self) -> None:
        """Leave out of what follows all that was logged before."""

    def complaints(self) -> list[str]:
        """What the console says."""
        pytest.skip("this browser does not tell what its console says")

    def requested(self) -> set[str]:
        """Addresses that the page asked for, or, where the browser logs them, all pages since `forget`."""
        return set(self.driver.execute_script(RESOURCES))

    def downloads_to(self, folder: Path) -> None:
        """Let downloads go to a folder."""
        pytest.skip("this browser cannot be told where to save files")

    def memory(self) -> float:
        """Bytes that scripts use, after what is unused is gone."""
        pytest.skip("this browser does not tell the memory of scripts")


class ChromiumTools(Tools):
    @property
    def chrome(self) -> Chrome:
        return cast("Chrome", self.driver)

    def prefer(self, scheme: str = "", *, still: bool = False, forced: bool = False) -> None:
        features = {
            "prefers-color-scheme": scheme,
            "prefers-reduced-motion": "reduce" if still else "",
            "forced-colors": "active" if forced else "",
        }
        self.chrome.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": name, "value": value} for name, value in features.items()]},
        )

    def resize(self, width: int = 0, height: int = 900) -> None:
        if width:
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
            self.chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        else:
            self.chrome.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
            self.chrome.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})

    def touch(self, width: int, height: int) -> None:
        self.chrome.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": True}
        self.chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def forget(self) -> None:
        for log in ("browser", "performance"):
            self.chrome.get_log(log)

    def complaints(self) -> list[str]:
        return [str(entry["message"]) for entry in self.chrome.get_log("browser")]

    def requested(self) -> set[str]:
        messages = [json.loads(entry["message"])["message"] for entry in self.chrome.get_log("performance")]
        return {m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"}

    def downloads_to(self, folder: Path) -> None:
        self.chrome.execute_cdp_cmd(
            "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)}
        )

    def memory(self) -> float:
        self.chrome.execute_cdp_cmd("Performance.enable", {})
        self.chrome.execute_cdp_cmd("HeapProfiler.collectGarbage", {})
        metrics = self.chrome.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
        return float(next(each["value"] for each in metrics if each["name"] == "JSHeapUsedSize"))


class FirefoxTools(Tools):
    def __init__(self, driver: WebDriver) -> None:
        super().__init__(driver)
        self.said: list[str] = []
        driver.script.add_console_message_handler(lambda entry: self.said.append(str(entry.text)))
        driver.script.add_javascript_error_handler(lambda entry: self.said.append(str(entry.text)))

    def _set(self, kind: str, name: str, value: object) -> None:
        """Set a preference, or, with None, set it back."""
        firefox = cast("Firefox", self.driver)
        with firefox.context("chrome"):
            if value is None:
                firefox.execute_script("Services.prefs.clearUserPref(arguments[0])", name)
            else:
                firefox.execute_script(f"Services.prefs.set{kind}Pref(...arguments)", name, value)

    def prefer(self, scheme: str = "", *, still: bool = False, forced: bool = False) -> None:
        if forced:
            pytest.skip("this browser cannot be told to force colours")
        number = {"dark": 0, "light": 1}.get(scheme)
        self._set("Int", "layout.css.prefers-color-scheme.content-override", number)
        self._set("Int", "ui.prefersReducedMotion", 1 if still else None)

    def resize(self, width: int = 0, height: int = 900) -> None:
        size = {"width": width or USUAL, "height": height}
        tab = self.driver.current_window_handle
        self.driver.browsing_context.set_viewport(context=tab, viewport=size)

    def forget(self) -> None:
        self.said.clear()

    def complaints(self) -> list[str]:
        return list(self.said)

    def downloads_to(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._set("String", "browser.download.dir", str(folder))


def tools(driver: WebDriver) -> Tools:
    """The tools of this browser; always the same for one browser."""
    kinds = {"chrome": ChromiumTools, "firefox": FirefoxTools}
    kind = kinds.get(driver.capabilities["browserName"], Tools)
    known: Tools | None = getattr(driver, "_tools", None)
    if known is None:
        known = kind(driver)
        driver._tools = known  # type: ignore[attr-defined]
    return known
