"""Where to compute, how precisely, and on how many threads."""

from __future__ import annotations

import re
from collections.abc import Callable

import torch

from texsynth.errors import UsageError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

DTYPE_NAMES = ("auto", *DTYPES)


def pick_device(name: str = "auto") -> torch.device:
    """The device called `name`: auto, cpu, mps, cuda or cuda:N. UsageError when this machine has none."""
    if name == "auto":
        return torch.device(next((kind for kind in ("cuda", "mps") if _available(kind)), "cpu"))
    found = re.fullmatch(r"(cpu|mps|cuda)(?::([0-9]+))?", name)
    if not found:
        raise UsageError(f"unknown device {name!r}; use auto, cpu, mps, cuda or cuda:N")
    kind, index = found[1], int(found[2] or 0)
    if not _available(kind):
        raise UsageError(
            f"--device {name}: this machine or this build of torch has no {kind}; use --device auto"
        )
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if index >= count:
        raise UsageError(f"--device {name}: there is no device {index}, only {count} of kind {kind}")
    return torch.device(kind, index) if found[2] else torch.device(kind)


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """The number type called `name`; auto is bfloat16 where `device` has it natively, else float32."""
    if name == "auto":
        return torch.bfloat16 if has_bfloat16(device) else torch.float32
    if name not in DTYPES:
        raise UsageError(f"unknown dtype {name!r}; use one of {', '.join(DTYPE_NAMES)}")
    return DTYPES[name]


def has_bfloat16(device: torch.device) -> bool:
    """Whether `device` multiplies bfloat16 in hardware; emulation would be slower than float32."""
    if device.type == "cuda":
        # ROCm reports gfx numbers in the same place, so ask torch there.
        return torch.cuda.get_device_capability(device) >= (8, 0) and torch.cuda.is_bf16_supported()
    if device.type == "cpu":
        # Private in torch so far, hence the default: an unknown processor computes in float32.
        checks = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
        return any(getattr(torch.cpu, check, bool)() for check in checks)
    return False


def set_threads(count: int | None) -> int:
    """Use `count` CPU threads, or what torch chose when None. Returns the number in use."""
    if count is not None:
        if count < 1:
            raise UsageError(f"--threads is {count} but must be at least 1")
        torch.set_num_threads(count)
    return torch.get_num_threads()


def devices() -> dict[str, str]:
    """Every device of this machine and a word about it, for `texsynth doctor`."""
    found = {"cpu": f"{torch.get_num_threads()} threads"}
    for index in range(torch.cuda.device_count() if _available("cuda") else 0):
        properties = torch.cuda.get_device_properties(index)
        found[f"cuda:{index}"] = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
    if _available("mps"):
        found["mps"] = "Apple GPU"
    return found


def _available(kind: str) -> bool:
    checks: dict[str, Callable[[], object]] = {
        "cpu": lambda: True,
        "cuda": torch.cuda.is_available,
        "mps": torch.backends.mps.is_available,
    }
    return bool(checks[kind]())
