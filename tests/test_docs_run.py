"""The code in the documentation is run: shell lines, manifests, Python, and the recipe of a transform."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest
from helpers.cli import make_picture, names, run_cli
from helpers.docs import PAGES, README, ROOT, Block, arguments_of, blocks, command_lines, leaf
from helpers.recipe import copy_package, perform

from texsynth.cli.docs import folder
from texsynth.images import Picture, read, write

pytestmark = pytest.mark.slow

NEEDS_MORE = (
    "train ",
    "models fetch",
    "models import",
    "models show",
    "models remove",
    "bench",
    "evaluate ",
    "serve",
    "expand --transposer",
)
"""Trainings need data and hours, checkpoints and Transposers a file; other tests run these on small ones."""

TEXTURES = ("bricks.png", "grass.png", "moss.png", "wall.png", "bricks.jpg", "wall.jpg", "old/bricks.png",
            "textures/one.png", "textures/two.png", "walls/brick.png", "floor.png",
            "material/brick_color.png", "material/brick_normal.png")  # fmt: skip
PHOTOS = ("photo.jpg", "painting.jpg", "sunset.jpg", "swirl.jpg", "ink.jpg", "a.jpg", "colour.jpg",
          "pattern.jpg", "holiday/one.jpg", "holiday/two.jpg", "paintings/one.jpg", "paintings/two.jpg",
          "photos/one.jpg", "shots/one.jpg", "shots/two.jpg", "extra/three.jpg", "portraits/one.jpg",
          "scans/one.tif", "style_swirl.jpg", "street.jpg", "frames/1.png", "frames/2.png")  # fmt: skip


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small pictures that have the names of the documentation, and some results."""
    place = tmp_path_factory.mktemp("documentation")
    with chdir(place):
        prepare(place)
    return place


@pytest.fixture
def place(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, and the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TEXSYNTH_PRESETS", str(tmp_path / "presets"))
    return shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)


def prepare(place: Path) -> None:
    for seed, name in enumerate((*TEXTURES, *PHOTOS)):
        (place / name).parent.mkdir(exist_ok=True)
        make_picture(place / name, seed=seed, height=40, width=48)
    shutil.copy(place / "bricks.png", place / "old" / "bricks.png")
    for name in ("normal.png", "rough.png"):
        shutil.copy(place / "grass.png", place / name)
    for name in ("scratch.png", "sky.png", "photo_map.png", "a_map.png"):
        mask = np.zeros((40, 48, 3), np.uint8)
        mask[8:20, 10:30] = 255
        write(Picture(mask), place / name)
    (place / "samples").mkdir()
    for picture in [*(ROOT / "samples").glob("*.png"), *(ROOT / "samples").glob("*.jpg")]:
        make_picture(place / "samples" / picture.name, seed=len(picture.name), height=40, width=48)
    (place / "evening.yaml").write_text(
        next(block.text for block in blocks(folder() / "presets.md", "yaml") if "title" in block.options)
    )
    (place / "mine.yaml").write_text("extends: artistic\nstylize: {strength: 0.5}\n")
    must("card", "make", "swirl.jpg", "-o", "painter.card")
    must("card", "make", "swirl.jpg")
    must("stylize", "street.jpg", "style_swirl.jpg")
    must("stylize", "photo.jpg", "painting.jpg")
    must("expand", "bricks.png", "-p", "fast")
    must("expand", "walls/brick.png", "-p", "fast", "-o", "out.png")
    (place / "moved").mkdir()
    for old, new in (
        ("walls/brick.png", "brick.png"),
        *((n, f"moved/{n}") for n in ("photo.jpg", "painting.jpg")),
    ):
        shutil.copy(place / old, place / new)
    manifests = blocks(folder() / "batch.md", "yaml")
    (place / "shots.yaml").write_text(manifests[0].text)
    (day,) = blocks(folder() / "artists-day.md", "yaml")
    (place / "day.yaml").write_text(day.text)
    (place / "shots.csv").write_text("content,style\nshots/one.jpg,ink.jpg\n")


def must(*arguments: str, data: bytes | None = None) -> bytes:
    result = run_cli(*arguments, data=data)
    assert result.exit_code == 0, f"texsynth {' '.join(arguments)}: {result.output}"
    return result.stdout_bytes


def run_line(line: str) -> None:
    """Run a line of a page in this process, with what a shell would do for it."""
    before, _, call = line.partition("texsynth")
    # Large results take minutes and show nothing new.
    words = [
        word.replace("1024x512", "96x48").replace("256x256", "28x28").replace("64x64", "28x28")
        for word in arguments_of("texsynth" + call)
    ]
    # One worker shows that the line runs; what several do is shown elsewhere.
    if "--workers" in words:
        words[words.index("--workers") + 1] = "1"
    if words[0] in ("expand", "tile", "tileset"):
        words += ["--set", "patch.layouts=1", "--set", "patch.refine=0.1", "--set", "patch.iterations=[]"]
    if words[0] == "tileset":
        words += ["--set", "corners=1"]
    data = Path(before.split()[1]).read_bytes() if before.startswith("cat ") else None
    _, command, _ = leaf(words)
    options = {option for parameter in command.params for option in parameter.opts}
    # One folder sees all lines of a page, and some of them have the same result.
    again = ["--force"] if "--force" in options else []
    output = must(*words, *again, data=data)
    if " > " in call:
        Path(call.rsplit(" > ", 1)[1].strip()).write_bytes(output)


def is_run(line: str) -> bool:
    words = line.partition("texsynth ")[2]
    # What needs other packages is run by tests of its own, which skip without them.
    needs_more = words.startswith(NEEDS_MORE) or any(word in line for word in ("vgg19", "openvino", "onnx"))
    return not (needs_more or line.startswith("parallel") or "$" in line)


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda page: page.stem)
def test_shell_lines_run(page: Path, place: Path) -> None:
    lines = [line for line in command_lines(page) if is_run(line)]
    for line in lines:
        run_line(line)
    assert not list(place.rglob("*.tmp"))


def test_some_pages_have_many_lines_that_run() -> None:
    counts = {page.stem: sum(map(is_run, command_lines(page))) for page in PAGES}
    assert all(counts[name] >= 5 for name in ("expand", "stylize", "blend", "batch", "match"))
    assert counts["formats"] >= 3
    assert counts["artists-day"] == 20


@pytest.mark.parametrize("number", [0, 1])
def test_manifests_run(place: Path, number: int) -> None:
    manifests = blocks(folder() / "batch.md", "yaml")
    assert len(manifests) == 2
    quick = "{size: [28, 28], corners: 1, patch.layouts: 1, patch.refine: 0.1, patch.iterations: []}"
    (place / "jobs.yaml").write_text(manifests[number].text.replace("{size: [64, 64]}", quick))
    must("batch", "jobs.yaml")
    results = [name for name in names(place / "out") if Path(name).suffix in (".png", ".jpg")]
    assert len(results) == (13 if number == 0 else 19), results


@pytest.mark.parametrize("language", ["csv", "json"])
def test_rows_run(place: Path, language: str) -> None:
    (block,) = blocks(folder() / "batch.md", language)
    manifest = place / f"rows.{'csv' if language == 'csv' else 'jsonl'}"
    manifest.write_text(block.text + "\n")
    must("batch", str(manifest), "-o", "out/")
    expected = ["one.png", "two.png"] if language == "csv" else ["bricks_large.png"]
    assert names(place / "out") == expected


def test_the_preset_of_the_page_is_one(place: Path) -> None:
    preset = next(block for block in blocks(folder() / "presets.md", "yaml") if "extends:" in block.text)
    (place / "mine.yaml").write_text(preset.text)
    must("stylize", "photo.jpg", "painting.jpg", "-p", "mine.yaml", "-o", "o.png")


PYTHON = [
    block for page in (README, *PAGES) for block in blocks(page, "python") if "onnxruntime" not in block.text
]


@pytest.mark.parametrize("block", PYTHON, ids=[f"{block.page.stem} {n}" for n, block in enumerate(PYTHON)])
def test_python_runs(block: Block, place: Path) -> None:
    code = compile(block.text, str(block.page), "exec")
    exec(code, {"__name__": "__main__"})


def test_the_page_of_python_has_ten_recipes() -> None:
    text = (folder() / "python.md").read_text(encoding="utf-8")
    assert text.count("\n## ") == 10
    assert len(blocks(folder() / "python.md", "python")) >= 10


LINES = """
import sys
from texsynth.__main__ import main
for line in sys.argv[1:]:
    sys.argv[1:] = line.split()
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
"""


def test_the_recipe_of_a_transform(place: Path) -> None:
    """Step by step in a copy of the package, then used through the program."""
    tree = place / "tree"
    copy_package(tree)
    perform(tree)
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    lines = [
        "stylize photo.jpg painting.jpg --photo --transform mean -o full.png",
        "stylize photo.jpg painting.jpg -p mean -o preset.png",
        "stylize photo.jpg painting.jpg -p mean --set transform.share=0 -o none.png",
        "blend photo.jpg --style ink.jpg --style painting.jpg:0.5 -p mean -o b.png",
        "replay preset.png -o again.png",
    ]
    # Another process, since this one has loaded the package without the transform; one for all lines.
    done = subprocess.run(
        [sys.executable, "-c", LINES, *lines], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    full, preset, none = (
        read(place / name).rgb.astype(float) for name in ("full.png", "preset.png", "none.png")
    )
    photo = read(place / "photo.jpg").rgb.astype(float)
    assert np.abs(none - photo).mean() < np.abs(preset - photo).mean() < np.abs(full - photo).mean()
    assert (place / "again.png").read_bytes() == (place / "preset.png").read_bytes()
