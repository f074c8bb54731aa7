"""What a terminal shows of a run: one bar for a picture, one for all, and the time that is left."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.cli import make_picture, names, run_cli
from helpers.texture_files import square, texture
from rich.cells import cell_len
from rich.progress import Progress

import texsynth
from texsynth.cli.bars import Bars, duration, shortened
from texsynth.cli.json_bar import JsonBar
from texsynth.cli.pace import Curve, Pace, time_left
from texsynth.pipelines.progress import Step, parts, sub_progress


class Clock:
    """Seconds that pass when a test says so."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_parts_of_a_work_follow_each_other_by_their_times() -> None:
    shares: list[float] = []
    first, second = parts(lambda step: shares.append(step.share), 1, 3)
    inner = parts(second, 1, 1)
    for report in (first, *inner):
        for done in (1, 2):
            report(Step("stage", done, 2))
    assert shares == [0.125, 0.25, 0.4375, 0.625, 0.8125, 1.0]
    sub_progress(first, 1, 4)(Step("stage", 1, 2))
    assert shares[-1] == 1.5 / 4 / 4
    assert Step("nothing to do", 0, 0).share == 1


EXEMPLAR = texture(32, 40).astype(np.uint8)

CHANGES = {
    "optimize.iterations": 2,
    "optimize.noise_iterations": 2,
    "patch.iterations": [1],
    "patch.refine": 0.2,
}

MAKERS: dict[str, Callable[..., Any]] = {
    "patch": partial(texsynth.expand, EXEMPLAR, method="patch", scale=1.2),
    "all": partial(texsynth.expand, EXEMPLAR, method="transposer+patch+optimize"),
    "noise": partial(texsynth.expand, EXEMPLAR, method="optimize", scale=1.2),
    "mix": partial(texsynth.expand, EXEMPLAR, mix=[EXEMPLAR[::-1]], method="patch", scale=1.2),
    "tile": partial(texsynth.tile, EXEMPLAR, method="patch+optimize"),
    "fill": partial(texsynth.fill, EXEMPLAR, square(32, 40, 10, 12, 8).astype(np.uint8)),
    "scale": partial(texsynth.stylize, EXEMPLAR, EXEMPLAR[::-1]),
    "finish": partial(texsynth.stylize, EXEMPLAR, EXEMPLAR[::-1]),
}

OWN = {"scale": {"style_scale": 2.0}, "finish": {"finish.steps": 3}, "all": {**CHANGES, "candidates": 2}}


@pytest.mark.parametrize("name", MAKERS)
def test_the_share_of_a_picture_never_falls_and_ends_at_one(name: str, model: Path) -> None:
    steps: list[Step] = []
    MAKERS[name](model=str(model), changes=OWN.get(name, CHANGES), progress=steps.append)
    shares = [step.share for step in steps]
    assert shares == sorted(shares)
    assert min(shares) >= 0
    assert shares[-1] == pytest.approx(1)
    assert len(set(shares)) > 2, "something moves in between"


def test_the_time_left_comes_of_the_share() -> None:
    assert time_left(30, 0.25) == pytest.approx(90)
    assert time_left(30, 1) == 0
    assert time_left(0.5, 0.25) is None, "too early to tell"
    assert time_left(30, 0.0) is None


def test_a_picture_is_paced_by_the_one_before() -> None:
    """Half of its steps took nine tenths of the time of the first one."""
    pace = Pace(3, now=(clock := Clock()))
    pace.begin()
    for seconds, share in ((9.0, 0.5), (10.0, 1.0)):
        clock.seconds = seconds
        pace.step("seams", share)
        assert pace.share == share
    pace.end()
    pace.begin()
    clock.seconds = 14.5
    pace.step("seams", 0.25)
    assert pace.share == pytest.approx(0.45)
    assert pace.times() == pytest.approx((4.5, 5.5))
    pace.step("seams", 0.1)
    assert pace.share == pytest.approx(0.45), "it does not go back"
    assert pace.run_share == pytest.approx(1.45 / 3)
    assert pace.run_times() == pytest.approx((14.5, 5.5 + 10)), "and one more of ten seconds"
    assert pace.done == 1
    pace.begin()
    pace.step("noise", 0.25)
    assert pace.share == 0.25, "another kind of picture"
    assert Curve().ended(3.0) is None, "a picture without steps teaches nothing"


def test_results_that_are_there_do_not_count_as_fast() -> None:
    pace = Pace(10, now=(clock := Clock()))
    for _ in range(6):
        pace.end(worked=False)
    assert pace.is_preparing
    assert pace.run_times() == (0.0, None)
    pace.begin()
    clock.seconds = 20.0
    pace.step("seams", 1.0)
    pace.end()
    assert pace.run_share == pytest.approx(0.7)
    assert pace.run_times() == pytest.approx((20.0, 60.0)), "three more like it"


def test_workers_count_what_is_finished() -> None:
    pace = Pace(4, single=False, now=(clock := Clock()))
    for _ in range(3):
        pace.begin()
    assert pace.run_share == 0
    clock.seconds = 10.0
    pace.end()
    assert pace.run_times() == pytest.approx((10.0, 30.0))


@pytest.mark.parametrize("columns", range(2, 40))
def test_long_names_lose_their_middle(columns: int) -> None:
    for name in ("photograph-of-a-long-wall-0012.png", "写真写真写真写真写真写真写真写真.png", "a"):
        short = shortened(name, columns)
        assert cell_len(short) <= columns
        if cell_len(name) <= columns:
            assert short == name
        elif columns > 14:
            assert short.startswith(name[:2])
            assert short.endswith(".png")


def test_times_are_written_shortly() -> None:
    assert [duration(s) for s in (0.2, 67, 3723, 90_000)] == ["0:00", "1:07", "1:02:03", "1 d 1 h"]
    assert len(duration(1e15)) < 12


@pytest.mark.parametrize("columns", [20, 32, 49, 63, 64, 79, 200])
def test_a_row_fits_the_terminal(columns: int) -> None:
    with Progress(disable=True) as live:
        bars = Bars(live, 12, "pictures", steps=True, ascii_only=False)
        run, picture = live.tasks
        rows = [bars.line(run, columns), bars.line(picture, columns)]
        assert [str(row) for row in rows] == ["pictures 0/12", "preparing"], "no clock yet"
        bars.picture("photograph-of-a-very-long-wall-in-the-evening-0012.painting.png")
        bars.step(Step("statistics", 1, 3))
        rows += [bars.line(run, columns), bars.line(picture, columns)]
    assert all(cell_len(str(row)) <= max(columns, 32) for row in rows)
    assert "33%" in str(rows[-1])
    if columns > 75:
        assert ".png: statistics" in str(rows[-1])


def test_a_narrow_terminal_shows_bars_that_fit_and_a_pipe_shows_none(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a-photograph-of-a-very-long-wall-at-noon.png", "b.png", "ink.png"):
        make_picture(Path(name))
    command = ("stylize", "a-photograph-of-a-very-long-wall-at-noon.png", "b.png", "ink.png", "-f")
    piped = run_cli(*command, "--model", model).stderr
    assert "\x1b" not in piped
    assert "%" not in piped
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "50")
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", run_cli(*command, "--model", model).stderr)
    rows = [row for row in re.split(r"[\r\n]+", shown) if row.strip() and not row.startswith("texsynth")]
    assert any(row.startswith("pictures ") for row in rows)
    assert any("%" in row for row in rows)
    assert all(cell_len(row) <= 50 for row in rows)
    assert "%" not in run_cli(*command, "-q", "--model", model).stderr


def test_programs_read_lines_of_progress() -> None:
    lines: list[str] = []
    bar = JsonBar(2, steps=True, write=lines.append, now=(clock := Clock()))
    bar.picture("wall.tile.png")
    for part in range(1, 101):
        clock.seconds = part / 25
        bar.step(Step("seams", part, 100))
    bar.advance()
    bar.picture("caf\u00e9\n.png")
    read = [json.loads(line) for line in lines]
    assert all("\n" not in line and line.isascii() for line in lines)
    assert read[0] == {
        "done": 0, "total": 2, "picture": "", "stage": "preparing", "share": 0.0, "left": None,
    }  # fmt: skip
    shares = [line["share"] for line in read]
    assert shares == sorted(shares)
    assert read[-2] | {"left": None} == {
        "done": 1, "total": 2, "picture": "wall.tile.png", "stage": "seams", "share": 0.5, "left": None,
    }  # fmt: skip
    assert read[-2]["left"] == pytest.approx(4)
    assert read[-1]["picture"] == "caf\u00e9\n.png"
    assert 30 < len(lines) < 50, "ten a second of a hundred steps in four seconds"


def test_progress_is_on_standard_error_also_when_quiet(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("wall.png", "ink.png"):
        make_picture(Path(name))
    command = ("stylize", "wall.png", "ink.png", "--model", model, "-q", "--json-progress")
    result = run_cli(*command, "-o", "out.png")
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    assert (result.exit_code, result.stdout) == (0, "")
    assert {line["picture"] for line in lines} == {"", "out.png"}
    assert lines[-1]["share"] == lines[-1]["done"] == 1
    again = run_cli(*command, "-o", "out.png")
    assert (again.exit_code, again.stderr.count("\n")) == (5, 1)
    assert not again.stderr.startswith("{")


def test_commands_without_contents_of_their_own_tell_progress_too(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A manifest, a result and a library; each round of a run counts from 0 to all of its pictures."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for number, name in enumerate(("wall.png", "ink.png")):
        make_picture(tmp_path / "in" / name, seed=number)
    Path("jobs.yaml").write_text("{output: out, jobs: [{contents: in/wall.png, styles: in/ink.png}]}")
    for command, totals in (
        (("batch", "jobs.yaml", "--model", model), [1]),
        (("replay", "out/wall.ink.png", "-o", "again.png"), [1]),
        (("match", "in/wall.png", "in"), [2, 1]),
    ):
        result = run_cli(*command, "--threads", 1, "-q", "--json-progress")
        assert result.exit_code == 0, result.output
        lines = [json.loads(line) for line in result.stderr.splitlines()]
        ends = [line for line in lines if line["done"] == line["total"]]
        assert [line["total"] for line in ends] == totals, command
        assert all(line["share"] == 1 for line in ends)


def test_a_run_ends_with_the_program_that_has_started_it(tmp_path: Path) -> None:
    """Nobody wants its work any more, as after a crash of Blender; so also nothing stays behind."""
    make_picture(tmp_path / "wall.png")
    reader, writer = os.pipe()
    os.close(reader)
    command = (sys.executable, "-m", "texsynth", "tile", "wall.png", "-p", "fast", "--json-progress")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    try:
        result = subprocess.run(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=writer, check=False
        )
    finally:
        os.close(writer)
    assert (result.returncode, result.stdout, names(tmp_path)) == (130, b"", ["wall.png"])
