"""What a path is: every answer of the system, and no exception."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest
from helpers.closed import close
from helpers.faults import linux

import texsynth
from texsynth import paths
from texsynth.paths import Place

ROOT = Path(texsynth.__file__).parent

ASKING = {"exists", "is_file", "is_dir", "is_symlink", "resolve", "iterdir", "glob", "rglob", "samefile"}
"""Methods of a path that raise, or say nothing, where the system refuses."""

EXCEPTIONS = {"is_symlink": "models/hub/cache.py", "glob": "cli/docs.py", "samefile": "jobs/match.py"}
"""Calls on what is known to be there."""

LONG = "n" * 300


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("folder").mkdir()
    Path("closed").mkdir()
    Path("closed/file").touch()
    Path("dangling").symlink_to("nowhere")
    Path("loop").symlink_to("loop")
    Path("linked").symlink_to("file")
    os.mkfifo("pipe")
    close(Path("closed"), monkeypatch)
    return tmp_path


PLACES = {
    "file": Place.FILE, "linked": Place.FILE, "folder": Place.FOLDER, ".": Place.FOLDER, "/": Place.FOLDER,
    "": Place.FOLDER, "none": Place.MISSING, "none/below": Place.MISSING, "file/below": Place.MISSING,
    "dangling": Place.DANGLING, "loop": Place.DANGLING, "dangling/below": Place.MISSING, "pipe": Place.DEVICE,
    "/dev/null": Place.DEVICE, "loop/below": Place.REFUSED, "closed/file": Place.REFUSED,
    "closed/none": Place.REFUSED, LONG: Place.REFUSED, "a/" * 3000: Place.REFUSED, "nul\0": Place.REFUSED,
    chr(0xD800): Place.REFUSED,
    chr(0xDCE9): Place.MISSING,
}  # fmt: skip


@linux
@pytest.mark.parametrize("name", PLACES)
def test_every_path_is_something(place: Path, name: str) -> None:
    del place
    path = Path(name)
    kind, reason = paths.status(path)
    assert kind is PLACES[name]
    assert bool(reason) == (kind is Place.REFUSED)
    assert paths.is_file(path) == (kind is Place.FILE)
    assert paths.is_folder(path) == (kind is Place.FOLDER)
    assert paths.exists(path) == (kind in (Place.FILE, Place.FOLDER, Place.DEVICE))
    assert bool(paths.unreadable(path)) == (kind is not Place.FILE)
    assert os.path.isabs(paths.real(path))
    assert paths.listing(path).files or kind is not Place.FOLDER or name == "folder"


@linux
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("new", ""),
        ("folder/new", ""),
        ("none/below/new", ""),
        (f"{LONG}.png", "file name too long"),
        (f"none/{LONG}.png", "file name too long"),
        (f"none/{LONG}/new", "file name too long"),
        ("a/" * 3000, "file name too long"),
        ("closed/new", "permission denied"),
        ("closed/none/new", "permission denied"),
        ("dangling/new", "the folder dangling is a link to nothing"),
        ("loop/new", "the folder loop is a link to nothing"),
        ("file/new", "file is a file, so nothing can be written below it"),
        ("nul\0", "no file can have such a name"),
        (f"none/{chr(0xD800)}", "no file can have such a name"),
    ],
)
def test_what_cannot_be_written_is_known_before(place: Path, name: str, reason: str) -> None:
    del place
    assert reason in paths.unwritable(Path(name))
    assert bool(reason) == bool(paths.unwritable(Path(name)))


@linux
def test_a_link_to_nothing_takes_its_place(place: Path) -> None:
    taken = {name for name in os.listdir(place) if paths.is_taken(Path(name))}
    assert taken == {"file", "folder", "closed", "dangling", "loop", "linked", "pipe"}


@linux
def test_a_listing_goes_past_closed_folders(place: Path) -> None:
    Path("folder/inner").mkdir()
    Path("folder/inner/b").touch()
    Path("folder/.hidden").touch()
    Path("folder/back").symlink_to(place)
    files, folders, refused = paths.listing(place, recursive=True)
    assert [str(path.relative_to(place)) for path in files] == [
        "dangling", "file", "folder/inner/b", "linked", "loop", "pipe",
    ]  # fmt: skip
    assert place / "folder/inner" in folders
    assert refused == [(place / "closed", "permission denied")]
    assert place / "folder/.hidden" in paths.listing(place / "folder", hidden=True).files


def test_the_system_is_asked_in_one_place() -> None:
    for path in ROOT.rglob("*.py"):
        name = path.relative_to(ROOT).as_posix()
        if name.startswith("integrations/blender/addon/"):  # It runs without texsynth
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                call, owner = node.func.attr, ast.unparse(node.func.value)
                known = owner in ("presets", "os", "glob") or EXCEPTIONS.get(call) == name
                assert call not in ASKING or known or name == "paths.py", (
                    f"{name}, line {node.lineno}: ask texsynth.paths"
                )
