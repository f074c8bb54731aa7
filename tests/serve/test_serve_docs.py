"""The lines of the documentation for curl, as a shell runs them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from helpers.cli import make_picture, names
from helpers.docs import blocks
from helpers.serving import Started
from helpers.texture_files import save, square, texture

from texsynth.cli.docs import folder
from texsynth.images import read

BLOCKS = blocks(folder() / "serve.md", "curl")


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_lines_for_curl(tmp_path: Path, model: Path, packages: None) -> None:
    place = tmp_path / "place"
    (place / "photos").mkdir(parents=True)
    for seed, name in enumerate(
        ("photo.jpg", "painting.jpg", "swirl.jpg", "ink.jpg", "photos/one.jpg", "photos/two.jpg")
    ):
        make_picture(place / name, seed=seed, height=44, width=56)
    save(place / "sky.png", square(44, 56, 6, 8, 24))
    save(place / "bricks.png", texture(40, 36))
    save(place / "normal.png", texture(40, 36, seed=1))
    assert len(BLOCKS) == 5
    server = Started(tmp_path, "--token", "studio-secret", "--model", str(model))
    try:
        told = []
        for block in BLOCKS:
            assert "127.0.0.1:8765" in block.text
            text = block.text.replace("127.0.0.1:8765", f"127.0.0.1:{server.port}")
            done = subprocess.run(
                ["sh", "-eu", "-c", text], cwd=place, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{text}\n{done.stderr}"
            told.append(done.stdout)
    finally:
        assert server.end() == 0
    files = ["evening.jpg", "mixed.jpg", "more.png", "photos/one.painted.jpg", "photos/two.painted.jpg"]
    assert set(files) <= set(names(place))
    for name in files:
        assert read(place / name).rgb.any()
        assert (place / name).read_bytes().startswith(b"\xff\xd8" if name.endswith("jpg") else b"\x89PNG")
    assert [one["name"] for one in json.loads(told[3])["results"]] == ["bricks.tile.png", "normal.tile.png"]
    assert json.loads(told[4].strip().splitlines()[-1].removeprefix("data: "))["state"] == "done"


def test_the_request_of_the_page_is_one() -> None:
    from texsynth.serve.asking import Asked

    (block,) = blocks(folder() / "serve.md", "json")
    Asked.model_validate(
        {
            **json.loads(block.text),
            "picture": "a",
            "styles": [{**json.loads(block.text)["styles"][0], "picture": "b", "mask": "c"}],
        }
    )


def test_all_addresses_are_on_the_page(packages: None) -> None:
    from starlette.routing import Route

    from texsynth.config.settings import RunSettings
    from texsynth.serve.app import make_app
    from texsynth.serve.guard import Access
    from texsynth.serve.state import Limits, State

    state = State(RunSettings(), Limits())
    try:
        routes = make_app(state, Access("token", 1, frozenset(), 1)).routes
    finally:
        state.close()
    text = (folder() / "serve.md").read_text(encoding="utf-8")
    for route in routes:
        assert isinstance(route, Route)
        path = route.path.replace("{id}", "ID").replace("/{number}", "/0").removesuffix("/view")
        path = path.removesuffix("/events")
        assert path in ("/", "/static/{name}") or path in text or f"`{path.removeprefix('/v1/')}`" in text, (
            path
        )
