"""Everything that a training changes, and the file from which a killed one goes on exactly."""

from __future__ import annotations

import os
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Protocol
from zipfile import BadZipFile

import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler

from texsynth.errors import InputError, UsageError
from texsynth.training.log import Log
from texsynth.training.optimizer import Optimizer


class Stateful(Protocol):
    """What learns or moves on beside the module, such as a critic, and is saved with it."""

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on exactly."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""


@dataclass(frozen=True)
class Learner:
    """A module in training, with all that changes along with it."""

    module: nn.Module
    optimizer: Optimizer
    rng: torch.Generator
    companion: Stateful | None = None
    """Trained by the loss, such as a critic."""
    feed: Stateful | None = None
    """Hands out the data. Like the random numbers it is not taken back after a failure."""
    average: Average | None = None
    """Of the module's weights."""
    scaler: GradScaler | None = None
    """Of the loss, for float16."""

    @property
    def result(self) -> nn.Module:
        """What the training is for: the averaged module, where there is an average."""
        return self.average.module if self.average else self.module

    def is_finite(self) -> bool:
        """Whether all weights are, averaged ones too."""
        modules = {self.module, self.result}
        return all(bool(p.isfinite().all()) for module in modules for p in module.parameters())

    def state(self) -> dict[str, Any]:
        """All of it."""
        feed = {"feed": self.feed.state_dict()} if self.feed else {}
        return {name: part.state_dict() for name, part in self._parts().items()} | {
            "rng": self.rng.get_state(),
            **feed,
        }

    def restore(self, state: Mapping[str, Any], *, random_numbers: bool) -> None:
        """Go back to `state`. random_numbers: these, too, and the data."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        if random_numbers:
            self.rng.set_state(state["rng"])
            if self.feed:
                self.feed.load_state_dict(state["feed"])

    def _parts(self) -> dict[str, Any]:
        parts = {
            "module": self.module,
            "optimizer": self.optimizer,
            "companion": self.companion,
            "average": self.average,
            "scaler": self.scaler,
        }
        return {name: part for name, part in parts.items() if part is not None}


@dataclass(frozen=True)
class Checkpoint:
    """The file of a training, and its log."""

    path: Path
    learner: Learner
    origin: Mapping[str, str]
    """What the training follows from; another one is not resumed."""

    @property
    def log(self) -> Log:
        """The log beside the file."""
        return Log(self.path.with_suffix(".csv"))

    def start(self, resume: bool) -> int:
        """Step to begin with; a fresh run is saved first, so that there always is a good state."""
        if resume:
            if not self.path.exists():
                raise InputError(f"there is no checkpoint {self.path} to resume from; start without --resume")
            check_origin(self.path, self.origin)
            return self.load()
        self.log.clear()
        self.save(0)
        return 0

    def save(self, step: int) -> None:
        """Write the state after `step` steps, and draw the log."""
        part = self.path.with_suffix(".part")
        torch.save({**self.learner.state(), "step": step, "origin": dict(self.origin)}, part)
        os.replace(part, self.path)
        self.log.draw()

    def load(self, *, random_numbers: bool = True) -> int:
        """Go back to the file; new random numbers if the old ones led to a failure. Returns the step."""
        state = torch.load(self.path, weights_only=True)
        self.learner.restore(state, random_numbers=random_numbers)
        step = int(state["step"])
        self.log.keep(step)
        return step


def steps_done(path: Path) -> int:
    """Steps behind the checkpoint in `path`. Raises InputError when it is damaged."""
    return int(_glance(path)["step"])


def has_origin(path: Path) -> bool:
    """Whether the checkpoint in `path` says what it was made from."""
    return bool(_glance(path).get("origin"))


def check_origin(path: Path, origin: Mapping[str, str]) -> None:
    """Raise UsageError, naming what differs, unless the checkpoint in `path` was made from `origin`."""
    there = _glance(path).get("origin", {})
    if not there and origin:
        raise UsageError(f"{path} is of an earlier version and does not say its settings; begin another run")
    for name, value in origin.items():
        if there.get(name) != value:
            raise UsageError(
                f"{path} was made with {name} {there.get(name)}, not {value}; resume with the same settings, "
                "or begin another run"
            )


def _glance(path: Path) -> dict[str, Any]:
    """A checkpoint whose tensors stay on disk until they are needed."""
    try:
        found: dict[str, Any] = torch.load(path, weights_only=True, mmap=True)
    except (RuntimeError, UnpicklingError, BadZipFile, EOFError, OSError) as error:
        raise InputError(f"checkpoint {path} cannot be read ({error}); begin another run") from error
    return found


class Average:
    """A copy of a module whose weights follow those of the trained one slowly (Polyak averaging).

    After update t = 0, 1, ... it is d * average + (1 - d) * weights with d = min(decay, (1 + t) / (10 + t)):
    early on it looks back over a tenth of the steps, so that the start is soon forgotten.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        """decay: in [0, 1), the d that is reached in the end."""
        self.module = deepcopy(module).eval().requires_grad_(False)
        self.decay, self.updates = decay, 0

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take in the weights of `module` after a step."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for mine, other in zip(self.module.parameters(), module.parameters(), strict=True):
            mine.lerp_(other, 1 - decay)
        self.updates += 1

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on exactly."""
        return {"module": self.module.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.module.load_state_dict(state["module"])
        self.updates = int(state["updates"])
