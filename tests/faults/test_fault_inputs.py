"""Inputs that are odd, bad, or change while a batch goes on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.cli import make_picture, names, run_cli
from helpers.faults import batch, hashes, linux, make_place
from PIL import Image

from texsynth.images import Picture, read, write
from texsynth.jobs import stylize as stylize_jobs
from texsynth.jobs.blend_inputs import StyledJob
from texsynth.jobs.contents import PreparedContent, prepare_content

COUNT = 10


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return make_place(tmp_path, COUNT)


GOOD = {
    "dot.png": (1, 1, 8),
    "tall.png": (4000, 1, 8),
    "long.png": (10, 40000, 8),
    "ink.jpg": (33, 41, 8),
    "deep.png": (33, 41, 16),
    "deeper.tif": (33, 41, 16),
}
"""Height, width and bits of pictures that can be done."""

BAD = {
    "cut.png": "is damaged or incomplete: ",
    "cut-short.jpg": "is damaged or incomplete: ",
    "garbage.png": "is not a picture that can be read; use one of png, jpg, ",
    "empty.jpg": "is empty",
    "moving.gif": "has 2 frames; name one with --frame 0 to --frame 1",
    "dangling.png": "does not exist",
    "loop.png": "cannot be read: too many levels of symbolic links",
    "pipe.png": "is a pipe or a device; give a file, or - and pipe a picture into it",
    "secret.png": "cannot be read: permission denied",
}
"""What is said of the others."""


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of all of them, a folder that is called like a picture, a style and a manifest."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "zoo"
    (folder / "folder.png").mkdir(parents=True)
    for name, (height, width, depth) in GOOD.items():
        noise = np.random.default_rng(0).integers(0, 2**depth, (height, width, 3), f"uint{depth}")
        write(Picture(noise), folder / name)
    Image.fromarray(read(folder / "ink.jpg").rgb).convert("CMYK").save(folder / "ink.jpg")
    for name in ("cut.png", "cut-short.jpg"):
        whole = make_picture(folder / name, height=80, width=90).read_bytes()
        (folder / name).write_bytes(whole[: len(whole) * 2 // 3])
    (folder / "garbage.png").write_bytes(np.random.default_rng(0).bytes(999))
    (folder / "empty.jpg").touch()
    frames = [Image.fromarray(np.full((9, 9), value, np.uint8)) for value in (0, 255)]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    (folder / "dangling.png").symlink_to("nowhere.png")
    (folder / "loop.png").symlink_to("loop.png")
    os.mkfifo(folder / "pipe.png")
    make_picture(folder / "secret.png").chmod(0)
    if os.access(folder / "secret.png", os.R_OK):  # nothing is secret to root
        (folder / "secret.png").unlink()
    make_picture(tmp_path / "wave.png", seed=99)
    (tmp_path / "jobs.yaml").write_text("output: out\njobs: [{contents: zoo, styles: wave.png}]")
    return tmp_path


def check_zoo(errors: str, place: Path) -> int:
    """Everything was done, or complained of once. Returns how many were bad."""
    bad = [name for name in BAD if os.path.lexists(place / "zoo" / name)]
    lines = errors.splitlines()
    for name in bad:
        assert [line for line in lines if line.startswith(f"texsynth: zoo/{name} {BAD[name]}")], errors
    assert len(lines) == len(bad) + 1
    outputs = {Path(name).stem + ".wave" + Path(name).suffix: shape for name, shape in GOOD.items()}
    assert set(names(place / "out")) == set(outputs)
    for name, (height, width, depth) in outputs.items():
        made = read(place / "out" / name)
        assert (made.height, made.width, made.bit_depth) == (height, width, depth), name
    return len(bad)


@pytest.mark.slow
@linux
def test_a_zoo_of_inputs(zoo: Path, model: Path) -> None:
    flags = ("jobs.yaml", "--model", model, "--threads", 1)
    result = run_cli("batch", *flags)
    assert result.exit_code == 3
    bad = check_zoo(result.stderr, zoo)
    assert f"{len(GOOD)} done, 0 skipped, {bad} failed in " in result.stderr
    one_by_one = hashes(zoo / "out")
    shutil.rmtree(zoo / "out")
    pooled = run_cli("batch", *flags, "--executor", "processes", "--workers", 2)
    assert pooled.exit_code == 3
    assert check_zoo(pooled.stderr, zoo) == bad
    assert f"{len(GOOD)} done, 0 skipped, {bad} failed in " in pooled.stderr
    assert hashes(zoo / "out") == one_by_one
    shutil.rmtree(zoo / "out")
    folder = run_cli("stylize", "zoo", "wave.png", "-o", "out/", *flags[1:])
    assert folder.exit_code == 3
    assert check_zoo(folder.stderr, zoo) == bad
    assert f"Summary: {len(GOOD)} done, {bad} failed\n" in folder.stderr


@linux
@pytest.mark.parametrize("name", ["pipe.png", "folder.png", "dangling.png"])
def test_a_style_that_is_no_file(zoo: Path, model: Path, name: str) -> None:
    (zoo / "rows.csv").write_text(f"content,style\nzoo/dot.png,zoo/{name}\nzoo/dot.png,wave.png")
    result = run_cli("batch", "rows.csv", "-o", "out", "--model", model)
    assert result.exit_code == 3
    words = BAD.get(name, "is a folder, not a picture")
    assert f"texsynth: zoo/{name} {words}" in result.stderr
    assert names(zoo / "out") == ["dot.wave.png"]
    assert run_cli("stylize", "zoo/dot.png", f"zoo/{name}", "--model", model).exit_code == 4


def during_the_first_picture(monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]) -> None:
    """Call `change` when the first job is computed, and at most two more are read."""
    calls: list[StyledJob] = []

    def changing(job: StyledJob, *arguments: Any, **flags: Any) -> PreparedContent:  # noqa: ANN401
        if not calls:
            change()
        calls.append(job)
        return prepare_content(job, *arguments, **flags)

    monkeypatch.setattr(stylize_jobs, "prepare_content", changing)


def test_contents_that_change_meanwhile(place: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def change() -> None:
        (place / "photos" / "06.png").unlink()
        (place / "photos" / "07.png").write_bytes(b"no picture")
        (place / "photos" / "08.png").unlink()
        make_picture(place / "photos" / "08.png", seed=50, height=20)

    during_the_first_picture(monkeypatch, change)
    result = batch(model)
    assert result.exit_code == 3
    first, second, last = result.stderr.splitlines()
    assert first == "texsynth: photos/06.png does not exist"
    assert second.startswith("texsynth: photos/07.png is not a picture that can be read")
    assert f"{COUNT - 2} done, 0 skipped, 2 failed" in last
    monkeypatch.setattr(stylize_jobs, "prepare_content", prepare_content)
    (place / "photos" / "07.png").unlink()
    for number in (6, 7):
        make_picture(place / "photos" / f"0{number}.png", seed=number)
    assert f"2 done, {COUNT - 2} skipped, 0 failed" in batch(model, "--resume").stderr


def two_styles(place: Path, *styles: str) -> None:
    rows = [f"photos/{n:02}.png,{style},{n}{style}.png" for style in styles for n in range(4)]
    (place / "jobs.csv").write_text("\n".join(["content,style,output", *rows]))


def test_a_style_that_goes_meanwhile(place: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_picture(place / "dots.png", seed=98)
    two_styles(place, "wave.png", "dots.png")

    def change() -> None:
        for name in ("wave.png", "dots.png"):  # the first one is measured already
            (place / name).unlink()

    during_the_first_picture(monkeypatch, change)
    result = batch(model)
    assert result.exit_code == 3
    assert result.stderr.count("texsynth: dots.png does not exist\n") == 4
    assert "4 done, 0 skipped, 4 failed" in result.stderr


def test_a_card_that_is_replaced_meanwhile(place: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(Picture(np.zeros((20, 20, 3), np.uint8)), place / "black.png")
    for name, picture in (("a", "wave"), ("b", "wave"), ("new", "black")):
        made = run_cli("card", "make", f"{picture}.png", "-o", f"{name}.card", "--model", model)
        assert made.exit_code == 0, made.stderr
    two_styles(place, "a.card", "b.card")
    during_the_first_picture(monkeypatch, lambda: [shutil.copy("new.card", f"{n}.card") for n in "ab"])
    assert batch(model).exit_code == 0
    monkeypatch.setattr(stylize_jobs, "prepare_content", prepare_content)
    result = batch(model, "--resume")
    assert "0 done, 4 skipped, 4 failed" in result.stderr, "records say what was read"
    assert result.stderr.count("a.card.png exists already (made with other style)") == 4
    assert batch(model, output="new").exit_code == 0
    old, new = hashes(place / "out"), hashes(place / "new")
    assert {name for name in old if old[name] == new[name]} == {f"{n}b.card.png" for n in range(4)}
