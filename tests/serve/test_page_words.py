"""What the page says: the words of one who has pictures, and no options of the command line."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from helpers.cli import run_program
from helpers.docs import leaf
from helpers.served_page import Page, Served, blocks

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

COMMANDS = ("stylize", "blend", "expand", "tile", "maps")

SAID = """
const [sentences, done] = arguments;
import("/static/words.js").then(({inPageWords}) => done(sentences.map(inPageWords)));
"""

SETTINGS = """
const done = arguments[0];
const options = fetch("/v1/options").then(answer => answer.json());
Promise.all([import("/static/texts.js"), options]).then(([texts, {commands}]) => done(
  Object.entries(commands).flatMap(([task, {settings, presets}]) => [
    ...settings.flatMap(({path, choices}) => [texts.label(path), texts.helpText(path, task, "_"),
      ...(choices ?? []).map(each => texts.choiceText(path, each))]),
    ...presets.filter(({own}) => !own).map(preset => texts.presetTexts(preset)[0]),
  ])));
"""

JARGON = ("--", "exemplar", "flag", "level_", "token", "null", "moment", "transposer", "_", "quilt", "whiten")

MEMORY = "a.png: 9 x 9 pixels need 2 GiB of memory even in small tiles, and 1 GiB are allowed; "

PERIODS = "whole periods of the pattern do not fit into 48 x 48 pixels; give "

CASES = [
    (
        "a.png is damaged: it ends early; --lenient reads what is left of it",
        "a.png is damaged: it ends early",
    ),
    (
        f"{MEMORY}raise --memory-limit or reduce it with --max-side, or set finish.steps to 0",
        f"{MEMORY}start the server with a larger --memory-limit or choose a smaller Longest side, "
        "or set “Refine strokes, rounds” to 0",
    ),
    (
        "method transposer cannot be used with a mask; use --method patch+optimize",
        "The method “Copies” cannot be used with a mask; use the method “Pieces + refining”",
    ),
    (f"{PERIODS}--size 50x40, or --set patch.lattice=off", f"W{PERIODS[1:]}“Size” 50 × 40"),
    (
        "a.gif has 3 frames; name one with --frame 0 to --frame 2",
        "a.gif has 3 frames; save the one that you want as a picture of its own",
    ),
    ("81 pixels, more than --max-pixels 80", "81 pixels, more than the 80 that are allowed"),
    ("painted as 1; --photo keeps it", "Painted as 1; “Photo” keeps it"),
    (
        "use `texsynth expand --upright --tileable`",
        "Use Expand with “Upright” and “Tileable”",
    ),
    ("holiday_2024_final.png is fine - really", "holiday_2024_final.png is fine - really"),
]


@pytest.fixture
def page(driver: Chrome, running: Served) -> Page:
    return Page(driver, running)


def options() -> list[str]:
    """All options of the commands that the page stands for."""
    names = {
        name
        for command in COMMANDS
        for parameter in leaf([command])[1].params
        for name in (*parameter.opts, *parameter.secondary_opts)
        if name.startswith("--")
    }
    assert len(names) > 50
    return sorted(names)


def test_sentences_of_commands_are_told_in_the_words_of_the_page(page: Page) -> None:
    sentences, said = zip(*CASES, strict=True)
    assert tuple(page.browser.execute_async_script(SAID, sentences)) == said


def test_no_option_is_named_as_if_the_page_had_it(page: Page) -> None:
    asked = [f"wall.png is too large; use {option}" for option in options()]
    for option, said in zip(options(), page.browser.execute_async_script(SAID, asked), strict=True):
        server = option in ("--model", "--device", "--dtype", "--threads", "--memory-limit")
        assert option not in said or server or "of the command line" in said, said


def test_settings_and_presets_have_plain_words(page: Page) -> None:
    words: list[str] = page.browser.execute_async_script(SETTINGS)
    assert len(words) > 100
    for text in words:
        assert text[:1].isupper(), text
        assert not any(jargon in text.lower() for jargon in JARGON), text


def test_a_damaged_picture_is_read_all_the_same(page: Page, tmp_path: Path) -> None:
    whole = blocks(tmp_path / "wall.png", width=64, height=64).read_bytes()
    (tmp_path / "wall.png").write_bytes(whole[: len(whole) * 3 // 4])
    page.put("choose-first", tmp_path / "wall.png")
    page.wait(lambda: "damaged" in page.state)
    assert "--" not in page.state
    page.use("cure", "\n")
    page.wait(lambda: page.browser.find_elements("id", "picture-name"))
    page.previewed()
    page.use("task-expand", "\ue014")
    page.previewed()
    page.use("make", "\n")
    page.wait(lambda: page.state.startswith("Full size: wall.tile.png"))
    page.tools.downloads_to(tmp_path / "down")
    page.use("download-0", "\n")
    page.wait((tmp_path / "down" / "wall.tile.png").exists)
    page.use("command", "\n")
    command = page.wait(lambda: page.attribute("command-text", "value"))
    page.use("dialog-close", "\n")
    (tmp_path / "again").mkdir()
    shutil.copy(tmp_path / "wall.png", tmp_path / "again")
    ran = run_program(*shlex.split(command)[1:], cwd=tmp_path / "again")
    assert ran.returncode == 0, ran.stderr
    results = (tmp_path / folder / "wall.tile.png" for folder in ("down", "again"))
    first, second = (path.read_bytes() for path in results)
    assert first == second
