"""What goes wrong in a transform is told once for each picture and level, on the screen and in JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.cli import make_picture, run_cli

from texsynth.images import Picture, read, write


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two contents and a style, and the current one."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("cat", "dog", "wave")):
        make_picture(tmp_path / f"{name}.png", seed=number, height=40, width=48)
    return tmp_path


def run(model: Path, *arguments: object, **settings: object) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the JSON lines of a run with settings of the transform, and the lines on standard error."""
    if "--transform" not in arguments:
        settings = {"name": "ift", **settings}
    sets = [part for key, value in settings.items() for part in ("--set", f"transform.{key}={value}")]
    result = run_cli(*arguments, "-f", "--json", "--dtype", "float32", "--model", model, *sets)
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()], result.stderr.splitlines()


STYLIZE = ("stylize", "cat.png", "wave.png", "-o", "out.png")

PHOTO = (*STYLIZE, "--photo")
"""Levels of one encoding, so that what a random decoder makes of one does not leave the next one flat."""


@pytest.mark.parametrize("mode", ["--artistic", "--photo"])
@pytest.mark.parametrize("centred", ["true", "false"])
@pytest.mark.parametrize("pull", [0.1, 10.0])
@pytest.mark.parametrize("level", [1, 3, 4])
def test_a_fixed_rate_warns_exactly_above_the_bound(
    place: Path, model: Path, mode: str, centred: str, pull: float, level: int
) -> None:
    common = {"step": "fixed", "pull": pull, "n_upd": 15, "centred": centred}
    one_level = (*STYLIZE, mode, "--set", f"levels=[{level}]")
    (line,), printed = run(model, *one_level, rate=1e6, **common)
    (warning,) = line["warnings"]
    assert printed == [f"texsynth: cat.png: {warning}"]
    match = re.match(
        rf"level {level}: the rate 1e\+06 of IFT is above (\S+), up to which no step can", warning
    )
    assert match, warning
    assert "15 of 15 steps would have raised the objective" in warning
    # Two digits of the bound are printed.
    bound = float(match[1])
    assert "warnings" in run(model, *one_level, rate=1.05 * bound, **common)[0][0]
    (line,), printed = run(model, *one_level, rate=0.95 * bound, **common)
    assert "warnings" not in line
    assert printed == []


@pytest.mark.parametrize("step", ["line", "safe"])
@pytest.mark.parametrize("pull", [1e-3, 1.0, 1e6])
def test_steps_that_cannot_diverge_do_not_warn(place: Path, model: Path, step: str, pull: float) -> None:
    (line,), printed = run(model, *STYLIZE, step=step, pull=pull, n_iter=3)
    assert "warnings" not in line
    assert printed == []


@pytest.mark.parametrize("step", ["line", "safe", "fixed"])
@pytest.mark.parametrize("pull", [1e160, 1e308])
def test_an_objective_that_is_not_finite_warns(place: Path, model: Path, step: str, pull: float) -> None:
    (line,), printed = run(model, *PHOTO, step=step, pull=pull)
    assert [warning[:7] for warning in line["warnings"]] == [f"level {n}" for n in (4, 3, 2, 1)]
    assert all("not finite" in warning and f"{pull:g}" in warning for warning in line["warnings"])
    assert len(printed) == 4
    assert read(place / "out.png").rgb.shape == (40, 48, 3)


def test_several_pictures_regions_and_layers_are_told_once(place: Path, model: Path) -> None:
    for name, columns in (("left", slice(0, 24)), ("right", slice(24, 48))):
        mask = np.zeros((40, 48, 3), np.uint8)
        mask[:, columns] = 255
        write(Picture(mask), place / f"{name}.png")
    wild = {"step": "fixed", "rate": 1e6}
    styles = ("--style", "wave.png", "--style", "dog.png")
    masks = ("--style", "wave.png", "--style", "dog.png", "--mask", "left.png", "--mask", "right.png")
    for command in (
        ("stylize", "cat.png", "dog.png", "wave.png", "-o", "out/"),
        (
            "stylize",
            "cat.png",
            "dog.png",
            "wave.png",
            "-o",
            "out/",
            "--executor",
            "processes",
            "--workers",
            2,
        ),
        ("blend", "cat.png", *styles, "-o", "out/", "--sequential"),
        ("blend", "cat.png", *masks, "-o", "out/"),
    ):
        lines, printed = run(model, *command, "--photo", **wild)
        for line in lines:
            levels = [warning.partition(":")[0] for warning in line["warnings"]]
            assert levels == [f"level {n}" for n in (4, 3, 2, 1)], command
        assert sorted(text for text in printed if "level" in text) == sorted(
            f"texsynth: {line['content']}: {warning}" for line in lines for warning in line["warnings"]
        )


def test_quiet_leaves_them_to_json(place: Path, model: Path) -> None:
    (line,), printed = run(model, *PHOTO, "-q", step="fixed", rate=1e6)
    assert len(line["warnings"]) == 4
    assert printed == []


@pytest.mark.parametrize("content", ["1e30", "1e38"])
def test_a_descent_on_pixels_that_is_not_finite_warns(place: Path, model: Path, content: str) -> None:
    settings = {"content": content, "iterations": 30}
    (line,), printed = run(model, *STYLIZE, "--transform", "optimize", **settings)
    (warning,) = line["warnings"]
    assert warning.startswith(
        "the descent is not finite after 20 iterations, and the picture after 0 is kept"
    )
    assert printed == [f"texsynth: cat.png: {warning}"]
