"""The workspace of textures in a browser, on a server of its own."""

from __future__ import annotations

import base64
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from helpers.cli import run_program
from helpers.served_page import Page, Served, blocks

from texsynth.images import read

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver

BRING = """
const [text, event] = arguments, bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
const data = new DataTransfer(), file = new File([bytes], "image.png", {type: "image/png"});
data.items.add(file);
const options = {bubbles: true, cancelable: true, dataTransfer: data, clipboardData: data};
const brought = new (event === "paste" ? ClipboardEvent : DragEvent)(event, options);
// Firefox makes a clipboard of its own.
if (event === "paste" && !brought.clipboardData.files.length) brought.clipboardData.items.add(file);
document.getElementById("stage").dispatchEvent(brought);
"""


@pytest.fixture
def wall(tmp_path: Path) -> Path:
    return blocks(tmp_path / "wall.png", width=48, height=48)


@pytest.fixture
def page(driver: WebDriver, running: Served, wall: Path) -> Page:
    """The page with a texture."""
    page = Page(driver, running)
    page.put("choose-first", wall)
    page.previewed()
    return page


def test_a_setting_changes_the_preview_and_goes_back(page: Page) -> None:
    before = page.picture()
    page.enter("seed", "7")
    page.previewed()
    assert page.picture() != before
    page.use("set-variety-slider", *["\ue012"] * 10)
    assert page.attribute("set-variety", "value") == "0.4"
    reset = page.browser.find_element("css selector", "[data-path=variety] .reset")
    assert reset.is_displayed()
    reset.send_keys("\ue007")
    assert page.attribute("set-variety", "value") == "0.5"
    assert not reset.is_displayed()


def test_the_full_size_is_the_file_of_the_command(page: Page, wall: Path, tmp_path: Path) -> None:
    """As downloaded, and as the copied command makes it."""
    page.enter("set-scale", "1.5")
    page.enter("seed", "3")
    page.previewed()
    page.use("make", "\n")
    page.wait(lambda: page.state.startswith("Full size: wall.expand.png, 72 × 72"))
    page.downloads_to(tmp_path / "down")
    page.use("download-0", "\n")
    file = tmp_path / "down" / "wall.expand.png"
    page.wait(file.exists)
    page.use("command", "\n")
    command = page.wait(lambda: page.attribute("command-text", "value"))
    assert "null" not in page.text("dialog")
    page.use("dialog-close", "\n")
    (tmp_path / "again").mkdir()
    shutil.copy(wall, tmp_path / "again")
    run_program(*shlex.split(command)[1:], cwd=tmp_path / "again")
    again = read(tmp_path / "again" / "wall.expand.png")
    assert np.array_equal(read(file).rgb, again.rgb)
    assert "--seed 3" in command
    assert "1.5" in command


def test_views_and_zoom_by_keys(page: Page) -> None:
    result = page.picture()
    page.use("view-result", "\ue014")
    assert page.find("view-compare").is_selected()
    compared = page.picture()
    page.use("split", *["\ue012"] * 5)
    moved = page.picture()
    page.use("view-compare", "\ue014")
    tiled = page.picture()
    assert len({result, compared, moved, tiled}) == 4
    fitted = page.text("zoom-value")
    page.use("canvas", "+", "+")
    page.picture()
    assert int(page.text("zoom-value")[:-2]) > int(fitted[:-2])
    page.press("1")
    page.picture()
    assert page.text("zoom-value") == "100 %"
    page.press("\ue014")
    moved = page.picture()
    page.press("0")
    assert page.picture() != moved
    assert page.text("zoom-value") == fitted


def test_a_hole_is_painted_with_keys_and_filled(page: Page) -> None:
    page.use("task-expand", "\ue014", "\ue014")
    assert page.find("task-hole").is_selected()
    page.wait(lambda: page.find("brush").is_displayed())
    assert page.state.startswith("Paint over what shall go")
    assert not page.find("make").is_enabled()
    page.use("canvas", " ")
    page.wait(lambda: page.find("make").is_enabled())
    page.use("brush-done", "\n")
    page.previewed()
    page.use("make", "\n")
    page.wait(lambda: page.state.startswith("Full size: wall.expand.png, 48 × 48"))


def test_the_brush(page: Page) -> None:
    page.use("task-expand", "\ue014", "\ue014")
    page.wait(lambda: page.find("brush").is_displayed())
    bare = page.picture()
    assert not page.find("brush-undo").is_enabled()
    page.use("canvas", " ")
    dab = page.picture()
    page.press("\ue014", "\ue014", "\ue014", "]", " ")
    two = page.picture()
    page.press("e", " ", "e")
    erased = page.picture()
    page.use("brush-invert", "\n")
    inverted = page.picture()
    page.use("brush-clear", "\n")
    cleared = page.picture()
    assert len({bare, dab, two, erased, inverted, cleared}) == 6
    for before in (inverted, erased, two):
        page.use("brush-undo", "\n")
        assert page.picture() == before


def test_views_and_zoom_by_pointer(page: Page) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin

    canvas = page.find("canvas")
    fitted = page.picture()
    ActionChains(page.browser).scroll_from_origin(ScrollOrigin.from_element(canvas), 0, -300).perform()
    zoomed = page.picture()
    ActionChains(page.browser).move_to_element(canvas).click_and_hold().move_by_offset(
        60, 30
    ).release().perform()
    moved = page.picture()
    ActionChains(page.browser).double_click(canvas).perform()
    assert page.picture() == fitted
    assert len({fitted, zoomed, moved}) == 3
    page.find("view-compare").click()
    halved = page.picture()
    assert page.attribute("split", "value") == "50"
    ActionChains(page.browser).move_to_element(canvas).click_and_hold().move_by_offset(
        90, 0
    ).release().perform()
    assert page.picture() != halved
    assert int(page.attribute("split", "value")) > 50


@pytest.mark.parametrize("event", ["paste", "drop"])
def test_a_picture_comes_in_by(page: Page, tmp_path: Path, event: str) -> None:
    data = base64.b64encode(blocks(tmp_path / "x.png", width=40, height=40, seed=3).read_bytes()).decode()
    page.browser.execute_script(BRING, data, event)
    page.wait(lambda: page.text("picture-name") == ("pasted.png" if event == "paste" else "image.png"))
    page.previewed()


def test_a_refusal_is_told_in_the_words_of_the_command_until_something_changes(page: Page) -> None:
    page.use("task-expand", "\ue014", "\ue014")
    page.wait(lambda: page.find("brush").is_displayed())
    page.use("brush-invert", "\n")
    page.wait(lambda: page.find("make").is_enabled())
    page.use("brush-done", "\n")
    page.wait(lambda: "covers all of" in page.state)
    page.use("make", "\n")
    page.wait(lambda: "covers all of" in page.text("job-problem"))
    page.use("task-hole", "\ue012")
    page.previewed()
    assert not page.find("job-problem").is_displayed()
    page.use("task-tile", "\ue014")
    page.wait(lambda: "covers all of" in page.state)
    page.use("make", "\n")
    page.wait(lambda: page.find("job-problem").is_displayed())
    page.use("paint-hole", "\n")
    page.use("brush-clear", "\n")
    page.use("canvas", " ")
    page.wait(lambda: not page.find("job-problem").is_displayed())
    page.use("brush-done", "\n")
    page.previewed()


def test_sizes_stay_within_bounds(page: Page) -> None:
    page.enter("set-size", "64")
    page.enter("set-size-height", "-3")
    assert page.text("make") == "Make full size, 64 × 64"
    page.enter("set-size", "72")
    page.previewed()
    page.use("set-size-height", "\t")
    page.browser.find_element("css selector", "[data-path=size] .reset").send_keys("\ue007")
    assert page.text("make") == "Make full size, 96 × 96"


def test_siblings_are_made_along(page: Page, tmp_path: Path) -> None:
    page.put("add-sibling", blocks(tmp_path / "wall_rough.png", width=48, height=48, seed=5))
    page.wait(lambda: page.text("sibling-0") == "wall_rough.png")
    page.use("make", "\n")
    page.wait(lambda: page.find("download-1").is_displayed())
    page.use("show-1", "\n")
    page.wait(lambda: "rough" in page.state)
    page.use("remove-sibling-0", "\n")
    page.wait(lambda: not page.browser.find_elements("id", "sibling-0"))


def test_a_result_becomes_the_input(page: Page) -> None:
    page.use("task-expand", "\ue014")
    page.previewed()
    page.use("make", "\n")
    page.wait(lambda: page.find("use-0").is_displayed())
    page.use("use-0", "\n")
    page.wait(lambda: page.text("picture-name") == "wall.tile.png")


def test_maps(page: Page) -> None:
    page.use("task-expand", "\ue014", "\ue014", "\ue014")
    page.previewed()
    normals = page.picture()
    page.use("map-normal", "\ue014")
    page.previewed()
    assert page.picture() != normals
    page.use("make", "\n")
    page.wait(lambda: page.find("download-3").is_displayed())
