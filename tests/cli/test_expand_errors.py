"""texsynth expand with bad input: one sentence, an exit code, nothing written, and no slow start."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.cli import names, run_cli
from helpers.texture_files import (
    check_refused,
    make_bad_files,
    save,
    texture,
)

from texsynth.errors import OutputError

BAD: list[tuple[list[str], int, str]] = [
    (["small.png"], 4, "small.png has 40 x 15 pixels, but an exemplar needs at least 16"),
    (["wall.png", "--size", "900000x900000"], 2, "more than --max-pixels 268435456"),
    (["wall.png", "--max-pixels", "4000"], 2, "80 x 64 = 5120 pixels, more than --max-pixels 4000"),
    (["wall.png", "--max-pixels", "400"], 4, "1280 pixels, more than --max-pixels 400"),
    (["wall.png", "--size", "15x40"], 2, "the output would have 15 x 40 pixels"),
    (["wall.png", "--size", "512x"], 2, "--size '512x' is not of the form WxH, like 1024x512"),
    (["wall.png", "--weights", "1"], 2, "--weights 1 mixes several exemplars, and one is given"),
    (["wall.png", "--mix"], 2, "--mix mixes several exemplars, and one is given"),
    (["wall.png", "--size", "0x9"], 2, "not of the form WxH"),
    (["wall.png", "--size", "64x64", "--scale", "2"], 2, "--size 64x64 and --scale 2 contradict"),
    (["wall.png", "--scale", "0"], 2, "scale is 0.0 but must be a number more than 0"),
    (["wall.png", "--scale", "nan"], 2, "scale is nan"),
    (["wall.png", "--hole", "hole.png", "--scale", "2"], 2, "--hole keeps the exemplar's size"),
    (["wall.png", "--hole", "hole.png", "--size", "64x64"], 2, "--hole keeps the exemplar's size"),
    (["wall.png", "--hole", "hole.png", "--tileable"], 2, "use `texsynth tile` on the result"),
    (["wall.png", "--hole", "hole.png", "--guide", "map.png"], 2, "use one of them"),
    (["wall.png", "--hole", "black.png"], 4, "black.png is all black; make it white"),
    (["wall.png", "--hole", "white.png"], 4, "covers all of wall.png"),
    (["wall.png", "--hole", "most.png"], 4, "leaves no whole 16 x 16 pixels of wall.png to fill it from"),
    (["wall.png", "--hole", "map.png"], 4, "map.png has 9 x 9 pixels, but wall.png has 40 x 32"),
    (["wall.png", "--mask", "map.png"], 4, "map.png has 9 x 9 pixels, but wall.png"),
    (["wall.png", "--mask", "black.png"], 4, "black.png leaves nothing of wall.png to sample"),
    (["wall.png", "--mask", "hole.png"], 4, "leaves no whole 16 x 16 pixels of wall.png"),
    (["wall.png", "--mask", "gone.png"], 4, "gone.png does not exist"),
    (["wall.png", "--mask", "folder"], 4, "no pictures in the folder folder"),
    (["wall.png", "--guide", "text.jpg"], 4, "text.jpg is not a picture"),
    (["wall.png", "two.png", "--guide", "text.jpg", "-o", "x/"], 4, "text.jpg is not a picture"),
    (["wall.png", "--guide-of", "white.png"], 2, "but there is none; give --guide"),
    (["wall.png", "--guide", "map.png", "--guide-of", "map.png"], 4, "map.png has 9 x 9 pixels"),
    (["wall.png", "--with", "map.png"], 4, "map.png has 9 x 9 pixels"),
    (["wall.png", "--with", "cut.png"], 4, "cut.png is damaged or incomplete"),
    (["wall.png", "--with", "gone.png"], 4, "gone.png does not exist"),
    (
        ["wall.png", "--with", "wall.png"],
        2,
        "two results of wall.png would both be written to wall.expand.png",
    ),
    (["cut.png"], 4, "cut.png is damaged or incomplete"),
    (["clear.png"], 4, "clear.png is fully transparent"),
    (["lace.png"], 4, "its transparency leaves no whole 16 x 16 pixels of lace.png"),
    (["gone.png"], 4, "gone.png does not exist"),
    (["folder"], 4, "no pictures in the folder folder"),
    (["wall.png", "two.png", "--with", "white.png"], 2, "--with belongs to one exemplar, but 2 are given"),
    (["wall.png", "two.png", "--mask", "white.png", "--mix"], 2, "--mask belongs to one exemplar"),
    (["wall.png", "two.png", "--weights", "1"], 2, "--weights has 1 numbers for 2 exemplars"),
    (["wall.png", "two.png", "--weights", "1,-1"], 2, "negative or not finite"),
    (["wall.png", "two.png", "--weights", "1,inf"], 2, "negative or not finite"),
    (["wall.png", "two.png", "--weights", "0,0"], 2, "are all zero"),
    (["wall.png", "two.png", "--weights", "1;2"], 2, "not of the form A,B,..."),
    (["wall.png", "two.png", "-o", "x.png"], 2, "2 exemplars cannot share the output x.png"),
    (["wall.png", "--method", "pach"], 2, "unknown method 'pach'; did you mean 'patch'?"),
    (["wall.png", "--set", "method=pach"], 2, "method is 'pach' but must be one of auto"),
    (["wall.png", "--set", "patch.blok=1"], 2, "unknown setting 'blok' of patch; did you mean 'block'?"),
    (["wall.png", "--variation", "2"], 2, "variation is 2.0 but must be a number from 0 to 1"),
    (["wall.png", "--count", "0"], 2, "--count is 0 but must be"),
    (["wall.png", "--count", "2", "-o", "-"], 2, "2 variations cannot share standard output"),
    (["wall.png", "-p", "photo"], 2, "preset 'photo' has no settings for expand; use one of balanced"),
    (["wall.png", "-p", "fats"], 2, "unknown preset 'fats'; did you mean 'fast'?"),
    (["wall.png", "-o", "wall.png", "-f"], 2, "also an input"),
    (["wall.png", "--mask", "white.png", "-o", "white.png", "-f"], 2, "also an input"),
    (["wall.png", "-o", "taken.png"], 5, "taken.png exists already; use --force"),
    (["wall.png", "--with", "taken.png", "-o", "taken.png", "-f"], 2, "also an input"),
    (["wall.png", "--preview", "taken.png"], 5, "taken.png exists already"),
    (["wall.png", "--preview", "sheet.gif"], 2, "cannot write .gif"),
    (["wall.png", "--preview", "wall.expand.png"], 2, "would both be written to wall.expand.png"),
    (["wall.png", "-o", "out.jpg", "--bit-depth", "16"], 2, "needs .png or .tif"),
    (["wall.png", "--format", "bmp"], 2, "--format is 'bmp'"),
    (["wall.png", "--model", "lit"], 2, "did you mean 'lite'?"),
    (["wall.png", "--model", "text.safetensors"], 6, "text.safetensors is damaged"),
    (["wall.png", "--method", "transposer", "--mask", "white.png"], 2, "cannot be used with a mask"),
    (["wall.png", "--method", "transposer+patch", "--guide", "map.png"], 2, "with a guide"),
    (["wall.png", "--method", "optimize", "--hole", "hole.png"], 2, "with a hole; use --method patch+opt"),
    (["wall.png", "--method", "optimize", "--with", "white.png"], 2, "be used with sibling maps"),
    (["wall.png", "--method", "optimize", "--guide", "map.png"], 2, "be used with a guide"),
    (["wall.png", "--method", "transposer", "--hole", "hole.png"], 2, "cannot be used with a hole"),
    (["wall.png", "two.png", "--mix", "--method", "transposer"], 2, "cannot be used with several exemplars"),
    (["part.png", "--method", "transposer"], 2, "part.png has transparent parts, which method transposer"),
    (["-", "--mask", "-"], 2, "standard input (-) can be used for one picture only"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), BAD, ids=[" ".join(row[0]) for row in BAD])
def test_bad_input(place: Path, model: Path, arguments: list[str], code: int, message: str) -> None:
    chosen = [] if "--model" in arguments else ["--model", str(model)]
    check_refused(place, "expand", [*arguments, *chosen], code, message)


def test_bad_input_is_refused_without_torch(place: Path) -> None:
    """What can be known from the files is found before the slow start."""
    make_bad_files(place)
    code = (
        "import sys; from texsynth.cli import app\n"
        "for line in sys.argv[1:]:\n"
        "    try: app(line.split())\n"
        "    except SystemExit as end: assert end.code, line\n"
        "    assert 'torch' not in sys.modules, line\n"
    )
    lines = [" ".join(["expand", *a]) for a, exit_code, _ in BAD if exit_code in (2, 4) and "-" not in a]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", code, *lines, "tile small.png", "tile gone.png"]
    done = subprocess.run(command, env=environment, cwd=place, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[-600:]


@pytest.mark.parametrize("command", ["expand", "tile"])
def test_too_little_memory(place: Path, model: Path, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("texsynth.jobs.memory.available_bytes", lambda: 300 << 20)
    result = run_cli(command, "wall.png", "--model", model)
    assert result.exit_code == 7
    cure = {"expand": "choose a smaller --size or --scale", "tile": "give a smaller picture"}[command]
    assert result.stderr.endswith(f"MiB of memory, and 300 MiB are free; {cure}\n")
    assert names(place) == ["wall.png"]


def test_available_memory_is_known_here() -> None:
    from texsynth.jobs.memory import available_bytes

    available = available_bytes()
    assert available is None or 1 << 20 < available < 1 << 50
    assert available is not None or sys.platform != "linux"


def test_memory_that_ends_during_the_work(
    place: Path, quick: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def greedy(*args: object, **options: object) -> None:
        raise RuntimeError("CUDA out of memory. Tried to allocate 9 GiB")

    monkeypatch.setattr("texsynth.pipelines.expand.expand", greedy)
    result = run_cli("expand", "wall.png", *quick)
    assert result.exit_code == 7
    assert result.stderr == "texsynth: wall.png does not fit in memory; choose a smaller --size or --scale\n"


def failing_after(count: int) -> Callable[..., tuple[str, ...]]:
    """images.write that succeeds `count` times."""
    from texsynth import images

    calls = iter(range(count))

    def write(*args: object, **options: object) -> tuple[str, ...]:
        if next(calls, None) is None:
            raise OutputError("the disk is full")
        return images_write(*args, **options)  # type: ignore[arg-type]

    images_write = images.write
    return write


def test_a_write_that_fails_takes_the_siblings_with_it(
    place: Path, quick: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    save(place / "bump.png", texture()[..., 0])
    monkeypatch.setattr("texsynth.images.write", failing_after(1))
    result = run_cli("expand", "wall.png", "--with", "bump.png", *quick)
    assert (result.exit_code, result.stderr) == (5, "texsynth: the disk is full\n")
    assert names(place) == ["bump.png", "wall.png"]
