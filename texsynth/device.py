"""Devices, number types and CPU threads."""

import os
import platform
import re
from pathlib import Path
from typing import Any

import torch

import texsynth
from texsynth.cores import cores
from texsynth.errors import UsageError, check_room_for_threads

PARALLEL_BYTES = 1 << 17  # So many numbers torch gives to several threads; from half of it on

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def pick_device(name: str = "auto") -> torch.device:
    """Return the device called `name`: auto, cpu, mps, cuda or cuda:N. Raises UsageError without it."""
    if name == "auto":
        return torch.device(next((kind for kind in ("cuda", "mps") if _available(kind)), "cpu"))
    match = re.fullmatch(r"(cpu|mps|cuda)(?::([0-9]+))?", name)
    if not match:
        raise UsageError(f"unknown device {name!r}; use auto, cpu, mps, cuda or cuda:N")
    kind, index = match[1], int(match[2] or 0)
    if not _available(kind):
        raise UsageError(
            f"--device {name}: this machine or this build of torch has no {kind}; use --device auto"
        )
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if index >= count:
        raise UsageError(f"--device {name}: there is no device {index}, only {count} of kind {kind}")
    return torch.device(kind, index) if match[2] else torch.device(kind)


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the number type called `name`; auto is bfloat16 where `device` has it natively, else float32."""
    if name == "auto":
        return torch.bfloat16 if has_bfloat16(device) else torch.float32
    if name not in DTYPES:
        raise UsageError(f"unknown dtype {name!r}; use one of {', '.join(('auto', *DTYPES))}")
    return DTYPES[name]


def has_bfloat16(device: torch.device) -> bool:
    """Return whether `device` multiplies bfloat16 in hardware; emulation would be slower than float32."""
    if device.type == "cuda":
        # ROCm reports gfx numbers in the same place, so ask torch there.
        return torch.cuda.get_device_capability(device) >= (8, 0) and torch.cuda.is_bf16_supported()
    if device.type == "cpu":
        # Private in torch so far, hence the default: an unknown processor computes in float32.
        checks = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
        return any(getattr(torch.cpu, check, bool)() for check in checks)
    return False


def set_threads(count: int | None) -> int:
    """Use `count` CPU threads; when None what torch chose, but no more than there are cores for this process.

    Returns the number in use.
    """
    if count is not None:
        if count < 1:
            raise UsageError(f"--threads is {count} but must be at least 1")
        torch.set_num_threads(count)
    elif "OMP_NUM_THREADS" not in os.environ and cores() < torch.get_num_threads():
        torch.set_num_threads(cores())  # Torch knows nothing of the quotas of containers
    threads = torch.get_num_threads()
    if threads > 1:
        # They start now: where OpenMP finds no room for them in the midst of work, it ends the process.
        check_room_for_threads(threads - 1)
        torch.empty(PARALLEL_BYTES, dtype=torch.uint8).fill_(0)
    return threads


def devices() -> dict[str, str]:
    """Return every device of this machine and a word about it, for `texsynth doctor`."""
    names = {"cpu": f"{torch.get_num_threads()} threads"}
    for index in range(torch.cuda.device_count() if _available("cuda") else 0):
        properties = torch.cuda.get_device_properties(index)
        names[f"cuda:{index}"] = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
    if _available("mps"):
        names["mps"] = "Apple GPU"
    return names


def _available(kind: str) -> bool:
    return kind == "cpu" or (torch.cuda if kind == "cuda" else torch.backends.mps).is_available()


def hardware(devices: list[torch.device]) -> dict[str, Any]:
    """Return the machine and the devices in use, for JSON; None for what the system does not say."""
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "usable_cores": cores(),
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "texsynth": texsynth.__version__,
        "devices": {str(device): _device(device) for device in devices},
    }


def gpu_name(device: torch.device | str) -> str | None:
    """Return the name of a CUDA device; None for any other."""
    device = torch.device(device)
    return torch.cuda.get_device_name(device) if device.type == "cuda" else None


def cpu_name() -> str:
    """Return the CPU model name reported by the operating system."""
    try:
        match = re.search(r"^model name\s*: *(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        match = None
    return match[1].strip() if match else platform.processor() or platform.machine() or "unknown processor"


def _device(device: torch.device) -> dict[str, Any]:
    if device.type == "mps":
        return {"name": f"GPU of {cpu_name()}"}
    if device.type != "cuda":
        count = torch.get_num_threads()
        return {"name": f"{cpu_name()}, {count} thread{'s' if count > 1 else ''}"}
    properties = torch.cuda.get_device_properties(device)
    return {
        "name": properties.name,
        "capability": ".".join(map(str, torch.cuda.get_device_capability(device))),
        "memory_bytes": properties.total_memory,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }
