"""The tray of results in a browser: many at once, together in one file, and put away."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import ZipFile

import pytest
from helpers.served_page import Page, Served, blocks

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

DELETE = "\ue017"

ASKED = """
return performance.getEntriesByType("resource").filter(each => each.name.endsWith("/v1/preview")).length
"""


@pytest.fixture
def page(driver: Chrome, running: Served, tmp_path: Path) -> Page:
    """The page with a texture, seamless, and its roughness."""
    page = Page(driver, running)
    page.put("choose-first", blocks(tmp_path / "wall.png", width=48, height=48))
    page.previewed()
    page.use("task-expand", "\ue014")
    page.put("add-sibling", blocks(tmp_path / "wall_rough.png", width=48, height=48, seed=5))
    page.wait(lambda: page.find("sibling-0"))
    page.previewed()
    return page


def listed(page: Page) -> list[str]:
    """The names in the tray."""
    script = "return [...document.querySelectorAll('#results .name')].map(each => each.textContent)"
    names: list[str] = page.browser.execute_script(script)
    return names


def make(page: Page, seed: int) -> None:
    page.enter("seed", str(seed))
    page.previewed()
    count = len(listed(page))
    page.use("make", "\n")
    page.wait(lambda: len(listed(page)) > count)
    page.wait(lambda: page.find("make").is_enabled())


def test_results_wait_together_and_are_put_away(page: Page, tmp_path: Path) -> None:
    assert not page.find("results").is_displayed()
    make(page, 1)
    make(page, 2)
    both = ["wall.tile.png", "wall_rough.tile.png"]
    assert listed(page) == both * 2
    page.browser.refresh()
    page.wait(lambda: listed(page) == both * 2)
    assert page.text("results-count") == "4 results"
    page.tools.downloads_to(tmp_path / "down")
    page.use("download-all", "\n")
    file = tmp_path / "down" / "texsynth-results.zip"
    page.wait(file.exists)
    with ZipFile(file) as archive:
        assert sorted(archive.namelist()) == sorted([*both, *(f"{Path(name).stem}-2.png" for name in both)])

    # Those of another picture stay, are shown alone, and go when they are told to.
    page.put("change-picture", blocks(tmp_path / "other.png", width=40, height=32, seed=7))
    page.wait(lambda: page.find("picture-name").text == "other.png")
    page.previewed()
    page.use("show-2", "\n")
    page.wait(lambda: page.state.startswith("Full size: wall.tile.png, 48 × 48"))
    address = page.attribute("download-2", "href")
    page.use("remove-2", "\n")
    page.wait(lambda: listed(page) == both)
    assert page.browser.execute_script("return document.activeElement.id") == "remove-0"
    page.wait(lambda: page.state.startswith("Preview"))
    make(page, 3)
    assert listed(page) == ["other.tile.png", *both]
    page.use("download-1", DELETE)
    page.wait(lambda: listed(page) == ["other.tile.png"])
    assert not page.find("remove-all").is_displayed()
    make(page, 4)
    page.use("remove-all", "\n")
    page.use("dialog-close", "\n")
    assert listed(page) == ["other.tile.png"] * 2
    page.use("remove-all", "\n")
    page.use("dialog-yes", "\n")
    page.wait(lambda: not page.find("results").is_displayed())
    gone = "const [path, done] = arguments; fetch(path).then(answer => done(answer.status))"
    assert page.browser.execute_async_script(gone, address) == 404
    page.tools.complaints()
    page.browser.refresh()
    page.wait(lambda: page.find("picture-name"))
    page.previewed()
    assert not page.find("results").is_displayed()


def test_the_same_settings_by_another_name_need_no_new_preview(page: Page) -> None:
    page.use("set-variety-slider", *["\ue012"] * 10)
    page.previewed()
    page.use("make", "\n")
    page.wait(lambda: page.state.startswith("Full size"))
    asked = page.browser.execute_script(ASKED)
    page.use("save-preset", "\n")
    page.use("preset-name", "rough", "\n")
    page.wait(lambda: page.attribute("preset", "value") == "rough")
    page.use("dialog-close", "\n")
    assert page.state.startswith("Full size")
    assert page.browser.execute_script(ASKED) == asked
    page.browser.execute_script(
        "const select = document.getElementById('preset');"
        "select.value = 'balanced'; select.dispatchEvent(new Event('change'))"
    )
    page.previewed()
    assert page.browser.execute_script(ASKED) > asked
