"""Run `python -m texsynth`: as a new process or, a second faster, as a fork of one that has torch loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Program = Callable[[list[str], Path, bytes], "subprocess.CompletedProcess[bytes]"]
"""Run texsynth with arguments, in a folder, with data on standard input."""

FORKING = """
import atexit, gc, json, os, runpy, sys
import numpy, PIL.Image, torch

# Forks share the memory that no collection of garbage touches.
gc.collect()
gc.freeze()

def stream(name, path, flags):
    descriptor = os.open(path, flags)
    os.dup2(descriptor, name)
    os.close(descriptor)

while line := sys.stdin.readline():
    order = json.loads(line)
    process = os.fork()
    if not process:
        os.chdir(order["folder"])
        stream(0, order["stdin"], os.O_RDONLY)
        stream(1, order["stdout"], os.O_WRONLY)
        stream(2, order["stderr"], os.O_WRONLY)
        sys.stdin = open(0)
        sys.argv = ["texsynth", *order["arguments"]]
        code = 0
        try:
            runpy.run_module("texsynth", run_name="__main__", alter_sys=True)
        except SystemExit as leaving:
            code = leaving.code or 0
        # All that Python does at exit but tear down torch, which takes a third of a second.
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
"""


def run_fresh(arguments: list[str], folder: Path, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run `python -m texsynth` as a new process."""
    command = [sys.executable, "-m", "texsynth", *arguments]
    environment = child_environment()
    return subprocess.run(command, cwd=folder, env=environment, input=data, capture_output=True, check=False)


@contextmanager
def forked_program() -> Iterator[Program]:
    """Give a program whose every run is a fork of one process that knows torch but not yet texsynth."""
    command = [sys.executable, "-c", FORKING]
    pipe = subprocess.PIPE
    with (
        tempfile.TemporaryDirectory() as streams,
        subprocess.Popen(
            command, env=child_environment(), cwd=streams, stdin=pipe, stdout=pipe, text=True
        ) as process,
    ):
        files = {name: Path(streams) / name for name in ("stdin", "stdout", "stderr")}

        def run(arguments: list[str], folder: Path, data: bytes) -> subprocess.CompletedProcess[bytes]:
            assert process.stdin is not None
            assert process.stdout is not None
            for file in files.values():
                file.write_bytes(b"")
            files["stdin"].write_bytes(data)
            paths = {name: str(file) for name, file in files.items()}
            order = {"arguments": arguments, "folder": str(folder), **paths}
            process.stdin.write(f"{json.dumps(order)}\n")
            process.stdin.flush()
            code = int(process.stdout.readline())
            output, errors = files["stdout"].read_bytes(), files["stderr"].read_bytes()
            return subprocess.CompletedProcess(arguments, code, output, errors)

        yield run


def child_environment() -> dict[str, str]:
    """Return an environment in which results depend on no setting of who runs it, nor on the number of cores.

    The texsynth that runs is that of PYTHONPATH, or the installed one.
    """
    dropped = ("PYTHONPATH", "FORCE_COLOR", "MKL_NUM_THREADS")
    kept = {k: v for k, v in os.environ.items() if k not in dropped and not k.startswith("TEXSYNTH_")}
    paths = [os.path.abspath(p) for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
    return kept | {
        "PYTHONPATH": os.pathsep.join(paths),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "TEXSYNTH_CACHE": "no-cache",
        "TEXSYNTH_OFFLINE": "1",
        "NO_COLOR": "1",
        "COLUMNS": "100",
        "LC_ALL": "C.UTF-8",
    }
