"""Frames of a take, and the seed of pictures on their own: the same pictures give the same results."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers.cli import make_picture, names, run_cli
from helpers.nets import waves
from numpy.typing import NDArray

import texsynth
from texsynth.images import embedded_settings, read, write
from texsynth.images.tensors import to_picture

COUNT = 9
PLAIN = ("--threads", "1", "--dtype", "float32")
STYLIZE = ("stylize", "frames", "wave.png", "--grain", "0.3", *PLAIN)
BLEND = ("blend", "frames", "--style", "wave.png:2", "--style", "dots.png", *PLAIN)
SEQUENCE = ("--sequence", "--window", "4")


def make_frames(folder: Path, *, light: float = 0.0, move: float = 0.0) -> None:
    """Frames 1.png to 9.png with so much more light, and such a phase, in each."""
    folder.mkdir()
    for number in range(COUNT):
        picture = 0.3 + light * number + 0.3 * waves(40, 56, move * number)
        write(to_picture(picture, None, 16), folder / f"{number + 1}.png")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_picture(tmp_path / "wave.png", seed=8)
    make_picture(tmp_path / "dots.png", seed=9)
    return tmp_path


def run(*arguments: object, code: int = 0) -> str:
    result = run_cli(*arguments)
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.stderr


def pictures(folder: str) -> list[NDArray[np.integer]]:
    """Results in the order of their frames."""
    return [
        read(path).rgb for path in sorted(Path(folder).glob("*.png"), key=lambda p: int(p.name.split(".")[0]))
    ]


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names(folder)}


def record(path: Path) -> dict[str, object]:
    tree: dict[str, object] = yaml.safe_load(embedded_settings(path))
    return tree


@pytest.mark.parametrize("command", [STYLIZE, (*BLEND, "--set", "grain=0.3")], ids=["stylize", "blend"])
def test_the_name_of_a_picture_counts_with_vary_alone(place: Path, command: tuple[str, ...]) -> None:
    (place / "frames").mkdir()
    for name in ("cat", "dog"):
        make_picture(place / "frames" / f"{name}.png", seed=1)

    def results(folder: str, *more: object) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
        run(*command, "-o", f"{folder}/", *more)
        one, other = (read(path).rgb for path in sorted((place / folder).glob("*.png")))
        return one, other

    cat, dog = results("plain")
    assert np.array_equal(cat, dog)
    seeded, again = results("seeded", "--seed", 1)
    assert np.array_equal(seeded, again)
    assert not np.array_equal(seeded, cat)
    varied, other = results("varied", "--vary")
    assert not np.array_equal(varied, other)
    first = min((place / "varied").glob("cat*.png"))
    assert record(first)["key"] == "cat.png"
    assert record(min((place / "plain").glob("cat*.png")))["key"] is None
    (place / "frames" / "cat.png").rename(place / "moved.png")
    run("replay", first, "-o", "again.png", "--content", "moved.png")
    assert np.array_equal(read(Path("again.png")).rgb, varied), "the path counts as it was"


def test_vary_in_a_manifest(place: Path) -> None:
    for name in ("cat", "dog"):
        make_picture(place / f"{name}.png", seed=1)
    (place / "rows.csv").write_text("content,style\ncat.png,wave.png\ndog.png,wave.png\n")
    for folder, flags, same in (("one", (), True), ("two", ("--vary",), False)):
        run("batch", "rows.csv", "-o", folder, *flags)
        one, other = (read(path).rgb for path in sorted((place / folder).glob("*.png")))
        assert np.array_equal(one, other) == same


@pytest.mark.parametrize("look", [(), ("--photo",)], ids=["artistic", "photo"])
def test_a_still_take_gives_still_results_which_are_those_of_one_frame(
    place: Path, look: tuple[str, ...]
) -> None:
    make_frames(place / "frames")
    run(*STYLIZE, *SEQUENCE, *look, "-o", "out/")
    run(*STYLIZE, *look, "-o", "alone/")
    for frame in pictures("out"):
        assert np.array_equal(frame, pictures("alone")[0])
    figures = json.loads(run("evaluate", "flicker", "frames", "out", "--json"))
    assert (figures["still"], figures["content"], figures["result"]) == (1.0, 0.0, 0.0)


def test_a_ramp_of_light_gives_no_jump_where_statistics_change(place: Path) -> None:
    make_frames(place / "frames", light=0.02)
    run(*STYLIZE, *SEQUENCE, "--bit-depth", 16, "-o", "out/")
    change = np.diff(np.stack(pictures("out")).astype(float) / 65535, axis=0)
    steps = np.sqrt((change**2).mean((1, 2, 3)))
    assert steps.max() < 2.5 * steps.mean()


def test_frames_go_by_number_and_say_where_their_maps_come_from(place: Path) -> None:
    make_frames(place / "frames", move=0.1)
    (place / "frames" / "2.png").rename(place / "frames" / "10.png")
    lines = run(*STYLIZE, *SEQUENCE, "-o", "out/", "--json").splitlines()
    order = [Path(json.loads(line)["content"]).name for line in lines]
    assert order == [f"{k}.png" for k in (1, 3, 4, 5, 6, 7, 8, 9, 10)]
    tween = record(place / "out" / "4.wave.png")["tween"]
    assert isinstance(tween, dict)
    used = {key: [Path(source["path"]).name for source in tween[key]] for key in ("before", "after")}
    assert used == {
        "before": ["1.png", "3.png", "4.png"],
        "after": ["4.png", "5.png", "6.png", "7.png", "8.png"],
    }
    assert tween["share"] == 0.5


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [STYLIZE, (*STYLIZE, "--photo"),
     ("blend", "frames", "--style", "wave.png", "--style", "dots.png", "--sequential", *PLAIN),
     ("blend", "frames", "--style", "wave.png", "--mask", "mask.png", "--style", "dots.png", "--mask", "rest",
      *PLAIN)],
    ids=["stylize", "photo", "one after the other", "masks"],
)  # fmt: skip
def test_replay_and_resume_make_the_same_files(place: Path, command: tuple[str, ...]) -> None:
    make_frames(place / "frames", light=0.01, move=0.1)
    make_picture(place / "mask.png", seed=3, height=40, width=56)
    flags = (*command, *SEQUENCE)
    run(*flags, "-o", "out/")
    before = contents(place / "out")
    assert len(set(before.values())) == COUNT
    first, second, *_ = before
    run("replay", f"out/{second}", "-o", "again/x.png")
    assert Path("again/x.png").read_bytes() == before[second]
    (place / "out" / first).unlink()
    run(*flags, "-o", "out/", "--resume")
    assert contents(place / "out") == before


@pytest.mark.slow
def test_shards_and_workers_make_the_same_files(place: Path) -> None:
    make_frames(place / "frames", light=0.01, move=0.1)
    flags = (*STYLIZE, *SEQUENCE)
    run(*flags, "-o", "out/")
    for part in ("1/2", "2/2"):
        run(*flags, "-o", "parts/", "--shard", part, "--resume")
    run(*flags, "-o", "pool/", "--executor", "processes", "--workers", 2)
    assert contents(place / "out") == contents(place / "parts") == contents(place / "pool")


def test_a_broken_frame_is_reported_and_left_out_of_the_fits(place: Path) -> None:
    make_frames(place / "frames", move=0.1)
    broken = place / "frames" / "5.png"
    broken.write_bytes(broken.read_bytes()[:-200])
    flags = (*STYLIZE, *SEQUENCE, "-o", "out/")
    assert "5.png" in run(*flags, code=3)
    assert len(names(place / "out")) == COUNT - 1
    run("replay", "out/4.wave.png", "-o", "again/4.png")
    assert Path("again/4.png").read_bytes() == (place / "out" / "4.wave.png").read_bytes()
    before = {name: (place / "out" / name).stat().st_mtime_ns for name in names(place / "out")}
    run(*flags, "--resume", code=3)
    assert {name: (place / "out" / name).stat().st_mtime_ns for name in before} == before


def test_replay_needs_the_other_frames_and_finds_them_beside_the_content(place: Path) -> None:
    make_frames(place / "frames", move=0.1)
    run(*STYLIZE, *SEQUENCE, "-o", "out/")
    shutil.move(place / "frames", place / "elsewhere")
    run("replay", "out/4.wave.png", "-o", "again.png", "--content", "elsewhere/4.png")
    assert np.array_equal(read(Path("again.png")).rgb, read(place / "out" / "4.wave.png").rgb)
    (place / "elsewhere" / "7.png").unlink()
    message = run("replay", "out/4.wave.png", "-o", "third.png", "--content", "elsewhere/4.png", code=4)
    assert "7.png" in message
    assert "make all frames again with --sequence" in message


def test_frames_of_other_sizes_and_a_single_one_are_frames_too(place: Path) -> None:
    make_frames(place / "frames")
    write(to_picture(waves(24, 70), None, 8), place / "frames" / "10.png")
    run(*STYLIZE, *SEQUENCE, "-o", "out/")
    assert {frame.shape for frame in pictures("out")} == {(40, 56, 3), (24, 70, 3)}
    run("stylize", "frames/1.png", "wave.png", "--sequence", "-o", "one.png")
    run("stylize", "frames/1.png", "wave.png", "-o", "alone.png")
    assert np.array_equal(read(Path("one.png")).rgb, read(Path("alone.png")).rgb)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*STYLIZE, "--window", "4"), "--window is for frames; add --sequence"),
        ((*STYLIZE, "--sequence", "--vary"), "leave one out"),
        ((*STYLIZE, "--sequence", "--transform", "optimize"), "does not go with --sequence"),
        (("stylize", "frames", "--suggest", ".", "--sequence"), "does not go with --sequence"),
        ((*BLEND[:3], "wave.png", "--style", "dots.png", "--sweep", "3", "--sequence"), "leave one out"),
    ],
)
def test_what_does_not_go_together(place: Path, arguments: tuple[str, ...], message: str) -> None:
    (place / "frames").mkdir()
    make_picture(place / "frames" / "1.png")
    assert message in run(*arguments, code=2)


def test_sequences_from_python(place: Path) -> None:
    make_frames(place / "frames", light=0.02)
    run(*STYLIZE, *SEQUENCE, "--dtype", "float32", "--bit-depth", 8, "-o", "out/")
    frames = [place / "frames" / f"{k + 1}.png" for k in range(COUNT)]
    look = {"grain": 0.3, "dtype": "float32"}
    results = texsynth.stylize_sequence(frames, "wave.png", window=4, **look)  # type: ignore[arg-type]
    for ours, theirs in zip(results, pictures("out"), strict=True):
        assert np.array_equal(np.asarray(ours), theirs)
    with pytest.raises(texsynth.UsageError, match="window is 0"):
        next(texsynth.stylize_sequence(frames, "wave.png", window=0))


def test_flicker_refuses_what_does_not_belong_together(place: Path) -> None:
    make_frames(place / "frames")
    make_frames(place / "out")
    assert "pairs" in run("evaluate", "flicker", "frames", "out", "out")
    (place / "out" / "9.png").unlink()
    assert "has 8 frames, but the content has 9" in run("evaluate", "flicker", "frames", "out", code=4)
    make_picture(place / "out" / "9.png", height=30, width=30)
    assert "30 x 30 pixels" in run("evaluate", "flicker", "frames", "out", code=4)
    assert "single frame" in run("evaluate", "flicker", "frames/1.png", "out", code=4)
