"""The training loop: schedule, checkpoints, exact resume, log. What is trained comes in as a function."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from texsynth.device import pick_dtype
from texsynth.errors import InputError
from texsynth.training.optimizer import Optimizer


@dataclass(frozen=True)
class LoopSettings:
    """Length and rhythm of a training run."""

    steps: int
    warmup: int = 30
    clip: float = 1.0
    """Largest gradient norm; larger gradients are scaled down to it."""
    save_every: int = 100
    """Steps between checkpoints."""


LossFunction = Callable[[torch.Generator], dict[str, Tensor]]
"""Draws a batch and returns named loss terms; their sum is minimised."""


def run(
    module: nn.Module,
    loss: LossFunction,
    optimizer: Optimizer,
    settings: LoopSettings,
    rng: torch.Generator,
    checkpoint: Path,
    *,
    resume: bool,
    autocast: Callable[[], AbstractContextManager[Any]],
    on_step: Callable[[int, Mapping[str, float]], None] | None = None,
) -> None:
    """Train `module` in place. A killed run goes on from its checkpoint, bit for bit as if it had not been.

    Raises InputError when there is nothing to resume, or when the loss is no longer finite.
    """
    log_path = checkpoint.with_suffix(".csv")
    start = _restore(checkpoint, module, optimizer, rng, log_path, resume)
    module.train()
    for step in range(start, settings.steps):
        optimizer.scale_rates(rate_factor(step, settings))
        with autocast():
            terms = loss(rng)
        total = torch.stack([t.float() for t in terms.values()]).sum()
        optimizer.zero_grad()
        total.backward()
        norm = nn.utils.clip_grad_norm_(module.parameters(), settings.clip)
        if not math.isfinite(float(total.detach()) + float(norm)):
            raise InputError(f"the loss is not finite at step {step}; lower the learning rate and resume")
        optimizer.step()
        values = {name: float(t.detach()) for name, t in terms.items()}
        _log(log_path, step, values)
        if on_step:
            on_step(step + 1, values)
        if (step + 1) % settings.save_every == 0 or step + 1 == settings.steps:
            _save(checkpoint, module, optimizer, rng, step + 1)


def autocast_for(device: torch.device) -> Callable[[], AbstractContextManager[Any]]:
    """Mixed precision where the hardware computes bfloat16 natively, else nothing."""
    dtype = pick_dtype("auto", device)
    if dtype == torch.float32:
        return nullcontext
    return lambda: torch.autocast(device.type, dtype)


def rate_factor(step: int, settings: LoopSettings) -> float:
    """Linear warm-up, then cosine to 1% of the rate."""
    warm = min(1.0, (step + 1) / settings.warmup)
    return warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / settings.steps)))


def _save(path: Path, module: nn.Module, optimizer: Optimizer, rng: torch.Generator, step: int) -> None:
    state = {
        "module": module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "rng": rng.get_state(),
        "step": step,
    }
    part = path.with_suffix(".part")
    torch.save(state, part)
    os.replace(part, path)


def _restore(
    path: Path, module: nn.Module, optimizer: Optimizer, rng: torch.Generator, log_path: Path, resume: bool
) -> int:
    if not resume:
        log_path.unlink(missing_ok=True)
        return 0
    if not path.exists():
        raise InputError(f"there is no checkpoint {path} to resume from; start without --resume")
    state = torch.load(path, weights_only=True)
    module.load_state_dict(state["module"])
    optimizer.load_state_dict(state["optimizer"])
    rng.set_state(state["rng"])
    step = int(state["step"])
    if log_path.exists():  # rows after the checkpoint will be written again
        kept = log_path.read_text().splitlines(keepends=True)[: step + 1]
        log_path.write_text("".join(kept))
    return step


def _log(path: Path, step: int, values: Mapping[str, float]) -> None:
    fresh = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if fresh:
            writer.writerow(["step", *values])
        writer.writerow([step, *(f"{value:.6g}" for value in values.values())])
