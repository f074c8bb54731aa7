"""The workspace of styles in a browser, on a server of its own."""

from __future__ import annotations

import base64
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from helpers.cli import run_program
from helpers.served_page import Page, Served, blocks

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver

FETCH = """
const [path, done] = arguments;
fetch(path).then(answer => answer.arrayBuffer()).then(data =>
  done(btoa(Array.from(new Uint8Array(data), byte => String.fromCharCode(byte)).join(""))));
"""

SLOWLY = """
const before = fetch;
window.fetch = async (...words) => {
  const sends = String(words[0]).startsWith("/v1/pictures?");
  if (sends) window.onItsWay = true;
  if (sends) await new Promise(resolve => setTimeout(resolve, 500));
  return before(...words);
};
"""
"""Pictures take half a second to the server."""


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    photo = blocks(tmp_path / "photo.png", width=64, height=48, cell=12)
    styles = {
        name: blocks(tmp_path / f"{name}.png", width=40, height=40, seed=seed)
        for seed, name in enumerate("abcd", 1)
    }
    return {"photo": photo, **styles}


@pytest.fixture
def page(driver: WebDriver, running: Served, files: dict[str, Path]) -> Page:
    """The page with a content and one style."""
    page = Page(driver, running)
    page.use("workspace-texture", "\ue014")
    page.put("choose-first", files["photo"])
    page.wait(lambda: page.state.startswith("Now add a style"))
    page.put("add-style", files["a"])
    page.previewed()
    return page


def save(page: Page, path: str, file: Path) -> Path:
    """What the page's own session gets at an address."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(base64.b64decode(page.browser.execute_async_script(FETCH, path)))
    return file


def test_a_slider_changes_the_preview(page: Page) -> None:
    before = page.picture()
    page.use("set-strength-slider", *["\ue012"] * 40)
    page.previewed()
    page.wait(lambda: page.picture() != before)
    assert page.attribute("set-strength", "value") == "0.6"


def test_photo_mode_hides_what_paints(page: Page) -> None:
    assert page.find("set-grain").is_displayed()
    page.use("set-mode-artistic", "\ue014")
    page.previewed()
    assert not page.find("set-grain").is_displayed()
    assert page.find("set-mode-photo").is_selected()


def test_the_pad_by_keys(page: Page, files: dict[str, Path]) -> None:
    page.put("add-style", *(files[name] for name in "bcd"))
    page.wait(lambda: page.find("pad").is_displayed() and page.find("style-3"))
    page.previewed()
    assert not page.browser.find_elements("id", "add-style")
    even = page.picture()
    assert "a.png 25 percent" in page.attribute("pad", "aria-valuetext")
    page.use("pad", *["\ue012"] * 20, *["\ue013"] * 20)
    assert page.attribute("pad", "aria-valuetext").startswith("a.png 100 percent, b.png 0 percent")
    page.previewed()
    page.wait(lambda: page.picture() != even)
    page.press("\ue011")
    assert page.attribute("pad", "aria-valuetext").endswith("d.png 25 percent")
    assert not page.find("off-pad").is_displayed()


UNREADABLE = """
const done = arguments[0], slice = () => ({arrayBuffer: () => Promise.reject(new Error("not found"))});
import("/static/uploads.js").then(({upload}) => upload({name: "a folder", slice}))
  .catch(error => done(error.message));
"""


def test_what_cannot_be_taken_is_told(page: Page, files: dict[str, Path]) -> None:
    page.put("add-style", *(files[name] for name in "bcda"))
    page.wait(lambda: page.state == "a.png left out: there can be 4 styles at most.")
    assert len(shares(page)) == 4
    assert page.browser.execute_async_script(UNREADABLE).startswith("a folder cannot be read by the browser")
    assert not page.find("banner").is_displayed()


def shares(page: Page) -> dict[str, int]:
    """Percent of every style, as the list beside the pad says."""
    rows = page.browser.execute_script(
        "return [...document.querySelectorAll('.weights li')].map(row => "
        "[row.querySelector('.who').textContent, row.querySelector('.share').textContent])"
    )
    return {name: int(share.split()[0]) for name, share in rows}


def knob(page: Page) -> list[float]:
    """Where the knob of the pad is, in percent from the left and from the top."""
    style: list[float] = page.browser.execute_script(
        "const {left, top} = document.querySelector('.knob').style; return [left, top].map(parseFloat)"
    )
    return style


def test_styles_that_come_and_go_leave_the_proportions_of_the_others(
    page: Page, files: dict[str, Path]
) -> None:
    page.put("add-style", files["b"])
    page.wait(lambda: page.find("pad").is_displayed())
    page.use("pad", *["\ue014"] * 6)
    assert shares(page) == {"a.png": 20, "b.png": 80}
    page.put("add-style", files["c"])
    page.wait(lambda: len(shares(page)) == 3)
    assert shares(page) == {"a.png": 14, "b.png": 53, "c.png": 33}
    assert not page.find("off-pad").is_displayed()
    page.put("add-style", files["d"])
    page.wait(lambda: len(shares(page)) == 4)
    assert shares(page) == {"a.png": 10, "b.png": 40, "c.png": 25, "d.png": 25}
    # No place on the pad mixes like this, and the page says so.
    assert knob(page) == [65, 50]
    assert page.find("off-pad").is_displayed()
    assert page.attribute("pad", "aria-valuetext").endswith("d.png 25 percent, near this place")
    page.use("paint-1", "\n")
    page.wait(lambda: page.find("brush").is_displayed())
    page.use("canvas", " ")
    page.wait(lambda: len(shares(page)) == 3)
    assert shares(page) == {"a.png": 17, "c.png": 42, "d.png": 41}
    page.use("brush-done", "\n")
    page.use("unmask-1", "\n")
    page.wait(lambda: len(shares(page)) == 4)
    assert shares(page) == {"a.png": 10, "b.png": 40, "c.png": 25, "d.png": 25}
    page.put("change-style-3", files["photo"])
    page.wait(lambda: "photo.png" in shares(page))
    assert shares(page)["photo.png"] == 25
    page.use("remove-style-3", "\n")
    page.wait(lambda: len(shares(page)) == 3)
    page.use("remove-style-2", "\n")
    page.wait(lambda: len(shares(page)) == 2)
    assert shares(page) == {"a.png": 20, "b.png": 80}
    assert knob(page) == [80, 50]
    page.browser.refresh()
    page.wait(lambda: shares(page) == {"a.png": 20, "b.png": 80})


def test_a_blend_with_a_painted_mask_is_that_of_the_command(
    page: Page, files: dict[str, Path], tmp_path: Path
) -> None:
    page.put("add-style", files["b"])
    page.wait(lambda: page.find("style-1"))
    page.previewed()
    page.use("paint-0", "\n")
    page.wait(lambda: page.find("brush").is_displayed())
    page.use("canvas", "]", "]", "]", " ")
    hard = page.picture()
    page.use("brush-fade", *["\ue014"] * 8)
    assert page.picture() != hard
    page.wait(lambda: page.text("pictures").count("Styles with a mask go where it is"))
    page.use("brush-done", "\n")
    page.previewed()
    page.use("make", "\n")
    page.wait(lambda: page.state.startswith("Full size: photo.blend.png, 64 × 48"))
    result = save(page, page.attribute("download-0", "href"), tmp_path / "page" / "photo.blend.png")
    page.use("command", "\n")
    command = page.wait(lambda: page.attribute("command-text", "value"))
    mask = page.attribute("painted-0", "href")
    folder = tmp_path / "again"
    save(page, mask, folder / "mask-1.png")
    page.use("dialog-close", "\n")
    for file in files.values():
        shutil.copy(file, folder)
    ran = run_program(*shlex.split(command)[1:], cwd=folder)
    assert ran.returncode == 0, ran.stderr
    assert result.read_bytes() == (folder / "photo.blend.png").read_bytes()


def test_done_waits_for_a_mask_on_its_way(page: Page) -> None:
    page.browser.execute_script(SLOWLY)
    page.use("paint-0", "\n")
    page.wait(lambda: page.find("brush").is_displayed())
    page.use("canvas", " ")
    page.wait(lambda: page.browser.execute_script("return !!window.onItsWay"))
    page.use("brush-done", "\n")
    page.wait(lambda: not page.find("brush").is_displayed())
    assert page.find("unmask-0").is_displayed()


def test_a_preset_is_saved_listed_and_used(page: Page, running: Served) -> None:
    page.enter("set-strength", "0.35")
    page.use("save-preset", "\n")
    page.use("preset-keep", "\n")
    assert page.text("preset-error") == "Give the preset a name first."
    page.use("preset-name", "my look", "\n")
    page.wait(lambda: "Saved as" in page.text("preset-state"))
    page.use("dialog-close", "\n")
    page.wait(lambda: page.attribute("preset", "value") == "my-look")
    assert page.attribute("set-strength", "value") == "0.35"
    page.use("save-preset", "\n")
    page.use("preset-name", "my-look", "\n")
    page.wait(lambda: "choose another name" in page.text("preset-error"))
    page.use("dialog-close", "\n")


def test_a_file_that_is_no_picture_is_refused_in_words(page: Page, tmp_path: Path) -> None:
    (tmp_path / "letter.png").write_text("Dear reader")
    page.put("add-style", tmp_path / "letter.png")
    page.wait(lambda: "error" in page.attribute("state", "class"))
    assert "letter.png" in page.state


def test_a_card_is_no_picture_to_be_changed(page: Page, files: dict[str, Path], tmp_path: Path) -> None:
    card = tmp_path / "ink.card"
    ran = run_program("card", "make", str(files["b"]), "-o", str(card), cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    name = page.text("picture-name")
    page.put("change-picture", card)
    page.wait(lambda: "ink.card is a style card" in page.state)
    assert page.text("picture-name") == name


def test_the_explanation_of_the_other_workspace_goes(page: Page) -> None:
    usual = page.text("help")
    page.enter("set-strength", "0.5")
    assert page.text("help") != usual
    page.use("workspace-style", "\ue012")
    assert page.text("help") == usual
