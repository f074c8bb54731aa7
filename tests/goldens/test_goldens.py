"""The command line says and writes what it did before."""

from __future__ import annotations

from pathlib import Path

import pytest

from .cases import CASES, Case
from .expectations import differences, is_same_machine, load
from .running import run_case

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_golden(case: Case, tmp_path: Path) -> None:
    outcome = run_case(case, tmp_path)
    problems = differences(load(case.name), outcome, exact=is_same_machine(), discrete=case.discrete)
    assert not problems, "\n".join([case.name, *problems])
