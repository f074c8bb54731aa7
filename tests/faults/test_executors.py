"""The same results from every executor, whatever becomes of its workers."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from helpers.cli import make_picture, names, run_cli
from helpers.faults import in_the_middle
from helpers.operations import Deadly, job
from helpers.waiting import PATIENCE, until

from texsynth.errors import ModelError, WorkerLostError
from texsynth.jobs.files import OutputPolicy
from texsynth.jobs.inputs import Job
from texsynth.jobs.outcomes import Done, Events, Failed, Outcome, Skipped
from texsynth.jobs.workers import PooledExecutor, ProcessPool, WorkerPool

POOLS = [
    "processes",
    pytest.param(
        "ray", marks=pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="Ray is not installed")
    ),
]


RAY = {
    "RAY_gcs_server_port_wait_time_s": str(PATIENCE),
    "RAY_worker_register_timeout_seconds": str(PATIENCE),
    "RAY_memory_monitor_refresh_ms": "0",
}
"""What lets Ray start on a busy machine, and not end workers because of the memory of others."""


@pytest.fixture(autouse=True)
def _patient_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in RAY.items():
        monkeypatch.setenv(variable, value)


def pool_of(name: str, operation: Deadly) -> Callable[[], WorkerPool[Job]]:
    policy = OutputPolicy()
    if name == "processes":
        return lambda: ProcessPool[Job](operation, policy)
    from texsynth.jobs.ray_workers import RayPool

    return lambda: RayPool[Job](operation, policy, threads=1)


def outcomes_of(name: str, operation: Deadly, jobs: list[Job], notes: list[str]) -> list[Outcome]:
    events = Events(note=notes.append)
    return list(PooledExecutor(pool_of(name, operation), 2).outcomes(jobs, events))


@pytest.mark.slow
@pytest.mark.parametrize("name", POOLS)
def test_jobs_of_lost_workers_get_a_second_chance(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parents[2])])
    )
    fine = {f"fine{i}" for i in range(12)}
    # One kind of killer at a time, as Ray's workers do not keep the order of what they have in hand: a job
    # that was lost with another's worker and then kills its own has had its second chance.
    for deadly in ("once", "always"):
        keys = [*sorted(fine)[:3], deadly, "bad", "skip", "bug", *sorted(fine)[3:]]
        notes: list[str] = []
        outcomes = outcomes_of(name, Deadly(tmp_path), [job(key) for key in keys], notes)
        by_key = {outcome.job.picture.key: outcome for outcome in outcomes}
        assert len(outcomes) == len(keys)
        done = {key for key, outcome in by_key.items() if isinstance(outcome, Done)}
        assert done == fine | {"once"} & {deadly}
        assert isinstance(by_key["skip"], Skipped)
        errors = {key: o.error for key, o in by_key.items() if isinstance(o, Failed)}
        assert set(errors) == {"bad", "bug"} | {"always"} & {deadly}
        if deadly == "always":
            assert isinstance(errors["always"], WorkerLostError)
            assert "always: its worker" in str(errors["always"])
        assert "UnsendableError" in str(errors["bug"])
        assert by_key["bug"].exit_code == 1  # type: ignore[union-attr]
        assert notes == ["a remark"], "every worker says it, once is enough"


@pytest.mark.slow
@pytest.mark.parametrize("name", POOLS)
def test_workers_that_cannot_begin(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parents[2])])
    )
    with pytest.raises(ModelError, match="no such model"):
        outcomes_of(name, Deadly(tmp_path, refused=True), [job("a")], [])


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with 12 pictures, one of them damaged, a style and a manifest; the current one."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(12):
        make_picture(folder / f"{number}.png", seed=number, height=150, width=160)
    (folder / "5.png").write_bytes(b"no picture")
    make_picture(tmp_path / "wave.png", seed=99)
    (tmp_path / "jobs.yaml").write_text("output: out\njobs: [{contents: photos, styles: wave.png}]")
    return tmp_path


def hashes(folder: Path) -> dict[str, str]:
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in names(folder)
        if not name.endswith(".tmp")
    }


def started(place: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "texsynth", *arguments, "--threads", "1"], cwd=place, env=environment,
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def workers(parent: int) -> list[int]:
    """Process numbers of the workers of a run."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(c) for c in children if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()]


@pytest.mark.slow
@pytest.mark.parametrize("name", POOLS)
def test_the_same_files_from_all(name: str, place: Path, model: Path) -> None:
    flags = ("batch", "jobs.yaml", "--model", model, "--threads", 1)
    serial = run_cli(*flags, "-o", "serial")
    assert serial.exit_code == 3
    pooled = run_cli(*flags, "--executor", name, "--workers", 2)
    assert pooled.exit_code == 3, pooled.stderr
    assert sorted(pooled.stdout.split()) == sorted(serial.stdout.replace("serial", "out").split())
    assert "11 done, 0 skipped, 1 failed" in pooled.stderr
    assert "photos/5.png is not a picture" in pooled.stderr
    assert hashes(place / "out") == hashes(place / "serial")
    again = run_cli(*flags, "--executor", name, "--workers", 1, "--resume")
    assert "0 done, 11 skipped, 1 failed" in again.stderr


linux = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")


@pytest.mark.slow
@linux
def test_a_worker_killed_at_a_random_time(place: Path, model: Path) -> None:
    assert run_cli("batch", "jobs.yaml", "--model", model, "--threads", 1, "-o", "whole").exit_code == 3
    with started(
        place, "batch", "jobs.yaml", "--model", str(model), "--executor", "processes", "--workers", "2"
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.3 * random.random())
        # The run may be over already.
        with suppress(FileNotFoundError, ProcessLookupError):
            for number in workers(process.pid)[:1]:
                os.kill(number, signal.SIGKILL)
        _, errors = process.communicate(timeout=PATIENCE)
    # A job whose worker died between writing and saying so is found done.
    counts = [int(n) for n in re.findall(r"(\d+) (?:done|skipped|failed)", errors)]
    assert (counts[0] + counts[1], counts[2]) == (11, 1), errors
    assert hashes(place / "out") == hashes(place / "whole")


@pytest.mark.slow
@linux
def test_ctrl_c_keeps_what_is_finished(place: Path, model: Path) -> None:
    for number in range(12, 60):
        make_picture(place / "photos" / f"{number}.png", seed=number, height=150, width=160)
    call = ("batch", "jobs.yaml", "--model", str(model), "--executor", "processes", "--workers", "2")

    def interrupted() -> tuple[int, str, str]:
        with started(place, *call) as process:
            assert process.stdout is not None
            first = process.stdout.readline()
            with suppress(FileNotFoundError):
                hired[:] = workers(process.pid)
            process.send_signal(signal.SIGINT)
            # Not communicate, which would miss what readline has read ahead.
            assert process.stderr is not None
            rest, errors = process.stdout.read(), process.stderr.read()
        return process.returncode, first + rest, errors

    hired: list[int] = []
    code, lines, errors = in_the_middle(place / "out", 59, interrupted)
    assert code == 130, errors
    shown = {Path(line).name for line in lines.splitlines()}
    assert "interrupted; " in errors
    assert shown == set(names(place / "out")), "what is there is listed, and nothing half-written"
    assert shown
    assert len(hired) == 2
    assert not any(Path(f"/proc/{number}").exists() for number in hired)


def is_alive(number: int) -> bool:
    """Tell whether a process has not ended; it may still be in the list, until somebody asks for its code."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@linux
@pytest.mark.parametrize("wait", [0.0, 4.0])
def test_workers_do_not_outlive_a_killed_run(wait: float, place: Path, model: Path) -> None:
    """Not while they start, and not over a picture that takes minutes."""
    slow = ("--set", "transform.name=optimize", "--set", "transform.iterations=10000")
    command = (
        "stylize",
        "photos/1.png",
        "photos/2.png",
        "wave.png",
        "-o",
        "out",
        *slow,
        "--model",
        str(model),
    )
    with started(place, *command, "--executor", "processes", "--workers", "2") as process:
        until(lambda: process.poll() is not None or len(workers(process.pid)) == 2)
        assert process.poll() is None, process.communicate()
        hired = workers(process.pid)
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        until(lambda: not any(map(is_alive, hired)))
    assert not list(place.glob("out/*.png"))


def test_bad_executors(place: Path, model: Path) -> None:
    del place
    flags = ("batch", "jobs.yaml", "--model", model)
    wrong = run_cli(*flags, "--executor", "procesess")
    assert (wrong.exit_code, "did you mean 'processes'" in wrong.stderr) == (2, True)
    assert run_cli(*flags, "--workers", 2).exit_code == 2
    lost = run_cli("batch", "jobs.yaml", "--model", "no.safetensors", "--executor", "processes")
    assert lost.exit_code == 6, lost.stderr
    assert lost.stderr.count("no.safetensors") == 1
