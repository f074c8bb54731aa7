"""Exponential moving average of weights."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import nn


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
