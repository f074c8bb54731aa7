"""The file of the container image, where nothing builds images: its steps in a fresh environment.

Not looked at are the base image, the download of PyTorch, the making of the user, and Docker itself.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from urllib.request import urlopen

import pytest
from helpers.cli import make_picture, names
from helpers.faults import linux
from helpers.waiting import PATIENCE, until

from texsynth.cli.app import COMMANDS

ROOT = Path(__file__).parents[1]

NOBODY = 54321  # A user that the machine does not know

pytestmark = linux


def instructions() -> list[tuple[str, str]]:
    """The steps of the file: names and what follows them."""
    text = (ROOT / ".container" / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], " ".join(line.split()[1:])) for line in lines]


STEPS = instructions()


def only(name: str) -> str:
    """What follows the only step of that name."""
    (text,) = (text for step, text in STEPS if step == name)
    return text


def copied() -> list[Path]:
    """Files that .dockerignore lets through; the last rule that fits a file, or a folder of it, counts."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]

    def is_copied(path: PurePosixPath) -> bool:
        kept = True
        for rule in rules:
            places = [str(place) for place in (path, *path.parents)]
            if any(fnmatch(place, rule.removeprefix("!")) for place in places):
                kept = rule.startswith("!")
        return kept

    tops = [ROOT / rule.removeprefix("!") for rule in rules if rule.startswith("!")]
    files = [file for top in tops for file in ([top] if top.is_file() else top.rglob("*")) if file.is_file()]
    return [file for file in files if is_copied(PurePosixPath(file.relative_to(ROOT)))]


def test_steps_are_in_order_and_the_user_is_not_root() -> None:
    order = [step for step, _ in STEPS]
    user = only("USER")
    runs = [text for step, text in STEPS if step == "RUN"]
    assert f"useradd --create-home --uid 1000 {user}" in runs[-1]
    assert order.index("USER") > max(number for number, step in enumerate(order) if step == "RUN")
    assert json.loads(only("ENTRYPOINT")) == ["texsynth"]
    arguments = dict(text.split("=", 1) for step, text in STEPS if step == "ARG")
    base = re.fullmatch(r"docker\.io/library/python:3\.(\d+)-slim", arguments["BASE"])
    assert base
    assert int(base[1]) >= 11
    assert "whl/cpu" in arguments["TORCH_INDEX"]
    assert re.search(r'--index-url "\$\{TORCH_INDEX\}" torch torchvision$', runs[0])


def test_the_context_is_small() -> None:
    files = copied()
    tops = {file.relative_to(ROOT).parts[0] for file in files}
    assert tops == {"pyproject.toml", "README.md", "LICENSE", "texsynth", "presets", "samples"}
    assert not [file for file in files if "__pycache__" in file.parts or "results" in file.parts]
    assert sum(file.stat().st_size for file in files) < 40 << 20


@dataclass(frozen=True)
class Image:
    """What the steps have made: an environment, and a folder in it for pictures."""

    folder: Path
    environment: dict[str, str]

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command as the image does."""
        return subprocess.run(
            self.command(*words), cwd=self.work, env=self.environment, capture_output=True, text=True,
            check=False, user=self.user,
        )  # fmt: skip

    def command(self, *words: str) -> list[str]:
        return [str(self.folder / "env" / "bin" / json.loads(only("ENTRYPOINT"))[0]), *words]

    @property
    def user(self) -> int | None:
        """Nobody, where this is root and Python is not in a folder of its own."""
        python = Path(sys.executable).resolve()
        is_open = all(place.stat().st_mode & 0o1 for place in (python, *python.parents))
        return NOBODY if os.getuid() == 0 and is_open else None


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """Copy and install as the file says; PyTorch and other packages are those of the tests."""
    pytest.importorskip("hatchling", reason="it builds the package")
    folder = Path(tempfile.mkdtemp())  # Folders of pytest are closed to other users
    source, (work, cache) = folder / "src", (folder / "work", folder / "cache")
    try:
        folder.chmod(0o755)
        for path in (work, cache):
            path.mkdir()
            path.chmod(0o777)
        for file in copied():
            place = source / file.relative_to(ROOT)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, place)
        venv.create(folder / "env", symlinks=True)
        (packages,) = (folder / "env" / "lib").glob("python*/site-packages")
        others = [
            place for place in sys.path if place.endswith("-packages") or not Path(place, "texsynth").exists()
        ]
        (packages / "others.pth").write_text("\n".join(place for place in others if Path(place).is_dir()))
        settings = dict(word.split("=", 1) for word in shlex.split(only("ENV")))
        environment = {"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "HOME": "/nonexistent", **settings}
        environment["TEXSYNTH_CACHE"] = str(cache)
        (install,) = (text for step, text in STEPS if step == "RUN" and "/src" in text)
        words = [word.replace("/src", str(source)) for word in shlex.split(install)]
        assert words[:2] == ["pip", "install"]
        subprocess.run(
            [sys.executable, "-m", "pip", "--python", folder / "env" / "bin" / "python", "-q", *words[1:],
             "--no-deps", "--no-build-isolation", "--no-index"],
            check=True, cwd=folder, env=environment,
        )  # fmt: skip
        shutil.rmtree(source)  # What is run is what was installed
        yield Image(folder, environment)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_a_command_works_over_a_folder(image: Image) -> None:
    make_picture(image.work / "wall.png", height=48, width=48)
    for words in (["tile", "wall.png", "-p", "fast"], ["stylize", "wall.png", "wall.tile.png"]):
        done = image.run(*words)
        assert done.returncode == 0, done.stderr
    assert names(image.work) == ["wall.png", "wall.tile.png", "wall.wall.tile.png"]
    if image.user:
        assert (image.work / "wall.tile.png").stat().st_uid == NOBODY
    assert "texsynth" in image.run(*json.loads(only("CMD"))).stdout


def health(first: list[str], port: int, folder: Path) -> int:
    """Run the health check beside a first process, whose words are given; return its exit code."""
    words = folder / "cmdline"
    words.write_bytes(b"".join(word.encode() + b"\0" for word in first))
    check = only("HEALTHCHECK").split(" CMD ", 1)[1]
    check = check.replace("/proc/1/cmdline", str(words)).replace(":8765/", f":{port}/")
    check = check.replace("|| python ", f"|| {sys.executable} ")
    return subprocess.run(["sh", "-c", check], check=False, capture_output=True).returncode


def test_other_commands_are_healthy_and_a_server_that_is_not_there_is_not(tmp_path: Path) -> None:
    assert health(["python", "/usr/local/bin/texsynth", "batch", "jobs.yaml"], 9, tmp_path) == 0
    assert health(["python", "/usr/local/bin/texsynth", "tile", "serve.png"], 9, tmp_path) == 0
    assert health(["python", "/usr/local/bin/texsynth", "serve"], 9, tmp_path) == 1


@pytest.mark.slow
@pytest.mark.skipif("serve" not in COMMANDS, reason="there is no server")
def test_a_server_is_healthy_until_it_is_stopped(image: Image, tmp_path: Path) -> None:
    pytest.importorskip("uvicorn")
    words = ("serve", "--host", "0.0.0.0", "--allow-host", "localhost", "--token", "a-token-of-the-tests")
    command = image.command(*words, "--port", "0")
    server = subprocess.Popen(
        command, cwd=image.work, env=image.environment, stdout=subprocess.PIPE, text=True, user=image.user
    )
    try:
        assert server.stdout
        address = re.search(r":(\d+)/\?token=a-token-of-the-tests", server.stdout.readline())
        assert address
        port = int(address[1])
        until(lambda: health(command, port, tmp_path) == 0)  # Docker asks again as well
        with urlopen(f"http://127.0.0.1:{port}/health", timeout=PATIENCE) as answer:
            assert json.load(answer)["status"] == "ok"
        server.terminate()  # As `docker stop` does
        assert server.wait(PATIENCE) == 0
        assert health(command, port, tmp_path) == 1
    finally:
        with suppress(ProcessLookupError):
            server.kill()
        server.wait()
