"""The machine that a run is on: its device, number type and threads."""

from __future__ import annotations

import platform
from pathlib import Path

import torch

from texsynth.device import pick_device, pick_dtype, set_threads
from texsynth.settings import RunSettings

CPU_INFO = Path("/proc/cpuinfo")


def decided(run: RunSettings) -> tuple[RunSettings, torch.device, torch.dtype]:
    """`run` with every `auto` decided, and the number of threads set."""
    device = pick_device(run.device)
    dtype = pick_dtype(run.dtype, device)
    found = {
        "device": str(device),
        "dtype": str(dtype).removeprefix("torch."),
        "threads": set_threads(run.threads),
    }
    return run.model_copy(update=found), device, dtype


def hardware(device: str) -> dict[str, str | None]:
    """Names of the processor and, where `device` is one of CUDA, of the GPU."""
    gpu = torch.cuda.get_device_name(torch.device(device)) if device.startswith("cuda") else None
    return {"cpu": _processor(), "gpu": gpu}


def _processor() -> str:
    try:
        lines = CPU_INFO.read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(filter(None, named), platform.processor() or platform.machine())
