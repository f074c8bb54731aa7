"""The page of an evaluation in a real browser, without any network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from helpers.browser import check_contrast
from helpers.browsers import tools
from helpers.nets import waves

from texsynth.config.settings import ExpandSettings, RunSettings
from texsynth.evaluation.expand import Plan, evaluate
from texsynth.evaluation.methods import expand_methods, stylize_methods
from texsynth.evaluation.runner import PAGE, write
from texsynth.evaluation.stylize import Plan as StylePlan
from texsynth.evaluation.stylize import evaluate as evaluate_styles
from texsynth.evaluation.subjects import crossed
from texsynth.images import write as write_picture
from texsynth.images.tensors import to_picture
from texsynth.jobs.inputs import find_inputs

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver

HOSTILE = "<img src=x onerror=alert(1)>&\"'.png"
"""A file name that would do something if it were not escaped."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three exemplars, one with markup in its name and one that is no picture, and three methods."""
    folder = tmp_path_factory.mktemp("pictures")
    for name, seed in (("waves.png", 0.0), (HOSTILE, 1.0)):
        write_picture(to_picture(waves(70, 90, seed), None, 8), folder / name)
    (folder / "broken.png").write_bytes(b"no picture")
    size = ExpandSettings()
    plan = Plan(
        find_inputs([str(folder)], recursive=False),
        expand_methods(["tile", "mirror", "quilting"], (), size),
        size,
        RunSettings(device="cpu", threads=1),
        crop=32,
    )
    write(evaluate(plan, Silent(), lambda what, error: None), folder / "out", force=False)
    return folder / "out" / PAGE


class Silent:
    """Shows nothing."""

    def picture(self, name: str) -> None: ...

    def step(self, step: object) -> None: ...

    def advance(self) -> None: ...


@pytest.fixture
def browser(driver: WebDriver, page: Path) -> WebDriver:
    """The page, freshly loaded."""
    tools(driver).forget()
    driver.get(page.as_uri())
    return driver


def column(browser: WebDriver, table: int, heading: str) -> list[str]:
    """Texts of a column of the table with this number, from top to bottom."""
    return list(
        browser.execute_script(
            "const table = document.querySelectorAll('table')[arguments[0]];"
            "const at = [...table.tHead.rows[0].cells].findIndex(c => c.textContent == arguments[1]);"
            "const rows = [...table.tBodies[0].rows].filter(row => !row.hidden);"
            "return rows.map(row => row.cells[at].textContent.trim())",
            table,
            heading,
        )
    )


def click_heading(browser: WebDriver, table: int, heading: str) -> None:
    buttons = browser.find_elements("css selector", "table")[table].find_elements("css selector", "th button")
    # By key, as without a mouse.
    next(b for b in buttons if b.text == heading).send_keys("\ue007")


def test_pictures_are_there_in_their_own_size(browser: WebDriver, page: Path) -> None:
    sizes = browser.execute_script(
        "return Promise.all([...document.images].map(async i => {"
        " await i.decode();"
        " return [i.alt, i.naturalWidth, i.naturalHeight, i.getBoundingClientRect().width, i.height] }))"
    )
    assert len(sizes) == 2 * (1 + 1 + 3), "exemplar, truth and three methods, twice"
    for alt, *size in sizes:
        side = 32 if alt.endswith("exemplar") else 64
        assert size == [side] * 4, alt
    assert {alt.split(", ")[0] for alt, *_ in sizes} == {"waves.png", HOSTILE}


def test_pictures_come_before_figures_and_these_before_how_they_were_measured(browser: WebDriver) -> None:
    kinds = browser.execute_script(
        "return [...document.querySelectorAll('main > section, main > .scroll, main > .facts')]"
        ".map(e => e.className)"
    )
    assert kinds == [""] * 3 + ["scroll"] * 4 + ["facts"]
    for link in browser.find_elements("css selector", "main > p a, a.skip"):
        target = (link.get_attribute("href") or "").partition("#")[2]
        assert browser.find_elements("id", target), target


def test_nothing_is_loaded_from_elsewhere_and_nothing_complains(browser: WebDriver, page: Path) -> None:
    urls = tools(browser).requested()
    assert page.as_uri() in urls, "requests are seen"
    assert all(url.startswith("data:") or url == page.as_uri() for url in urls)
    assert tools(browser).complaints() == []
    assert "http" not in page.read_text().replace("http-equiv", "")


def test_tables_sort_in_both_directions(browser: WebDriver) -> None:
    for heading in ("coherence", "seconds"):
        click_heading(browser, 1, heading)
        rising = [float(text) for text in column(browser, 1, heading) if text != "–"]
        assert rising == sorted(rising)
        click_heading(browser, 1, heading)
        falling = [float(text) for text in column(browser, 1, heading) if text != "–"]
        assert falling == sorted(rising, reverse=True)
        assert len(rising) >= 3
    assert column(browser, 1, "seconds")[-1] == "–", "the truth takes no time, and comes last"
    click_heading(browser, 3, "method")
    assert column(browser, 3, "method") == sorted(column(browser, 3, "method"))


def test_filters_and_zoom(browser: WebDriver) -> None:
    field = browser.find_element("id", "filter")
    field.send_keys("WAVE")
    assert browser.find_element("id", "shown").text == "1 of 3 exemplars"
    assert set(column(browser, 3, "exemplar")) == {"waves.png"}
    browser.find_element("css selector", "input[value=mirror]").send_keys(" ")
    assert "mirror" not in column(browser, 3, "method")
    shown = "return [...document.images].filter(i => i.checkVisibility()).map(i => i.alt)"
    assert browser.execute_script(shown) == [
        f"waves.png, {what}" for what in ("exemplar", "truth", "tile", "quilting")
    ]
    browser.execute_script(
        "const z = document.getElementById('zoom'); z.value = '3'; z.dispatchEvent(new Event('change'))"
    )
    width, rendering = browser.execute_script(
        "const i = document.images[document.images.length - 1];"
        "return [parseFloat(getComputedStyle(i).width), getComputedStyle(i).imageRendering]"
    )
    assert (width, rendering) == (192, "pixelated")


def test_names_are_text_and_failures_are_shown(browser: WebDriver, page: Path) -> None:
    headings = browser.execute_script("return [...document.querySelectorAll('h3')].map(h => h.textContent)")
    assert sorted(headings) == sorted([HOSTILE, "broken.png", "waves.png"])
    assert "broken.png is not a picture" in browser.execute_script("return document.body.textContent")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_ink_stands_out_from_paper(browser: WebDriver, scheme: str) -> None:
    check_contrast(browser, scheme, "link", "good", "bad")


@pytest.fixture(scope="module")
def styled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of stylizations: three contents, one of them no picture, with one style."""
    folder = tmp_path_factory.mktemp("styles")
    for name, seed in (("waves.png", 0.0), (HOSTILE, 1.0), ("style.png", 2.0)):
        write_picture(to_picture(waves(70, 90, seed), None, 8), folder / name)
    (folder / "broken.png").write_bytes(b"no picture")
    contents = find_inputs(
        [str(folder / name) for name in ("waves.png", HOSTILE, "broken.png")], recursive=False
    )
    style = find_inputs([str(folder / "style.png")], recursive=False)
    methods = stylize_methods(["content", "colour"], (), ["lite"])
    run = RunSettings(device="cpu", threads=1, max_side=80)
    plan = StylePlan(crossed(contents, style), methods, run, "lite")
    write(evaluate_styles(plan, Silent(), lambda what, error: None), folder / "out", force=False)
    return folder / "out" / PAGE


def test_the_page_of_stylizations(driver: WebDriver, styled: Path) -> None:
    tools(driver).forget()
    driver.get(styled.as_uri())
    pictures = driver.execute_script(
        "return Promise.all([...document.images].map(async i => {"
        " await i.decode(); return [i.alt, i.naturalWidth, i.getBoundingClientRect().width] }))"
    )
    assert [alt for alt, *_ in pictures] == [
        f"{name} + style.png, {what}"
        for name in ("waves.png", HOSTILE)
        for what in ("content picture", "style picture", "content", "colour")
    ]
    assert all(size == [80, 80] for _, *size in pictures)
    urls = tools(driver).requested()
    assert all(url.startswith("data:") or url == styled.as_uri() for url in urls)
    assert tools(driver).complaints() == []
    assert driver.find_element("id", "shown").text == "3 of 3 pairs"
    assert column(driver, 0, "method") == ["content", "colour"]
    click_heading(driver, 0, "ssim")
    assert column(driver, 0, "method") == ["colour", "content"]
    assert [float(text.split()[0]) for text in column(driver, 0, "ssim")][1] == 1
    assert "broken.png is not a picture" in driver.execute_script("return document.body.textContent")
