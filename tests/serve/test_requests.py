"""Requests that are wrong, large or hostile: a sentence with a status, and nothing stays behind."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.cli import cut_files, run_cli
from helpers.serving import Client, client
from PIL import Image

from texsynth import images
from texsynth.config.settings import RunSettings
from texsynth.serve import app, pictures
from texsynth.serve.names import apart, plain_name
from texsynth.serve.state import Limits


@pytest.fixture
def asked(server: Client, place: Path) -> dict[str, Any]:
    """A request that is right."""
    styles = [{"picture": server.give(place / "ink.png")}]
    return {"command": "stylize", "picture": server.give(place / "photo.jpg"), "styles": styles}


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "key": ({"comand": "x"}, "did you mean 'command'"),
    "key inside": ({"run": {"sed": 1}}, "did you mean 'seed'"),
    "setting": ({"changes": {"strenght": 1}}, "did you mean 'strength'"),
    "setting inside": ({"changes": {"transform.rigde": 1}}, "ridge"),
    "range": ({"changes": {"strength": 2}}, "strength is 2 but must be a number from 0 to 1"),
    "type": ({"changes": {"strength": "much"}}, "strength is 'much'"),
    "path": ({"changes": {"": 1}}, "not of the form"),
    "odd path": ({"changes": {"a..b": 1}}, "not of the form"),
    "newline": ({"changes": {"a\nb: c": 1}}, "unknown setting"),
    "number of styles": ({"styles": []}, "stylize takes one style"),
    "more styles": ({"styles": [{"picture": "x"}] * 5}, "but must be a list not longer than 4"),
    "more siblings": ({"siblings": ["x"] * 17}, "but must be a list not longer than 16"),
    "no name": ({"preset": ""}, "preset is '' but must be text not shorter than 1 and not longer than 80"),
    "more changes": ({"changes": {f"a{n}": n for n in range(101)}}, "with no more entries than 100"),
    "command": ({"command": "dance"}, "dance"),
    "preset": ({"preset": "phto"}, "did you mean 'photo'"),
    "preset of another command": ({"preset": "fast"}, "has no settings for stylize"),
    "file as a preset": ({"preset": "../../etc/passwd"}, "is a file"),
    "file of YAML": ({"preset": "/tmp/x.yaml"}, "is a file"),
    "seed": ({"run": {"seed": -1}}, "run.seed is -1"),
    "large seed": ({"run": {"seed": 2**63}}, "run.seed"),
    "format": ({"run": {"format": "gif"}}, "run.format is 'gif' but must be one of png"),
    "siblings": ({"siblings": ["x"]}, "stylize takes no siblings"),
    "hole": ({"hole": "x"}, "stylize takes no hole"),
    "weight": ({"styles": [{"picture": "x", "weight": -1}]}, "weight"),
    "mask": ({"styles": [{"picture": "x", "mask": "y"}]}, "use blend with a mask"),
    "null": ({"picture": None}, "picture is None but must be text"),
    "list": ({"picture": ["x"]}, "picture is ['x']"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_requests(name: str, server: Client, asked: dict[str, Any]) -> None:
    more, sentence = WRONG[name]
    request = {**asked, **more}
    for path in ("/v1/stylize", "/v1/jobs", "/v1/command"):
        assert sentence in server.error(server.post(path, json=request), 422)
    assert sentence in server.error(server.post("/v1/preview", json={**request, "tab": "a"}), 422)
    preset = {"name": "new", "request": request}
    answer = server.post("/v1/preset", json=preset)
    assert sentence in server.error(answer, 422) or "request." in answer.text


def test_pictures_that_are_not_there(server: Client, asked: dict[str, Any]) -> None:
    for more in ({"picture": "0" * 24}, {"styles": [{"picture": "../photo.jpg"}]}):
        for path in ("/v1/stylize", "/v1/jobs", "/v1/command"):
            assert "give it again" in server.error(server.post(path, json={**asked, **more}), 404)
        server.error(server.post("/v1/preview", json={**asked, **more, "tab": "a"}), 404)


def test_files_of_this_machine_are_no_networks(server: Client, place: Path) -> None:
    for name in ("x.safetensors", "../x.safetensors", "vgg20", "lite"):
        changes = {"transposer": name, "method": "transposer"}
        request = {"command": "expand", "picture": server.give(place / "wall.png"), "changes": changes}
        server.error(server.post("/v1/expand", json=request), 422)


BODIES = (
    b"",
    b"{",
    b"[]",
    b"null",
    b"1",
    b'"x"',
    b"\xff\xfe",
    b'{"command": "stylize", "command": "blend"}',
    b"{} {}",
    b'{"a": NaN}',
    b'{"a": 1e999}',
    b'{"a": "\\ud800"}',
    b'{"a": "\\u0000"}',
    b'{"a":' * 40 + b"1" + b"}" * 40,
    b"[" * 100_000,
    b'{"changes": {"a": ' + b"[" * 5000 + b"]" * 5000 + b"}}",
)


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_bodies_that_are_no_requests(body: bytes, server: Client) -> None:
    for path in ("/v1/jobs", "/v1/preview", "/v1/command", "/v1/preset", "/v1/maps"):
        server.error(server.post(path, content=body), 400)


def test_bodies_that_are_too_large(server: Client) -> None:
    server.error(server.post("/v1/jobs", content=b" " * (1 << 20) + b"{}"), 413)

    def endless() -> Iterator[bytes]:
        for _ in range(1 << 12):
            yield b"[" * (1 << 16)

    server.error(server.post("/v1/jobs", content=endless()), 413)
    headers = {"Content-Length": "9" * 30}
    assert server.http.request("POST", "/v1/jobs", headers=headers, content=b"{}").status_code in (400, 413)


def test_files_that_are_too_large(model: Path, packages: None, place: Path) -> None:
    from texsynth.config.settings import RunSettings

    with client(RunSettings(model=str(model)), Limits(upload=20_000)) as server:

        def endless() -> Iterator[bytes]:
            for _ in range(1 << 10):
                yield b"x" * (1 << 14)

        server.error(server.post("/v1/pictures?name=a.png", content=endless()), 413)
        server.error(server.post("/v1/pictures?name=a.png", content=b"x" * 20_001), 413)
        files = [("picture", ("a.png", b"x" * 30_000))]
        server.error(server.post("/v1/maps", files=files), 413)
        assert not list((server.state.folder / "uploads").iterdir())
        server.give(place / "ink.png")


def png(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG whose header says what it likes."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def other_files() -> dict[str, bytes]:
    gif = io.BytesIO()
    frames = [Image.new("RGB", (20, 20), (80 * n, 0, 0)) for n in range(3)]
    frames[0].save(gif, "GIF", save_all=True, append_images=frames[1:])
    return {
        "empty.png": b"",
        "text.txt": b"hello",
        "page.html": b"<script>alert(1)</script>",
        "zeros.jpg": bytes(4000),
        "vector.svg": b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
        "bomb.png": png(60000, 60000, bytes(100)),
        "large.png": png(2**31 - 1, 2**31 - 1),
        "flat.png": png(0, 10),
        "short.png": png(64, 64, bytes(64)),
        "film.gif": gif.getvalue(),
        "archive.zip": b"PK\x03\x04" + bytes(100),
        "card.card": b"x" * 100,
        "card.png": b"\x89PNG\r\n\x1a\n",
    }


@pytest.mark.parametrize("name", other_files())
def test_files_get_the_sentence_of_the_command(
    name: str, server: Client, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = other_files()[name]
    sentence = server.error(server.give_bytes(data, name), 422)
    Path(name).write_bytes(data)
    result = run_cli("stylize", place / "photo.jpg", name, "--model", server.state.run.model)
    assert result.stderr == f"texsynth: {sentence}\n"
    assert not list((server.state.folder / "uploads").iterdir())


def test_cut_files_get_the_sentence_of_the_command(
    server: Client, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cut_files(tmp_path)
    for name in ("cut.png", "cut.tif"):
        sentence = server.error(server.give_bytes(Path(name).read_bytes(), name), 422)
        result = run_cli("stylize", name, place / "ink.png", "--model", server.state.run.model)
        assert result.stderr == f"texsynth: {sentence}\n"


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\x.png", "x.png"),
        ("a\0b.png", "a_b.png"),
        ("", "picture"),
        ("..", "picture"),
        (".hidden.png", "hidden.png"),
        ("-rf.png", "rf.png"),
        ("con.png", "_con.png"),
        ("Bäume im Schnee.jpg", "Bäume im Schnee.jpg"),
        ("雪.png", "雪.png"),
        ("हिन्दी ไม้.png", "हिन्दी ไม้.png"),
        ("Ba\u0308ume.png", "Ba\u0308ume.png"),
        ("🎨 👩🏽‍🎨 ©.png", "🎨 👩🏽‍🎨 ©.png"),
        ("a*[b]?.png", "a_b_.png"),
        ("swirl:0.5@1.jpg", "swirl_0.5_1.jpg"),
        ("a\nb.png", "a_b.png"),
        ("$(x) `y`.png", "_(x) _y_.png"),
        ("x" * 400 + ".png", "x" * 80 + ".png"),
        ("\ud800.png", "_.png"),
        ("_MG_1.jpg", "_MG_1.jpg"),
        ("é" * 100, "é" * 40),
        ("a/", "picture"),
        ("it's.png", "it's.png"),
        ("a.png\u202egnp.exe", "a.png_gnp.exe"),
        ("a b .png ", "a b.png"),
    ],
)
def test_names_are_plain(name: str, kept: str) -> None:
    plain = plain_name(name)
    assert plain == kept
    assert plain_name(plain) == plain
    assert Path(plain).name == plain


def test_names_are_told_apart() -> None:
    assert apart(["a.png", "A.png", "a.png", "a-2.png", "b"]) == [
        "a.png",
        "A-2.png",
        "a-3.png",
        "a-2-2.png",
        "b",
    ]


@pytest.mark.parametrize(
    "name", ["../../x y.png", "a\0b.png", "ü*.png", "-n.png", "a;b$(c).png", "~.png", "x" * 300]
)
def test_hostile_names_stay_in_their_folder(name: str, server: Client, place: Path) -> None:
    content = server.give(place / "photo.jpg", name)
    style = server.give(place / "ink.png", f"{name}style.png")
    request = {"command": "stylize", "picture": content, "styles": [{"picture": style}]}
    (result,) = server.results(request)
    assert Path(result).name == result
    assert server.post("/v1/command", json=request).status_code == 200


def test_the_same_picture_is_kept_once(server: Client, place: Path) -> None:
    one, other = server.give(place / "photo.jpg"), server.give(place / "photo.jpg")
    assert one == other
    assert server.give(place / "photo.jpg", "other.jpg") != one
    facts = server.get(f"/v1/pictures/{one}").json()
    size = (place / "photo.jpg").stat().st_size
    assert facts == {
        "id": one,
        "name": "photo.jpg",
        "width": 56,
        "height": 44,
        "bytes": size,
        "kind": "picture",
        "lenient": False,
        "warnings": [],
    }


def test_files_are_sent_as_they_were_given(server: Client, place: Path) -> None:
    for name in ("deep.tif", "mask.png", "photo.jpg"):
        answer = server.get(f"/v1/pictures/{server.give(place / name)}/file")
        assert answer.content == (place / name).read_bytes()
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'


def test_views_are_for_browsers(server: Client, place: Path) -> None:
    for name in ("deep.tif", "mask.png", "photo.jpg"):
        number = server.give(place / name)
        for side, longest in (("", 0), ("?side=20", 20), ("?side=4096", 0)):
            answer = server.get(f"/v1/pictures/{number}/view{side}")
            assert answer.headers["content-type"] == "image/png"
            image = Image.open(io.BytesIO(answer.content))
            assert image.mode in ("L", "RGB")
            assert max(image.size) == longest or not longest
    for side in ("0", "-1", "x", "1e3", "5000", "²", "9" * 50):
        server.error(server.get(f"/v1/pictures/{number}/view?side={side}"), 400)


@pytest.mark.parametrize("name", ["deep.tif", "mask.png", "photo.jpg", "ink.png"])
def test_large_pictures_are_reduced_by_strips(
    name: str, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "STRIP_ROWS", 5)
    data = images.read(place / name, as_data=True)
    monkeypatch.setattr(pictures, "MOST_FLOATS", 40)
    small, width, height = pictures.reduced_file(place / name, name, RunSettings(), 11, as_data=True)
    assert (width, height) == (data.width, data.height)
    assert max(small.width, small.height) <= 11
    assert small.rgb.dtype == data.rgb.dtype
    monkeypatch.setattr(pictures, "MOST_FLOATS", 1 << 20)
    small, _, _ = pictures.reduced_file(place / name, name, RunSettings(), 11, as_data=True)
    whole = pictures.small_copy(data, 11)
    assert np.array_equal(small.rgb, whole.rgb)
    assert max(small.width, small.height) == 11


def test_a_line_of_pixels_is_a_picture(server: Client) -> None:
    for size in ((20_000, 1), (1, 20_000), (9000, 3)):
        data = io.BytesIO()
        Image.new("1", size, 1).save(data, "PNG")
        number = server.give_bytes(data.getvalue()).json()["id"]
        for side in ("", "?side=20"):
            view = Image.open(io.BytesIO(server.get(f"/v1/pictures/{number}/view{side}").content))
            assert max(view.size) == (20 if side else 4096)
            assert view.convert("L").getextrema() == (255, 255)


def test_results_that_browsers_do_not_show_have_views(server: Client, asked: dict[str, Any]) -> None:
    job = server.made({**asked, "run": {"format": "tif"}}, Accept="application/json").json()
    (result,) = job["results"]
    assert result["name"].endswith(".tif")
    assert server.get(result["url"]).headers["content-type"] == "image/tiff"
    assert server.get(f"{result['url']}/view?side=30").content.startswith(b"\x89PNG")
    server.error(server.get(f"/v1/jobs/{job['id']}/results/1"), 404)


FORMS: dict[str, tuple[list[tuple[str, tuple[str, bytes]]], dict[str, str], int]] = {
    "no picture": ([], {"request": "{}"}, 422),
    "another file": ([("photo", ("a.png", b"x"))], {}, 422),
    "two pictures": ([("picture", ("a.png", b"x"))] * 2, {}, 422),
    "another field": ([], {"settings": "{}"}, 422),
    "no JSON": ([], {"request": "{"}, 400),
    "a list": ([], {"request": "[]"}, 400),
    "many files": ([("sibling", ("a.png", b"x"))] * 40, {}, 400),
    "a large field": ([], {"request": " " * (2 << 20)}, 400),
}


@pytest.mark.parametrize("name", FORMS)
def test_wrong_forms(name: str, server: Client) -> None:
    files, data, status = FORMS[name]
    answer = server.post(
        "/v1/expand", files=files or [("request", (None, data.pop("request", "{}")))], data=data
    )
    server.error(answer, status)


def test_forms_that_are_cut(server: Client) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    for body in (b"", b"--x", b"--x\r\nContent-Disposition: form-data\r\n\r\n", b"--y--", b"\0" * 100):
        answer = server.post("/v1/maps", content=body, headers=kind)
        server.error(answer, 422 if answer.status_code == 422 else 400)
    for kind in ({"Content-Type": "multipart/form-data"}, {"Content-Type": "multipart/form-data; boundary="}):
        server.error(server.post("/v1/maps", content=b"--x", headers=kind), 400)


def test_a_full_disk_is_told(server: Client, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import shutil

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(app, "in_thread", full)
        answer = server.post("/v1/pictures?name=a.png", content=b"x")
        assert "no space left" in server.error(answer, 507)
        patch.setattr(shutil, "copyfileobj", full)
        answer = server.post("/v1/maps", files=[("picture", ("a.png", b"x"))])
        assert "no space left" in server.error(answer, 507)
    assert not list((server.state.folder / "uploads").iterdir())


def test_many_pictures_are_too_many(server: Client, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MOST_PICTURES", 3)
    ids = [server.give(place / "ink.png", f"many-{number}.png") for number in range(5)]
    assert [server.get(f"/v1/pictures/{one}").status_code for one in ids] == [404, 404, 200, 200, 200]


def test_another_command_than_the_address(server: Client, asked: dict[str, Any]) -> None:
    assert "for stylize" in server.error(server.post("/v1/maps", json=asked), 400)
