"""Long work in the page: progress, cancel, reload, several tabs, and a server that goes away."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from helpers.served_page import Page, Served, blocks, served

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver

SLIDE = """
const slider = document.getElementById("set-strength-slider");
slider.value = arguments[0];
slider.dispatchEvent(new Event("input"));
"""


@pytest.fixture
def page(driver: WebDriver, running: Served, tmp_path: Path) -> Page:
    return long_work(Page(driver, running), tmp_path)


def long_work(page: Page, folder: Path) -> Page:
    """Give the page a picture whose full size takes long, and whose preview does not."""
    page.use("workspace-texture", "\ue014")
    page.put("choose-first", blocks(folder / "wall.png", width=2400, height=1600, cell=100, grain=0))
    page.wait(lambda: page.find("picture-name"))
    page.put("add-style", blocks(folder / "style.png", width=64, height=64, seed=1))
    page.previewed()
    page.enter("set-strength", "0.7")
    page.previewed()
    return page


def busy(page: Page) -> bool:
    return page.find("cancel").is_displayed() and "aiting" not in page.text("progress-words")


def test_progress_and_cancel(page: Page) -> None:
    page.use("make", "\n")
    page.wait(lambda: busy(page))
    assert not page.find("make").is_enabled()
    page.use("cancel", "\n")
    page.wait(lambda: page.find("make").is_enabled())
    assert not page.find("results").is_displayed()
    assert not page.find("job-problem").is_displayed()


def test_a_reload_in_mid_work_picks_the_job_up(page: Page) -> None:
    page.use("make", "\n")
    page.wait(lambda: busy(page))
    page.browser.refresh()
    page.wait(lambda: busy(page))
    assert page.text("picture-name") == "wall.png"
    assert page.attribute("set-strength", "value") == "0.7"
    page.use("cancel", "\n")
    page.wait(lambda: page.find("make").is_enabled())


def test_tabs_have_their_own_state(page: Page, tmp_path: Path) -> None:
    first = page.browser.current_window_handle
    page.browser.switch_to.new_window("tab")
    try:
        page.browser.get(page.server.address)
        page.wait(lambda: page.browser.find_elements("id", "choose-first"))
        page.put("choose-first", blocks(tmp_path / "other.png", width=48, height=48, seed=9))
        page.previewed()
        assert page.text("picture-name") == "other.png"
    finally:
        page.browser.close()
        page.browser.switch_to.window(first)
    assert page.text("picture-name") == "wall.png"


@pytest.mark.slow
def test_a_hundred_previews_leave_no_memory_behind(
    driver: WebDriver, running: Served, tmp_path: Path
) -> None:
    page = Page(driver, running)
    page.use("workspace-texture", "\ue014")
    page.put("choose-first", blocks(tmp_path / "photo.png", width=60, height=48))
    page.wait(lambda: page.find("picture-name"))
    page.put("add-style", blocks(tmp_path / "style.png", width=48, height=48, seed=1))
    page.previewed()
    sizes = []
    for number in range(101):
        page.browser.execute_script(SLIDE, number % 90)
        page.previewed()
        if number in (20, 100):
            sizes.append((page.tools.memory(), resident(running.process.pid)))
    (heap, memory), (heap_later, memory_later) = sizes
    assert heap_later < heap + 2e6
    assert memory_later < memory + 60e6


def resident(process: int) -> int:
    """Bytes of memory of a process."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except OSError:
        pytest.skip("this system does not tell the memory of a process")
    return pages * resource.getpagesize()


def test_a_server_that_stops_in_mid_work_is_told_of_and_found_again(
    driver: WebDriver, packages: None, tmp_path: Path
) -> None:
    with served(tmp_path, lasting=True) as first:
        page = long_work(Page(driver, first), tmp_path)
        page.use("make", "\n")
        page.wait(lambda: busy(page))
    page.wait(lambda: page.find("banner").is_displayed())
    assert f"texsynth serve --port {first.port}" in page.text("banner")
    with served(tmp_path, "--port", str(first.port), "--token", first.token):
        page.wait(lambda: not page.find("banner").is_displayed())
        page.wait(lambda: "the work is lost" in page.text("job-problem"))
        page.wait(lambda: page.find("make").is_enabled())
        page.previewed()
        assert page.text("picture-name") == "wall.png"
    page.wait(lambda: page.find("banner").is_displayed())
    with served(tmp_path, "--port", str(first.port)):
        page.wait(lambda: "new address" in page.text("banner"))
