"""Work that is broken off from outside: wherever it is, but not where it holds a lock, and never later."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

import pytest
from helpers.waiting import PATIENCE, until

from texsynth.serve import breaking
from texsynth.serve.breaking import Breaker


def outcome(
    work: Callable[[Breaker], None],
    after: Callable[[Breaker], None] = lambda _: None,
    ready: Callable[[], object] = lambda: True,
) -> str:
    """What becomes of work that is broken off once it has begun, and is `ready` for it."""
    breaker, begun, told = Breaker(), Event(), []

    def run() -> None:
        try:
            with breaker.allowed():
                begun.set()
                work(breaker)
            told.append("done")
            after(breaker)
            told.append("after")
        except KeyboardInterrupt:
            told.append("broken off")

    thread = Thread(target=run)
    thread.start()
    until(lambda: begun.is_set() and ready())
    breaker.break_off()
    breaker.break_off()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    return ", ".join(told)


def busy(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def test_work_without_steps_ends() -> None:
    assert outcome(lambda _: busy(50)) == "broken off"


def test_work_that_cleans_up_does_so() -> None:
    cleaned = []

    def work(_: Breaker) -> None:
        try:
            busy(50)
        finally:
            busy(0.3)
            cleaned.append(True)

    assert outcome(work) == "broken off"
    assert cleaned == [True]


def test_what_waits_for_a_lock_goes_on() -> None:
    """Code of threading is never broken off, what comes after it is."""
    held: list[bool] = []

    def work(_: Breaker) -> None:
        code = "held.append(True); busy(0.3); held.append(True)"
        exec(code, {"__name__": "threading", "busy": busy, "held": held})
        busy(50)

    assert outcome(work, ready=lambda: held) == "broken off"
    assert len(held) == 2


def test_nothing_is_broken_off_later() -> None:
    def work(breaker: Breaker) -> None:
        while not breaker.asked:
            Event().wait(0.01)

    for _ in range(20):
        assert outcome(work, lambda _: busy(0.1)) in ("done, after", "broken off")


def test_one_that_is_sent_when_the_work_ends_does_not_come_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    late, send = [], breaking._send

    def slowly(thread: int, error: type[BaseException]) -> None:
        if error is KeyboardInterrupt:
            late.append(True)
            time.sleep(0.1)
        send(thread, error)

    def work(_: Breaker) -> None:
        while not late:
            pass

    monkeypatch.setattr(breaking, "_send", slowly)
    assert outcome(work, lambda _: busy(0.3)) in ("done, after", "broken off")


def test_one_that_comes_when_the_work_ends_ends_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    send = breaking._send
    come: list[bool] = []

    def interrupted(thread: int, error: type[BaseException]) -> None:
        if error is not KeyboardInterrupt and not come:
            come.append(True)
            raise KeyboardInterrupt
        send(thread, error)

    monkeypatch.setattr(breaking, "_send", interrupted)
    breaker = Breaker()
    with suppress(KeyboardInterrupt), breaker.allowed():
        breaker.break_off()
    assert come
    assert breaker._thread is None


PROFILED = """
import sys, time
from contextlib import suppress
from texsynth.serve.breaking import Breaker

breaker = Breaker()
with suppress(KeyboardInterrupt), breaker.allowed():
    if sys.argv[1] == "late":
        breaker._thread = None
    breaker.break_off()
    end = time.monotonic() + 0.2
    while time.monotonic() < end:
        pass
sys.setprofile(lambda *_: None)
(lambda: None)()
"""


@pytest.mark.parametrize("when", ["early", "late"])
def test_a_program_can_be_profiled_after_it(when: str) -> None:
    """What is sent to a thread and taken back stays in the mind of the interpreter, which hangs then."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", PROFILED, when]
    subprocess.run(command, env=environment, check=True, timeout=PATIENCE)


def test_work_that_is_not_wanted_does_not_begin() -> None:
    breaker = Breaker()
    breaker.break_off()
    with pytest.raises(KeyboardInterrupt), breaker.allowed():
        raise AssertionError
    with pytest.raises(KeyboardInterrupt):
        breaker.check()
    busy(0.2)
