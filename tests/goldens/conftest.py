"""The program that all goldens run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .program import Program, forked_program


@pytest.fixture(scope="session")
def program() -> Iterator[Program]:
    """A fast `python -m texsynth` for the whole session."""
    with forked_program() as run:
        yield run
