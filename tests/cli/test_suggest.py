"""texsynth stylize --suggest: the styles are those of the library that look most like the content."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from helpers.cli import names, run_cli
from helpers.library_files import make_library, match, save, texture
from typer.testing import Result

from texsynth.jobs.library import INDEX_NAME


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("built")
    library = make_library(place / "lib")
    save(texture("dots", 9), place / "dots.png")
    save(texture("grain", 9), place / "grain.png")
    assert match(place / "dots.png", library).exit_code == 0
    return place


@pytest.fixture
def place(tmp_path: Path, built: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    return tmp_path


def suggest(model: Path, *arguments: object, count: int = 2) -> Result:
    flags = ("--suggest", "lib", "--suggestions", count, "--model", model, "--threads", 1)
    return run_cli("stylize", *arguments, *flags)


def nearest(query: str, count: int = 2) -> list[tuple[str, str]]:
    """Path and similarity, as match finds them."""
    rows = [line.split("\t") for line in match(query, "lib", "-k", count).stdout.splitlines()]
    return [(row[2], row[1]) for row in rows]


def test_styles_are_the_matches(place: Path, model: Path) -> None:
    result = suggest(model, "dots.png", "grain.png", "-o", "out", "--json")
    assert result.exit_code == 0, result.stderr
    found = [json.loads(line) for line in result.stdout.splitlines()]
    wanted = [(query, style) for query in ("dots.png", "grain.png") for style, _ in nearest(query)]
    assert sorted((line["content"], line["style"]) for line in found) == sorted(wanted)
    assert names(place / "out") == ["dots.0.png", "dots.1.png", "grain.0.png", "grain.1.png"]
    for query in ("dots.png", "grain.png"):
        for style, similarity in nearest(query):
            assert f"texsynth: {query}: style {style}, similarity {similarity}\n" in result.stderr


def test_default_count_and_names_here(place: Path, model: Path) -> None:
    result = run_cli("stylize", "dots.png", "--suggest", "lib", "--model", model, "--threads", 1)
    assert result.exit_code == 0, result.stderr
    made = sorted(result.stdout.split())
    assert len(made) == 3
    assert all(Path(name).is_file() and name.startswith("dots.") for name in made)


def test_the_same_as_naming_the_style(place: Path, model: Path) -> None:
    (style, _), *_ = nearest("dots.png")
    assert suggest(model, "dots.png", "-o", "a.png", count=1).stdout == "a.png\n"
    run_cli("stylize", "dots.png", style, "-o", "b.png", "--model", model, "--threads", 1)
    assert (place / "a.png").read_bytes() == (place / "b.png").read_bytes()


def test_dry_run(place: Path, model: Path) -> None:
    before = names(place)
    result = suggest(model, "dots.png", "-n")
    assert result.exit_code == 0, result.stderr
    assert sorted(result.stdout.split()) == ["dots.0.png", "dots.1.png"]
    assert result.stderr.count("similarity") == 2
    assert names(place) == before


def test_replay(place: Path, model: Path) -> None:
    made = suggest(model, "dots.png", count=1).stdout.strip()
    result = run_cli("replay", made)
    assert result.exit_code == 0, result.stderr
    assert Path(result.stdout.strip()).read_bytes() == Path(made).read_bytes()


def test_resume(place: Path, model: Path) -> None:
    assert suggest(model, "dots.png").exit_code == 0
    assert suggest(model, "dots.png").exit_code == 5
    Path("dots.0.png").unlink()
    result = suggest(model, "dots.png", "--resume")
    assert (result.exit_code, result.stdout) == (0, "dots.0.png\n"), result.stderr


def test_styles_of_one_name(place: Path, model: Path) -> None:
    """Of two folders; nobody who is made suggestions can rename them."""
    shutil.rmtree("lib")
    for kind in ("dots", "grain"):
        save(texture(kind, 0), place / "lib" / kind / "a.png")
    save(texture("checks", 0), place / "lib" / "b.png")
    result = suggest(model, "dots.png", count=3)
    assert result.exit_code == 0, result.stderr
    assert sorted(result.stdout.split()) == ["dots.b.png", "dots.dots-a.png", "dots.grain-a.png"]


def test_styles_of_one_folder_and_name(place: Path, model: Path) -> None:
    shutil.rmtree("lib")
    for suffix in ("png", "bmp.png", "tif"):
        save(texture("dots", 0), place / "lib" / f"a.{suffix}")
    result = suggest(model, "dots.png", count=3)
    assert result.exit_code == 0, result.stderr
    assert sorted(result.stdout.split()) == ["dots.a-png.png", "dots.a-tif.png", "dots.a.bmp.png"]


def test_a_content_of_the_library_is_not_its_own_style(place: Path, model: Path) -> None:
    result = suggest(model, "lib/dots/0.png", "-n", count=9)
    assert result.exit_code == 0
    assert len(result.stdout.split()) == 7


def test_a_new_library_is_indexed_first(place: Path, model: Path) -> None:
    (place / "lib" / INDEX_NAME).unlink()
    (place / "lib" / "bad.png").write_text("I am text")
    result = suggest(model, "dots.png", "-n", "-v", "--index", "i.safetensors")
    assert result.exit_code == 0
    assert "i.safetensors: 8 pictures described" in result.stderr
    assert "left out: lib/bad.png is not a picture" in result.stderr
    assert not (place / "lib" / INDEX_NAME).exists()


def test_a_bad_content_does_not_stop_the_others(place: Path, model: Path) -> None:
    whole = (place / "grain.png").read_bytes()
    (place / "cut.png").write_bytes(whole[: len(whole) * 2 // 3])
    (place / "text.png").write_text("I am text")
    result = suggest(model, "text.png", "cut.png", "dots.png", "-o", "out/", "--json")
    assert result.exit_code == 3
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["content"] for line in found if "error" in line] == ["text.png", "cut.png"]
    assert names(place / "out") == ["dots.0.png", "dots.1.png"]
    result = suggest(model, "text.png", "gone.png")
    assert (result.exit_code, result.stdout) == (4, "")


def test_standard_streams(place: Path, model: Path) -> None:
    data = (place / "dots.png").read_bytes()
    flags = ("--suggest", "lib", "--suggestions", 1, "--model", model, "--threads", 1)
    result = run_cli("stylize", "-", *flags, data=data)
    assert result.exit_code == 0, result.stderr
    assert result.stdout in ("stdin.0.png\n", "stdin.1.png\n")
    result = run_cli("stylize", "-", *flags, "-o", "-", "--format", "jpg", data=data)
    assert result.stdout_bytes[:3] == b"\xff\xd8\xff"


BAD = [
    (["dots.png", "--suggest", "gone"], 4, "the library gone does not exist"),
    (["dots.png", "--suggest", "grain.png"], 2, "the library grain.png is a file"),
    (["dots.png", "--suggest", "lib", "--suggestions", "0"], 2, "--suggestions"),
    (["dots.png", "grain.png", "--suggestions", "2"], 2, "need --suggest LIBRARY"),
    (["dots.png", "grain.png", "--index", "i.safetensors"], 2, "need --suggest LIBRARY"),
    (["dots.png", "--suggest", "lib", "-o", "a.png"], 2, "3 results cannot share the output a.png"),
    (["dots.png", "--suggest", "lib", "-o", "-"], 2, "3 results cannot share standard output"),
    (["gone.png", "--suggest", "lib"], 4, "gone.png does not exist"),
    (["dots.png", "--suggest", "lib", "--format", "bmp"], 2, "--format is 'bmp'"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), BAD, ids=[" ".join(row[0]) for row in BAD])
def test_bad_input(place: Path, model: Path, arguments: list[str], code: int, message: str) -> None:
    before = names(place)
    result = run_cli("stylize", *arguments, "--model", model)
    assert message in result.stderr
    assert (result.exit_code, result.stdout) == (code, "")
    assert len([line for line in result.stderr.splitlines() if not line.startswith("try ")]) == 1
    assert names(place) == before
