"""What differs between browsers and machines: wheels, pads, drops, low windows, edges of masks."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from helpers.served_page import Page, Served, blocks

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver

WHEEL = """
const [times, deltaY, deltaMode, ctrlKey] = arguments, canvas = document.getElementById("canvas");
const {left, top, width, height} = canvas.getBoundingClientRect();
const place = {clientX: left + width / 2, clientY: top + height / 2};
for (let n = 0; n < times; n++)
  canvas.dispatchEvent(new WheelEvent("wheel", {deltaY, deltaMode, ctrlKey, ...place, cancelable: true}));
"""
GESTURE = """
for (const [kind, scale] of [["gesturestart", 1], ["gesturechange", 1.5], ["gesturechange", 2]])
  document.getElementById("canvas").dispatchEvent(
    Object.assign(new Event(kind, {cancelable: true}), {scale, clientX: 200, clientY: 200}));
"""
DROP = """
const data = new DataTransfer();
data.setData("text/uri-list", "http://127.0.0.1:9/brick.png");
return ["dragover", "drop"].map(kind => {
  const event = new DragEvent(kind, {bubbles: true, cancelable: true, dataTransfer: data});
  document.getElementById(arguments[0]).dispatchEvent(event);
  return event.defaultPrevented;
});
"""
EDGE = """
const [side, fade, done] = arguments;
import("/static/mask.js").then(({Mask}) => {
  const mask = new Mask(side, 8);
  mask.context.fillRect(0, 0, side / 2, 8);
  mask.fade = fade;
  const {data} = mask.soft.getContext("2d").getImageData(0, 4, side, 1);
  done(Array.from({length: side}, (_, x) => data[4 * x + 3]));
});
"""
DAB = """
const done = arguments[0];
import("/static/mask.js").then(({Mask}) => {
  const mask = new Mask(64, 64);
  mask.begin([32, 32], 20, false);
  const {data} = mask.context.getImageData(0, 0, 64, 64);
  done(data.reduce((sum, value, n) => sum + (n % 4 === 3 ? value / 255 : 0), 0));
});
"""
SEEN = """
const {top, bottom} = document.getElementById("canvas").getBoundingClientRect();
return top > -1 && bottom <= innerHeight;
"""


@pytest.fixture
def page(driver: WebDriver, running: Served, tmp_path: Path) -> Page:
    """The page with a texture, at 100 %."""
    page = Page(driver, running)
    page.put("choose-first", blocks(tmp_path / "wall.png", width=48, height=48))
    page.previewed()
    page.use("canvas", "1")
    page.picture()
    return page


def zoom(page: Page) -> int:
    """In percent."""
    page.picture()
    return int(page.text("zoom-value").removesuffix(" %"))


@pytest.mark.parametrize(
    ("times", "delta", "mode", "pinch"),
    [
        pytest.param(40, -2, 0, False, id="two fingers on a pad, little by little"),
        pytest.param(1, -80, 0, False, id="a wheel"),
        pytest.param(1, -2, 1, False, id="a wheel that counts lines"),
        pytest.param(10, -2, 0, True, id="two fingers that pinch"),
    ],
)
def test_zoom_goes_by_how_far_a_wheel_turns(
    page: Page, times: int, delta: float, mode: int, pinch: bool
) -> None:
    page.browser.execute_script(WHEEL, times, delta, mode, pinch)
    assert zoom(page) == 125
    page.browser.execute_script(WHEEL, times, -delta, mode, pinch)
    assert zoom(page) == 100
    page.browser.execute_script(WHEEL, 1, -1e6, mode, pinch)
    assert zoom(page) == 156, "one turn has bounds"


def test_a_pinch_that_is_told_as_such(page: Page) -> None:
    page.browser.execute_script(GESTURE)
    assert zoom(page) == 200


@pytest.mark.parametrize("place", ["stage", "picture-name", "help"])
def test_what_is_dropped_without_a_file_is_not_opened_in_place_of_the_page(page: Page, place: str) -> None:
    assert page.browser.execute_script(DROP, place) == [True, True]
    page.wait(lambda: "no file" in page.state)


def test_a_late_preview_does_not_take_the_place_of_the_full_result(page: Page) -> None:
    page.enter("seed", "7")
    page.use("make", "\n")
    page.wait(lambda: page.find("results").is_displayed() and not page.find("working").is_displayed())
    page.wait(lambda: page.state.startswith("Full size"))
    page.enter("seed", "8")
    page.previewed()


def test_painting_begins_in_sight(page: Page) -> None:
    page.use("task-expand", "\ue014", "\ue014")
    page.wait(lambda: page.find("brush").is_displayed())
    page.use("brush-done", "\n")
    try:
        page.width(640, 400)
        page.browser.execute_script("window.scrollTo(0, document.documentElement.scrollHeight)")
        assert not page.browser.execute_script(SEEN)
        page.use("paint-hole", "\n")
        page.wait(lambda: page.browser.execute_script(SEEN))
    finally:
        page.tools.resize()


def test_a_single_dab_is_a_disc(page: Page) -> None:
    assert page.browser.execute_async_script(DAB) == pytest.approx(math.pi * 10**2, rel=0.05)


@pytest.mark.parametrize("fade", [12, 40])
def test_edges_of_masks_fade_evenly(page: Page, fade: int) -> None:
    """Like a Gaussian of a third of the width, half of it at the edge."""
    side = 128
    alpha = page.browser.execute_async_script(EDGE, side, fade)
    assert alpha == sorted(alpha, reverse=True)
    assert alpha[0] == 255
    assert alpha[-1] == 0
    assert [255 - each for each in alpha[::-1]] == pytest.approx(alpha, abs=4)
    beyond = side // 2 + fade // 3
    assert sum(alpha[beyond - 1 : beyond + 1]) / 2 == pytest.approx(0.159 * 255, abs=10)


def test_a_mode_alone_is_the_preset_of_its_name(page: Page) -> None:
    page.use("workspace-texture", "\ue014")
    page.use("set-mode-artistic", "\ue014")
    assert page.attribute("preset", "value") == "photo"
    page.use("set-mode-photo", "\ue012")
    assert page.attribute("preset", "value") == "artistic"
    page.enter("set-strength", "0.5")
    page.use("set-mode-artistic", "\ue014")
    assert page.attribute("preset", "value") == "artistic"
    assert page.find("set-mode-photo").is_selected()
