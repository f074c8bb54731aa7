"""texsynth match: what looks alike is found, and only what has changed is looked at again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.cli import make_model, names
from helpers.faults import environment
from helpers.library_files import KINDS, make_library, match, save, texture
from safetensors.torch import load_file, save_file
from torch import Tensor

from texsynth.errors import ModelError
from texsynth.images import Picture, read, write
from texsynth.jobs import describe as describing
from texsynth.jobs import match as indexing
from texsynth.jobs.library import INDEX_NAME
from texsynth.jobs.library_index import Index, write_index
from texsynth.models.weights import header_of
from texsynth.pipelines.describe import describe
from texsynth.synthesis.warp import rotate

INDEX = Path("lib") / INDEX_NAME


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an indexed library, `lib`, of two crops of every kind, and a third as query."""
    place = tmp_path_factory.mktemp("built")
    library = make_library(place / "lib")
    for kind in KINDS:
        save(texture(kind, 9), place / f"{kind}.png")
    result = match(place / "dots.png", library, "-v")
    assert result.exit_code == 0, result.stderr
    assert "8 pictures described, 0 known" in result.stderr
    return place


@pytest.fixture
def place(tmp_path: Path, built: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, the current folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    return tmp_path


def lines(*arguments: object, data: bytes | None = None) -> list[list[str]]:
    """Of a run without anything to complain of."""
    result = match(*arguments, data=data)
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return [line.split("\t") for line in result.stdout.splitlines()]


def counts(*arguments: object) -> str:
    result = match("dots.png", "lib", "-v", *arguments)
    assert result.exit_code == 0, result.stderr
    return next(line.partition(": ")[2] for line in result.stderr.splitlines() if "described" in line)


def header() -> dict[str, str]:
    found: dict[str, str] = header_of(INDEX.read_bytes())["__metadata__"]
    return found


def with_header(**changes: str) -> None:
    """Change the index's header."""
    save_file(load_file(INDEX), INDEX, metadata={**header(), **changes})


@pytest.mark.parametrize("kind", KINDS)
def test_crops_of_a_texture_find_each_other(place: Path, kind: str) -> None:
    found = lines(f"{kind}.png", "lib", "-k", 3)
    assert [line[0] for line in found] == ["1", "2", "3"]
    assert {line[2] for line in found[:2]} == {f"lib/{kind}/0.png", f"lib/{kind}/1.png"}
    similarity = [float(line[1]) for line in found]
    assert similarity == sorted(similarity, reverse=True)
    assert similarity[1] > similarity[2]
    assert all(len(line[1].partition(".")[2]) == 3 for line in found)


def test_several_queries(place: Path) -> None:
    found = lines("dots.png", "*rain.png", "lib", "-k", 2)
    assert [line[:2] for line in found] == [[f"{q}.png", r] for q in ("dots", "grain") for r in "12"]
    assert len(lines("lib/dots", "lib", "-k", 1)) == 2
    assert len(lines("lib", "lib", "-r", "-k", 1)) == 8
    assert len(lines("dots.png", "lib")) == 5
    assert len(lines("dots.png", "lib", "-k", 99)) == 8


def test_json(place: Path) -> None:
    result = match("dots.png", "lib", "--json", "-k", 1, "--rotation-invariant")
    (found,) = map(json.loads, result.stdout.splitlines())
    assert set(found) == {"query", "rank", "similarity", "path", "compared"}
    assert (found["query"], found["rank"], found["compared"]) == ("dots.png", 1, "any-turn")
    assert Path(found["path"]).parent == Path("lib/dots")
    assert 0.5 < found["similarity"] <= 1


def test_upright_finds_textures_at_any_angle(place: Path) -> None:
    y, x = np.mgrid[:160, :160]
    lines_ = np.where((x // 7 % 2)[..., None], [220, 200, 180], [60, 50, 40])
    bricks = np.where(((y % 14 < 2) | ((x + 14 * (y // 14 % 2)) % 28 < 2))[..., None], 220, [150, 60, 40])
    for name, pixels in (("lines", lines_), ("bricks", bricks)):
        image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
        for degrees in (0, 27, -40):
            part = rotate(image, degrees).clamp(0, 1)[0].permute(1, 2, 0)
            save((255 * part).byte().numpy(), place / "slanted" / f"{name}{degrees}.png")
    found = lines("slanted/lines27.png", "slanted", "-k", 2, "--upright")
    assert {line[2] for line in found} == {"slanted/lines0.png", "slanted/lines-40.png"}
    straight = lines("slanted/lines27.png", "slanted", "-k", 5)
    before = {line[2]: float(line[1]) for line in straight}
    assert float(found[1][1]) > max(before["slanted/lines0.png"], before["slanted/lines-40.png"])


def test_standard_input(place: Path) -> None:
    data = (place / "checks.png").read_bytes()
    assert lines("-", "lib", data=data) == lines("checks.png", "lib")
    assert match("-", "lib", data=b"").exit_code == 4


def test_a_query_is_not_its_own_match(place: Path) -> None:
    shutil.copy("lib/dots/0.png", "copy.png")
    os.link("lib/dots/0.png", "link.png")
    for query in ("lib/dots/0.png", "copy.png", "link.png"):
        found = lines(query, "lib", "-k", 99)
        assert len(found) == 7
        assert "lib/dots/0.png" not in [line[2] for line in found]
        assert lines(query, "lib", "--include-self")[0] == ["1", "1.000", "lib/dots/0.png"]
    data = (place / "lib/dots/0.png").read_bytes()
    assert len(lines("-", "lib", "-k", 99, data=data)) == 7


def test_rotation_invariance(place: Path) -> None:
    for number in range(4):
        save(np.rot90(texture("stripes", 20), number), place / "turned" / f"{number}.png")
    query = ("turned/0.png", "turned", "--include-self")
    plain = {line[2]: float(line[1]) for line in lines(*query)}
    turned = {line[2]: float(line[1]) for line in lines(*query, "--rotation-invariant")}
    assert plain["turned/1.png"] < 0.9
    assert all(similarity > 0.998 for similarity in turned.values())
    near = np.rot90(texture("stripes", 20)) ^ np.uint8(1)
    save(near, place / "near.png")
    ((_, similarity, _),) = lines("near.png", "turned", "--rotation-invariant", "-k", 1)
    assert float(similarity) > 0.99
    assert lines("near.png", "turned", "-k", 1)[0][2] == "turned/1.png"


def test_only_what_has_changed_is_described(place: Path) -> None:
    assert counts() == "0 pictures described, 8 known, 0 gone or changed, 0 unreadable"
    before = INDEX.read_bytes()
    save(texture("grain", 5), place / "lib" / "new" / "folder" / "g.png")
    assert counts().startswith("1 pictures described, 8 known, 0 gone")
    assert lines("grain.png", "lib", "-k", 3)[2][2].startswith(("lib/grain/", "lib/new/folder/g.png"))
    os.utime("lib/dots/0.png", ns=(1, 1))
    assert counts().startswith("1 pictures described, 8 known, 1 gone")
    save(texture("dots", 7), place / "lib/dots/0.png")
    assert counts().startswith("1 pictures described, 8 known, 1 gone")
    shutil.rmtree("lib/new")
    (place / "lib/dots/0.png").unlink()
    assert counts().startswith("0 pictures described, 7 known, 2 gone")
    assert INDEX.read_bytes() != before
    assert counts() == "0 pictures described, 7 known, 0 gone or changed, 0 unreadable"
    assert counts("--rebuild").startswith("7 pictures described, 0 known")


def test_the_index_says_what_it_is_of(place: Path) -> None:
    found = header()
    assert found["format"] == "texsynth-index-2"
    assert (found["model"], found["longest"]) == ("lite", "512")
    assert len(found["descriptor_sha256"]) == len(found["model_sha256"]) == 64
    files = json.loads(found["files"])
    assert [key for key, _, _ in files] == sorted(f"{kind}/{crop}.png" for kind in KINDS for crop in (0, 1))
    assert files[0][1:] == [os.stat("lib/checks/0.png").st_size, os.stat("lib/checks/0.png").st_mtime_ns]
    descriptors = load_file(INDEX)["descriptors"]
    assert descriptors.shape[:2] == (8, 3)
    lengths = descriptors.float().norm(dim=2)
    assert float((lengths[:, 0] - 1).abs().max()) < 1e-3
    assert float(lengths[:, 1:].max()) == 0, "what was not asked for is not computed"


def test_other_comparisons_are_added_to_an_index_when_they_are_asked_for(place: Path) -> None:
    before = load_file(INDEX)["descriptors"]
    for flag, number in (("--rotation-invariant", 1), ("--upright", 2)):
        counted = match("dots.png", "lib", flag, "-v").stderr
        assert "8 pictures described, 0 known, 0 gone or changed" in counted
        assert "0 pictures described, 8 known" in match("dots.png", "lib", flag, "-v").stderr
        descriptors = load_file(INDEX)["descriptors"]
        assert float((descriptors[:, number].float().norm(dim=1) - 1).abs().max()) < 1e-3
        assert torch.equal(descriptors[:, 0], before[:, 0])
    save(texture("dots", 7), place / "lib/dots/0.png")
    assert "1 pictures described, 7 known, 1 gone" in match("dots.png", "lib", "-v").stderr
    assert "1 pictures described, 7 known, 0 gone" in match("dots.png", "lib", "--upright", "-v").stderr


def test_ctrl_c_keeps_what_is_described(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = 0

    def slow(*arguments: Any, **flags: Any) -> Tensor:  # noqa: ANN401
        nonlocal done
        done += 1
        if done == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return describe(*arguments, **flags)

    INDEX.unlink()
    monkeypatch.setattr(describing, "describe", slow)
    result = match("dots.png", "lib")
    assert result.exit_code == 130
    assert result.stdout == ""
    kept = len(json.loads(header()["files"]))
    assert 3 <= kept <= 4
    assert f"interrupted; {8 - kept} pictures of lib are left" in result.stderr
    assert counts() == f"{8 - kept} pictures described, {kept} known, 0 gone or changed, 0 unreadable"


def test_a_killed_build_goes_on(place: Path) -> None:
    code = (
        "import os, signal\nfrom texsynth.jobs import describe as describing, match as indexing\n"
        "real, done = describing.describe, []\n"
        "def slow(*a, **k):\n"
        "    done.append(1)\n"
        "    if len(done) == 6: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return real(*a, **k)\n"
        "describing.describe, indexing.SAVE_EVERY = slow, 2\n"
        "from texsynth.cli import app; app()"
    )
    INDEX.unlink()
    command = [sys.executable, "-c", code, "match", "dots.png", "lib"]
    done = subprocess.run(command, env=environment(), cwd=place, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    kept = len(json.loads(header()["files"]))
    assert kept in (2, 4)
    assert counts() == f"{8 - kept} pictures described, {kept} known, 0 gone or changed, 0 unreadable"


@pytest.mark.slow
def test_two_builds_at_once(place: Path) -> None:
    INDEX.unlink()
    command = [sys.executable, "-m", "texsynth", "match", "dots.png", "lib"]
    both = [
        subprocess.Popen(
            command, env=environment(), cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    first, second = (process.communicate() for process in both)
    assert [process.returncode for process in both] == [0, 0], (first, second)
    assert first == second
    assert counts() == "0 pictures described, 8 known, 0 gone or changed, 0 unreadable"


def test_unreadable_pictures_are_left_out(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = place / "lib" / "bad.png"
    bad.write_text("I am text")
    result = match("dots.png", "lib", "-k", 99)
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 8
    assert result.stderr.startswith("texsynth: left out: lib/bad.png is not a picture")
    assert len(result.stderr.splitlines()) == 1
    again = match("dots.png", "lib", "-v")
    assert "0 pictures described, 8 known, 0 gone or changed, 1 unreadable" in again.stderr
    assert "left out: 1 picture of lib that could not be read before" in again.stderr
    assert "bad.png is not a picture" in again.stderr
    save(texture("grain", 30), bad)
    assert counts() == "1 pictures described, 8 known, 0 gone or changed, 0 unreadable"
    # A limit is no property of the files.
    result = match("dots.png", "lib", "--rebuild", "--max-pixels", 5000)
    assert result.exit_code == 0
    save(np.zeros((80, 80, 3), np.uint8), place / "lib" / "large.png")
    assert "more than --max-pixels 5000" in match("dots.png", "lib", "--max-pixels", 5000).stderr
    assert counts() == "1 pictures described, 9 known, 0 gone or changed, 0 unreadable"


def test_animated_pictures_are_known_by_their_first_frame(place: Path) -> None:
    from PIL import Image

    frames = [Image.fromarray(texture(kind, 40)) for kind in ("checks", "dots")]
    frames[0].save("lib/moving.gif", save_all=True, append_images=frames[1:])
    assert "lib/moving.gif" in [line[2] for line in lines("checks.png", "lib", "-k", 3)]
    result = match("lib/moving.gif", "lib")
    assert (result.exit_code, result.stdout) == (4, "")
    assert "has 2 frames" in result.stderr
    for frame, kind in enumerate(("checks", "dots")):
        assert lines("lib/moving.gif", "lib", "--frame", frame, "-k", 1)[0][2].startswith(f"lib/{kind}/")


def test_links(place: Path) -> None:
    (place / "lib" / "round").symlink_to(place / "lib")
    (place / "lib" / "again.png").symlink_to("dots/0.png")
    assert counts().startswith("1 pictures described, 8 known")
    (place / "lib" / "loop.png").symlink_to("loop.png")
    (place / "lib" / "nowhere.png").symlink_to("gone.png")
    result = match("dots.png", "lib", "-k", 99)
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 9)
    assert sorted(line.split(" ")[3] for line in result.stderr.splitlines()) == [
        "lib/loop.png",
        "lib/nowhere.png",
    ]


def test_what_is_no_picture_is_ignored(place: Path) -> None:
    (place / "lib" / "notes.txt").write_text("text")
    save(texture("dots"), place / "lib" / ".hidden" / "a.png")
    save(texture("dots"), place / "lib" / ".a.png")
    assert counts().startswith("0 pictures described, 8 known")


@pytest.mark.skipif(sys.platform != "linux", reason="file names are text elsewhere")
def test_file_names_need_not_be_text(place: Path) -> None:
    odd = os.fsdecode(b"caf\xe9.png")
    shutil.move("lib/dots/0.png", place / "lib" / odd)
    assert counts().startswith("1 pictures described, 7 known, 1 gone")
    assert counts("--sheet", "s.png").startswith("0 pictures described, 8 known")


def test_sheet(place: Path) -> None:
    result = match("dots.png", "grain.png", "lib", "-k", 2, "--sheet", "sheet.png")
    assert (result.exit_code, result.stderr) == (0, "texsynth: sheet: sheet.png\n")
    sheet = read(place / "sheet.png").rgb
    assert sheet.shape == (12 + 2 * (64 + 22 + 12), 12 + 3 * (320 + 12), 3)
    assert np.array_equal(sheet[12 : 12 + 64, 140 : 140 + 64], read(place / "dots.png").rgb)
    best = Path(result.stdout.splitlines()[0].split("\t")[3])
    assert np.array_equal(sheet[12 : 12 + 64, 472 : 472 + 64], read(best).rgb)
    assert sheet[12 + 64 : 12 + 64 + 22].min() < 100, "there is text"
    result = match("dots.png", "lib", "--sheet", "sheet.png")
    assert (result.exit_code, result.stdout) == (5, "")
    assert match("dots.png", "lib", "--sheet", "sheet.png", "-f").exit_code == 0


def test_a_bad_query_does_not_stop_the_others(place: Path) -> None:
    (place / "text.png").write_text("I am text")
    result = match("text.png", "dots.png", "gone.png", "lib", "-k", 1, "--json")
    assert result.exit_code == 3
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(line["query"], line.get("exit_code")) for line in found] == [
        ("text.png", 4),
        ("gone.png", 4),
        ("dots.png", None),
    ]
    assert len(result.stderr.splitlines()) == 2


BAD = [
    (["dots.png"], 2, "only 'dots.png' is given; a query and the folder of a library are needed"),
    (["dots.png", "grain.png"], 2, "the library grain.png is a file"),
    (["dots.png", "gone"], 4, "the library gone does not exist"),
    (["dots.png", "empty"], 4, "there are no pictures in the library empty"),
    (["dots.png", "texts"], 4, "none of the pictures in the library texts can be read, 2 in all"),
    (["gone.png", "lib"], 4, "gone.png does not exist"),
    (["text.png", "lib"], 4, "text.png is not a picture"),
    (["cut.png", "lib"], 4, "cut.png is damaged or incomplete"),
    (["clear.png", "lib"], 4, "clear.png is fully transparent"),
    (["empty", "lib"], 4, "no pictures in the folder empty"),
    (["single/one.png", "single"], 4, "the library single has no other picture than single/one.png"),
    (["dots.png", "lib", "--max-pixels", "100"], 4, "more than --max-pixels 100"),
    (["dots.png", "lib", "-k", "0"], 2, "'-k'"),
    (["dots.png", "lib", "--device", "tpu"], 2, "unknown device 'tpu'"),
    (["dots.png", "lib", "--index", "a.png"], 2, "--index 'a.png' needs a name that ends with .safetensors"),
    (["dots.png", "lib", "--index", "folder.safetensors"], 4, "folder.safetensors is a folder"),
    (["dots.png", "lib", "--index", "folder.safetensors", "--rebuild"], 4, "folder.safetensors is a folder"),
    (["dots.png", "lib", "--index", "text.png/i.safetensors"], 5, "name another place for the index with"),
    (["dots.png", "lib", "--sheet", "a.gif"], 2, "cannot write .gif"),
    (["dots.png", "lib", "--sheet", "dots.png", "-f"], 2, "also an input"),
    (["dots.png", "lib", "--sheet", "text.png"], 5, "text.png exists already; use --force"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), BAD, ids=[" ".join(row[0]) for row in BAD])
def test_bad_input(place: Path, arguments: list[str], code: int, message: str) -> None:
    whole = (place / "grain.png").read_bytes()
    (place / "cut.png").write_bytes(whole[: len(whole) * 2 // 3])
    (place / "texts").mkdir()
    for name in ("text.png", "texts/a.png", "texts/b.png"):
        (place / name).write_text("I am text\n" * 9)
    (place / "empty").mkdir()
    (place / "folder.safetensors").mkdir()
    save(texture("dots"), place / "single" / "one.png")
    write(Picture(np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9), np.uint8)), place / "clear.png")
    before = set(names(place))
    result = match(*arguments)
    assert message in result.stderr
    assert result.exit_code == code, result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""
    complaints = [line for line in result.stderr.splitlines() if not line.startswith("try ")]
    assert len([line for line in complaints if "left out" not in line]) == 1
    assert {name for name in set(names(place)) - before if not name.endswith(INDEX_NAME)} == set()


def _cut() -> None:
    INDEX.write_bytes(INDEX.read_bytes()[:-100])


def _shorter() -> None:
    save_file({"descriptors": load_file(INDEX)["descriptors"][1:]}, INDEX, metadata=header())


FAULTS: dict[str, tuple[Callable[[], object], str]] = {
    "cut": (_cut, "is no index of texsynth or is damaged"),
    "empty": (lambda: INDEX.write_bytes(b""), "is no index of texsynth or is damaged"),
    "text": (lambda: INDEX.write_text("I am text " * 9), "is no index of texsynth or is damaged"),
    "other version": (lambda: with_header(format="texsynth-index-9"), "by another version of texsynth"),
    "other descriptor": (lambda: with_header(descriptor_sha256="0" * 64), "with another descriptor"),
    "other model": (lambda: with_header(model_sha256="0" * 64), "with another descriptor"),
    "other size": (lambda: with_header(longest="256"), "with another descriptor"),
    "no number": (lambda: with_header(longest="many"), "is damaged"),
    "no list": (lambda: with_header(files="{"), "is damaged"),
    "odd entry": (lambda: with_header(files='[["a.png",1]]'), "is damaged"),
    "other count": (_shorter, "is damaged"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_index_that_cannot_be_used(place: Path, fault: str) -> None:
    spoil, message = FAULTS[fault]
    spoil()
    before = INDEX.read_bytes()
    result = match("dots.png", "lib")
    assert result.exit_code == 4
    assert message in result.stderr
    assert "make it again with `texsynth match --rebuild`" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert INDEX.read_bytes() == before
    assert counts("--rebuild").startswith("8 pictures described, 0 known")


def test_a_file_of_another_kind_is_never_replaced(place: Path) -> None:
    model = make_model(place / "net.safetensors")
    before = model.read_bytes()
    for flags in ([], ["--rebuild"]):
        result = match("dots.png", "lib", "--index", model, *flags)
        assert result.exit_code == 4
        assert "net.safetensors is no index of texsynth; name another file with --index" in result.stderr
        assert model.read_bytes() == before


def test_an_index_elsewhere(place: Path) -> None:
    INDEX.unlink()
    flags = ("--index", "kept/lib.safetensors")
    assert counts(*flags).startswith("8 pictures described")
    assert counts(*flags).startswith("0 pictures described, 8 known")
    assert not INDEX.exists()
    result = match("dots.png", "lib/dots", *flags)
    assert result.exit_code == 4
    assert "kept/lib.safetensors is the index of another library than lib/dots" in result.stderr


def test_a_library_that_cannot_be_written(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != Path("lib"))
    assert lines("dots.png", "lib", "-k", 1), "nothing is to be written"
    save(texture("dots", 50), place / "lib" / "more.png")
    result = match("dots.png", "lib")
    assert result.exit_code == 5
    assert result.stderr == (
        "texsynth: the folder lib is not writable; name another place for the index with --index FILE\n"
    )
    assert match("dots.png", "lib", "--index", "i.safetensors").exit_code == 0


def test_without_networks_nothing_is_begun(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise ModelError("the encoder is another one")

    monkeypatch.setattr("texsynth.jobs.match.load_describer", missing)
    before = INDEX.read_bytes()
    save(texture("dots", 50), place / "lib" / "more.png")
    result = match("dots.png", "lib")
    assert (result.exit_code, result.stdout) == (6, "")
    assert result.stderr == "texsynth: the encoder is another one\n"
    assert INDEX.read_bytes() == before
    # What the index knows needs none.
    (place / "lib" / "more.png").unlink()
    assert lines("lib/dots/0.png", "lib", "-k", 1)


def test_saving_now_and_then(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def counted(index: Index, path: Path) -> None:
        sizes.append(len(index.entries))
        write_index(index, path)

    monkeypatch.setattr(indexing, "write_index", counted)
    monkeypatch.setattr(indexing, "SAVE_EVERY", 3)
    counts("--rebuild")
    assert sizes[-1] == 8
    assert len(sizes) == 3
    assert sizes[0] >= 3
