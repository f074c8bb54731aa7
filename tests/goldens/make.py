"""Make the expectations again: `PYTHONPATH=TREE python -m tests.goldens.make [NAME...]`.

They are to come from the version before a change, never from the one that they judge.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import yaml

from .cases import CASES, OLD_RECORDS
from .expectations import EXPECTED, MACHINE, OLD_FOLDER, is_same_machine, save, this_machine
from .running import run_case


def make(names: list[str]) -> None:
    """Make the expectations of the cases `names`, or of all."""
    unknown = set(names) - {case.name for case in CASES}
    if unknown:
        sys.exit(f"unknown cases: {', '.join(sorted(unknown))}")
    if names and not is_same_machine():
        sys.exit("the other expectations come from another machine or torch; make all of them")
    if not names:
        shutil.rmtree(EXPECTED, ignore_errors=True)
        EXPECTED.mkdir()
        MACHINE.write_text(yaml.safe_dump(this_machine()))
    for case in CASES:
        if not names or case.name in names:
            with tempfile.TemporaryDirectory() as folder:
                outcome = run_case(case, Path(folder))
            save(case.name, outcome)
            codes = " ".join(str(run["exit_code"]) for run in outcome.facts["runs"])
            sys.stdout.write(f"{case.name}: exit {codes}, {len(outcome.facts['files'])} files\n")


def make_old_records() -> None:
    """Fill the folder of results whose records must replay for ever."""
    shutil.rmtree(OLD_FOLDER, ignore_errors=True)
    OLD_FOLDER.mkdir()
    outcome = run_case(OLD_RECORDS, OLD_FOLDER)
    failures = [run for run in outcome.facts["runs"] if run["exit_code"]]
    if failures:
        sys.exit(str(failures))
    (OLD_FOLDER / MACHINE.name).write_text(yaml.safe_dump(this_machine()))


if __name__ == "__main__":
    if sys.argv[1:] == ["--old-records"]:
        make_old_records()
    else:
        make(sys.argv[1:])
