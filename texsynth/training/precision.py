"""Number types of networks in training."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.amp.grad_scaler import GradScaler

from texsynth.device import pick_dtype
from texsynth.errors import UsageError


def autocast_for(device: torch.device, name: str = "auto") -> Callable[[], AbstractContextManager[Any]]:
    """Mixed precision with the number type called `name`; `auto` is bfloat16 where it is native, else none.

    Raises UsageError for float16 without CUDA.
    """
    dtype = pick_dtype(name, device)
    if dtype == torch.float32:
        return nullcontext
    if dtype == torch.float16 and device.type != "cuda":
        raise UsageError(f"precision float16 needs a CUDA device, not {device.type}; use auto or bfloat16")
    return lambda: torch.autocast(device.type, dtype)


def scaler_for(device: torch.device, name: str) -> GradScaler | None:
    """What keeps gradients inside the range of float16; other number types need none."""
    return GradScaler(device.type) if name == "float16" else None
