"""Time and memory of every stage, over sizes, devices, number types and models."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from timeit import repeat as timed
from typing import NamedTuple

import torch

from texsynth.benchmark.names import DEFAULT, FULL_WIDTH, IN_FLOAT32, NETWORKS, PUBLISHED
from texsynth.benchmark.stages import ARTISTIC, STAGES, Pair
from texsynth.device import pick_device, pick_dtype, set_threads
from texsynth.errors import TexsynthError, is_exhaustion
from texsynth.jobs.memory import (
    MemoryForecast,
    TilePlan,
    free_bytes,
    return_freed_memory,
    size_text,
)
from texsynth.models.openvino import HINTS, through_openvino
from texsynth.models.registry import Model, load_model
from texsynth.reference import cascade as full_width

UNSUPPORTED = ("not implemented", "not supported", "not currently supported", "unsupported")
"""Words with which torch says that a device lacks an operation."""

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")

METHODS = {
    "cuda": "torch.cuda.max_memory_allocated above what was allocated before",
    "cpu": "VmHWM, set back through /proc/self/clear_refs, above the resident set before",
}
"""Measures of peak memory by kind of device; there is none elsewhere, or if the system refuses."""


class Case(NamedTuple):
    """Names of a device, a number type and a model on it."""

    device: str
    dtype: str
    """Number type of the networks; stages that stand for published code compute in float32 all the same."""
    model: str


@dataclass(frozen=True)
class Plan:
    """Settings of a benchmark."""

    sizes: tuple[int, ...]  # Sides of the square pictures in pixels
    models: tuple[str, ...]
    devices: tuple[str, ...]
    dtypes: tuple[str, ...]
    stages: tuple[str, ...]  # Empty for those that every model has by default
    repeat: int
    full_width: bool  # True to measure a network of VGG-19's width too
    threads: int | None = None
    backends: tuple[str, ...] = ("torch",)


class Peak(NamedTuple):
    """Memory of one call."""

    bytes: int  # Most bytes in use at a time, above the start
    start_bytes: int  # Bytes in use before: the program, the model, and what the stage is given


@dataclass(frozen=True)
class Measurement:
    """One stage of one case at one size."""

    case: Case
    stage: str
    size: int
    seconds: tuple[float, ...] = ()
    """Seconds of every repetition; empty when it could not be measured."""
    memory: Peak | None = None
    reason: str = ""  # Why there are no seconds


def prepare(plan: Plan) -> list[tuple[Model, tuple[str, ...]]]:
    """Load all models on all devices in all types, each with its stages. Raises UsageError, ModelError."""
    set_threads(plan.threads)
    names = dict.fromkeys([*plan.models, *([full_width.NAME] if plan.full_width else [])])
    cases = []
    for device in dict.fromkeys(pick_device(name) for name in plan.devices):
        dtypes = list(dict.fromkeys(pick_dtype(name, device) for name in plan.dtypes))
        for name in names:
            load = full_width.random_model if name == full_width.NAME else partial(load_model, name)
            stages = plan.stages or (FULL_WIDTH if name == full_width.NAME else DEFAULT)
            for dtype in dtypes:
                # Published code computes in float32 and would do the same again in the other number types.
                kept = tuple(s for s in stages if dtype == dtypes[0] or s not in PUBLISHED)
                if kept and "torch" in plan.backends:
                    cases.append((load(device=device, dtype=dtype), kept))
                kept = tuple(s for s in kept if s in NETWORKS)
                if kept and "openvino" in plan.backends and device.type == "cpu" and dtype in HINTS:
                    model = through_openvino(load(device=device, dtype=dtype))
                    cases.append((replace(model, name=f"{name} openvino"), kept))
    return cases


def measure(
    models: Sequence[tuple[Model, tuple[str, ...]]], plan: Plan, on_stage: Callable[[str], None]
) -> Iterator[Measurement]:
    """Yield one measurement after the other, with a reason for what does not fit or is not supported."""
    for model, stages in models:
        case = Case(str(model.device), str(model.dtype).removeprefix("torch."), model.name)
        for size in plan.sizes:
            pair = Pair(model, size)
            for stage in stages:
                on_stage(f"{model.name} {case.dtype}, {size} pixels, {stage}")
                empty, reason = Measurement(case, stage, size), _shortage(model, stage, size)
                yield replace(empty, reason=reason) if reason else _attempt(empty, pair, plan.repeat)
                # What a failed stage held is free only now that its handler has ended.
                if model.device.type == "cuda":
                    torch.cuda.empty_cache()


@torch.inference_mode()
def _attempt(empty: Measurement, pair: Pair, repeat: int) -> Measurement:
    device = pair.model.device
    try:
        work = STAGES[empty.stage](pair)
        seconds = seconds_of(work, device, repeat)
        return replace(empty, seconds=seconds, memory=peak_of(work, device))
    except (TexsynthError, MemoryError, RuntimeError) as error:
        if is_exhaustion(error):
            return replace(empty, reason="out of memory")
        text = " ".join(str(error).split())
        if isinstance(error, TexsynthError | NotImplementedError) or any(w in text for w in UNSUPPORTED):
            return replace(empty, reason=text)
        raise


def _shortage(model: Model, stage: str, size: int) -> str:
    """Say why a stage is not even tried: on CPUs the system would end the program. '' when it may fit."""
    dtype = torch.float32 if stage in IN_FLOAT32 else model.dtype
    needed = MemoryForecast.of(size, size, replace(model, dtype=dtype), ARTISTIC).bytes(TilePlan())
    free = free_bytes(model.device)
    if free is None or needed <= free:
        return ""
    return (
        f"pipelines of {size} x {size} pixels need about {size_text(needed)}, and {size_text(free)} are free"
    )


def seconds_of(work: Callable[[], object], device: torch.device, repeat: int) -> tuple[float, ...]:
    """Return wall-clock seconds of `repeat` calls, after one that does not count."""

    def clock() -> float:
        synchronize(device)
        return time.perf_counter()

    # The result lives until the clock has stopped: freeing it is not part of the stage.
    return tuple(
        timed("result = work()", timer=clock, repeat=repeat + 1, number=1, globals={"work": work})[1:]
    )


def peak_of(work: Callable[[], object], device: torch.device) -> Peak | None:
    """Return the memory of one more call; None where it cannot be measured.

    On CPUs within a few MiB: the system counts pages for each processor on its own.
    """
    synchronize(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        start = torch.cuda.memory_allocated(device)
        work()
        synchronize(device)
        return Peak(torch.cuda.max_memory_allocated(device) - start, start)
    # Freed memory that the process still holds would hide what the call takes.
    return_freed_memory()
    try:
        CLEAR.write_text("5")
        start = _status("VmRSS")
    except (OSError, LookupError):
        return None
    work()
    return Peak(max(0, _status("VmHWM") - start), start)


def synchronize(device: torch.device) -> None:
    """Wait until `device` has done all that it was told."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _status(name: str) -> int:
    """Return the bytes in a line of the process's status. Raises LookupError when there is none."""
    fields = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return int(fields[name].split()[0]) * 1024
