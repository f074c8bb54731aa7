"""Many results in one ZIP, and results that are put away."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zipfile import ZIP_STORED, ZipFile

import pytest
from helpers.served_requests import ASKED, with_ids
from helpers.serving import LONG, Client
from helpers.waiting import until

from texsynth.errors import TexsynthError
from texsynth.serve.results import PART, PLAIN_BYTES, zip_length, zip_parts

HOSTILE = ("..", "../jobs", "/etc/passwd", "x" * 5000, "", "%00", "a&job=b", "{id}", "*", "é\n")


def done(server: Client, place: Path, name: str) -> dict[str, Any]:
    answer = server.made(with_ids(server, place, ASKED[name]), Accept="application/json")
    facts: dict[str, Any] = answer.json()
    return facts


def folders(server: Client) -> set[str]:
    return {path.name for path in (server.state.folder / "jobs").iterdir()}


def test_results_of_several_jobs_come_in_one_zip(server: Client, place: Path) -> None:
    jobs = [done(server, place, name) for name in ("siblings", "maps", "stylize", "stylize")]
    before = folders(server)
    answer = server.get("/v1/results.zip", params={"job": [*(job["id"] for job in jobs), jobs[0]["id"]]})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == 'attachment; filename="texsynth-results.zip"'
    assert int(answer.headers["content-length"]) == len(answer.content)
    with ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert {entry.compress_type for entry in archive.infolist()} == {ZIP_STORED}
        files = [archive.read(name) for name in archive.namelist()]
        names = archive.namelist()
    results = [one for job in jobs for one in job["results"]]
    assert files == [server.get(one["url"]).content for one in results]
    assert len(set(names)) == len(names) == 3 + 4 + 2
    assert names[-2:] == ["photo.ink.jpg", "photo.ink-2.jpg"]
    assert folders(server) == before
    head = server.http.request("HEAD", "/v1/results.zip", params={"job": jobs[0]["id"]})
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) > jobs[0]["results"][0]["bytes"]
    assert folders(server) == before


def test_large_files_go_out_in_parts(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(range(256)) * (PART // 64))
    (tmp_path / "empty").touch()
    (tmp_path / "é 🎨").write_bytes(b"abc")
    files = [tmp_path / name for name in ("large", "empty", "é 🎨")]
    parts = list(zip_parts(files))
    assert max(map(len, parts)) < 1.1 * PART
    assert sum(map(len, parts)) == zip_length(files)
    with ZipFile(io.BytesIO(b"".join(parts))) as archive:
        assert archive.read("large") == (tmp_path / "large").read_bytes()
        assert archive.read("empty") == b""


def test_the_length_of_a_zip_of_other_form_is_not_told(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(PLAIN_BYTES + 1)  # takes no room
    assert zip_length([tmp_path / "huge"]) is None


@pytest.mark.parametrize("number", HOSTILE)
def test_jobs_that_are_not_there_are_refused(server: Client, place: Path, number: str) -> None:
    job, before = done(server, place, "stylize")["id"], folders(server)
    server.error(server.get("/v1/results.zip", params={"job": [job, number]}), 404)
    answer = server.http.delete(f"/v1/jobs/{quote(number, safe='')}/results")
    assert answer.status_code in (404, 405)
    assert folders(server) == before | {job}


def test_a_zip_needs_jobs_that_are_done(server: Client, place: Path) -> None:
    assert "1 to 64" in server.error(server.get("/v1/results.zip"), 400)
    many = [str(number) for number in range(65)]
    assert "65 jobs" in server.error(server.get("/v1/results.zip", params={"job": many}), 400)
    job = server.post("/v1/jobs", json=with_ids(server, place, {**LONG, "picture": "wall.png"})).json()["id"]
    try:
        assert "no results" in server.error(server.get("/v1/results.zip", params={"job": job}), 409)
        assert "cancel it" in server.error(server.http.delete(f"/v1/jobs/{job}/results"), 409)
    finally:
        server.http.delete(f"/v1/jobs/{job}")


def test_results_that_are_put_away_are_gone_and_a_zip_on_its_way_is_whole(
    server: Client, place: Path
) -> None:
    first, second = (done(server, place, "siblings") for _ in range(2))
    contents = [server.get(one["url"]).content for one in first["results"]]
    folder, files = server.state.queue.gather([first["id"]])
    assert server.http.delete(f"/v1/jobs/{first['id']}/results").status_code == 204
    assert not (server.state.folder / "jobs" / first["id"]).exists()
    assert [path.read_bytes() for path in files] == contents
    assert folder.parent == server.state.folder / "jobs"
    for path in (f"/v1/jobs/{first['id']}", first["results"][0]["url"], f"{first['results'][0]['url']}/view"):
        server.error(server.get(path), 404)
    server.error(server.http.delete(f"/v1/jobs/{first['id']}/results"), 404)
    server.error(server.get("/v1/results.zip", params={"job": [second["id"], first["id"]]}), 404)
    assert server.get(second["results"][0]["url"]).status_code == 200


def test_a_failed_job_is_put_away_too(server: Client, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise TexsynthError("no network today")

    monkeypatch.setattr(server.state.models, "load", fail)
    answer = server.post("/v1/jobs", json=with_ids(server, place, ASKED["stylize"]))
    job = answer.json()["id"]
    until(lambda: server.get(f"/v1/jobs/{job}").json()["state"] == "failed")
    server.error(server.get("/v1/results.zip", params={"job": job}), 409)
    assert server.http.delete(f"/v1/jobs/{job}/results").status_code == 204
    server.error(server.get(f"/v1/jobs/{job}"), 404)
