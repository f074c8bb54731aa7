"""How long something takes, and how much memory."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from texsynth.batch.memory import give_back

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")

METHODS = {
    "cuda": "torch.cuda.max_memory_allocated above what was allocated before",
    "cpu": "VmHWM, set back through /proc/self/clear_refs, above the resident set before",
}
"""How the peak of memory is found, by kind of device; None elsewhere, and where the system refuses."""


@dataclass(frozen=True)
class Peak:
    """Memory of one call."""

    bytes: int
    """At most in use at a time, above the start."""
    start_bytes: int
    """In use before: the program, the model, and what the stage is given."""


def seconds_of(work: Callable[[], object], device: torch.device, repeat: int) -> tuple[float, ...]:
    """Wall-clock seconds of `repeat` calls, after one that does not count."""
    work()
    synchronize(device)
    return tuple(_timed(work, device) for _ in range(repeat))


def peak_of(work: Callable[[], object], device: torch.device) -> Peak | None:
    """Memory of one more call; None where it cannot be measured.

    On CPUs within a few MiB: the system counts pages for each processor on its own.
    """
    synchronize(device)
    if device.type == "cuda":
        return _cuda_peak(work, device)
    return _resident_peak(work) if device.type == "cpu" else None


def synchronize(device: torch.device) -> None:
    """Wait until `device` has done all that it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _timed(work: Callable[[], object], device: torch.device) -> float:
    start = time.perf_counter()
    # The result lives until the clock has stopped: freeing it is not part of the stage.
    result = work()
    synchronize(device)
    seconds = time.perf_counter() - start
    del result
    return seconds


def _cuda_peak(work: Callable[[], object], device: torch.device) -> Peak:
    torch.cuda.reset_peak_memory_stats(device)
    start = torch.cuda.memory_allocated(device)
    work()
    synchronize(device)
    return Peak(torch.cuda.max_memory_allocated(device) - start, start)


def _resident_peak(work: Callable[[], object]) -> Peak | None:
    # Freed memory that the process still holds would hide what the call takes.
    give_back()
    try:
        CLEAR.write_text("5")
        start = _status("VmRSS")
    except (OSError, LookupError):
        return None
    work()
    return Peak(max(0, _status("VmHWM") - start), start)


def _status(name: str) -> int:
    """Bytes in a line of the process's status. LookupError when there is none."""
    found = re.search(rf"^{name}:\s+(\d+) kB$", STATUS.read_text(), re.MULTILINE)
    if found is None:
        raise LookupError(name)
    return int(found[1]) * 1024
