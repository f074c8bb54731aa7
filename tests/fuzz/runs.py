"""Very many changes, in processes with a limit of time and memory, so that none ends the run."""

from __future__ import annotations

import faulthandler
import json
import mmap
import os
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

from .changes import attempt
from .seeds import seeds

SECONDS, BYTES = 10, 1 << 30
PART = 2000  # Changes in a process


def run(start: int, stop: int, names: list[str]) -> None:
    """Try the changes from `start` to before `stop`. Prints lines of JSON: faults, and each thousand.

    names: of the files to change; none for all. The exit code is 1 where there were faults.
    """
    current = mmap.mmap(-1, 8)  # The change at work, which outlives a process that is ended
    faults, began, at = 0, time.monotonic(), start
    while at < stop:
        part_stop = min(stop, at - at % PART + PART)
        process = os.fork()
        if not process:
            os._exit(_part(at, part_stop, names, current))
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        if status in (0, 3):
            at, faults = part_stop, faults + (status == 3)
        else:
            number = int.from_bytes(current[:], "little")
            _say(fault="ended or hung", number=number, status=status)
            at, faults = number + 1, faults + 1
        rate = (at - start) / (time.monotonic() - began)
        _say(done=at, of=stop, parts_with_faults=faults, per_second=round(rate, 1))
    sys.exit(bool(faults))


def _part(start: int, stop: int, names: list[str], current: mmap.mmap) -> int:
    warnings.simplefilter("ignore")
    files = [(name, seed) for name, seed in seeds().items() if not names or name in names]
    table: Counter[str] = Counter()
    faults, most, slowest = 0, (0, ""), (0.0, "")
    with tempfile.TemporaryDirectory() as folder:
        for name, seed in files:
            if seed.is_read:
                seed.read(seed.data, Path(folder) / name)  # what is loaded once is not counted below
        room = _kilobytes("VmSize") * 1024 + 3 * BYTES
        resource.setrlimit(resource.RLIMIT_AS, (room, room))
        for number in range(start, stop):
            name, seed = files[number % len(files)]
            current[:] = number.to_bytes(8, "little")
            _forget_peak()
            before, began = _kilobytes("VmRSS"), time.monotonic()
            faulthandler.dump_traceback_later(SECONDS, exit=True)
            try:
                table[f"{name} {attempt(name, seed, number, Path(folder))}"] += 1
            except AssertionError as error:
                faults += 1
                _say(fault=str(error)[:500], number=number)
            faulthandler.cancel_dump_traceback_later()
            label = f"{name} {number}"
            slowest = max(slowest, (time.monotonic() - began, label))
            most = max(most, (_kilobytes("VmHWM") - before, label))
            if most[0] > BYTES >> 10:
                faults += 1
                _say(fault="more than 1 GiB", number=number, mib=most[0] >> 10)
                most = (0, "")
    peak = _kilobytes("VmHWM") >> 10
    _say(table=table, most_mib=(most[0] >> 10, most[1]), peak_mib=peak, slowest=slowest)
    return 3 * bool(faults)


def _forget_peak() -> None:
    """Let the system's largest value of memory begin anew."""
    Path("/proc/self/clear_refs").write_text("5")


def _kilobytes(field: str) -> int:
    """A line of what Linux says of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    return 0


def _say(**facts: object) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()
