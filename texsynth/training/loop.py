"""The training loop: schedule, checkpoints, exact resume, log. The loss function comes from outside."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from texsynth.config.settings import Settings
from texsynth.errors import InputError
from texsynth.training import log
from texsynth.training.checkpoint import Checkpoint, Learner
from texsynth.training.optimizer import autocast_for


@dataclass(frozen=True)
class Session:
    """One sitting of a training: the device, and who is told. Apart from rounding, the result ignores it."""

    device: torch.device
    resume: bool = False  # Go on from the checkpoint, which must exist
    report: Callable[[str], None] = lambda _: None  # Takes remarks for the user
    on_step: Callable[[int, Mapping[str, float]], None] = lambda *_: None
    """Takes the number of steps done and the terms of the loss, after every step."""


@dataclass(frozen=True)
class LoopSettings:
    """Length, learning rate and checkpoints of a training."""

    steps: int
    warmup: int = 30  # Steps over which the rates rise
    schedule: Literal["cosine", "constant", "step"] = "cosine"
    """The rates fall to 1% in the end, or stay, or fall to a tenth after each quarter."""
    clip: float = 1.0
    """Largest gradient norm; larger gradients are scaled down to it. 0 leaves all as they are."""
    precision: str = "auto"  # Number type of the networks
    save_every: int = 100  # Steps between checkpoints
    rescues: int = 5
    """Most times that a run may go back to its last good state because something was not finite."""
    validate_every: int = 100
    """Steps between measurements on held-out pictures, where there are any."""
    batch: int = 0  # Samples of a step, for the speed in the log; 0 leaves it out

    @classmethod
    def of(cls, settings: Settings, **changes: Any) -> LoopSettings:  # noqa: ANN401 (values of fields)
        """Take the fields that `settings` has, then `changes`, and the defaults for the rest."""
        return cls(**{**settings.model_dump(include={field.name for field in fields(cls)}), **changes})


def run(
    learner: Learner,
    loss: Callable[[torch.Generator], dict[str, Tensor]],
    settings: LoopSettings,
    checkpoint: Path,
    session: Session,
    *,
    validate: Callable[[], float] | None = None,
    inspect: Callable[[int], None] = lambda _: None,
    origin: Mapping[str, str] | None = None,
) -> None:
    """Train `learner.module` in place. A killed run goes on from its checkpoint, bit for bit.

    loss: draws a batch and returns named terms, whose sum is minimised.
    A loss, gradient or weight that is not finite takes everything but the random numbers and the data back to
    the last checkpoint, which is reported. Gradients that float16 cannot hold only cost their step, as
    the loss is scaled down then. validate: PSNR in dB on held-out pictures. inspect: looks at the module
    before every checkpoint, given the steps done, and may raise. Raises InputError when there is nothing to
    resume, or too much was not finite, UsageError for a checkpoint from another `origin`.
    """
    autocast = autocast_for(session.device, settings.precision)
    state = Checkpoint(checkpoint, learner, origin or {})
    step, rescues = state.start(session.resume), 0
    learner.module.train()
    while step < settings.steps:
        begun = time.perf_counter()
        factor = rate_factor(step, settings)
        learner.optimizer.scale_rates(factor)
        with autocast():
            terms = loss(learner.rng)
        total = torch.stack([t.float() for t in terms.values()]).sum()
        norm = _gradients(learner, total, settings)
        failure = ""
        loss_value, scaler = float(total.detach()), learner.scaler
        # In float16 the scale of the loss may cost the gradients, which mends itself.
        overflowed = scaler is not None and math.isfinite(loss_value) and scaler.get_scale() >= 1
        if math.isfinite(loss_value + norm):
            learner.optimizer.step()
            if learner.average:
                learner.average.update_parameters(learner.module)
        elif not overflowed:
            failure = "the loss"
        saves = (step + 1) % settings.save_every == 0 or step + 1 == settings.steps
        if saves and not failure and not learner.is_finite():
            failure = "a weight"
        if failure:
            rescues += 1
            if rescues > settings.rescues:
                raise InputError(
                    f"{failure} was not finite {rescues} times, last at step {step}; "
                    "lower the learning rate and resume"
                )
            back = state.load(random_numbers=False)
            session.report(f"{failure} was not finite at step {step}; back to the state after step {back}")
            step = back
            continue
        values = {name: float(t.detach()) for name, t in terms.items()}
        rate = factor * learner.optimizer.rates[0]
        row: dict[str, float | None] = {"step": step, **values, "rate": rate, "grad_norm": norm}
        step += 1
        if settings.batch:
            row["samples_per_s"] = settings.batch / max(time.perf_counter() - begun, 1e-9)
        if validate:
            due = step % settings.validate_every == 0 or step == settings.steps
            row["psnr"] = validate() if due else None
        log.append(state.log, row)
        session.on_step(step, values)
        if saves:
            inspect(step)
            state.save(step)


def rate_factor(step: int, settings: LoopSettings) -> float:
    """Share of the learning rate at `step`: linear warm-up, then a cosine down to 1%, or quarters, or 1."""
    warm = min(1.0, (step + 1) / max(1, settings.warmup))
    if settings.schedule == "step":
        return warm * 0.1 ** (4 * step // settings.steps)
    if settings.schedule == "constant":
        return warm
    return warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / settings.steps)))


def _gradients(learner: Learner, total: Tensor, settings: LoopSettings) -> float:
    """Compute and clip the gradients of the trained parameters. Returns their norm before clipping."""
    learner.optimizer.zero_grad()
    if learner.scaler:
        learner.scaler.scale(total).backward()
        learner.scaler.unscale_(learner.optimizer)  # type: ignore[arg-type]  # it looks at param_groups only
        learner.scaler.update()
    else:
        total.backward()
    return float(nn.utils.clip_grad_norm_(learner.module.parameters(), settings.clip or math.inf))
