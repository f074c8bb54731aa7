"""Training of the network of paper 004: its start, its Frechet loss, running statistics of targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from texsynth.config.settings import TransposerSettings
from texsynth.errors import ModelError
from texsynth.metrics.losses import frechet_distance
from texsynth.models.registry import load_model
from texsynth.models.transposer_paper import PaperTransposer
from texsynth.models.transposers import load_network
from texsynth.models.vgg import Encoder

DECAY = 0.99
"""Share of the statistics of the targets that a step keeps; they look back over about a hundred steps."""


def begin_paper(settings: TransposerSettings, model: str, seed: int, init: Path | None) -> PaperTransposer:
    """Build the network before the first step: random from the seed, or as the file `init` left it.

    model: the one whose encoder `lite` is. Raises ModelError for an encoder that is not there or not deep
    enough, and for an `init` of another layout, encoder or width.
    """
    pretrained: Encoder | None = None
    if settings.encoder != "own":
        name = "vgg19" if settings.encoder == "vgg19" else model
        pretrained = load_model(name).vgg()
        if len(pretrained.widths) < 5:
            raise ModelError(
                f"model {name} has no relu5_1, which layout paper looks at; use another, like lite"
            )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = PaperTransposer.of_width(settings.width, pretrained)
    if init is None:
        return net
    begun, _ = load_network(str(init))
    if not isinstance(begun, PaperTransposer):
        raise ModelError(f"{init} is of layout copies, not paper; give a network of this command")
    shapes, wanted = ({key: value.shape for key, value in n.state_dict().items()} for n in (begun, net))
    if shapes != wanted:
        raise ModelError(
            f"{init} has not encoder {settings.encoder} and width {settings.width:g}; "
            "give the preset and the settings that it was trained with"
        )
    net.load_state_dict(begun.state_dict())
    return net


@dataclass
class RunningGaussian:
    """Mean and covariance of all feature vectors so far, older batches counting less and less; float64."""

    mean: Tensor  # (C,), times `weight`
    second: Tensor  # (C, C), mean of outer products, times `weight`
    weight: float = 0.0  # 1 - DECAY ** updates: how much of an average there is

    @classmethod
    def of_channels(cls, count: int) -> RunningGaussian:
        """Begin without any."""
        return cls(torch.zeros(count, dtype=torch.float64), torch.zeros(count, count, dtype=torch.float64))

    def update(self, samples: Tensor) -> None:
        """Add a batch, (n, C)."""
        x = samples.detach().cpu().double()
        self.mean = self.mean.lerp(x.mean(0), 1 - DECAY)
        self.second = self.second.lerp(x.mT @ x / len(x), 1 - DECAY)
        self.weight += (1 - DECAY) * (1 - self.weight)

    def moments(self) -> tuple[Tensor, Tensor]:
        """Return mean and covariance, after one update at least."""
        mean = self.mean / self.weight
        return mean, self.second / self.weight - torch.outer(mean, mean)

    def state_dict(self) -> dict[str, Any]:
        """Return all numbers."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them."""
        self.mean, self.second, self.weight = state["mean"], state["second"], float(state["weight"])


def frechet_term(features: Tensor, goals: Tensor, real: RunningGaussian, *, learn: bool) -> Tensor:
    """Frechet distance of all positions of (N, C, h, w) to those of all targets so far, over their variance.

    learn: count `goals`, the targets' features, among them.
    """
    rows, truth = (x.transpose(0, 1).flatten(1).mT for x in (features, goals))
    if learn:
        real.update(truth)
    mean, covariance = real.moments()
    distance = frechet_distance(rows, mean, covariance)
    return (distance / covariance.trace().clamp_min(1e-6).to(distance)).float().to(rows.device)


@dataclass(frozen=True)
class Together:
    """Several states as one part of a checkpoint."""

    parts: Sequence[Any]

    def state_dict(self) -> dict[str, Any]:
        """Return the states by their place."""
        return {str(k): part.state_dict() for k, part in enumerate(self.parts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore all."""
        for k, part in enumerate(self.parts):
            part.load_state_dict(state[str(k)])
