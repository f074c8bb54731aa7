"""The start of a process: what is set before torch is loaded, and what is never loaded."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.cli import make_picture
from helpers.operations import tell_environment

from texsynth.startup import WAITING, prepare_process
from texsynth.worker_process import start

HEAVY = {
    "sympy", "torchvision", "torch._dynamo", "torch._inductor", "torch.onnx", "onnx",
    "onnxruntime", "openvino", "ray", "scipy", "matplotlib", "pandas", "cv2", "jinja2", "requests",
    "texsynth.api", "texsynth.training", "texsynth.evaluation", "texsynth.benchmark", "texsynth.reference",
}  # fmt: skip
"""Modules that take long to load, and that no everyday command needs."""

COMMANDS = {
    "stylize": ("stylize", "wall.png", "wave.png"),
    "photo": ("stylize", "wall.png", "wave.png", "--photo", "-o", "p.png"),
    "blend": ("blend", "wall.png", "--style", "wave.png", "--style", "wall.png"),
    "expand": ("expand", "wall.png", "--size", "48"),
    "tile": ("tile", "wave.png"),
    "maps": ("maps", "wall.png"),
    "describe": ("describe", "wall.png"),
    "match": ("match", "wall.png", "."),
    "optimize": ("expand", "wall.png", "--size", "40", "--method", "patch+optimize", "-o", "o.png",
                 "--set", "optimize.iterations=1"),
    "finish": ("stylize", "wall.png", "wave.png", "-o", "f.png", "--set", "finish.steps=1"),
}  # fmt: skip

RUN = """
import json, sys
from texsynth.__main__ import main
loaded = {}
for name, words in json.loads(sys.argv[1]).items():
    sys.argv[1:], before = words, set(sys.modules)
    try:
        main()
    except SystemExit as end:
        assert not end.code, name
    loaded[name] = sorted(sys.modules.keys() - before)
with open("modules.json", "w") as file:
    json.dump(loaded, file)
"""


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment in which nothing is said about threads, and that is afterwards as before."""
    monkeypatch.setattr(sys, "meta_path", sys.meta_path.copy())
    for name in WAITING:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_heavy_libraries_stay_out(tmp_path: Path) -> None:
    """One process for all commands, each of which must load none of them."""
    make_picture(tmp_path / "wall.png")
    make_picture(tmp_path / "wave.png", seed=1)
    root = str(Path(__file__).parents[1])
    result = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(COMMANDS)],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"},
        capture_output=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr.decode()
    loaded = json.loads((tmp_path / "modules.json").read_text())
    assert "torch" in loaded["stylize"]
    assert [command for command, modules in loaded.items() if HEAVY & set(modules)] == []


@pytest.mark.usefixtures("environment")
def test_threads_wait_passively() -> None:
    prepare_process()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"


@pytest.mark.parametrize("name", sorted(WAITING))
@pytest.mark.usefixtures("environment")
def test_what_users_say_about_threads_wins(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "ACTIVE")
    prepare_process()
    assert {key: os.environ[key] for key in WAITING & os.environ.keys()} == {name: "ACTIVE"}


@pytest.mark.usefixtures("environment")
def test_workers_wait_as_the_program_does() -> None:
    process, connection = start(tell_environment)
    told = connection.recv()
    process.join()
    assert told["OMP_WAIT_POLICY"] == "PASSIVE"


@pytest.mark.skipif(sys.platform == "win32", reason="has no signals that a process is sent")
@pytest.mark.usefixtures("environment")
def test_ctrl_c_does_not_break_into_the_start_of_a_worker() -> None:
    process, connection = start(tell_environment)
    assert process.pid
    while not connection.poll(0.02):
        os.kill(process.pid, signal.SIGINT)
    assert connection.recv()
    process.join()
    assert process.exitcode == 0


def test_garbage_is_looked_for_once_torch_is_loaded() -> None:
    text = (
        "from texsynth.startup import prepare_process\nprepare_process()\nprepare_process()\n"
        "import gc, sys, torch\nassert gc.isenabled() and gc.get_freeze_count() > 10_000\n"
        "assert torch.__spec__.loader.get_filename('torch') == torch.__file__\n"
        "assert len([f for f in sys.meta_path if type(f).__module__ == 'texsynth.startup']) == 1\n"
    )
    subprocess.run([sys.executable, "-c", text], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
