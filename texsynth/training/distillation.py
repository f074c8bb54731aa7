"""Distil the narrow encoder from the teacher, together with decoders that keep it invertible.

Three terms: the teacher's principal components from the student's features by one linear head per level
(distillation), the image from the features (reconstruction), and the features of that image (cycle). The
transforms feed decoders features that no encoder produced, so the cycle counts from the first step.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from texsynth.models.autoencoder import Decoder
from texsynth.models.vgg import LEVELS, Encoder
from texsynth.training.closed_form import ridge
from texsynth.training.data import to_image
from texsynth.training.teacher import Cache, gather

IMAGE_VARIANCE = 0.07
"""Mean variance of training pictures; errors are measured against it."""


@dataclass(frozen=True)
class DistillationSettings:
    """Weights of the joint training."""

    batch: int = 16
    decoded: int = 8
    """Pictures of the batch that are also decoded; the rest only distil, at half the cost."""
    reconstruction: float = 10.0
    cycle: float = 2.0
    level_weights: tuple[float, ...] = (2.0, 1.0, 2.0, 1.0, 1.5)
    """Weights of the levels in the distillation."""
    level_odds: tuple[float, ...] = (0.06, 0.14, 0.3, 0.3, 0.2)
    """Odds that the decoder of levels 1, 2, ... is the one trained in a step; at 0 it is not needed."""


class Distillation(nn.Module):
    """Encoder, one linear head per level, and some decoders."""

    def __init__(self, encoder: Encoder, decoders: dict[int, Decoder], cache: Cache) -> None:
        """decoders: by level. cache: targets of the heads; only its sizes are used here."""
        super().__init__()
        self.encoder = encoder
        self.decoders = nn.ModuleDict({str(level): decoder for level, decoder in decoders.items()})
        self.heads = nn.ModuleList(
            nn.Linear(width, target.shape[2])
            for width, target in zip(encoder.widths, cache.targets, strict=True)
        )

    @torch.no_grad()
    def fit_heads(self, cache: Cache, count: int = 512) -> None:
        """Set the heads by regression on the first `count` crops of the cache."""
        pooled: list[list[Tensor]] = [[] for _ in LEVELS]
        for index in torch.arange(min(count, len(cache.crops))).split(32):
            features = self.encoder(to_image(cache.crops[index]))
            for k, f in enumerate(features):
                pooled[k].append(gather(f, cache.positions[k][index]).flatten(0, 1))
        for k, head in enumerate(self.heads):
            assert isinstance(head, nn.Linear)
            x, y = torch.cat(pooled[k]), cache.targets[k][:count].flatten(0, 1).float()
            mean = x.mean(0)
            weight = ridge((x - mean).T @ (x - mean), (x - mean).T @ (y - y.mean(0)), 1e-5)
            head.weight.copy_(weight.T)
            head.bias.copy_(y.mean(0) - mean @ weight)

    def losses(
        self, cache: Cache, settings: DistillationSettings, device: torch.device, rng: torch.Generator
    ) -> dict[str, Tensor]:
        """Draw a batch and a level. Returns the terms `distillation`, `reconstruction` and `cycle`.

        Without decoders, `distillation` alone.
        """
        index = torch.randint(len(cache.crops), (settings.batch,), generator=rng)
        odds = torch.tensor([settings.level_odds[int(level) - 1] for level in self.decoders])
        chosen = int(torch.multinomial(odds, 1, generator=rng)) if len(odds) else -1
        image = to_image(cache.crops[index], device)
        features = self.encoder(image)
        total = image.new_zeros(())
        for k, f in enumerate(features):
            guess = self.heads[k](gather(f, cache.positions[k][index].to(device)))
            error = guess.float() - cache.targets[k][index].to(device).float()
            total = total + settings.level_weights[k] * error.square().sum(2).mean() / cache.variance[k]
        terms = {"distillation": total}
        if chosen >= 0:
            level = list(self.decoders)[chosen]
            some = slice(settings.decoded)
            rebuilt, cycle = cycle_terms(
                self.encoder, self.decoders[level], features[int(level) - 1][some], int(level), image[some]
            )
            terms["reconstruction"] = settings.reconstruction * rebuilt
            terms["cycle"] = settings.cycle * cycle
        return terms


def cycle_terms(
    encoder: Encoder, decoder: nn.Module, features: Tensor, level: int, image: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute both terms of the autoencoder loss (002, eq. 28), relative to the variance of their targets.

    features: `encoder`'s of `image` at `level`. Returns reconstruction and feature errors, both scalar.
    """
    rebuilt = decoder(features)
    again = encoder.segment(rebuilt, 0, level)
    variance = features.detach().float().var((0, 2, 3)).mean()
    return (
        F.mse_loss(rebuilt.float(), image) / IMAGE_VARIANCE,
        F.mse_loss(again.float(), features.float()) / variance,
    )
