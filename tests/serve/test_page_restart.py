"""A server that is started anew gets pictures and masks again, from the browser's own store."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.served_page import Page, Served, blocks, served

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

COPIES = """
const done = arguments[0], request = indexedDB.open("texsynth", 1);
request.onupgradeneeded = () => request.result.createObjectStore("pictures", {keyPath: "id"});
request.onsuccess = () => {
  const all = request.result.transaction("pictures").objectStore("pictures").getAll();
  all.onsuccess = () => { request.result.close(); done(all.result.map(({name}) => name).sort()); };
};
"""

KEEP = """
const [sizes, limits, done] = arguments, files = new Map();
for (const [id, size] of sizes) files.set(id, new File([new Uint8Array(size)], id));
const styles = [...files.keys()].map(id => ({picture: {id}, mask: null})), texture = {siblings: []};
const state = {tab: "a tab", former: null, texture, style: {styles}};
let show;
window.takeAway = id => {
  state.style.styles = state.style.styles.filter(({picture}) => picture.id !== id);
  show();
};
import("/static/keeper.js").then(({keepCopies, LIMITS}) => {
  keepCopies({state, subscribe: f => { show = f; }}, files, limits);
  done([LIMITS.file / 2 ** 20, LIMITS.all / 2 ** 20]);
});
"""


def copies(page: Page) -> list[str]:
    names: list[str] = page.browser.execute_async_script(COPIES)
    return names


def test_a_new_server_gets_pictures_and_masks_again(driver: Chrome, packages: None, tmp_path: Path) -> None:
    with served(tmp_path, lasting=True) as first:
        page = Page(driver, first)
        page.wait(lambda: copies(page) == [])
        page.put("choose-first", blocks(tmp_path / "wall.png", width=48, height=48))
        page.use("task-expand", "\ue014", "\ue014")
        page.wait(lambda: page.find("brush").is_displayed())
        page.use("canvas", " ")
        page.wait(lambda: page.find("make").is_enabled())
        page.use("brush-done", "\n")
        page.use("workspace-texture", "\ue014")
        page.put("choose-first", blocks(tmp_path / "photo.png", width=64, height=48, cell=12))
        page.wait(lambda: page.find("picture-name"))
        styles = [blocks(tmp_path / f"{seed}.png", width=40, height=40, seed=seed) for seed in (1, 2)]
        page.put("add-style", *styles)
        page.wait(lambda: page.find("style-1"))
        page.use("paint-0", "\n")
        page.wait(lambda: page.find("brush").is_displayed())
        page.use("canvas", "]", "]", "]", " ")
        page.use("brush-done", "\n")
        page.wait(lambda: page.browser.find_elements("id", "unmask-0"))
        page.previewed()
        shown = page.picture()
        every = sorted(["wall.png", "hole.png", "photo.png", "1.png", "2.png", "mask-1.png"])
        page.wait(lambda: copies(page) == every)
    with served(tmp_path, "--port", str(first.port)) as second:
        # What a reload or a new address in the same tab does: nothing is left in the page itself.
        page.browser.get(second.address)
        page.wait(lambda: page.browser.find_elements("id", "make"))
        page.previewed()
        assert page.find("unmask-0").is_displayed()
        assert page.picture() == shown
        page.use("remove-picture", "\n")
        page.wait(lambda: copies(page) == ["1.png", "2.png", "hole.png", "wall.png"])
        page.use("workspace-style", "\ue012")
        page.wait(lambda: page.find("picture-name").text == "wall.png")
        page.use("remove-picture", "\n")
        page.wait(lambda: copies(page) == ["1.png", "2.png"])
        tab = page.browser.current_window_handle
        page.browser.switch_to.new_window("tab")
        page.browser.get(second.address)
        page.wait(lambda: page.browser.find_elements("id", "make"))
        assert copies(page) == ["1.png", "2.png"]
        page.browser.close()
        page.browser.switch_to.window(tab)


def test_what_is_painted_while_the_server_is_away_reaches_the_next_one(
    driver: Chrome, packages: None, tmp_path: Path
) -> None:
    with served(tmp_path, lasting=True) as first:
        page = Page(driver, first)
        page.put("choose-first", blocks(tmp_path / "wall.png", width=48, height=48))
        page.use("task-expand", "\ue014", "\ue014")
        page.wait(lambda: page.find("brush").is_displayed())
    page.wait(lambda: page.find("banner").is_displayed())
    page.use("canvas", " ")
    with served(tmp_path, "--port", str(first.port), "--token", first.token):
        page.wait(lambda: not page.find("banner").is_displayed())
        page.wait(lambda: page.find("make").is_enabled())


def test_the_own_store_of_the_browser_stays_small(driver: Chrome, running: Served) -> None:
    page = Page(driver, running)
    page.wait(lambda: copies(page) == [])
    sizes = {"first": 60, "whole": 100, "too large": 101, "too much": 91, "last": 40, "rest": 50, "small": 10}
    limits = page.browser.execute_async_script(KEEP, list(sizes.items()), {"file": 100, "all": 250})
    page.wait(lambda: copies(page) == ["first", "last", "rest", "whole"])
    page.browser.execute_script("takeAway('whole')")
    page.wait(lambda: copies(page) == ["first", "last", "rest", "too much"])
    page.browser.execute_script("takeAway('first')")
    page.wait(lambda: copies(page) == ["last", "rest", "small", "too much"])
    text = (files("texsynth") / "docs" / "serve.md").read_text("utf-8")
    assert "(up to {} MiB each and {} MiB in all)".format(*limits) in text
