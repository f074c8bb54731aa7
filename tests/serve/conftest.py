"""A server with a tiny network, and pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.cli import make_picture
from helpers.served_page import Served, served
from helpers.serving import Client, client
from helpers.texture_files import save, square, texture

from texsynth.config.settings import RunSettings

PACKAGES = ("starlette", "uvicorn", "python_multipart", "httpx2")


@pytest.fixture(scope="session")
def packages() -> None:
    """What the server and its tests need."""
    for package in PACKAGES:
        pytest.importorskip(package)


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    for seed, name in enumerate(("photo.jpg", "ink.png", "swirl.jpg")):
        make_picture(folder / name, seed=seed, height=44, width=56)
    make_picture(folder / "deep.tif", seed=5, height=40, width=48, depth=16)
    for seed, name in enumerate(("wall.png", "wall_rough.png", "wall_normal.png")):
        save(folder / name, texture(40, 36, seed=seed))
    save(folder / "mask.png", square(44, 56, 6, 8, 24))
    save(folder / "hole.png", square(40, 36, 8, 8, 10))
    save(folder / "allowed.png", square(40, 36, 8, 8, 24))
    return folder


@pytest.fixture(scope="module")
def server(model: Path, packages: None) -> Iterator[Client]:
    """What asks a server."""
    with client(RunSettings(model=str(model))) as asking:
        yield asking


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, packages: None) -> Iterator[Served]:
    """A server as a process of its own, for pages in a browser."""
    with served(tmp_path_factory.mktemp("running")) as process:
        yield process
