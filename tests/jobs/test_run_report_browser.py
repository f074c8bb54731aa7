"""The page of a run in a real browser, without any network."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from helpers.browser import check_contrast
from helpers.browsers import tools
from helpers.cli import make_picture

from texsynth.config.settings import RunSettings
from texsynth.errors import InputError
from texsynth.jobs.inputs import Input, Job
from texsynth.jobs.outcomes import Done, Failed, Outcome, Report, Skipped, WrittenInfo
from texsynth.jobs.report import write_report

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver

HOSTILE = "<img src=x onerror=alert(1)>&\"'.png"
"""A file name that would do something if it were not escaped."""

LONG = f"{'a_very_long_name' * 8}.png"

MANY = 200


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of several shapes, and a page with results of every kind."""
    folder = tmp_path_factory.mktemp("run")
    shapes = {
        "wide.png": (16, 48),
        "tall.png": (48, 12),
        HOSTILE: (33, 41),
        LONG: (33, 41),
        "small.png": (8, 8),
        "same.png": (33, 41),
    }
    for seed, (name, (height, width)) in enumerate(shapes.items()):
        make_picture(folder / name, seed=seed, height=height, width=width)

    def job(content: str, output: str) -> Job:
        return Job(Input(folder / content, content), folder / output)

    outcomes: list[Outcome] = [
        Failed(job(LONG, "none.png"), InputError(f"{LONG} is damaged or incomplete: </script><b>")),
        Done(job("tall.png", "wide.png"), WrittenInfo(48, 16, ("the colour profile is damaged",)), 1.25),
        Done(job("same.png", HOSTILE), WrittenInfo(41, 33), 0.5),
        Skipped(job(LONG, LONG)),
        Done(job("gone.png", "tall.png"), WrittenInfo(12, 48), 0.5),
    ]
    write(Report(6, outcomes, interrupted=True, seconds=4.0), folder / "run.html")
    jobs = [job("same.png", "wide.png" if n % 2 else HOSTILE) for n in range(MANY)]
    write(Report(MANY, [Done(each, WrittenInfo(48, 16), 0.1) for each in jobs]), folder / "many.html")
    return folder


def write(report: Report, path: Path) -> None:
    arguments = ["stylize", f"a/{LONG}", "<b>.png", "--report", path.name]
    write_report(report, path, arguments=arguments, run=RunSettings(), force=False)


@pytest.fixture
def browser(driver: WebDriver, folder: Path) -> Iterator[WebDriver]:
    """The page, freshly loaded."""
    tools(driver).forget()
    driver.get((folder / "run.html").as_uri())
    yield driver
    tools(driver).resize()


def press(browser: WebDriver, *keys: str) -> None:
    """Keys for what has the focus, as without a mouse."""
    for key in keys:
        browser.switch_to.active_element.send_keys(key)


def focused(browser: WebDriver) -> str:
    return str(
        browser.execute_script("return document.activeElement.id || document.activeElement.value || ''")
    )


def tab_to(browser: WebDriver, name: str) -> None:
    from selenium.webdriver.common.keys import Keys

    for _ in range(30):
        press(browser, Keys.TAB)
        if focused(browser) == name:
            return
    pytest.fail(f"{name} cannot be reached by Tab")


def uncovered(browser: WebDriver, number: int) -> str:
    """What of the content is cut off at its right."""
    return str(
        browser.execute_script(
            "const before = document.querySelector('#i' + arguments[0] + ' .before');"
            "return getComputedStyle(before).clipPath",
            number,
        )
    )


def visible(browser: WebDriver) -> list[str]:
    """The numbers of the jobs that are shown."""
    return list(
        browser.execute_script(
            "return [...document.querySelectorAll('article')].filter(a => a.checkVisibility()).map(a => a.id)"
        )
    )


def test_a_slider_is_moved_by_keys(browser: WebDriver) -> None:
    from selenium.webdriver.common.keys import Keys

    at_rest = uncovered(browser, 3)
    assert "50%" in at_rest
    tab_to(browser, "r3")
    press(browser, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert "47%" in uncovered(browser, 3), "53 % of the content are seen"
    press(browser, Keys.HOME)
    assert "100%" in uncovered(browser, 3)
    press(browser, Keys.END)
    assert "100%" not in uncovered(browser, 3)
    assert "50%" in uncovered(browser, 4), "every slider is on its own"
    outline = "return getComputedStyle(document.activeElement.parentElement).outlineStyle"
    assert browser.execute_script(outline) == "solid"


def test_a_slider_is_moved_by_the_mouse(browser: WebDriver) -> None:
    from selenium.webdriver import ActionChains

    slider = browser.find_element("id", "r3")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", slider)
    picture = slider.find_element("xpath", "..").rect
    ActionChains(browser).move_to_element_with_offset(
        slider, round(picture["width"] / 4), 0
    ).click().perform()
    value = float(str(slider.get_property("value")))
    assert value == pytest.approx(75, abs=2)
    # What is seen ends where the handle is.
    assert f"{100 - value:g}%" in uncovered(browser, 3)


def test_the_filter_works_by_keys(browser: WebDriver) -> None:
    from selenium.webdriver.common.keys import Keys

    assert visible(browser) == ["i1", "i2", "i3", "i4", "i5"]
    tab_to(browser, "filter")
    press(browser, "ONERROR")
    assert visible(browser) == ["i3"]
    assert browser.find_element("id", "shown").text == "1 of 5"
    press(browser, *[Keys.BACKSPACE] * 7)
    tab_to(browser, "done")
    press(browser, " ")
    assert visible(browser) == ["i1", "i4"]
    tab_to(browser, "failed")
    press(browser, " ")
    assert visible(browser) == ["i4"]


def test_nothing_is_loaded_and_nothing_complains(browser: WebDriver, folder: Path) -> None:
    sizes = browser.execute_script(
        "return Promise.all([...document.images].map(async i => { await i.decode(); return i.naturalWidth }))"
    )
    assert len(sizes) == 7
    assert all(sizes)
    urls = tools(browser).requested()
    page = (folder / "run.html").as_uri()
    assert page in urls, "requests are seen"
    assert all(url.startswith("data:") or url == page for url in urls)
    assert tools(browser).complaints() == []


def test_every_picture_and_slider_has_a_name(browser: WebDriver) -> None:
    names = browser.execute_script("return [...document.images].map(i => i.alt)")
    assert all(name.startswith(("content ", "output ")) for name in names)
    assert any(HOSTILE in name for name in names)
    labels = browser.execute_script(
        "return [...document.querySelectorAll('input')].map(i => i.labels[0]?.textContent.trim())"
    )
    assert all(labels)


@pytest.mark.parametrize("page", ["run.html", "many.html"])
@pytest.mark.parametrize("width", [320, 360, 1200])
def test_narrow_windows_scroll_down_only(browser: WebDriver, folder: Path, width: int, page: str) -> None:
    tools(browser).resize(width, 700)
    browser.get((folder / page).as_uri())
    # Off the screen, contents have no size before they are seen.
    browser.execute_script(
        "for (const a of document.querySelectorAll('article')) a.style.contentVisibility = 'visible';"
        "for (const d of document.querySelectorAll('details')) d.open = true"
    )
    root = "document.documentElement"
    scrolled, inner = browser.execute_script(f"return [{root}.scrollWidth, {root}.clientWidth]")
    assert scrolled <= inner <= width
    beyond = browser.execute_script(
        "return [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > "
        f"{root}.clientWidth + 0.5).map(e => e.outerHTML.slice(0, 80))"
    )
    assert beyond == []


def test_many_items_stay_responsive(browser: WebDriver, folder: Path) -> None:
    """From a slider's input to the next frame: far under a second, on a slow machine too."""
    browser.get((folder / "many.html").as_uri())
    script = (
        "const done = arguments[arguments.length - 1], slider = document.getElementById('r151');"
        "slider.scrollIntoView();"
        "requestAnimationFrame(() => requestAnimationFrame(() => {"
        " const start = performance.now(); slider.value = 80;"
        " slider.dispatchEvent(new Event('input', {bubbles: true}));"
        " requestAnimationFrame(() => setTimeout(() => done(performance.now() - start))) }))"
    )
    # The fastest of several, as other programs may be at work.
    assert min(browser.execute_async_script(script) for _ in range(5)) < 1000
    assert "20%" in uncovered(browser, 151)
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        browser.find_element("id", "filter").send_keys("wide")
        assert len(visible(browser)) == MANY // 2
        taken.append(time.perf_counter() - start)
        browser.find_element("id", "filter").clear()
    assert min(taken) < 5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_ink_stands_out_from_paper(browser: WebDriver, scheme: str) -> None:
    check_contrast(browser, scheme, "quiet", "link", "odd", "bad")
