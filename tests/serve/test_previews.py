"""Previews: small results, the newest of each tab, and memory that does not grow."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from helpers.cli import make_picture
from helpers.served_requests import ASKED, with_ids
from helpers.serving import Client, client
from helpers.waiting import PATIENCE, until
from PIL import Image

from texsynth.config.settings import ExpandSettings, RunSettings, StylizeSettings
from texsynth.images import read
from texsynth.images.formats import ResultFormat
from texsynth.images.picture import Picture, as_depth
from texsynth.serve import previews
from texsynth.serve.asking import Asked, PreviewAsked
from texsynth.serve.memos import Memo, size_of
from texsynth.serve.previews import SupersededError, reduce_all
from texsynth.serve.rough import can_be_rough, roughly
from texsynth.serve.settled import Settled, settle

EXACT = (
    "stylize", "photo", "deep", "mode without a preset", "blend", "blend with a mask and the rest", "expand",
    "expand by a preset", "a mask of a texture", "tile", "hole",
)  # fmt: skip


def pixels(data: bytes) -> Any:  # noqa: ANN401 (an array)
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def preview(server: Client, request: dict[str, Any], side: int = 64, tab: str = "tab", **more: Any) -> Any:  # noqa: ANN401
    answer = server.post("/v1/preview", json={**request, "tab": tab, "side": side, **more})
    assert answer.status_code == 200, answer.text
    assert float(answer.headers["x-seconds"]) >= 0
    return pixels(answer.content)


@pytest.mark.parametrize("name", EXACT)
def test_of_small_pictures_previews_are_the_results(name: str, server: Client, place: Path) -> None:
    request = with_ids(server, place, ASKED[name])
    request["run"] = {**request.get("run", {}), "format": "png"}
    result = read(server.made(request).content)
    assert np.array_equal(preview(server, request), as_depth(result.rgb, 8))


@pytest.mark.parametrize("show", ["height", "normal", "roughness", "ao"])
def test_each_map_has_a_preview(show: str, server: Client, place: Path) -> None:
    request = with_ids(server, place, ASKED["maps"])
    files = server.results(request)
    result = read(files[f"ink_{show}.png"], as_data=True)
    assert np.array_equal(preview(server, request, show=show), as_depth(result.rgb, 8))


SIZES: dict[str, tuple[dict[str, Any], tuple[int, int]]] = {
    "stylize": ({}, (48, 38)),
    "photo": ({"run": {"max_side": 40}}, (40, 31)),
    # Of a small exemplar a part of the result is shown.
    "expand": ({"changes": {"scale": 2.0}}, (48, 48)),
    "a mask of a texture": ({"changes": {"size": [64, 16]}}, (48, 16)),
    "tile": ({"changes": {}}, (36, 40)),
    "hole": ({}, (36, 40)),
    "maps": ({}, (48, 38)),
}


@pytest.mark.parametrize("name", SIZES)
def test_previews_are_small(name: str, server: Client, place: Path) -> None:
    more, (width, height) = SIZES[name]
    image = preview(server, with_ids(server, place, {**ASKED[name], **more}), side=48)
    assert abs(image.shape[1] - width) <= 1
    assert abs(image.shape[0] - height) <= 1


TEXTURES = ("expand", "expand by a preset", "a mask of a texture", "tile", "hole")


@pytest.mark.parametrize("name", TEXTURES)
def test_textures_have_rough_previews_until_there_is_a_true_one(
    name: str, server: Client, place: Path
) -> None:
    request = with_ids(server, place, {**ASKED[name], "run": {"seed": 77}})
    body = {**request, "tab": "one", "side": 40}
    rough = server.post("/v1/preview", json={**body, "rough": True})
    true = server.post("/v1/preview", json=body)
    again = server.post("/v1/preview", json={**body, "rough": True, "tab": "two"})
    assert [a.headers["x-rough"] for a in (rough, true, again)] == ["true", "false", "false"]
    assert again.content == true.content
    assert pixels(rough.content).shape == pixels(true.content).shape


@pytest.mark.parametrize("name", ["stylize", "photo", "blend", "maps"])
def test_others_have_none(name: str, server: Client, place: Path) -> None:
    request = with_ids(server, place, {**ASKED[name], "run": {"seed": 78}})
    answer = server.post("/v1/preview", json={**request, "tab": "one", "side": 40, "rough": True})
    assert answer.headers["x-rough"] == "false"


def test_where_less_is_too_little_the_true_preview_comes_at_once(
    server: Client, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(previews, "ROUGH_SIDE", 9)
    request = with_ids(server, place, ASKED["a mask of a texture"])
    body = {**request, "run": {"seed": 79}, "tab": "one", "side": 40, "rough": True}
    answer = server.post("/v1/preview", json=body)
    assert answer.status_code == 200
    wrong = {**body, "mask": server.give(place / "mask.png")}
    sentence = server.error(server.post("/v1/preview", json=wrong), 422)
    assert sentence == server.error(server.post("/v1/preview", json={**wrong, "rough": False}), 422)


def test_rough_settings_are_faster_ones() -> None:
    exemplar = Picture(np.zeros((40, 40, 3), np.uint8))
    for method in ("auto", "transposer", "transposer+patch+optimize", "patch+optimize", "noise"):
        settings = ExpandSettings.model_validate({"method": method, "candidates": 6})
        settled = Settled(settings, RunSettings(), ResultFormat())
        assert can_be_rough(settled)
        fast = roughly(settled, exemplar).settings
        assert isinstance(fast, ExpandSettings)
        assert (fast.candidates, fast.patch.layouts, fast.patch.refine, fast.patch.iterations) == (
            1,
            1,
            0,
            (),
        )
        assert "optimize" not in fast.method
        assert fast.variety == settings.variety
    for other in (StylizeSettings(), ExpandSettings(method="optimize")):
        assert not can_be_rough(Settled(other, RunSettings(), ResultFormat()))


def test_a_preview_that_was_made_is_shown_again(
    server: Client, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever names its settings go by."""
    request = with_ids(server, place, ASKED["stylize"])
    calls = []

    def counted(*arguments: Any) -> Any:  # noqa: ANN401 (those of the function)
        calls.append(arguments)
        return reduce_all(*arguments)

    monkeypatch.setattr(previews, "reduce_all", counted)

    def ask(more: dict[str, Any]) -> bytes:
        body = {**request, "run": {"seed": 80}, "tab": "a", "side": 33, **more}
        answer = server.post("/v1/preview", json=body)
        assert answer.status_code == 200, answer.text
        data: bytes = answer.content
        return data

    first = ask({})
    for same in ({"tab": "b"}, {"preset": "artistic"}, {"changes": {"strength": 1.0}}):
        assert ask(same) == first
    assert len(calls) == 1
    styles = [{**request["styles"][0], "mask": server.give(place / "mask.png")}]
    more = {"side": 34}, {"run": {"seed": 81}}, {"changes": {"strength": 0.5}}, {"preset": "photo"}
    for other in (*more, {"command": "blend", "styles": styles}):
        ask(other)
    assert len(calls) == 6


def test_a_sibling_of_another_size_is_refused_as_by_the_result(server: Client, place: Path) -> None:
    exemplar, sibling = server.give(place / "wall.png"), server.give(place / "photo.jpg")
    request = {"command": "expand", "picture": exemplar, "siblings": [sibling]}
    text = server.error(server.post("/v1/preview", json={**request, "tab": "t", "side": 48}), 422)
    assert text.startswith("photo.jpg has 56 x 44 pixels, but wall.png has 36 x 40; ")
    assert server.error(server.post("/v1/expand", json=request), 422) == text


def test_kept_features_change_nothing(server: Client, place: Path, model: Path) -> None:
    server.state.previews._made = Memo(0)
    request = with_ids(server, place, ASKED["photo"])
    requests = [
        {**request, "changes": {"strength": s}, "preset": p} for s in (0.3, 1, 0.3) for p in (None, "photo")
    ]
    several = [preview(server, one) for one in [*requests, *requests]]
    assert all(np.array_equal(a, b) for a, b in zip(several[:6], several[6:], strict=True))
    assert not np.array_equal(several[0], several[2])
    with client(RunSettings(model=str(model))) as fresh:
        for one, image in zip(requests, several, strict=False):
            fresh.state.previews._features = Memo(0)
            assert np.array_equal(preview(fresh, with_ids(fresh, place, {**ASKED["photo"], **{
                key: one[key] for key in ("changes", "preset")}})), image)  # fmt: skip


def test_features_of_another_picture_are_others(server: Client, place: Path) -> None:
    first = with_ids(server, place, ASKED["stylize"])
    other = {**first, "picture": server.give(place / "swirl.jpg")}
    images = [preview(server, one) for one in (first, other, first, other)]
    assert np.array_equal(images[0], images[2])
    assert np.array_equal(images[1], images[3])
    assert not np.array_equal(images[0], images[1])


@pytest.fixture
def held(server: Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[Event]:
    """Lets previews begin when it is set."""
    event, reduce_all = Event(), previews.reduce_all

    def waiting(*arguments: Any) -> Any:  # noqa: ANN401 (those of the function)
        event.wait(PATIENCE)
        return reduce_all(*arguments)

    monkeypatch.setattr(previews, "reduce_all", waiting)
    server.state.previews._made = Memo(0)
    yield event
    event.set()


def asked(server: Client, place: Path, tab: str, strength: float = 1.0) -> PreviewAsked:
    request = with_ids(server, place, ASKED["stylize"])
    return PreviewAsked.model_validate({**request, "tab": tab, "side": 32, "changes": {"strength": strength}})


def finished(*tickets: previews.Ticket) -> None:
    until(lambda: all(ticket.done for ticket in tickets))


def test_the_newest_of_a_tab_wins(server: Client, place: Path, held: Event) -> None:
    ask = server.state.previews.ask
    running = ask(asked(server, place, "one"))
    other = ask(asked(server, place, "two"))
    older = ask(asked(server, place, "one", 0.5))
    newest = ask(asked(server, place, "one", 0.2))
    finished(older)
    assert isinstance(older.error, SupersededError)
    held.set()
    finished(running, other, newest)
    assert isinstance(running.error, SupersededError)
    assert other.png
    assert newest.png
    assert not newest.error


def test_a_superseded_preview_is_told(server: Client, place: Path, held: Event) -> None:
    from concurrent.futures import ThreadPoolExecutor

    request = {**with_ids(server, place, ASKED["stylize"]), "tab": "one", "side": 32}
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(server.post, "/v1/preview", json=request)
        until(lambda: server.state.previews._running)
        second = pool.submit(server.post, "/v1/preview", json=request)
        until(lambda: server.state.previews._waiting)
        held.set()
        assert server.error(first.result(), 409) == "superseded"
        assert second.result().status_code == 200


def test_memory_does_not_grow(server: Client, tmp_path: Path, place: Path) -> None:
    """Of a hundred previews with other pictures and settings, what is kept stays within its bounds."""
    features = server.state.previews._features = Memo(200_000)
    made = server.state.previews._made = Memo(30_000)
    server.state.previews._remembering = None
    small = server.state.pictures.small = Memo(30_000)
    ids = [server.give(make_picture(tmp_path / f"{n}.png", seed=n)) for n in range(10)]
    for number in range(100):
        styles = [{"picture": ids[(number + 1) % 10]}]
        changes = {"strength": number / 100}
        request = {"command": "stylize", "picture": ids[number % 10], "styles": styles, "changes": changes}
        preview(server, request, side=32, tab=str(number))
        assert features.bytes <= 200_000
        assert small.bytes <= 30_000
        assert made.bytes <= 30_000
    assert len(made)
    assert len(features)
    assert len(small)
    assert not server.state.previews._waiting
    assert not server.state.pictures._used


@pytest.mark.parametrize("works", [True, False])
def test_freed_memory_is_returned_after_each_preview(
    server: Client, place: Path, monkeypatch: pytest.MonkeyPatch, works: bool
) -> None:
    returned = Event()
    monkeypatch.setattr(previews, "return_freed_memory", returned.set)
    changes = {"strength": 0.4 if works else 9}
    request = with_ids(server, place, {**ASKED["stylize"], "changes": changes})
    answer = server.post("/v1/preview", json={**request, "tab": "a", "side": 32})
    assert answer.status_code == (200 if works else 422)
    assert returned.wait(60)


def test_memos_forget_what_was_used_longest_ago() -> None:
    memo: Memo[str, bytes] = Memo(10)
    for name in "abc":
        memo.put(name, bytes(3))
    assert memo.get("a")
    memo.put("d", bytes(3))
    assert [memo.get(name) is None for name in "abcd"] == [False, True, False, False]
    memo.put("a", bytes(1))
    assert memo.bytes == 7
    memo.put("e", bytes(11))
    assert memo.get("e") is None
    assert len(memo) == 3


def test_sizes_of_what_is_kept(place: Path) -> None:
    picture = read(place / "deep.tif")
    assert size_of(picture) == picture.rgb.nbytes
    assert size_of([b"abc", {"a": np.zeros(4)}, 3]) == 35


def test_strokes_are_as_large_as_in_the_result(
    server: Client, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strokes of a reduced content are reduced, too: by their scale, and by the size of the style."""
    content = server.give(make_picture(tmp_path / "large.png", height=200, width=256))
    style = server.give(make_picture(tmp_path / "style.png", height=240, width=200))

    def reduced(scale: float, painted: int, **changes: object) -> tuple[float, int]:
        monkeypatch.setattr(previews, "PAINTED_SIDE", painted)
        request = {
            "command": "stylize",
            "picture": content,
            "styles": [{"picture": style}],
            "changes": {"style_scale": scale, **changes},
        }
        asked = PreviewAsked.model_validate({**request, "tab": "a", "side": 128})
        settled = settle(Asked.model_validate(request), RunSettings())
        small = previews.reduce_all(asked, settled, server.state.pictures)
        settings = small.settled.settings
        assert isinstance(settings, StylizeSettings)
        picture = small.inputs[style].picture
        assert picture
        return settings.style_scale, picture.height

    # The product of both is what the content is reduced by, times the scale that is asked for.
    assert reduced(1.0, 256) == (0.5, 240)
    assert reduced(1.0, 160) == (0.8, 150)
    assert reduced(1.0, 128) == (1.0, 120)
    assert reduced(2.0, 256) == (1.0, 240)
    assert reduced(0.5, 128) == (0.5, 120)
    assert reduced(1.0, 256, mode="photo") == (1.0, 120)
