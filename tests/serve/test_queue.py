"""Jobs of the server: their queue and its bound, progress, ends of every kind, and what is forgotten."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from helpers.cli import make_picture, run_cli
from helpers.served_requests import ASKED, with_ids
from helpers.serving import Client, client
from helpers.waiting import until

from texsynth.config.settings import RunSettings
from texsynth.serve import app
from texsynth.serve.state import Limits
from texsynth.serve.work import Queue, Work

LONG = {"command": "expand", "picture": "wall.png", "changes": {"size": [900, 900], "method": "patch"}}
"""Takes longer than any test."""


def state_of(server: Client, job: dict[str, Any]) -> str:
    return str(server.get(f"/v1/jobs/{job['id']}").json()["state"])


def reached(server: Client, job: dict[str, Any], *states: str) -> dict[str, Any]:
    """Wait for a state of a job, and return its facts."""
    until(lambda: state_of(server, job) in states)
    facts: dict[str, Any] = server.get(f"/v1/jobs/{job['id']}").json()
    return facts


def add(server: Client, request: dict[str, Any]) -> dict[str, Any]:
    answer = server.post("/v1/jobs", json=request)
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    return job


def events_of(server: Client, job: dict[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """All events of a job, and the comments between them."""
    with server.http.stream("GET", f"/v1/jobs/{job['id']}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in answer.iter_lines() if line]
    data = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    return data, [line for line in lines if not line.startswith("data: ")]


@pytest.fixture
def small(model: Path, packages: None) -> Iterator[Client]:
    """A server with room for two jobs that wait, and for little of what is kept."""
    with client(RunSettings(model=str(model)), Limits(queue=2, pictures=8_000, results=9_000)) as server:
        yield server


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Event]:
    """Lets jobs begin when it is set."""
    event, do = Event(), Queue._do

    def waiting(queue: Queue, work: Work) -> str:
        while not event.wait(0.02):
            work.breaker.check()
        return do(queue, work)

    monkeypatch.setattr(Queue, "_do", waiting)
    yield event
    event.set()


def test_a_job_tells_of_itself(server: Client, place: Path) -> None:
    job = add(server, with_ids(server, place, ASKED["siblings"]))
    events, _ = events_of(server, job)
    assert [set(event) for event in events] == [set(job)] * len(events)
    last = events[-1]
    assert last == server.get(f"/v1/jobs/{job['id']}").json()
    assert (last["state"], last["share"], last["place"], last["error"]) == ("done", 1.0, 0, None)
    shares = [event["share"] for event in events]
    assert shares == sorted(shares)
    assert all(0 <= share <= 1 for share in shares)
    kinds = [
        (result["name"], result["kind"], result["width"], result["height"]) for result in last["results"]
    ]
    assert kinds == [
        ("wall.expand.png", "picture", 48, 40),
        *((f"{name}.expand.png", "map", 48, 40) for name in ("wall_rough", "wall_normal")),
    ]
    for result in last["results"]:
        assert len(server.get(result["url"]).content) == result["bytes"]
    assert events_of(server, job)[0] == [last]


def test_streams_of_events_show_that_they_are_there(
    server: Client, place: Path, held: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, facts_of = [], app.facts_of

    def telling(*arguments: Any) -> dict[str, Any]:  # noqa: ANN401 (those of the function)
        told.append(facts := facts_of(*arguments))
        return facts

    job = add(server, with_ids(server, place, ASKED["stylize"]))
    monkeypatch.setattr(app, "HEARTBEAT", 0.0)
    monkeypatch.setattr(app, "facts_of", telling)
    with ThreadPoolExecutor(1) as pool:
        stream = pool.submit(events_of, server, job)
        until(lambda: len(told) > 2)
        held.set()
        events, comments = stream.result()
    assert events[-1]["state"] == "done"
    assert set(comments) == {": still here"}
    assert server.http.request("HEAD", f"/v1/jobs/{job['id']}/events").content == b""


def test_the_queue_is_bounded(small: Client, place: Path, held: Event) -> None:
    request = with_ids(small, place, ASKED["stylize"])
    first = add(small, request)
    reached(small, first, "running")
    others = [add(small, request), add(small, request)]
    assert [small.get(f"/v1/jobs/{job['id']}").json()["place"] for job in [first, *others]] == [0, 1, 2]
    for path in ("/v1/jobs", "/v1/stylize"):
        answer = small.post(path, json=request)
        assert "try again" in small.error(answer, 429)
        assert answer.headers["retry-after"]
    assert len(list((small.state.folder / "jobs").iterdir())) == 3
    assert small.http.delete(f"/v1/jobs/{others[0]['id']}").json()["state"] == "cancelled"
    assert small.get(f"/v1/jobs/{others[1]['id']}").json()["place"] == 1
    more = add(small, request)
    held.set()
    assert reached(small, more, "done", "failed")["state"] == "done"
    assert state_of(small, others[0]) == "cancelled"


def test_a_cancelled_job_makes_room(server: Client, place: Path) -> None:
    job = add(server, with_ids(server, place, LONG))
    reached(server, job, "running")
    until(lambda: server.get(f"/v1/jobs/{job['id']}").json()["share"] > 0)
    folder = server.state.folder / "jobs" / job["id"]
    assert folder.is_dir()
    answer = server.http.delete(f"/v1/jobs/{job['id']}")
    assert answer.status_code == 202
    server.made(with_ids(server, place, ASKED["stylize"]))
    facts = server.get(f"/v1/jobs/{job['id']}").json()
    assert (facts["state"], facts["results"], facts["error"]) == ("cancelled", [], None)
    assert not folder.exists()
    assert server.http.delete(f"/v1/jobs/{job['id']}").json()["state"] == "cancelled"
    assert events_of(server, job)[0] == [facts]
    server.error(server.get(f"/v1/jobs/{job['id']}/results/0"), 404)


def test_what_fails_has_the_sentence_of_the_command(
    model: Path, packages: None, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    with client(RunSettings(model=str(model), memory_limit="1MiB")) as server:
        request = {
            "command": "stylize", "picture": server.give(place / "photo.jpg"),
            "styles": [{"picture": server.give(place / "ink.png")}],
        }  # fmt: skip
        sentence = server.error(server.post("/v1/stylize", json=request), 422)
        result = run_cli(
            "stylize",
            "photo.jpg",
            "ink.png",
            "--model",
            model,
            "--memory-limit",
            "1MiB",
            "-o",
            f"{tmp_path}/",
        )
        assert result.stderr == f"texsynth: {sentence}\n"
        job = reached(server, add(server, request), "failed")
        assert (job["error"], job["results"]) == (sentence, [])
        assert not list((server.state.folder / "jobs").iterdir())


STYLE = [{"picture": "ink.png"}]

REFUSED: dict[str, tuple[list[str], dict[str, Any]]] = {
    "proportions": (
        ["blend", "photo.jpg", "--style", "ink.png", "--mask", "hole.png"],
        {"picture": "photo.jpg", "styles": [{"picture": "ink.png", "mask": "hole.png"}]},
    ),
    "weights": (
        ["blend", "photo.jpg", "--style", "ink.png:0"],
        {"picture": "photo.jpg", "styles": [{"picture": "ink.png", "weight": 0}]},
    ),
    "level": (
        ["stylize", "photo.jpg", "ink.png", "-p", "photo", "--set", "levels=[5]"],
        {"picture": "photo.jpg", "styles": STYLE, "preset": "photo", "changes": {"levels": [5]}},
    ),
    "sizes": (["expand", "wall.png", "--hole", "mask.png"], {"picture": "wall.png", "hole": "mask.png"}),
    "method": (
        ["tile", "wall.png", "--method", "noise"],
        {"picture": "wall.png", "changes": {"method": "noise"}},
    ),
    "large": (
        ["expand", "wall.png", "--size", "20000x20000"],
        {"picture": "wall.png", "changes": {"size": [20000, 20000]}},
    ),
    "tiny": (["maps", "tiny.png"], {"picture": "tiny.png"}),
    "format": (["maps", "photo.jpg", "--format", "jpg"], {"picture": "photo.jpg", "run": {"format": "jpg"}}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_has_the_sentence_of_the_command(
    name: str, server: Client, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shutil.copytree(place, tmp_path / "work"))
    make_picture(Path("tiny.png"), height=9, width=30)
    words, request = REFUSED[name]
    result = run_cli(*words, *([] if words[0] == "maps" else ["--model", server.state.run.model]))
    request = {"command": words[0], **with_ids(server, Path(), request)}
    answer = server.post(f"/v1/{words[0]}", json=request)
    assert result.stderr == f"texsynth: {server.error(answer, 422)}\n"


def test_a_bug_is_told_and_ends_nothing(
    server: Client, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    request = with_ids(server, place, ASKED["stylize"])
    with monkeypatch.context() as patch:
        patch.setattr(Queue, "_do", lambda *_: 1 / 0)
        answer = server.post("/v1/stylize", json=request)
        assert answer.status_code == 500
        assert answer.json()["error"].startswith("this is a bug in texsynth: ZeroDivisionError")
    server.made(request)


def test_results_and_pictures_are_kept_up_to_a_number_of_bytes(small: Client, place: Path) -> None:
    request = with_ids(small, place, ASKED["stylize"])
    jobs = []
    for seed in range(8):
        jobs.append(add(small, {**request, "run": {"seed": seed}}))
        reached(small, jobs[-1], "done")
    kept = [job for job in jobs if small.get(f"/v1/jobs/{job['id']}").status_code == 200]
    assert jobs[-1] in kept
    assert 0 < len(kept) < 8
    assert sorted(path.name for path in (small.state.folder / "jobs").iterdir()) == sorted(
        job["id"] for job in kept
    )
    ids = [small.give(place / "ink.png", f"{number}.png") for number in range(30)]
    there = [small.get(f"/v1/pictures/{number}").status_code for number in ids]
    assert there == sorted(there, reverse=True)
    assert there[0] == 404
    assert there[-1] == 200
    total = sum(path.stat().st_size for path in (small.state.folder / "pictures").iterdir())
    assert total <= 8_000


def test_pictures_of_waiting_jobs_stay(small: Client, place: Path, held: Event) -> None:
    request = with_ids(small, place, ASKED["stylize"])
    job = add(small, request)
    for number in range(30):
        small.give(place / "ink.png", f"{number}.png")
    assert small.get(f"/v1/pictures/{request['picture']}").status_code == 200
    held.set()
    assert reached(small, job, "done", "failed")["state"] == "done"
    for number in range(30, 60):
        small.give(place / "ink.png", f"{number}.png")
    assert small.get(f"/v1/pictures/{request['picture']}").status_code == 404


def test_a_server_that_stops_takes_no_work(model: Path, packages: None, place: Path, held: Event) -> None:
    with client(RunSettings(model=str(model))) as server:
        request = with_ids(server, place, ASKED["stylize"])
        first = add(server, request)
        reached(server, first, "running")
        with ThreadPoolExecutor(2) as pool:
            waits = pool.submit(server.post, "/v1/stylize", json=request)
            stream = pool.submit(events_of, server, first)
            until(lambda: len(server.state.queue._waiting) == 1)
            server.state.cancel()
            assert "stopped" in server.error(waits.result(), 503)
            assert stream.result()[0]
        for path, more in (("/v1/jobs", {}), ("/v1/stylize", {}), ("/v1/preview", {"tab": "x"})):
            server.error(server.post(path, json={**request, **more}), 503)
        assert server.get("/health").json()["status"] == "stopping"
