"""The page for everyone: keyboard, narrow windows, contrast, and no word to other hosts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from helpers.browser import check_contrast
from helpers.browsers import tools
from helpers.served_page import Page, Served, blocks

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver

CONTROLS = """
return [...document.querySelectorAll("button, input, select, textarea, a[href], summary, [tabindex]")]
  .filter(each => each.checkVisibility({visibilityProperty: true}) && each.tabIndex >= 0)
  .filter(each => !each.disabled && !each.closest(":disabled") && (each.type !== "radio" || each.checked))
  .map(each => each.id || each.textContent)
"""

FOCUS = """
const at = document.activeElement;
return at === document.body ? null : at.id || at.textContent;
"""

UNNAMED = """
return [...document.querySelectorAll("button, input, select, textarea, a[href]")]
  .filter(each => each.checkVisibility())
  .filter(each => !(each.getAttribute("aria-label") || each.labels?.length || each.textContent.trim()))
  .map(each => each.outerHTML)
"""

MISNAMED = """
return [...document.querySelectorAll("button, a[href], .file")]
  .filter(each => each.checkVisibility() && /\\w/.test(each.textContent))
  .map(each => [each.textContent.trim(), (each.querySelector("input") ?? each).getAttribute("aria-label")])
  .filter(([text, name]) => name !== null && !name.startsWith(text))
"""

UNFOLD = "document.querySelectorAll('details').forEach(each => { each.open = true })"

WIDTHS = "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"

SMALL = """
const inputs = "input:not(.file input, .segments input)";
const all = document.querySelectorAll(`button, .button, .file, .segments label, select, summary, ${inputs}`);
const size = each => (each.type === "checkbox" ? each.closest(".line") : each).getBoundingClientRect();
return [...all].filter(each => each.checkVisibility())
  .filter(each => size(each).width < 44 || size(each).height < 44).map(each => each.outerHTML)
"""

CHOSEN = """
const looks = each => ["background-color", "color"].map(key => getComputedStyle(each)[key]).join();
const groups = [...document.querySelectorAll(".segments")].filter(each => each.checkVisibility());
return groups.map(group => {
  const chosen = looks(group.querySelector("label:has(:checked)"));
  return [...group.querySelectorAll("label:not(:has(:checked))")].every(each => looks(each) !== chosen);
})
"""

WEIGHTS = """
const done = arguments[arguments.length - 1];
const sum = weights => weights.reduce((a, b) => a + b, 0);
import("/static/weights.js").then(({padWeights, padCorners}) => done([1, 2, 3, 4].map(count => ({
  corners: padCorners(count).map(at => padWeights(at, count)),
  sums: [[0.1, 0.2], [1 / 3, 2 / 3], [0.77, 0.01]].map(at => sum(padWeights(at, count))),
}))))
"""

SLIDERS = """
const done = arguments[arguments.length - 1], odd = [];
const check = ({scaleOf}, {settings, presets}) => settings.forEach(setting => {
  const {path, type, minimum, maximum} = setting;
  presets.forEach(preset => path in preset.settings || odd.push([preset.name, path]));
  if (!["number", "integer"].includes(type)) return;
  const {steps, value, position} = scaleOf(setting);
  if (value(0) !== minimum || value(steps) !== maximum) odd.push([path, value(0), value(steps)]);
  for (let p = 0; p < steps; p++) if (value(p) > value(p + 1)) odd.push([path, p]);
  const usual = value(position(setting.default));
  if (Math.abs(usual - setting.default) > 0.02 * (maximum - minimum)) odd.push([path, usual]);
});
const options = fetch("/v1/options").then(answer => answer.json());
Promise.all([import("/static/controls.js"), options]).then(([controls, {commands}]) => {
  Object.values(commands).forEach(command => check(controls, command));
  done(odd);
})
"""


@pytest.fixture
def page(driver: WebDriver, running: Served) -> Iterator[Page]:
    yield Page(driver, running)
    tools(driver).resize()
    tools(driver).prefer()


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return [
        blocks(tmp_path / f"a_rather_long_name_{seed}.png", width=48, height=40, seed=seed)
        for seed in range(4)
    ]


def fill(page: Page, files: list[Path], workspace: str) -> None:
    page.use("workspace-texture", *(["\ue014"] if workspace == "style" else []))
    page.put("choose-first", files[0])
    if workspace == "style":
        page.wait(lambda: page.find("picture-name"))
        page.put("add-style", *files[1:])
    page.previewed()


@pytest.mark.parametrize("workspace", ["texture", "style"])
def test_every_control_is_reached_by_the_tab_key_and_has_a_name(
    page: Page, files: list[Path], workspace: str
) -> None:
    fill(page, files, workspace)
    page.browser.execute_script(UNFOLD)
    controls = page.browser.execute_script(CONTROLS)
    assert len(controls) > 25
    page.browser.execute_script("document.activeElement.blur(); window.getSelection().removeAllRanges()")
    reached = []
    for _ in range(len(controls) + 5):
        page.press("\t")
        reached.append(page.browser.execute_script(FOCUS))
    assert set(controls) <= set(reached)
    assert page.browser.execute_script(UNNAMED) == []


@pytest.mark.parametrize("workspace", ["texture", "style"])
@pytest.mark.parametrize("pixels", [320, 400, 760, 1280])
def test_no_window_scrolls_sideways(page: Page, files: list[Path], workspace: str, pixels: int) -> None:
    page.width(pixels)
    fill(page, files, workspace)
    page.browser.execute_script(UNFOLD)
    scroll, client = page.browser.execute_script(WIDTHS)
    assert scroll <= client
    page.use("paint-0", "\n") if workspace == "style" else page.use("view-result", "\ue014")
    scroll, client = page.browser.execute_script(WIDTHS)
    assert scroll <= client
    assert page.find("canvas").size["height"] >= 150
    assert page.find("brush").size["height"] <= 90  # two rows
    if pixels > 760:
        # Beside the picture the controls scroll, and the window does not.
        page.width(pixels, 500)
        scroll, client = page.browser.execute_script(WIDTHS.replace("Width", "Height"))
        assert scroll <= client


def test_fingers_have_room(page: Page, files: list[Path]) -> None:
    """Whatever is touched has 44 pixels, and what ends painting is in sight."""
    fill(page, files, "style")
    page.tools.touch(330, 700)
    page.use("paint-0", "\n")
    page.wait(lambda: page.find("brush").is_displayed())
    assert page.browser.execute_script(SMALL) == []
    done = page.find("brush-done").rect
    assert done["x"] + done["width"] <= 330
    page.use("brush-done", "\n")
    page.browser.execute_script(UNFOLD)
    assert page.browser.execute_script(SMALL) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(page: Page, scheme: str) -> None:
    check_contrast(page.browser, scheme, "quiet", "link", "bad", "odd")


def test_what_is_chosen_shows_where_the_system_forces_its_colours(page: Page) -> None:
    page.tools.prefer(forced=True)
    assert page.browser.execute_script(CHOSEN) == [True] * 3
    look = "const chip = document.createElement('i'); chip.style.setProperty('--tint', 'rgb(1, 2, 3)');"
    look += "chip.className = 'chip'; const list = document.createElement('div'); list.className = 'weights';"
    look += "list.append(chip); document.body.append(list); return getComputedStyle(chip).backgroundColor"
    assert page.browser.execute_script(look) == "rgb(1, 2, 3)"


def test_nothing_goes_wrong_and_nothing_goes_elsewhere(page: Page, files: list[Path]) -> None:
    hosts: set[str] = set()
    for workspace in ("texture", "style"):
        page.open()
        fill(page, files, workspace)
        page.use("make", "\n")
        page.wait(lambda: page.find("results").is_displayed())
        # Those who speak to a page say what they see.
        assert page.browser.execute_script(MISNAMED) == []
        hosts |= page.hosts()
    page.use("paint-0", "\n")
    page.wait(lambda: page.find("brush").is_displayed())
    assert page.browser.execute_script(MISNAMED) == []
    assert page.tools.complaints() == []
    assert hosts | page.hosts() == {urlsplit(page.server.address).netloc}


def test_weights_of_the_pad(page: Page) -> None:
    one, two, three, four = page.browser.execute_async_script(WEIGHTS)
    assert one["corners"] == [[1]]
    for count, result in ((2, two), (3, three), (4, four)):
        assert result["corners"] == identity(count)
        assert result["sums"] == pytest.approx([1, 1, 1])


def identity(count: int) -> list[list[int]]:
    return [[int(row == column) for column in range(count)] for row in range(count)]


def test_sliders_rise_from_end_to_end_and_presets_have_every_setting(page: Page) -> None:
    assert page.browser.execute_async_script(SLIDERS) == []


def test_motion_is_reduced_where_asked(page: Page) -> None:
    page.tools.prefer(still=True)
    page.browser.execute_script("document.getElementById('working').hidden = false")
    duration = (
        "return getComputedStyle(document.getElementById('working'), '::after').animationIterationCount"
    )
    assert page.browser.execute_script(duration) == "1"
