"""Runs that are killed, stopped, or not listened to; what they leave is sound, and can be completed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from helpers.faults import (
    batch,
    check_sound,
    command,
    environment,
    hashes,
    in_the_middle,
    linux,
    make_reference,
    pictures,
    start,
)
from helpers.faults import temporary as left_over
from helpers.waiting import PATIENCE

from texsynth import interrupts
from texsynth.jobs import files, runner
from texsynth.jobs.files import JobResult, write_outputs
from texsynth.jobs.outcomes import WrittenInfo

COUNT = 40


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    return make_reference(tmp_path_factory.mktemp("reference"), model, COUNT, height=90, width=100)


def disturb(process: subprocess.Popen[str], rng: random.Random, kind: signal.Signals) -> str:
    """Send a signal a random time after the first few pictures. Returns what was read until then."""
    assert process.stdout is not None
    read = "".join(process.stdout.readline() for _ in range(rng.randint(1, 4)))
    time.sleep(rng.random() * 0.05)
    process.send_signal(kind)
    return read


@pytest.mark.slow
@linux
def test_killed_again_and_again(place: Path, model: Path, whole: dict[str, str]) -> None:
    rng = random.Random(7)

    def killed_twice() -> None:
        for _ in range(2):
            with start(place, model, "--resume") as process:
                disturb(process, rng, signal.SIGKILL)
            check_sound(place / "out", whole)

    in_the_middle(place / "out", COUNT, killed_twice)
    finished = len(pictures(place / "out"))
    assert finished >= 2
    result = batch(model, "--resume")
    assert result.exit_code == 0, result.stderr
    assert f"{COUNT - finished} done, {finished} skipped, 0 failed" in result.stderr
    assert hashes(place / "out") == whole
    assert left_over(place / "out") == [], "what killed runs leave is removed by the next one"


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_stopped_at_a_random_time(
    place: Path, model: Path, whole: dict[str, str], kind: signal.Signals
) -> None:
    rng = random.Random(int(kind))

    def stopped() -> tuple[int, str, str]:
        with start(place, model) as process:
            first = disturb(process, rng, kind)
            # Not communicate, which would miss what readline has read ahead.
            assert process.stdout is not None
            assert process.stderr is not None
            rest, errors = process.stdout.read(), process.stderr.read()
        return process.returncode, first + rest, errors

    code, lines, errors = in_the_middle(place / "out", COUNT, stopped)
    assert code == 130, errors
    listed = lines.split()
    assert f"interrupted; {len(listed)} done, 0 skipped, 0 failed" in errors
    assert {Path(line).name for line in listed} == pictures(place / "out")
    assert listed
    check_sound(place / "out", whole)
    assert left_over(place / "out") == []
    assert batch(model, "--resume").exit_code == 0
    assert hashes(place / "out") == whole


def test_a_second_ctrl_c(
    place: Path, model: Path, whole: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one waits for the file that is being written; a second one does not."""
    waits, forced = threading.Event(), threading.Event()

    class Announced(ThreadPoolExecutor):
        def shutdown(self, *arguments: Any, **flags: Any) -> None:  # noqa: ANN401
            waits.set()
            super().shutdown(*arguments, **flags)

    def slow(result: JobResult, *policy: Any, **flags: Any) -> WrittenInfo:  # noqa: ANN401
        if not waits.is_set():
            os.kill(os.getpid(), signal.SIGINT)
            assert waits.wait(PATIENCE)
            # The system may give one to a thread that cannot wake the main one; who waits presses again.
            presses = 1000
            while presses and not forced.is_set():
                os.kill(os.getpid(), signal.SIGINT)
                forced.wait(0.2)
                presses -= 1
            assert forced.is_set()
        return write_outputs(result, *policy, **flags)

    monkeypatch.setattr(runner, "ThreadPoolExecutor", Announced)
    monkeypatch.setattr(files, "write_outputs", slow)
    monkeypatch.setattr(interrupts, "ONE_WISH", 0)
    monkeypatch.setattr("texsynth.cli.run.leave", forced.set)
    result = batch(model)
    assert result.exit_code == 130
    assert result.stderr.startswith("texsynth: interrupted; ")
    check_sound(place / "out", whole)


LISTENERS = {
    "leaves": "{} 2> errors | head -1 > /dev/null; echo ${{PIPESTATUS[0]}}",
    "leaves errors": "{} 2>&1 > listed | true; echo ${{PIPESTATUS[0]}}",
    "absent": "{} >&- 2>&- <&-; echo $?",
    "full": "{} 2> errors > /dev/full; echo $?",
}
"""What becomes of the standard streams: a line for bash, which prints the exit code."""


@pytest.mark.slow
@linux
@pytest.mark.parametrize(
    ("listener", "flags", "code", "complete"),
    [
        ("leaves", "", 141, False),
        ("leaves", "--executor processes --workers 2", 141, False),
        ("leaves errors", "", 3, True),
        ("absent", "", 3, True),
        ("full", "", 5, False),
    ],
)
def test_nobody_listens(
    place: Path, model: Path, whole: dict[str, str], listener: str, flags: str, code: int, complete: bool
) -> None:
    with (place / "jobs.csv").open("a") as manifest:
        manifest.write("\nphotos/missing.png,wave.png,missing.png")
    program = " ".join(command(model, *flags.split()))

    def unheard() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", LISTENERS[listener].format(program)], cwd=place, env=environment(), text=True,
            capture_output=True, check=False, timeout=PATIENCE,
        )  # fmt: skip

    done = unheard() if complete else in_the_middle(place / "out", COUNT, unheard)
    assert done.stdout == f"{code}\n", done.stderr
    assert done.stderr == ""
    if (place / "errors").exists():
        errors = (place / "errors").read_text()
        assert "Traceback" not in errors
        assert "bug" not in errors
        assert ("standard output cannot be written: no space left" in errors) == (listener == "full")
    check_sound(place / "out", whole)
    assert left_over(place / "out") == []
    assert pictures(place / "out")
    assert (hashes(place / "out") == whole) == complete


def test_nothing_is_kept_in_the_home_folder(place: Path, model: Path, whole: dict[str, str]) -> None:
    (place / "file").touch()
    nowhere = {name: str(place / "file") for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")}
    done = subprocess.run(
        command(model), cwd=place, env=environment(**nowhere), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert hashes(place / "out") == whole
