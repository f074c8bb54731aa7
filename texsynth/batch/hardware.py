"""What a measurement was made on."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Any

import torch

import texsynth


def hardware(devices: list[torch.device]) -> dict[str, Any]:
    """The machine and the devices in use, for JSON; None for what the system does not say."""
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "texsynth": texsynth.__version__,
        "devices": {str(device): _device(device) for device in devices},
    }


def device_name(device: torch.device) -> str:
    """What a table calls `device`."""
    gpu = gpu_name(device)
    if gpu:
        return gpu
    if device.type == "mps":
        return f"GPU of {cpu_name()}"
    count = torch.get_num_threads()
    return f"{cpu_name()}, {count} thread{'s' if count > 1 else ''}"


def gpu_name(device: torch.device | str) -> str | None:
    """Of a CUDA device; None for any other."""
    device = torch.device(device)
    return torch.cuda.get_device_name(device) if device.type == "cuda" else None


def cpu_name() -> str:
    """Of the processor, as the system calls it."""
    try:
        found = re.search(r"^model name\s*: *(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine() or "unknown processor"


def _device(device: torch.device) -> dict[str, Any]:
    if device.type != "cuda":
        return {"name": device_name(device)}
    properties = torch.cuda.get_device_properties(device)
    return {
        "name": properties.name,
        "capability": ".".join(map(str, torch.cuda.get_device_capability(device))),
        "memory_bytes": properties.total_memory,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }
