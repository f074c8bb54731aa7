"""The machine that a run is on: its device, number type and threads."""

from __future__ import annotations

import torch

from texsynth.device import pick_device, pick_dtype, set_threads
from texsynth.models.compiled import compile_networks
from texsynth.models.names import cache_folder
from texsynth.models.registry import Model, load_model
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


def equipped(run: RunSettings) -> tuple[RunSettings, Model]:
    """`run` with every `auto` decided, and its model in place. Raises UsageError, ModelError."""
    run, device, dtype = decided(run)
    model = load_model(run.model, device, dtype)
    if run.compiled:
        compile_networks(model, cache_folder() / "compiled")
    return run, model
