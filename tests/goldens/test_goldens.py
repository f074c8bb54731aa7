"""The command line says and writes what it did before."""

from __future__ import annotations

from pathlib import Path

import pytest

from .cases import CASES, Case
from .expectations import differences, is_same_machine, load
from .program import Program, run_fresh
from .running import run_case

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_golden(case: Case, tmp_path: Path, program: Program) -> None:
    check(case, tmp_path, program)


@pytest.mark.parametrize("name", ["stylize-artistic", "expand-grey", "fail-2-usage"])
def test_golden_of_a_fresh_process(name: str, tmp_path: Path) -> None:
    (case,) = (case for case in CASES if case.name == name)
    check(case, tmp_path, run_fresh)


def check(case: Case, folder: Path, program: Program) -> None:
    outcome = run_case(case, folder, program)
    problems = differences(load(case.name), outcome, exact=is_same_machine(), discrete=case.discrete)
    assert not problems, "\n".join([case.name, *problems])
