"""What a run says: nothing with -q, one summary, whatever may be a mistake; and what contradicts itself."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from helpers.cli import make_picture, names, run_cli
from helpers.texture_files import QUICK, save
from PIL import Image

from texsynth.errors import UsageError
from texsynth.images import probe, read
from texsynth.jobs import checks


@pytest.fixture(autouse=True)
def pictures(place: Path) -> None:
    """A content, a style, and more of both."""
    for number, name in enumerate(("cat.png", "dog.png", "ink.png", "two.png")):
        make_picture(place / name, seed=number)


COMMANDS = [
    ("stylize", "cat.png", "dog.png", "ink.png", "--artistic", "-o", "out/"),
    ("blend", "cat.png", "--style", "dog.png", "--style", "ink.png", "--sweep", 2, "-o", "out/"),
    ("expand", "wall.png", "--scale", 1, *QUICK, "-o", "out/"),
    ("maps", "cat.png", "wall.png", "-o", "out/"),
    ("card", "make", "ink.png", "-o", "ink.card"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_quiet_is_silent(command: tuple[object, ...], place: Path, model: Path) -> None:
    network = () if command[0] == "maps" else ("--model", model)
    before = names(place)
    result = run_cli(*command, *network, "-q")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    made = set(names(place)) - set(before)
    assert made
    again = run_cli(*command, *network, "-q", "--json", "-f")
    assert {json.loads(line)["output"] for line in again.stdout.splitlines() if '"output"' in line} <= made
    assert again.stdout, "JSON is asked for"
    failed = run_cli(*command, *network, "-q")
    assert failed.stdout == ""
    assert failed.stderr.count("\n") == 1
    assert "exists" in failed.stderr


def test_a_traceback_is_for_bugs(place: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ("stylize", "cat.png", "ink.png", "--model", model, "-v")
    for words in (("stylize", "gone.png", "ink.png", "-v"), (*command, "--strength", 7)):
        assert "Traceback" not in run_cli(*words).stderr

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(checks, "divide", broken)
    assert "Traceback" in run_cli(*command).stderr
    assert "Traceback" not in run_cli(*command[:-1]).stderr


def test_the_summary_counts_everything_once(place: Path, model: Path) -> None:
    run = ("stylize", "cat.png", "dog.png", "two.png", "ink.png", "-o", "out/", "--model", model)
    assert run_cli(*run).stderr.splitlines()[-1] == "Summary: 3 done"
    (place / "out" / "dog.ink.png").unlink()
    (place / "two.png").write_text("I am text")
    assert run_cli(*run, "--resume").stderr.splitlines()[-1] == "Summary: 1 done, 1 skipped, 1 failed"
    alone = run_cli("stylize", "cat.png", "ink.png", "--model", model)
    assert alone.stderr == "", "one picture needs no summary"


def test_results_of_an_earlier_run_are_no_inputs(place: Path, model: Path) -> None:
    (place / "in").mkdir()
    for name in ("cat.png", "dog.png"):
        (place / name).rename(place / "in" / name)
    run = ("stylize", "in", "ink.png", "-o", "in", "--model", model)
    for flags in ((), ("-f",)):
        assert run_cli(*run, *flags).exit_code == 0
        assert names(place / "in") == ["cat.ink.png", "cat.png", "dog.ink.png", "dog.png"]
    again = run_cli(*run, "--resume")
    assert "in/cat.ink.png and 1 more came from other inputs in an earlier run, and are" in again.stderr
    assert again.stderr.endswith("Summary: 0 done, 4 skipped (2 finished before, 2 own results)\n")
    assert "Summary: 2 done, 2 skipped (own results)" in run_cli(*run, "-f").stderr
    (place / "in" / "notes.txt").write_text("I am text")
    assert "Summary: 2 done, 3 skipped (1 unsupported, 2 own results)" in run_cli(*run, "-f").stderr
    # A result is an input without its source, or of another command.
    assert run_cli("stylize", "in/cat.ink.png", "ink.png", "--model", model).stdout == "cat.ink.ink.png\n"
    assert "own results" not in run_cli("maps", "in", "-o", "maps/").stderr


def test_a_picture_that_may_have_been_taken_for_a_style_is_named(place: Path, model: Path) -> None:
    run = ("-n", "--model", model)
    forgotten = run_cli("stylize", "cat.png", "dog.png", "ink.png", "two.png", *run)
    assert "texsynth: the style is two.png, the last of 4 pictures" in forgotten.stderr
    for words in (("cat.png", "dog.png"), ("cat.png", "two.png", "ink.png")):
        assert "the style is" not in run_cli("stylize", *words, *run).stderr
    assert "style: ink.png" in run_cli("stylize", "cat.png", "two.png", "ink.png", *run, "-v").stderr


@pytest.mark.parametrize(
    "words",
    [
        "stylize cat.png ink.png --photo --artistic",
        "blend cat.png --style ink.png --artistic --photo",
        "stylize cat.png ink.png --preserve-color --no-preserve-color",
        "expand wall.png --no-tileable --tileable",
    ],
)
def test_flags_that_contradict_each_other_are_refused(words: str) -> None:
    result = run_cli(*words.split(), "-n")
    assert result.exit_code == UsageError.exit_code
    assert "contradict each other; give one of them" in result.stderr


def test_the_preset_for_speed_makes_a_tile(place: Path, model: Path) -> None:
    result = run_cli("tile", "wall.png", "-p", "fast", *QUICK[2:], "--model", model)
    assert (result.exit_code, result.stdout) == (0, "wall.tile.png\n")


@pytest.mark.parametrize("flags", [("-n",), ()])
def test_a_mask_of_other_proportions_is_refused_before_the_work(
    flags: tuple[str, ...], place: Path, model: Path
) -> None:
    save(place / "wide.png", np.zeros((20, 90)))
    styles = ("--style", "dog.png", "--style", "ink.png")
    words = ("blend", "cat.png", *styles, "--mask", "wide.png", "--mask", "rest", "--model", model, *flags)
    result = run_cli(*words)
    assert result.exit_code == 4
    assert "wide.png has 90 x 20 pixels, which does not fit the 41 x 33 of cat.png" in result.stderr
    assert result.stdout == ""


def test_a_mask_fits_a_picture_that_lies(place: Path, model: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.full((30, 60, 3), 90, np.uint8)).save(place / "lies.jpg", exif=exif)
    assert probe(place / "lies.jpg").width == read(place / "lies.jpg").width == 30
    save(place / "upright.png", np.zeros((60, 30)))
    styles = ("--style", "dog.png", "--style", "ink.png")
    words = ("blend", "lies.jpg", *styles, "--mask", "upright.png", "--mask", "rest", "--model", model)
    assert run_cli(*words).exit_code == 0


@pytest.mark.parametrize(("styles", "count"), [(3, 10), (4, 16)])
def test_a_sheet_shows_all_of_a_sweep(styles: int, count: int, place: Path, model: Path) -> None:
    """Rows of 1 to 4 pictures, or 4 of 4; each cell of the sheet that should have a picture has one."""
    arguments = [
        word for name in ("dog", "ink", "two", "cat")[:styles] for word in ("--style", f"{name}.png")
    ]
    result = run_cli("blend", "wall.png", *arguments, "--sweep", 4, "-o", "out/", "--model", model)
    assert result.exit_code == 0, result.stderr
    assert len(result.stdout.split()) == count + 1
    sheet = read(place / "out" / "wall.blend.sweep.png").rgb
    rows, columns = (n // 4 for n in sheet.shape[:2])
    filled = [
        float(sheet[r * rows : (r + 1) * rows, c * columns : (c + 1) * columns].std()) > 1
        for r in range(4)
        for c in range(4)
    ]
    assert sum(filled) == count


def test_replay_says_how_to_name_what_has_moved(place: Path, model: Path) -> None:
    flags = ("--model", model, "-o", "out.png", "-f")
    blend = ("blend", "cat.png", "--style", "ink.png", "--style", "dog.png", *flags)
    for make, moved, option in (
        (("stylize", "cat.png", "ink.png", *flags), "cat.png", "--content FILE"),
        (("stylize", "cat.png", "ink.png", *flags), "ink.png", "--style FILE"),
        (blend, "dog.png", "--input dog.png=FILE"),
        (("expand", "wall.png", "--scale", 1, *QUICK, *flags), "wall.png", "--exemplar FILE"),
    ):
        assert run_cli(*make).exit_code == 0
        (place / moved).rename(place / "moved.png")
        lost = run_cli("replay", "out.png", "-f")
        assert lost.exit_code == 4
        assert f"{moved}, from which out.png was made, is not there any more" in lost.stderr
        assert lost.stderr.endswith(f"with {option}\n")
        name, _, value = option.replace("FILE", "moved.png").partition(" ")
        assert run_cli("replay", "out.png", "-f", name, value).exit_code == 0
        (place / "moved.png").rename(place / moved)


def test_doctor_takes_a_number_of_threads() -> None:
    result = run_cli("doctor", "--threads", 1)
    assert result.exit_code in (0, 1)
    assert re.search(r"cpu +1 threads", result.stdout)
    assert "--threads is 0 but must be at least 1" in run_cli("doctor", "--threads", 0).stdout
