"""Waits for what other processes and threads do, however long the machine takes for it."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

PATIENCE = 300
"""Seconds after which nothing comes any more."""


def until(condition: Callable[[], object]) -> None:
    """Wait until `condition` returns something true; fail after PATIENCE."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"waited for {PATIENCE} s")
        time.sleep(0.02)
