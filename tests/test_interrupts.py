"""Signals at every moment of a run: it ends, says what is finished, and leaves no lock locked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import FrameType

import pytest
from helpers.operations import Raising, job
from helpers.waiting import PATIENCE, until

from texsynth import interrupts
from texsynth.interrupts import Interrupts
from texsynth.jobs import runner
from texsynth.jobs.files import JobResult, OutputPolicy
from texsynth.jobs.inputs import Job
from texsynth.jobs.outcomes import Done, Events, Report, WrittenInfo, collect
from texsynth.jobs.runner import SerialExecutor
from texsynth.pipelines.progress import Step

JOBS = [job(name) for name in "abc"]


class HangError(BaseException):
    """Raised when a run does not end."""


class Stepping(Raising):
    """Reports a step, as real operations do."""

    def compute(self, job: Job, loaded: object, on_step: object) -> JobResult:
        assert callable(on_step)
        on_step(Step("work", 1, 1))
        return super().compute(job, loaded, on_step)


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def hung(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise HangError

    monkeypatch.setattr(runner, "write_result", lambda *_: WrittenInfo(1, 1))
    monkeypatch.setattr(runner, "PATIENCE", 0.001)
    before = signal.signal(signal.SIGALRM, hung)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def run(at: int | None, kind: signal.Signals = signal.SIGINT) -> tuple[int, Report]:
    """Do JOBS; the signal comes at the call or return numbered `at`. Returns how many of these there were."""
    number = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal number
        del frame, event, argument
        number += 1
        if number == at:
            signal.raise_signal(kind)

    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    with Interrupts() as received:
        events = Events(interruptible=received.allowed, check=received.check)
        with closing(SerialExecutor(Stepping({}, ""), OutputPolicy()).outcomes(JOBS, events)) as outcomes:
            before = sys.getprofile()
            sys.setprofile(count)
            try:
                report = collect(outcomes, len(JOBS))
            finally:
                sys.setprofile(before)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return number, report


@pytest.mark.usefixtures("patience")
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="an alarm tells that a run hangs")
def test_a_signal_at_any_moment_ends_the_run() -> None:
    before = threading.enumerate()
    count, report = run(None)
    assert (len(report.done), report.exit_code) == (3, 0)
    for at in range(1, count + 1):
        reached, report = run(at, (signal.SIGINT, signal.SIGTERM)[at % 2])
        # Another order of the threads may make a run shorter; the last calls are those after the last job.
        if reached < at or len(report.done) == 3:
            continue
        assert report.interrupted, f"the signal of call {at} was lost"
        assert all(isinstance(outcome, Done) for outcome in report.outcomes)
    # The last reader may still be on its way out; one that waits for a lock that nobody will free stays.
    until(lambda: set(threading.enumerate()) <= set(before))


def test_code_that_holds_locks_is_not_broken_off() -> None:
    with Interrupts() as received:
        finished: list[bool] = []
        with received.allowed():
            code = "signal.raise_signal(signal.SIGINT); finished.append(True)"
            exec(code, {"__name__": "importlib._bootstrap", "signal": signal, "finished": finished})
        assert finished
        with pytest.raises(KeyboardInterrupt):
            received.check()
        with pytest.raises(KeyboardInterrupt), received.allowed():
            pytest.fail("the work has begun")
    with Interrupts() as received, pytest.raises(KeyboardInterrupt), received.allowed():
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.skipif(not interrupts.HANGUPS, reason="no such signal")
def test_a_closed_terminal_ends_a_run_but_not_one_that_ignores_it() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with Interrupts() as received, pytest.raises(KeyboardInterrupt), received.allowed():
            signal.raise_signal(signal.SIGHUP)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with Interrupts() as received, received.allowed():
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_signal_forces_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    forced: list[bool] = []
    with Interrupts(lambda: forced.append(True)):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert not forced, "launchers send a signal of the terminal once more"
        monkeypatch.setattr(interrupts, "ONE_WISH", 0)
        signal.raise_signal(signal.SIGINT)
        assert forced
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(
    ("module", "code", "said"),
    [("signal.raise_signal(signal.SIGINT)", 130, "texsynth: interrupted\n"), ("", 3, "")],
)
def test_a_signal_does_not_break_into_an_import(module: str, code: int, said: str, tmp_path: Path) -> None:
    """Libraries of C++ abort the program for it."""
    (tmp_path / "library.py").write_text(f"import signal\ntry: {module or 'pass'}\nexcept: pass\n")
    program = (
        "import signal, sys; from texsynth.interrupts import take_signals\ntake_signals(); import library\n"
        "try: signal.raise_signal(signal.SIGTERM)\nexcept KeyboardInterrupt: sys.exit(3)"
    )
    environment = {**os.environ, "PYTHONPATH": f"{Path(__file__).parents[1]}{os.pathsep}{tmp_path}"}
    run = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, check=False, text=True
    )
    assert (run.returncode, run.stderr) == (code, said)


def test_signals_that_are_ignored_stay_so() -> None:
    program = (
        "import signal; from texsynth.interrupts import take_signals\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN); take_signals(); signal.raise_signal(signal.SIGINT)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)


def test_the_forced_end_waits_for_no_thread() -> None:
    code = (
        "import threading; from texsynth.interrupts import leave\n"
        "threading.Thread(target=threading.Event().wait).start(); leave()"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    assert subprocess.run([sys.executable, "-c", code], env=environment, timeout=PATIENCE).returncode == 130


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize("where", ["read", "write"])
def test_a_failure_in_another_thread_ends_the_run(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Like memory that runs out where there is nobody to catch it."""

    def fail(*_: object) -> None:
        raise MemoryError

    def jobs() -> Iterator[Job]:
        yield JOBS[0]
        if where == "read":
            fail()
        yield JOBS[1]

    if where == "write":
        monkeypatch.setattr(SerialExecutor, "_write", fail)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    executor = SerialExecutor(Stepping({}, ""), OutputPolicy())
    with pytest.raises(MemoryError), closing(executor.outcomes(jobs(), Events())) as outcomes:
        list(outcomes)
