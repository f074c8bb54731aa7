"""Work that is broken off from outside: wherever it is, but not where it holds a lock, and never later."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event, Thread

import pytest

from texsynth.serve.breaking import Breaker


def outcome(work: Callable[[Breaker], None], after: Callable[[Breaker], None] = lambda _: None) -> str:
    """What becomes of work that is broken off once it has begun."""
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
    begun.wait()
    breaker.break_off()
    breaker.break_off()
    thread.join(60)
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
    event = Event()

    def work(_: Breaker) -> None:
        event.wait(1)
        event.set()
        busy(50)

    assert outcome(work) == "broken off"
    assert event.is_set()


def test_nothing_is_broken_off_later() -> None:
    def work(breaker: Breaker) -> None:
        while not breaker.asked:
            Event().wait(0.01)

    for _ in range(20):
        assert outcome(work, lambda _: busy(0.1)) in ("done, after", "broken off")


def test_work_that_is_not_wanted_does_not_begin() -> None:
    breaker = Breaker()
    breaker.break_off()
    with pytest.raises(KeyboardInterrupt), breaker.allowed():
        raise AssertionError
    with pytest.raises(KeyboardInterrupt):
        breaker.check()
    busy(0.2)
