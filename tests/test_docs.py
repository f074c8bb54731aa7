"""The documentation against the program: commands, options, presets, settings, links, and all code in it."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import pytest
import typer
from helpers.docs import (
    ALL_PAGES,
    CONTRIBUTING,
    PAGES,
    README,
    ROOT,
    all_commands,
    anchors,
    arguments_of,
    blocks,
    command_lines,
    leaf,
)
from helpers.settings_rows import settings_rows

from texsynth.cli.docs import folder
from texsynth.config.preset_places import built_in, package_data
from texsynth.config.presets import SECTIONS
from texsynth.config.settings import (
    AdaINSettings,
    DescentSettings,
    IFTSettings,
    OTSettings,
    Settings,
    WCTSettings,
)

PAGE_OF = {
    "expand": "expand", "tile": "expand", "tileset": "maps", "maps": "maps",
    "stylize": "stylize", "blend": "blend", "card": "blend",
    "batch": "batch", "match": "match", "describe": "match", "replay": "formats",
    "serve": "serve", "doctor": "faq",
    "bench": "performance", "presets": "presets", "models": "models", "train": "training",
    "evaluate": "quality", "blender": "blender", "docs": "faq",
}  # fmt: skip
"""The page of every command, or group of commands."""

SHARED = ("formats", "models", "batch", "stylize")
"""Pages with options that many commands have."""

COMMANDS = dict(all_commands())


def text_of(page: str) -> str:
    return (folder() / f"{page}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_and_their_options_are_described(name: str) -> None:
    page = PAGE_OF[name.split()[0]]
    assert f"texsynth {name}" in text_of(page), page
    text = "".join(map(text_of, {page, *SHARED}))
    for parameter in COMMANDS[name].params:
        for option in [*parameter.opts, *parameter.secondary_opts]:
            if option.startswith("--"):
                assert re.search(rf"`[^`\n]*(?<![\w-]){option}(?![\w-])", text), (
                    f"{option} is not on {page}.md"
                )


def test_every_page_belongs_to_the_list() -> None:
    index = README.read_text(encoding="utf-8")
    for page in PAGES:
        assert f"texsynth/docs/{page.name}" in index, f"README.md does not link {page.name}"


def test_promises_are_proved() -> None:
    """The tests that a page names are there."""
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    for name in re.findall(r"`(test_\w+)`", text_of("what-happens-when")):
        assert f"def {name}(" in tests, name
    for name in re.findall(r"`(tests/[\w/]+\.py)`", text_of("what-happens-when")):
        assert (ROOT / name).is_file(), name


def test_the_program_has_all_pages() -> None:
    assert {page.name: page.read_text() for page in PAGES} == {
        page.name: page.read_text() for page in folder().glob("*.md")
    }


def test_presets_are_described() -> None:
    for text in (text_of("presets"), (ROOT / "presets" / "README.md").read_text()):
        for name in built_in():
            assert re.search(rf"^\| `{name}(\.yaml)?` \|", text, re.MULTILINE), name


def test_the_readme_of_presets_is_no_preset() -> None:
    assert (package_data("presets") / "README.md").is_file()
    assert not [name for name in built_in() if "readme" in name.lower()]


TRANSFORMS = (IFTSettings, WCTSettings, OTSettings, AdaINSettings, DescentSettings)


@pytest.mark.parametrize(
    ("kind", "prefix"),
    [*((kind, "") for kind in SECTIONS.values()), *((kind, "transform.") for kind in TRANSFORMS)],
)
def test_settings_are_described(kind: type[Settings], prefix: str) -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in text_of("presets").splitlines()
    ]
    described = {(row[0], row[2], row[3]): row[1] for row in rows if len(row) == 4}
    for key, allowed, default in settings_rows(kind, prefix):
        sentence = described.get((f"`{key}`", allowed, default))
        assert sentence, f"presets.md needs | `{key}` | ... | {allowed} | {default} |"
        assert len(sentence) > 10


def test_no_row_describes_what_is_not_there() -> None:
    keys = {key for kind in SECTIONS.values() for key, _, _ in settings_rows(kind)}
    keys |= {key for kind in TRANSFORMS for key, _, _ in settings_rows(kind, "transform.")}
    rows = re.findall(r"^\| `([\w.]+)` \|.*\|.*\| `[^`]*` \|$", text_of("presets"), re.MULTILINE)
    assert set(rows) == keys


def test_the_readme_is_short() -> None:
    assert len(README.read_bytes()) <= 12_000


LINK = re.compile(r"""(?:\]\(|src="|href=")([^)"\s]+)[)"]""")


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), f"{target} does not exist"
        assert not anchor or anchor in anchors(path), f"{target} names no heading"


def test_pictures_are_used_and_small() -> None:
    pictures = [path for path in (ROOT / "samples" / "results").iterdir() if path.is_file()]
    text = "".join(page.read_text(encoding="utf-8") for page in ALL_PAGES)
    assert [path.name for path in pictures if path.name not in text] == []
    assert sum(path.stat().st_size for path in pictures) < 1_500_000


LINES = [(page, line) for page in ALL_PAGES for line in command_lines(page)]


def test_there_are_commands_to_try() -> None:
    assert len(LINES) > 100
    assert {leaf(arguments_of(line))[0].split()[0] for _, line in LINES} == set(PAGE_OF)


@pytest.mark.parametrize(("page", "line"), LINES, ids=[f"{page.stem}: {line}" for page, line in LINES])
def test_commands_parse(page: Path, line: str) -> None:
    del page
    name, command, words = leaf(arguments_of(line))
    with suppress(typer.Exit):  # --help
        command.make_context(name, list(words))


def test_inline_commands_parse() -> None:
    """Also those within sentences, like `texsynth expand samples/rust.png`."""
    for page in ALL_PAGES:
        for line in re.findall(r"`(texsynth [a-z][^`\n]*)`", page.read_text(encoding="utf-8")):
            words = arguments_of(line)
            name, command, rest = leaf(words)
            if rest and "..." not in line and "TOPIC" not in line and not rest[-1].startswith("-"):
                command.make_context(name, list(rest))


def test_the_marked_commands_are_there() -> None:
    """`.ci/run` reads and runs them."""
    text = README.read_text(encoding="utf-8")
    first = re.search(r"^<!-- ci: first -->\n```sh\n(.*)\n```$", text, re.MULTILINE)
    test = re.search(r"^<!-- ci: test -->\n```sh\n(.*)\n```$", text, re.MULTILINE)
    assert first
    assert first[1].startswith("pip install . && texsynth ")
    assert test
    assert test[1] == "pip install '.[test]' && pytest"


def test_contributing_has_the_steps_of_a_transform() -> None:
    steps = [*blocks(CONTRIBUTING, "python"), *blocks(CONTRIBUTING, "yaml")]
    assert len([block for block in steps if "title" in block.options]) == 6


def test_the_files_of_the_architecture_are_there() -> None:
    text = text_of("architecture")
    files = set(re.findall(r"`((?:[a-z]+/)+[\w.]+\.(?:py|j2|css))`", text))
    assert len(files) > 20
    for name in files:
        assert (ROOT / name).is_file() or (ROOT / "texsynth" / name).is_file(), name
    job = text[text.index("## From a command") : text.index("These are sixteen files.")]
    assert len(set(re.findall(r"`[\w/]+\.py`", job))) == 16


def test_the_layers_of_the_architecture_are_those_of_the_program() -> None:
    from test_layers import ROWS

    rows = re.findall(r"^\| [0-9] \| (.+?) \|", text_of("architecture"), re.MULTILINE)
    assert [set(re.findall(r"`(\w+)`", row)) for row in rows] == [set(row.split()) for row in ROWS]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_files_of_the_package_are_there(page: Path) -> None:
    pattern = r"`(?:texsynth/)?((?:analysis|metrics|models|transforms|reference)/\w+\.py)`"
    for name in re.findall(pattern, page.read_text(encoding="utf-8")):
        assert (ROOT / "texsynth" / name).is_file(), name
