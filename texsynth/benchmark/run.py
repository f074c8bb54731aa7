"""Time and memory of every stage, over sizes, devices, number types and models."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import torch

from texsynth.benchmark.names import DEFAULT, FULL_WIDTH, IN_FLOAT32, PUBLISHED
from texsynth.benchmark.stages import ARTISTIC, STAGES, Pair
from texsynth.device import device_name, hardware, pick_device, pick_dtype, set_threads
from texsynth.errors import TexsynthError
from texsynth.jobs.memory import (
    MemoryForecast,
    TilePlan,
    free_bytes,
    is_exhaustion,
    return_freed_memory,
    size_text,
)
from texsynth.models.registry import Model, load_model
from texsynth.reference import full_width

UNSUPPORTED = ("not implemented", "not supported", "not currently supported", "unsupported")
"""How torch says that a device lacks an operation."""


class Watcher(Protocol):
    """What shows how far it is."""

    def picture(self, name: str) -> None:
        """A stage begins."""

    def advance(self) -> None:
        """It has been measured, or could not be."""


@dataclass(frozen=True)
class Plan:
    """What to measure."""

    sizes: tuple[int, ...]
    """Sides of the square pictures in pixels."""
    models: tuple[str, ...]
    devices: tuple[str, ...]
    dtypes: tuple[str, ...]
    stages: tuple[str, ...]
    """Empty for those that every model has by default."""
    repeat: int
    full_width: bool
    """Whether a network of VGG-19's width is measured too."""
    threads: int | None = None


@dataclass(frozen=True)
class Case:
    """A model where it is measured, and what of it."""

    model: Model
    stages: tuple[str, ...]

    @property
    def names(self) -> tuple[str, str, str]:
        """Device, number type and model."""
        return str(self.model.device), str(self.model.dtype).removeprefix("torch."), self.model.name


@dataclass(frozen=True)
class Measurement:
    """One stage of one case at one size."""

    device: str
    dtype: str
    """Of the networks; stages that stand for published code compute in float32 all the same."""
    model: str
    stage: str
    size: int
    seconds: tuple[float, ...] = ()
    """Of every repetition; empty when it could not be measured."""
    memory: Peak | None = None
    """None where it cannot be measured."""
    reason: str = ""
    """Why there are no seconds."""

    @property
    def median(self) -> float | None:
        """Seconds; None without any."""
        return median(self.seconds) if self.seconds else None


@dataclass
class Report:
    """What was measured, and on what."""

    plan: Plan
    hardware: dict[str, Any]
    devices: dict[str, str]
    """What a table calls every device."""
    weights: dict[str, str]
    """SHA-256 of the file of every model; empty for random weights."""
    measurements: list[Measurement] = field(default_factory=list)
    interrupted: bool = False

    def of(self, case: tuple[str, str, str], stage: str, size: int) -> Measurement | None:
        """The measurement of a stage; None when there was none."""
        wanted = (*case, stage, size)
        return next(
            (m for m in self.measurements if (m.device, m.dtype, m.model, m.stage, m.size) == wanted), None
        )

    @property
    def cases(self) -> list[tuple[str, str, str]]:
        """Device, number type and model of all measurements, in their order."""
        return list(dict.fromkeys((m.device, m.dtype, m.model) for m in self.measurements))


def prepared(plan: Plan) -> list[Case]:
    """Every model on every device in every number type. Raises UsageError and ModelError before any work."""
    set_threads(plan.threads)
    cases: list[Case] = []
    names = dict.fromkeys([*plan.models, *([full_width.NAME] if plan.full_width else [])])
    for device in dict.fromkeys(pick_device(name) for name in plan.devices):
        dtypes = dict.fromkeys(pick_dtype(name, device) for name in plan.dtypes)
        for name in names:
            for number, dtype in enumerate(dtypes):
                stages = _stages(plan, name, first=number == 0)
                if stages:
                    cases.append(Case(_model(name, device, dtype), stages))
    return cases


def bench(plan: Plan, cases: Sequence[Case], watcher: Watcher) -> Report:
    """Measure one stage after the other. What does not fit or is not supported is noted.

    Ctrl-C ends it with what has been measured.
    """
    devices = list(dict.fromkeys(case.model.device for case in cases))
    report = Report(
        plan,
        hardware(devices),
        {str(device): device_name(device) for device in devices},
        {case.model.name: case.model.sha256 for case in cases},
    )
    try:
        for case in cases:
            for size in plan.sizes:
                for measurement in _measured(case, size, plan.repeat, watcher):
                    report.measurements.append(measurement)
                    watcher.advance()
    except KeyboardInterrupt:
        report.interrupted = True
    return report


def _model(name: str, device: torch.device, dtype: torch.dtype) -> Model:
    if name == full_width.NAME:
        return full_width.random_model(device=device, dtype=dtype)
    return load_model(name, device, dtype)


def _stages(plan: Plan, model: str, *, first: bool) -> tuple[str, ...]:
    """first: whether it is the first number type; in others published code would do the same again."""
    wanted = plan.stages or (FULL_WIDTH if model == full_width.NAME else DEFAULT)
    return tuple(stage for stage in wanted if first or stage not in PUBLISHED)


def _measured(case: Case, size: int, repeat: int, watcher: Watcher) -> Iterator[Measurement]:
    pair = Pair(case.model, size)
    for stage in case.stages:
        empty = Measurement(*case.names, stage, size)
        watcher.picture(f"{case.model.name} {case.names[1]}, {size} pixels, {stage}")
        reason = _shortage(case.model, stage, size)
        yield replace(empty, reason=reason) if reason else _attempt(empty, pair, repeat)
        # What a failed stage held is free only now that its handler has ended.
        if pair.model.device.type == "cuda":
            torch.cuda.empty_cache()


@torch.inference_mode()
def _attempt(empty: Measurement, pair: Pair, repeat: int) -> Measurement:
    device = pair.model.device
    try:
        work = STAGES[empty.stage](pair)
        seconds = seconds_of(work, device, repeat)
        return replace(empty, seconds=seconds, memory=peak_of(work, device))
    except (TexsynthError, MemoryError, RuntimeError) as error:
        return replace(empty, reason=_reason(error))


def _shortage(model: Model, stage: str, size: int) -> str:
    """Why a stage is not even tried: on CPUs the system would end the program. '' when it may fit."""
    dtype = torch.float32 if stage in IN_FLOAT32 else model.dtype
    needed = MemoryForecast.of(size, size, replace(model, dtype=dtype), ARTISTIC).bytes(TilePlan())
    free = free_bytes(model.device)
    if free is None or needed <= free:
        return ""
    return (
        f"pipelines of {size} x {size} pixels need about {size_text(needed)}, and {size_text(free)} are free"
    )


def _reason(error: Exception) -> str:
    """In words what cannot be helped; anything else is a bug and raised again."""
    if is_exhaustion(error):
        return "out of memory"
    text = " ".join(str(error).split())
    if isinstance(error, TexsynthError | NotImplementedError) or any(w in text for w in UNSUPPORTED):
        return text
    raise error


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
    return_freed_memory()
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
