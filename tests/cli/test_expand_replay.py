"""texsynth replay of what expand made: the same bytes, from unchanged inputs wherever they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.cli import names, run_cli
from helpers.texture_files import (
    ok,
    record,
    save,
    square,
    texture,
)

from texsynth.config.records import Embedded, StylizeRecord
from texsynth.images import Picture, read, write
from texsynth.strict_yaml import parse


@pytest.fixture
def full(place: Path, quick: list[object]) -> Path:
    """A result with every kind of map, made from another folder, as its second variation."""
    (place / "src").mkdir()
    save(place / "src/wall.png", texture(40, 48), deep=True)
    save(place / "src/bump.png", texture(40, 48)[..., 1] * 200, deep=True)
    save(place / "src/normal.tif", texture(40, 48))
    save(place / "src/mask.png", square(40, 48, 0, 0, 36))
    save(place / "src/guide.png", texture(20, 20)[..., 0])
    save(place / "src/of.png", texture(40, 48)[..., 0])
    ok(
        "expand", "src/wall.png", "--with", "src/bump.png", "--with", "src/normal.tif",
        "--mask", "src/mask.png",
        "--guide", "src/guide.png", "--guide-of", "src/of.png", "--count", 2, "--seed", 9, "--tileable",
        "-o", "out/", *quick,
    )  # fmt: skip
    return place


def test_replay_gives_the_same_bytes(full: Path) -> None:
    result = ok("replay", "out/wall.expand.2.png")
    made = [f"out/{name}.expand.2.replay.png" for name in ("wall", "bump", "normal")]
    assert result.stdout.split() == made
    for name in made:
        assert (full / name).read_bytes() == (full / name.replace(".replay", "")).read_bytes()
    first = ok("replay", "out/wall.expand.1.png", "-o", "again/x.png").stdout.split()
    assert (full / first[0]).read_bytes() == (full / "out/wall.expand.1.png").read_bytes()
    assert names(full / "again") == ["bump.expand.1.replay.png", "normal.expand.1.replay.png", "x.png"]


@pytest.mark.slow
def test_replay_of_a_sibling_makes_it_alone(full: Path) -> None:
    assert record(full / "out/normal.expand.2.png").part == 2
    assert ok("replay", "out/normal.expand.2.png").stdout == "out/normal.expand.2.replay.png\n"
    again = (full / "out/normal.expand.2.replay.png").read_bytes()
    assert again == (full / "out/normal.expand.2.png").read_bytes()


@pytest.mark.slow
def test_replay_finds_what_has_moved_and_refuses_what_has_changed(full: Path) -> None:
    out = full / "out/wall.expand.1.png"
    (full / "src/wall.png").rename(full / "moved.png")
    assert "src/wall.png, from which" in (lost := run_cli("replay", out).stderr)
    assert lost.endswith("with --exemplar FILE\n")
    ok("replay", out, "--exemplar", "moved.png")
    assert np.array_equal(read(full / "out/wall.expand.1.replay.png").rgb, read(out).rgb)
    assert record(full / "out/wall.expand.1.replay.png").exemplars[0].path == "../moved.png"
    (full / "src/bump.png").rename(full / "b.png")
    moved = ["--input", "src/wall.png=moved.png", "--input", "bump.png=b.png"]
    ok("replay", out, "-f", *moved)
    first, again = (read(full / f"out/bump.expand.1{end}.png").rgb for end in ("", ".replay"))
    assert np.array_equal(first, again)
    save(full / "src/mask.png", square(40, 48, 0, 0, 35))
    changed = run_cli("replay", out, "-f", *moved)
    assert (changed.exit_code, "src/mask.png has changed since" in changed.stderr) == (4, True)


def test_replay_refuses_misplaced_inputs(full: Path) -> None:
    for flags, message in (
        (
            ["--input", "x.png=moved.png"],
            "was not made from x.png; its inputs are ../src/wall.png, ../src/bump",
        ),
        (["--input", "x.png"], "'x.png' is not of the form OLD=NEW"),
        (["--style", "x.png"], "--style does not apply, expand made this file"),
    ):
        result = run_cli("replay", "out/wall.expand.1.png", *flags)
        assert (result.exit_code, message in result.stderr) == (2, True), result.stderr


@pytest.mark.slow
def test_replay_of_a_filled_and_a_mixed_result(place: Path, quick: list[object]) -> None:
    save(place / "hole.png", square(32, 40, 4, 26, 8))
    save(place / "other.png", texture(30, 30, seed=2))
    ok("expand", "wall.png", "--hole", "hole.png", "-o", "a.png", *quick)
    ok("expand", "wall.png", "other.png", "--weights", "2,1", "-o", "b.png", *quick)
    for name in "ab":
        ok("replay", f"{name}.png")
        assert (place / f"{name}.replay.png").read_bytes() == (place / f"{name}.png").read_bytes()
    assert run_cli("replay", "b.png", "-f", "--exemplar", "wall.png").exit_code == 2


OLD_RECORD = """
command: stylize
content: {path: cat.png, sha256: aa}
style: {path: wave.png, sha256: bb}
key: cat.png
stylize: {mode: artistic, transform: {name: wct, ridge: 0.001}, levels: [4, 3, 2, 1], strength: 1.0}
run: {model: lite, device: cpu, dtype: bfloat16, threads: 2, seed: 0}
model_sha256: cc
versions: {texsynth: 0.1.0, torch: 2.13.0}
"""


def test_records_of_stylize_are_still_understood() -> None:
    found = Embedded.model_validate(parse(OLD_RECORD, source="old")).root
    assert isinstance(found, StylizeRecord)
    assert found.stylize.transform.name == "wct"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "command: dance",
            "odd.png: command 'dance' is unknown; use one of 'stylize', 'blend', 'expand', 'tile'",
        ),
        ("a: 1", "odd.png: command None is unknown"),
        ("[]", "odd.png: the settings is [] but must be a mapping"),
        ("command: expand", "odd.png: exemplars is missing"),
        ("command: [", "odd.png is not valid YAML"),
    ],
)
def test_damaged_records_are_one_sentence(place: Path, text: str, message: str) -> None:
    write(Picture(texture().astype(np.uint8)), place / "odd.png", settings=text)
    result = run_cli("replay", "odd.png")
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_replay_keeps_the_same_one_of_several_candidates(place: Path, quick: list[object]) -> None:
    save(place / "large.png", texture(50, 56))
    save(place / "bump.png", texture(50, 56)[..., 1])
    several = ("-p", "best", "--set", "candidates=2", "--scale", 1, *quick)
    ok("expand", "large.png", "--with", "bump.png", "-o", "out/", *several)
    assert record(place / "out/large.expand.png").expand.candidates == 2
    ok("replay", "out/large.expand.png")
    for name in ("large", "bump"):
        assert (place / f"out/{name}.expand.replay.png").read_bytes() == (
            place / f"out/{name}.expand.png"
        ).read_bytes()
