"""The patch critic: tells patches of real textures from made ones (spectral norm, hinge loss)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

WIDTHS = (24, 48, 64)
"""Channels of the layers; each verdict sees about 30 pixels."""


class PatchCritic(nn.Module):
    """Picture to a verdict for each patch; every layer has a Lipschitz constant of 1 (Miyato et al. 2018)."""

    def __init__(self) -> None:
        """Random weights."""
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width, stride in zip(WIDTHS, (2, 2, 1), strict=True):
            layers += [spectral_norm(nn.Conv2d(before, width, 4, stride, 1)), nn.LeakyReLU(0.2)]
            before = width
        self.layers = nn.Sequential(*layers, spectral_norm(nn.Conv2d(before, 1, 3, 1, 1)))

    def forward(self, image: Tensor) -> Tensor:
        """image: (N, 3, H, W) in [0, 1]. Returns (N, 1, about H / 4, about W / 4), above 0 for real."""
        verdict: Tensor = self.layers(2 * image - 1)
        return verdict


class Adversary:
    """A critic that learns beside the network it judges; its state is part of a checkpoint."""

    def __init__(self, seed: int, device: torch.device, rate: float = 4e-4) -> None:
        """seed: of its first weights. rate: Adam's learning rate."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.net = PatchCritic().to(device)
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=rate, betas=(0.0, 0.9))

    def learn(self, real: Tensor, made: Tensor) -> Tensor:
        """One step of the critic's hinge loss on (N, 3, H, W) pictures. Returns the loss, detached."""
        with torch.autocast(real.device.type, enabled=False):
            self.net.requires_grad_(True)
            loss = (
                F.relu(1 - self.net(real.float())).mean() + F.relu(1 + self.net(made.detach().float())).mean()
            )
            if bool(loss.isfinite()):  # a step with anything else would spoil the critic for ever
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
            return loss.detach()

    def judge(self, made: Tensor) -> Tensor:
        """What the generator minimises: minus the mean verdict, a scalar."""
        with torch.autocast(made.device.type, enabled=False):
            self.net.requires_grad_(False)
            verdict: Tensor = -self.net(made.float()).mean()
            return verdict

    def state_dict(self) -> dict[str, Any]:
        """Weights and optimizer."""
        return {"net": self.net.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore both."""
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
