"""The training loop: schedule, checkpoints, exact resume, log. What is trained comes in as a function."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

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
    rescues: int = 5
    """How often a run may go back to its last good state because the loss was not finite."""


class Stateful(Protocol):
    """What learns beside the module, such as a critic, and is saved with it."""

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on exactly."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""


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
    companion: Stateful | None = None,
    report: Callable[[str], None] | None = None,
) -> None:
    """Train `module` in place. A killed run goes on from its checkpoint, bit for bit as if it had not been.

    companion: saved and restored with the module; `loss` trains it. A loss or gradient that is not finite
    takes everything but the random numbers back to the last checkpoint, which `report` is told.
    Raises InputError when there is nothing to resume, or when that has happened too often.
    """
    state = _State(checkpoint, module, optimizer, rng, companion)
    step = state.start(resume)
    module.train()
    rescues = 0
    while step < settings.steps:
        optimizer.scale_rates(rate_factor(step, settings))
        with autocast():
            terms = loss(rng)
        total = torch.stack([t.float() for t in terms.values()]).sum()
        optimizer.zero_grad()
        total.backward()
        norm = nn.utils.clip_grad_norm_(module.parameters(), settings.clip)
        if not math.isfinite(float(total.detach()) + float(norm)):
            rescues += 1
            if rescues > settings.rescues:
                raise InputError(
                    f"the loss was not finite {rescues} times, last at step {step}; "
                    "lower the learning rate and resume"
                )
            failed, step = step, state.load(random_numbers=False)
            if report:
                report(f"the loss was not finite at step {failed}; back to the state after step {step}")
            continue
        optimizer.step()
        values = {name: float(t.detach()) for name, t in terms.items()}
        _log(state.log, step, values)
        step += 1
        if on_step:
            on_step(step, values)
        if step % settings.save_every == 0 or step == settings.steps:
            state.save(step)


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


@dataclass(frozen=True)
class _State:
    """Everything a run changes, and the file it is kept in."""

    path: Path
    module: nn.Module
    optimizer: Optimizer
    rng: torch.Generator
    companion: Stateful | None

    @property
    def log(self) -> Path:
        return self.path.with_suffix(".csv")

    def start(self, resume: bool) -> int:
        """Step to begin with; a fresh run is saved first, so that there always is a good state."""
        if resume:
            if not self.path.exists():
                raise InputError(f"there is no checkpoint {self.path} to resume from; start without --resume")
            return self.load()
        self.log.unlink(missing_ok=True)
        self.save(0)
        return 0

    def save(self, step: int) -> None:
        state = {
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rng": self.rng.get_state(),
            "step": step,
        }
        if self.companion:
            state["companion"] = self.companion.state_dict()
        part = self.path.with_suffix(".part")
        torch.save(state, part)
        os.replace(part, self.path)

    def load(self, *, random_numbers: bool = True) -> int:
        """Go back to the file; new random numbers if the old ones led to a failure. Returns the step."""
        state = torch.load(self.path, weights_only=True)
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.companion:
            self.companion.load_state_dict(state["companion"])
        if random_numbers:
            self.rng.set_state(state["rng"])
        step = int(state["step"])
        if self.log.exists():  # rows after the checkpoint will be written again
            kept = self.log.read_text().splitlines(keepends=True)[: step + 1]
            self.log.write_text("".join(kept))
        return step


def _log(path: Path, step: int, values: Mapping[str, float]) -> None:
    fresh = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if fresh:
            writer.writerow(["step", *values])
        writer.writerow([step, *(f"{value:.6g}" for value in values.values())])
