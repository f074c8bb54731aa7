"""The Frechet distance of trainings: the features that it looks at, and their running statistics."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from texsynth.errors import ModelError
from texsynth.metrics.losses import frechet_distance
from texsynth.models.hub.cache import file_hash
from texsynth.paths import is_file

DECAY = 0.99
"""Share of the statistics of the targets that a step keeps; they look back over about a hundred steps."""

INCEPTION = "inception_v3_google-0cc3c7bd.pth"
"""File of torchvision's Inception v3 in the cache of torch.hub."""

STEM = ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1")
"""Its layers up to the first pooling, as torchvision names them: where the author of paper 004 takes the
distance in his published program, though of means over pictures, of which a batch has too few."""


class Inception(nn.Sequential):
    """Map pictures (N, 3, H, W) in [0, 1] to features (N, 64, about H / 4, about W / 4), non-negative."""

    channels = 64

    def __init__(self, whole: nn.Module, name: str) -> None:
        """whole: the network of torchvision. name: what outputs and headers call the features."""
        super().__init__(*(whole.get_submodule(layer) for layer in STEM))
        self.name = name
        self.eval().requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        """Compute the features; the weights were trained on pictures in [-1, 1]."""
        features = 2 * image - 1
        for layer in self:
            features = layer(features)
        return features


def find_inception(device: torch.device | str = "cpu") -> Inception | None:
    """Load Inception v3 from the cache of torch.hub; None where its weights or torchvision are missing.

    Nothing is downloaded. Raises ModelError for a file of that name with anything else in it.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION
    if not is_file(path):
        return None
    try:
        from torchvision.models import inception_v3
    except (ImportError, OSError, RuntimeError, AttributeError):  # also of a torchvision for another torch
        return None
    whole = inception_v3(weights=None, init_weights=False)
    try:
        whole.load_state_dict(torch.load(path, weights_only=True))
    except (RuntimeError, UnpicklingError, EOFError, OSError, TypeError) as error:
        raise ModelError(
            f"{path} does not hold the weights of torchvision's inception_v3; put them there, or remove it"
        ) from error
    # The first digits of the hash, as the published file has them in its name.
    return Inception(whole, f"{STEM[-1]} of inception_v3 {file_hash(path)[:8]}").to(device)


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
