"""Pictures as the measuring network sees them, which need not be the network that stylizes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from texsynth.errors import UsageError
from texsynth.models.registry import Model
from texsynth.pipelines.codec import whole_encoder
from texsynth.pipelines.rasters import TensorRaster
from texsynth.transforms.moments import Moments

LEVELS = (1, 2, 3, 4)
"""Levels at which styles are compared."""

SAMPLES = 16384
"""Most positions of a level that the sliced Wasserstein distance sees, the same in pictures of one size."""


@dataclass(frozen=True)
class Features:
    """What is kept of a picture's features."""

    moments: Mapping[int, Moments]
    """By level, of all positions."""
    samples: Mapping[int, Tensor]
    """By level, (1, C, n) with n at most SAMPLES."""


@dataclass(frozen=True)
class Network:
    """The encoder that measures, and the levels that it is asked for."""

    model: Model
    frechet_level: int

    @property
    def levels(self) -> list[int]:
        """All that are measured."""
        return sorted({*LEVELS, self.frechet_level})

    def check(self) -> None:
        """UsageError when the model lacks a level."""
        there = len(self.model.encoder.widths)
        if there < self.levels[-1]:
            raise UsageError(
                f"--features {self.model.name} has levels 1 to {there}, but {self.levels[-1]} is needed; "
                f"give another model{' or a lower --frechet-level' if there >= LEVELS[-1] else ''}"
            )

    @torch.inference_mode()
    def of(self, image: Tensor) -> Features:
        """Measure (1, 3, H, W) in [0, 1]."""
        encoder = whole_encoder(self.model, self.levels[-1])
        found = {level: f.float() for level, f in encoder.features(TensorRaster(image)).items()}
        return Features(
            {level: Moments.of(found[level]) for level in self.levels},
            {level: _sampled(found[level]) for level in LEVELS},
        )


def level_name(level: int) -> str:
    """As networks call it."""
    return f"relu{level}_1"


def total(moments: Collection[Moments]) -> Moments:
    """Those of all pictures together, at least one."""
    first, *rest = moments
    return sum(rest, first)


def _sampled(features: Tensor) -> Tensor:
    """(1, C, n) of (1, C, h, w), at places that depend on h w alone."""
    flat = features.flatten(2)
    count = flat.shape[2]
    if count <= SAMPLES:
        return flat
    picked = torch.randperm(count, generator=torch.Generator().manual_seed(0))[:SAMPLES]
    return flat[:, :, picked.to(flat.device)]
