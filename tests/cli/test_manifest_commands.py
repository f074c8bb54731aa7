"""Manifests with `command:`: expand, tile, blend and stylize jobs, also mixed, as the commands do them."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from helpers.cli import make_picture, names, run_cli
from helpers.texture_files import save, texture
from PIL import Image
from typer.testing import Result

MIXED = """
output: out
jobs:
- {contents: photos, styles: wave.png}
- {command: expand, exemplars: textures, set: {QUICK, scale: 1.5, patch.iterations: [1]}, count: 2}
- {command: tile, exemplars: textures/0.png, with: rough.png, presets: [fast, balanced], set: {QUICK}}
- {command: blend, contents: photos/0.png, styles: ["wave.png:0.7", "dots.png:0.3@3,4"], output: two.png}
- {command: blend, contents: photos, styles: [wave.png, dots.png], masks: [mask.png, rest], presets: photo}
""".replace("QUICK", "method: patch, patch.layouts: 1, patch.refine: 0.1")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders of textures and photos, two styles, a mask and a manifest."""
    monkeypatch.chdir(tmp_path)
    for name in ("textures", "photos"):
        (tmp_path / name).mkdir()
    for number in range(2):
        save(tmp_path / "textures" / f"{number}.png", texture(seed=number))
        make_picture(tmp_path / "photos" / f"{number}.png", seed=number)
    save(tmp_path / "rough.png", texture(seed=5))
    make_picture(tmp_path / "wave.png", seed=8)
    make_picture(tmp_path / "dots.png", seed=9)
    Image.fromarray(np.tile(np.arange(41, dtype=np.uint8) * 6, (33, 1))).save(tmp_path / "mask.png")
    (tmp_path / "jobs.yaml").write_text(MIXED)
    return tmp_path


def batch(model: Path, *flags: object, manifest: str = "jobs.yaml") -> Result:
    return run_cli("batch", manifest, "--model", model, "--threads", 1, *flags)


def hashes(folder: Path) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names(folder)}


RESULTS = [
    "0.blend.photo.png", "0.expand.1.png", "0.expand.2.png", "0.tile.balanced.png", "0.tile.fast.png",
    "0.tile.fast_rough.png", "0.wave.png", "1.blend.photo.png", "1.expand.1.png", "1.expand.2.png",
    "1.wave.png", "two.png",
]  # fmt: skip


@pytest.mark.slow
def test_all_commands_in_one_manifest(place: Path, model: Path) -> None:
    (place / "jobs.yaml").write_text(MIXED.replace("presets: [fast, balanced], ", "presets: fast, "))
    done = batch(model, "--report", "run.html")
    assert done.exit_code == 0, done.stderr
    results = [name for name in RESULTS if name != "0.tile.balanced.png"]
    assert names(place / "out") == sorted(results)
    assert sorted(Path(line).name for line in done.stdout.splitlines()) == sorted(results)
    assert all(name in (place / "run.html").read_text() for name in results)
    quick = ("--method", "patch", "--set", "patch.layouts=1", "--set", "patch.refine=0.1")
    alone = {
        "0.wave.png": ("stylize", "photos/0.png", "wave.png"),
        "0.expand.2.png": (
            "expand", "textures/0.png", *quick, "--scale", 1.5, "--set", "patch.iterations=[1]", "--count", 2,
        ),
        "0.tile.fast.png": ("tile", "textures/0.png", "--with", "rough.png", "-p", "fast", *quick),
        "two.png": ("blend", "photos/0.png", "--style", "wave.png:0.7", "--style", "dots.png:0.3@3,4"),
        "1.blend.photo.png": (
            "blend", "photos", "--style", "wave.png", "--style", "dots.png", "--mask", "mask.png", "--mask",
            "rest", "-p", "photo",
        ),
    }  # fmt: skip
    for name, command in alone.items():
        same = run_cli(*command, "--model", model, "--threads", 1, "-o", f"alone/{name}/")
        assert same.exit_code == 0, same.stderr
        assert any(
            np.array_equal(np.asarray(Image.open(path)), np.asarray(Image.open(place / "out" / name)))
            for path in (place / "alone" / name).iterdir()
        ), name
    again = batch(model, "--resume", "--json")
    lines = [json.loads(line) for line in again.stdout.splitlines()]
    assert all(line["skipped"] for line in lines)
    assert {"exemplar", "content"} == {
        key for line in lines for key in ("exemplar", "content") if key in line
    }


def test_collisions_between_commands_are_found_first(place: Path, model: Path) -> None:
    (place / "jobs.yaml").write_text(MIXED.replace("two.png", "0.tile.fast_rough.png"))
    result = batch(model, "-n")
    assert result.exit_code == 2, "the blend would be written to the sibling of a tile"
    assert "0.tile.fast_rough.png" in result.stderr


@pytest.mark.slow
def test_mixed_jobs_in_workers(place: Path, model: Path) -> None:
    (place / "jobs.yaml").write_text(MIXED.replace("presets: [fast, balanced], ", ""))
    assert batch(model, "-o", "serial").exit_code == 0
    spread = batch(model, "--executor", "processes", "--workers", 2)
    assert spread.exit_code == 0, spread.stderr
    assert hashes(place / "out") == hashes(place / "serial")


ROWS: dict[str, list[dict[str, object]]] = {
    "rows.csv": [
        {"command": "expand", "exemplar": "textures/0.png", "output": "big.png"},
        {"command": "tile", "exemplar": "textures/1.png"},
        {"content": "photos/0.png", "style": "wave.png"},
        {"command": "stylize", "content": "photos/1.png", "style": "wave.png"},
    ],
    "rows.jsonl": [
        {"command": "blend", "content": "photos/0.png", "styles": ["wave.png:2", "dots.png"]},
        {"command": "expand", "exemplar": "textures/0.png", "set": {"size": [40, 40]}, "preset": "fast"},
    ],
}


@pytest.mark.parametrize(
    ("manifest", "results"),
    [
        ("rows.csv", ["0.wave.png", "1.tile.png", "1.wave.png", "big.png"]),
        ("rows.jsonl", ["0.blend.png", "0.expand.fast.png"]),
    ],
)
def test_rows_of_other_commands(manifest: str, results: list[str], place: Path, model: Path) -> None:
    with (place / manifest).open("w") as file:
        if manifest.endswith(".csv"):
            writer = csv.DictWriter(file, ["command", "exemplar", "content", "style", "output"])
            writer.writeheader()
            writer.writerows(ROWS[manifest])
        else:
            file.write("\n".join(map(json.dumps, ROWS[manifest])))
    result = batch(model, "-o", "rows", "-n", manifest=manifest)
    assert result.exit_code == 0, result.stderr
    assert sorted(result.stdout.split()) == [f"rows/{name}" for name in results]


@pytest.mark.parametrize(
    ("job", "code", "words"),
    [
        (
            "command: expnad, exemplars: textures",
            2,
            "job 1: unknown command 'expnad'; did you mean 'expand'?",
        ),
        ("command: expand, contents: textures", 2, "contents"),
        ("command: expand, exemplars: textures, set: {scale: 0}", 2, "scale"),
        ("command: expand, exemplars: textures, mask: mask.png", 2, "--mask belongs to one exemplar"),
        ("command: expand, exemplars: textures, output: a.png", 2, "output names one file, but there are 2"),
        ("command: blend, contents: photos, styles: [wave.png], masks: [mask.png, rest]", 2, "2 times for 1"),
        (
            "command: tile, exemplars: textures, set: {method: transposer}",
            2,
            "method transposer cannot be used",
        ),
        ("command: expand, exemplars: nowhere", 4, "nowhere does not exist"),
        ("command: tile, exemplars: textures, count: 0", 2, "count"),
    ],
)
def test_mistakes(job: str, code: int, words: str, place: Path, model: Path) -> None:
    (place / "jobs.yaml").write_text(f"output: out\njobs: [{{{job}}}]")
    result = batch(model)
    assert result.exit_code == code, result.stderr
    assert words in result.stderr
    assert not (place / "out").exists()


def test_a_template_without_a_style(place: Path, model: Path) -> None:
    (place / "jobs.yaml").write_text(
        "output: out\nname: '{content}.{style}.png'\njobs: [{command: expand, exemplars: textures}]"
    )
    result = batch(model)
    assert result.exit_code == 2
    assert "field 'style'" in result.stderr


def test_maps_and_tilesets_in_a_manifest_are_those_of_the_commands(place: Path, model: Path) -> None:
    (place / "jobs.yaml").write_text(
        "output: out\njobs:\n"
        "- {command: maps, pictures: textures, set: {depth: 0.05}}\n"
        "- {command: tileset, exemplars: textures/0.png, with: rough.png,"
        " set: {corners: 1, patch.layouts: 1, patch.iterations: [1]}}\n"
    )
    assert batch(model).exit_code == 0
    quick = ("--set", "corners=1", "--set", "patch.layouts=1", "--set", "patch.iterations=[1]")
    flags = ("-o", "alone/", "--threads", 1)
    assert run_cli("maps", "textures", "--depth", 0.05, *flags).exit_code == 0
    assert run_cli("tileset", "textures/0.png", "--with", "rough.png", *quick, *flags).exit_code == 0
    assert hashes(place / "out") == hashes(place / "alone")
    assert len(names(place / "out")) == 2 * 4 + 4
    assert batch(model, "--resume").exit_code == 0
