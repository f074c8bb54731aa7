"""Results of the server are the files of the command, which it tells, and of the preset that it saves."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
from helpers.cli import names, run_cli
from helpers.served_requests import ASKED, SIBLINGS, with_ids
from helpers.serving import Client, as_json

from texsynth.images import embedded_settings


def run_line(line: str, folder: Path, *more: str) -> None:
    words = shlex.split(line)
    assert words[0] == "texsynth"
    result = run_cli(*words[1:], *more)
    assert result.exit_code == 0, f"{line}: {result.output}"


@pytest.mark.parametrize("name", ASKED)
def test_files_are_those_of_the_command_it_tells(
    name: str, server: Client, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shutil.copytree(place, tmp_path / "work"))
    monkeypatch.setenv("TEXSYNTH_PRESETS", str(tmp_path / "presets"))
    request = with_ids(server, place, ASKED[name])
    results = server.results(request)
    told = server.post("/v1/command", json=request).json()
    before = set(names(Path()))
    run_line(told["command"], tmp_path)
    made = set(names(Path())) - before
    assert made == set(results)
    for file in made:
        assert Path(file).read_bytes() == results[file], file
    assert set(told["files"]) == {
        file for file in ("mask.png", "hole.png", "allowed.png") if f"'{file}'" in str(ASKED[name])
    }

    # The same with a preset of the look, in the user's folder, and the pictures alone.
    for file in made:
        Path(file).unlink()
    saved = server.post("/v1/preset", json={"name": "mine", "request": request, "save": True})
    assert saved.status_code == 200, saved.text
    assert Path(saved.json()["path"]).read_text() == saved.json()["yaml"]
    bare = server.post("/v1/command", json={**request, "preset": None, "changes": {}, "run": {}}).json()
    run_line(bare["command"], tmp_path, "-p", "mine")
    assert set(names(Path())) - before == made
    for file in made:
        assert Path(file).read_bytes() == results[file], file
    again = server.post("/v1/preset", json={"name": "mine", "request": request, "save": True})
    assert "exists" in server.error(again, 409)
    shown = server.get("/v1/options").json()["commands"][request["command"]]["presets"]
    assert [one["own"] for one in shown if one["name"] == "mine"] == [True]


def test_a_result_is_made_again_from_its_record(server: Client, place: Path, tmp_path: Path) -> None:
    request = with_ids(server, place, ASKED["photo"])
    answer = server.made({**request, "run": {"format": "png"}})
    assert answer.headers["content-disposition"] == 'attachment; filename="photo.ink.png"'
    for name in ("photo.jpg", "ink.png"):
        shutil.copy(place / name, tmp_path)
    path = tmp_path / "photo.ink.png"
    path.write_bytes(answer.content)
    assert str(server.state.folder) not in embedded_settings(path)
    result = run_cli("replay", path)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "photo.ink.replay.png").read_bytes() == answer.content


def test_forms_make_the_same(server: Client, place: Path) -> None:
    def file(role: str, name: str) -> tuple[str, tuple[str, bytes]]:
        return role, (name, (place / name).read_bytes())

    request = with_ids(server, place, ASKED["blend with a mask and the rest"])
    answer = server.post(
        "/v1/blend",
        files=[
            file("picture", "photo.jpg"),
            file("style", "ink.png"),
            file("style", "swirl.jpg"),
            file("mask", "mask.png"),
        ],
        data={"request": as_json({"changes": request["changes"], "styles": [{}, {"weight": 0.5}]})},
    )
    assert answer.content == server.made(request).content
    request = with_ids(server, place, ASKED["hole"])
    answer = server.post(
        "/v1/expand",
        files=[file("picture", "wall.png"), file("hole", "hole.png")],
        data={"request": '{"changes": {"patch.iterations": [1]}}'},
    )
    assert answer.content == server.made(request).content
    request = with_ids(server, place, ASKED["siblings"])
    answer = server.post(
        "/v1/expand",
        files=[file("picture", "wall.png"), *(file("sibling", name) for name in SIBLINGS)],
        data={"request": as_json({"changes": request["changes"]})},
        headers={"Accept": "application/json"},
    )
    files = {one["name"]: server.get(one["url"]).content for one in answer.json()["results"]}
    assert files == server.results(request)


def test_pictures_of_one_name_lie_side_by_side(
    server: Client, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, style = server.give(place / "photo.jpg", "a.png"), server.give(place / "ink.png", "a.png")
    request = {"command": "stylize", "picture": content, "styles": [{"picture": style}]}
    told = server.post("/v1/command", json=request).json()
    assert told["command"] == f"texsynth stylize a.png a-2.png --model {server.state.run.model}"
    monkeypatch.chdir(tmp_path)
    shutil.copy(place / "photo.jpg", "a.png")
    shutil.copy(place / "ink.png", "a-2.png")
    run_line(told["command"], tmp_path)
    assert server.results(request) == {"a.a-2.png": Path("a.a-2.png").read_bytes()}


def test_a_mask_that_is_called_as_what_others_leave(
    server: Client, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    masked = {"picture": server.give(place / "ink.png"), "mask": server.give(place / "mask.png", "rest")}
    styles = [masked, {"picture": server.give(place / "swirl.jpg")}]
    request = {"command": "blend", "picture": server.give(place / "photo.jpg"), "styles": styles}
    told = server.post("/v1/command", json=request).json()
    assert told["files"] == ["rest"]
    monkeypatch.chdir(shutil.copytree(place, tmp_path / "work"))
    shutil.move("mask.png", "rest")
    run_line(told["command"], tmp_path)
    ((name, data),) = server.results(request).items()
    assert Path(name).read_bytes() == data


def test_a_card_is_a_style(
    server: Client, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shutil.copytree(place, tmp_path / "work"))
    model = server.state.run.model
    assert run_cli("card", "make", "ink.png", "-o", "ink.card", "--model", model).exit_code == 0
    style = server.give(Path("ink.card"))
    facts = server.get(f"/v1/pictures/{style}").json()
    assert facts["kind"] == "card"
    assert server.get(f"/v1/pictures/{style}/view").content.startswith(b"\x89PNG")
    request = {
        "command": "stylize",
        "picture": server.give(Path("photo.jpg")),
        "styles": [{"picture": style}],
    }
    results = server.results(request)
    run_line(server.post("/v1/command", json=request).json()["command"], tmp_path)
    (name,) = results
    assert results[name] == Path(name).read_bytes()
    small = server.post("/v1/preview", json={**request, "tab": "one", "side": 32})
    assert small.status_code == 200, small.text
    texture = {"command": "expand", "picture": style}
    assert "ink.card" in server.error(server.post("/v1/expand", json=texture), 422)
    assert "ink.card" in server.error(server.post("/v1/preview", json={**texture, "tab": "one"}), 422)


def test_a_damaged_picture_is_taken_where_asked(
    server: Client, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shutil.copytree(place, tmp_path / "work"))
    data = (place / "wall.png").read_bytes()
    Path("wall.png").write_bytes(data[: len(data) * 3 // 4])
    path = "/v1/pictures?name=wall.png"
    assert "--lenient" in server.error(server.post(path, content=Path("wall.png").read_bytes()), 422)
    answer = server.post(f"{path}&lenient=1", content=Path("wall.png").read_bytes())
    facts = answer.json()
    assert (answer.status_code, facts["lenient"], len(facts["warnings"])) == (201, True, 1)
    assert server.get(f"/v1/pictures/{facts['id']}/view?side=2000").status_code == 200
    request = {"command": "tile", "picture": facts["id"], "changes": {"patch.iterations": [1]}}
    small = server.post("/v1/preview", json={**request, "tab": "one", "side": 40})
    assert small.status_code == 200, small.text
    results = server.results(request)
    line = server.post("/v1/command", json=request).json()["command"]
    assert "--lenient" in line
    run_line(line, tmp_path)
    (name,) = results
    assert results[name] == Path(name).read_bytes()
    assert "lenient" in server.error(server.post(f"{path}&lenient=yes", content=data), 400)
    # Whole ones are what they are.
    assert server.get(f"/v1/pictures/{server.give(place / 'wall.png')}").json()["lenient"] is False


def test_presets_that_differ_in_what_the_page_shows_alone_are_told(
    server: Client, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEXSYNTH_PRESETS", str(tmp_path))
    for name, text in (
        ("shown", "stylize: {strength: 0.3, level_strength: {4: 0.5}}\nrun: {seed: 5, max_side: 99}"),
        ("hidden", "stylize: {transform: {name: wct}}"),
        ("beside", "stylize: {strength: 0.3}\nblend: {feather: 9}"),
    ):
        (tmp_path / f"{name}.yaml").write_text(f"extends: artistic\n{text}\n")
    presets = server.get("/v1/options").json()["commands"]["blend"]["presets"]
    rests = {one["name"]: one["rest"] for one in presets}
    assert rests["shown"] == rests["artistic"]
    assert len({rests[name] for name in ("artistic", "hidden", "beside", "photo")}) == 4
    assert {one["name"]: one["max_side"] for one in presets}["shown"] == 99
