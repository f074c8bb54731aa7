"""The machine that a run is on: its device, number type and threads."""

from __future__ import annotations

import torch

from texsynth.device import pick_device, pick_dtype, set_threads
from texsynth.settings import RunSettings


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
