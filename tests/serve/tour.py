"""Makes the pictures of the tour in serve.md: `python -m tests.serve.tour`, from the folder of the source."""

from __future__ import annotations

import base64
import io
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from helpers.served_page import Page, served
from PIL import Image

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

SAMPLES = Path(__file__).parents[2] / "samples"

LEFT, RIGHT = "\ue012", "\ue014"

SET = """
const [id, value] = arguments, input = document.getElementById(id);
input.value = value;
input.dispatchEvent(new Event("input"));
"""


class Tour(Page):
    """The page, as it is shown to others."""

    def shot(self) -> Image.Image:
        self.browser.execute_script("document.activeElement.blur()")
        self.picture()
        data = self.browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})["data"]
        return Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")

    def keep(self, name: str, image: Image.Image | None = None) -> None:
        (image or self.shot()).save(SAMPLES / "results" / "serve" / f"{name}.jpg", quality=72, optimize=True)

    def set(self, name: str, value: float) -> None:
        self.browser.execute_script(SET, name, value)

    def show(self, name: str) -> None:
        """Scroll a control to the top of what scrolls."""
        self.browser.execute_script(
            "document.getElementById(arguments[0]).closest('.setting, .slot, .preset').scrollIntoView(true)",
            name,
        )

    def drag(self, name: str, *points: tuple[float, float]) -> None:
        """Press on the first of some points of an element, shares of its sides, and move on to the last."""
        from selenium.webdriver import ActionChains

        element = self.find(name)
        places = [
            (round((x - 0.5) * element.size["width"]), round((y - 0.5) * element.size["height"]))
            for x, y in points
        ]
        actions = ActionChains(self.browser).move_to_element_with_offset(element, *places[0]).click_and_hold()
        for place in places[1:]:
            actions.move_to_element_with_offset(element, *place)
        actions.release().perform()

    def full_size(self) -> None:
        self.use("make", "\n")
        self.wait(lambda: self.state.startswith("Full size"))


def textures(page: Tour) -> None:
    page.put("choose-first", SAMPLES / "bricks.png")
    page.previewed()
    page.full_size()
    page.use("view-result", RIGHT)
    page.keep("texture")
    page.use("view-compare", RIGHT)
    page.put("change-picture", SAMPLES / "rust.png")
    page.use("task-expand", RIGHT)
    page.previewed()
    page.full_size()
    page.keep("seamless")


def styles(page: Tour) -> None:
    page.use("workspace-texture", RIGHT)
    page.put("choose-first", SAMPLES / "street.jpg")
    page.wait(lambda: page.find("picture-name"))
    page.put("add-style", *(SAMPLES / f"style_{name}.jpg" for name in ("swirl", "mosaic", "ink", "sunset")))
    page.wait(lambda: page.browser.find_elements("id", "style-3"))
    page.previewed()
    page.drag("pad", (0.18, 0.29))
    page.previewed()
    page.show("picture-name")
    page.keep("styles")


def masks(page: Tour) -> None:
    page.put("change-picture", SAMPLES / "mountains.jpg")
    page.use("remove-style-3", "\n")
    page.use("remove-style-1", "\n")
    page.previewed()
    page.use("paint-0", "\n")
    page.wait(lambda: page.find("brush").is_displayed())
    page.set("brush-size", 65)
    page.drag("canvas", (0.02, 0.2), (0.5, 0.17), (0.98, 0.2))
    page.set("brush-size", 40)
    page.drag("canvas", (0.05, 0.45), (0.5, 0.5), (0.75, 0.45), (0.72, 0.5))
    page.set("brush-fade", 4)
    page.show("picture-name")
    page.wait(lambda: not page.find("working").is_displayed())
    page.keep("mask")
    page.use("brush-done", "\n")
    page.enter("set-strength", "0.82")
    page.previewed()
    page.show("preset")
    page.keep("blend")


def narrow(page: Tour) -> None:
    page.width(400, 780)
    page.browser.execute_script("scrollTo(0, 0)")
    views = [page.shot()]
    page.show("set-strength")
    views.append(page.shot())
    page.browser.execute_script("scrollTo(0, 0)")
    page.use("workspace-style", LEFT)
    page.use("remove-all", "\n")
    page.use("dialog-yes", "\n")
    page.wait(lambda: not page.find("results").is_displayed())
    page.put("change-picture", SAMPLES / "grass.png")
    page.use("task-tile", RIGHT)
    page.wait(lambda: page.find("brush").is_displayed())
    page.use("canvas", " ")
    page.wait(lambda: page.find("make").is_enabled())
    page.use("brush-done", "\n")
    page.previewed()
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": dark})
    page.browser.execute_script("scrollTo(0, 0)")
    views.append(page.shot())
    gap = np.full((780, 20, 3), 200, np.uint8)
    columns = [part for view in views for part in (np.asarray(view), gap)][:-1]
    page.keep("narrow", Image.fromarray(np.concatenate(columns, 1)))


def browser() -> Chrome:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "force-device-scale-factor=1"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))


def main() -> None:
    driver = browser()
    try:
        with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as server:
            page = Tour(driver, server)
            page.width(1280, 820)
            for part in (textures, styles, masks, narrow):
                part(page)
    finally:
        driver.quit()


if __name__ == "__main__":
    main()
