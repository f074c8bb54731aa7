"""`--resume` in the commands that take folders: what is finished stays, what is missing is made."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from helpers.cli import make_picture, names, run_cli
from helpers.texture_files import QUICK
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from texsynth import images
from texsynth.strict_yaml import parse


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for seed, name in enumerate(("cat", "dog", "hen")):
        make_picture(tmp_path / "photos" / f"{name}.png", seed=seed)
    for seed, name in enumerate(("wave", "dots", "bump")):
        make_picture(tmp_path / f"{name}.png", seed=9 + seed)
    return tmp_path


def state(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        name: (hashlib.sha256((folder / name).read_bytes()).hexdigest(), (folder / name).stat().st_mtime_ns)
        for name in names(folder)
    }


COMMANDS = [
    ("png", "blend", "photos", "--style", "wave.png", "--mask", "bump.png"),
    ("jpg", "stylize", "photos", "wave.png"),
    ("png", "expand", "photos", *QUICK),
    ("jpg", "tile", "photos", *QUICK),
]
"""Formats that carry their record, and that have it in a file beside them."""


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg", "webp"])
def test_another_picture_with_the_settings_of_a_result_is_not_it(
    place: Path, model: Path, suffix: str
) -> None:
    """Painted over, of another size, or that of another result; what was only packed better is."""
    run = ("stylize", "photos", "wave.png", "-o", "out/", "--format", suffix, "--model", model)
    assert run_cli(*run).exit_code == 0
    paths = sorted((place / "out").glob(f"*.{suffix}"))
    changes: list[Any] = [ImageOps.invert, ImageOps.mirror, lambda image: image.crop((0, 0, 9, 9))]
    for path, change in zip(paths, changes, strict=True):
        with Image.open(path) as image:
            image.load()
            texts = PngInfo()
            for key in ("texsynth", "texsynth-pixels") if suffix == "png" else ():
                texts.add_text(key, image.info[key])
            packet = image.info.get("xmp")
            options: dict[str, Any] = {"pnginfo": texts} if suffix == "png" else {"xmp": packet}
            if suffix == "tif":
                options = {"tiffinfo": {700: packet}}
            change(image.convert("RGB")).save(path, icc_profile=image.info["icc_profile"], **options)
    before = state(place / "out")
    again = run_cli(*run, "--resume")
    assert again.exit_code == 5
    assert again.stderr.count("exists already (its pixels are not those it was made with)") == 3
    assert state(place / "out") == before
    assert run_cli(*run, "--resume", "--force").stderr.count("exists already") == 0
    assert run_cli(*run, "--resume", "--json").stdout.count('"skipped": true') == 3


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_results_without_a_record_tell_nothing(place: Path, model: Path, suffix: str) -> None:
    run = ("stylize", "photos", "wave.png", "-o", "out/", "--format", suffix, "--model", model)
    assert run_cli(*run).exit_code == 0
    pixels = {
        name: images.read(place / "out" / name).rgb for name in names(place / "out") if "yaml" not in name
    }
    both = run_cli(*run, "--no-record", "--resume")
    assert (both.exit_code, "--resume looks at the settings" in both.stderr) == (2, True)
    assert run_cli(*run, "--no-record", "--force").exit_code == 0
    assert names(place / "out") == sorted(pixels), "settings of the pictures before are gone"
    for name, before in pixels.items():
        assert (images.read(place / "out" / name).rgb == before).all()
        assert b"wave.png" not in (place / "out" / name).read_bytes()
        assert "carries no texsynth settings" in run_cli("replay", f"out/{name}").stderr
    again = run_cli(*run, "--resume")
    assert again.exit_code == 5
    assert again.stderr.count("exists already") == len(pixels)


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "command"), [(suffix, command) for suffix, *command in COMMANDS])
def test_what_is_there_stays_and_what_is_missing_is_made(
    place: Path, model: Path, suffix: str, command: list[object]
) -> None:
    run = (*command, "-o", "out/", "--format", suffix, "--model", model)
    assert run_cli(*run).exit_code == 0
    before = state(place / "out")
    first, second, *_ = (place / "out" / name for name in before if name.endswith(suffix))
    first.unlink()
    second.write_bytes(second.read_bytes()[:300])
    damaged = run_cli(*run, "--resume")
    assert damaged.exit_code == 3, damaged.stderr
    assert f"{second.name} exists already" in damaged.stderr
    assert first.name in damaged.stdout
    assert run_cli(*run, "--resume", "--force").exit_code == 0
    after = state(place / "out")
    assert {name: digest for name, (digest, _) in after.items()} == {n: d for n, (d, _) in before.items()}
    again = run_cli(*run, "--resume", "--json")
    assert again.exit_code == 0
    assert again.stdout.count('"skipped": true') == 3
    assert state(place / "out") == after
    other = run_cli(*run, "--resume", "--seed", 5)
    assert other.exit_code == 5
    assert "exists already (made with run.seed 0, not 5)" in other.stderr


@pytest.mark.slow
def test_siblings_of_a_stopped_run_are_kept(place: Path) -> None:
    run = ("expand", "wave.png", "--with", "bump.png", *QUICK, "-o", "out/")
    assert run_cli(*run).exit_code == 0
    before = state(place / "out")
    for name in list(before):
        (place / "out" / name).unlink()
        result = run_cli(*run, "--resume")
        assert result.exit_code == 0, result.stderr
        after = state(place / "out")
        assert {n: digest for n, (digest, _) in after.items()} == {n: d for n, (d, _) in before.items()}
        assert [n for n in after if after[n] != before[n]] == [name]
        before = after


def test_another_style_is_named(place: Path, model: Path) -> None:
    del place
    run = ("blend", "photos/cat.png", "-o", "out.png", "--model", model, "--style")
    assert run_cli(*run, "wave.png").exit_code == 0
    assert "(made with other styles)" in run_cli(*run, "dots.png", "--resume").stderr


def test_what_shows_all_results_cannot_be_resumed(place: Path, model: Path) -> None:
    sweep = ("blend", "photos/cat.png", "--style", "wave.png", "--style", "dots.png", "--sweep", 3)
    for command in (
        (*sweep, "--model", model),
        ("expand", "wave.png", "--preview", "sheet.png"),
        ("stylize", "photos/cat.png", "wave.png", "-o", "-"),
    ):
        result = run_cli(*command, "--resume")
        assert result.exit_code == 2, result.stderr
        assert "--resume skips results" in result.stderr
    assert not [name for name in names(place) if "." not in name]


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg", "webp", "avif", "tga"])
def test_settings_go_where_they_are_asked_for(place: Path, model: Path, suffix: str) -> None:
    """Inside where the format has a place, else or with --sidecar beside; --resume and replay read both."""
    run = ("stylize", "photos/cat.png", "wave.png", "-o", f"out/a.{suffix}", "--model", model)
    beside = [f"a.{suffix}", f"a.{suffix}.yaml"]
    for flags, files in (([], beside if suffix == "tga" else beside[:1]), (["--sidecar"], beside)):
        assert run_cli(*run, *flags, "-f").exit_code == 0
        assert names(place / "out") == files
        for again in (flags, [], ["--sidecar"]):
            assert "skipped" in run_cli(*run, *again, "--resume", "-v").stderr
        assert run_cli("replay", f"out/a.{suffix}", "-o", f"again/a.{suffix}", "-f").exit_code == 0
        first, second = (images.read(place / f / f"a.{suffix}").rgb for f in ("out", "again"))
        assert (first == second).all()
    if suffix != "tga":
        assert b"wave.png" not in (place / "out" / f"a.{suffix}").read_bytes()


def test_settings_beside_standard_output_are_refused(place: Path, model: Path) -> None:
    del place
    run = ("stylize", "photos/cat.png", "wave.png", "--model", model)
    refused = run_cli(*run, "-o", "-", "--sidecar")
    assert (refused.exit_code, "nothing is beside standard output" in refused.stderr) == (2, True)
    refused = run_cli(*run, "--no-record", "--sidecar")
    assert (refused.exit_code, "--sidecar keeps the settings" in refused.stderr) == (2, True)


def test_a_folder_is_moved_with_all_that_is_in_it(
    place: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paths in records are seen from the result, so inputs are found from anywhere."""
    absolute = str(place / "wave.png")
    run = ("blend", "photos/cat.png", "--style", absolute, "--mask", "bump.png", "-o", "out/new/a.jpg")
    assert run_cli(*run, "--model", model).exit_code == 0
    assert run_cli("expand", "wave.png", "--with", "bump.png", *QUICK, "-o", "out/").exit_code == 0
    elsewhere, here = place / "elsewhere", place / "here"
    elsewhere.mkdir()
    here.mkdir()
    for name in ("photos", "wave.png", "bump.png", "out"):
        (place / name).rename(elsewhere / name)
    monkeypatch.chdir(here)
    record: Any = parse(images.embedded_settings(elsewhere / "out/new/a.jpg"), source="a.jpg")
    assert record["content"]["path"] == "../../photos/cat.png"
    assert record["styles"][0]["sources"][0]["path"] == "../../wave.png"
    for name in ("new/a.jpg", "wave.expand.png", "bump.expand.png"):
        result = run_cli("replay", elsewhere / "out" / name)
        assert result.exit_code == 0, result.stderr
        path = elsewhere / "out" / name
        again = path.with_name(f"{path.stem}.replay{path.suffix}")
        assert again.read_bytes() == path.read_bytes()
        for again in path.parent.glob("*.replay.*"):
            again.unlink()


def test_paths_from_the_folder_of_the_command_are_found(place: Path, model: Path) -> None:
    """As earlier versions wrote them."""
    assert (
        run_cli("stylize", "photos/cat.png", "wave.png", "-o", "out/a.png", "--model", model).exit_code == 0
    )
    text = images.embedded_settings(place / "out" / "a.png").replace("../", "")
    images.write(images.read(place / "out" / "a.png"), place / "out" / "old.png", settings=text)
    result = run_cli("replay", "out/old.png")
    assert result.exit_code == 0, result.stderr
    assert "path: ../wave.png" in images.embedded_settings(place / "out" / "old.replay.png")
