"""Figures of one stylized picture, and over all pictures of a method."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor

from texsynth.errors import UsageError
from texsynth.evaluation.bootstrap import Estimate
from texsynth.metrics.style import edge_similarity, feature_wasserstein, gram_distance
from texsynth.metrics.texture import ssim
from texsynth.models.registry import Model
from texsynth.pipelines.rasters import TensorRaster
from texsynth.pipelines.transfer import tiled_encoder
from texsynth.transforms.moments import Moments

MEASURES = ("gram", "wasserstein", "ssim", "edges", "identity")
"""Of a result, in the order in which they are shown."""

LESS_IS_BETTER = {
    "gram": True,
    "wasserstein": True,
    "ssim": False,
    "edges": False,
    "identity": False,
    "seconds": True,
}
"""All figures that means are taken of."""


@dataclass(frozen=True)
class Scores:
    """The measures of what a method made of a pair, the mean over its seeds."""

    gram: float
    """Distance of Gram matrices to the style, the mean over LEVELS."""
    wasserstein: float
    """Sliced Wasserstein distance of features to the style, the mean over LEVELS."""
    ssim: float
    """Structural similarity to the content."""
    edges: float
    """The same of edges."""
    identity: float
    """PSNR in dB of the content stylized by itself."""
    levels: Mapping[str, Mapping[str, float]]
    """gram and wasserstein of each level, by its name."""


def score(output: Tensor, seen: Features, content: Tensor, style: Features, identity: float) -> Scores:
    """All measures of `output` and `content`, both (1, 3, H, W) in [0, 1]. seen: features of `output`."""
    levels = {
        level_name(level): {
            "gram": gram_distance(seen.moments[level], style.moments[level]),
            "wasserstein": feature_wasserstein(seen.samples[level], style.samples[level], _rng()),
        }
        for level in LEVELS
    }
    gram, wasserstein = (fmean(of[name] for of in levels.values()) for name in ("gram", "wasserstein"))
    return Scores(
        gram, wasserstein, ssim(output, content), edge_similarity(output, content), identity, levels
    )


def mean_scores(scores: Sequence[Scores]) -> Scores:
    """Measure by measure, of results of one pair."""
    return Scores(
        **{name: fmean(getattr(s, name) for s in scores) for name in MEASURES},
        levels={
            level: {name: fmean(s.levels[level][name] for s in scores) for name in found}
            for level, found in scores[0].levels.items()
        },
    )


@dataclass(frozen=True)
class Frechet:
    """Distance of the features of all results to those of all their styles, and the number of positions."""

    distance: float
    results: int
    styles: int


@dataclass(frozen=True)
class Summary:
    """A method over all pairs."""

    method: str
    done: int
    failed: int
    estimates: Mapping[str, Estimate | None]
    """Of all figures in LESS_IS_BETTER."""
    levels: Mapping[str, Mapping[str, float]]
    """Means of gram and wasserstein of each level, by its name; empty without results."""
    frechet: Frechet | None


@dataclass(frozen=True)
class Scored:
    """Figures of one pair."""

    scores: Scores
    seconds: float


def summarise(
    method: str, results: Sequence[Scored], failed: int, frechet: Frechet | None, seed: int
) -> Summary:
    """Means with their intervals. seed: of the bootstrap."""
    values = {name: [getattr(r.scores, name) for r in results] for name in MEASURES}
    values["seconds"] = [r.seconds for r in results]
    levels = mean_scores([r.scores for r in results]).levels if results else {}
    return Summary(
        method,
        len(results),
        failed,
        {name: Estimate.of(values[name], seed) for name in LESS_IS_BETTER},
        levels,
        frechet,
    )


def _rng() -> torch.Generator:
    """Fixed: every result is measured in the same directions."""
    return torch.Generator().manual_seed(0)


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
        encoder = tiled_encoder(self.model, self.levels[-1])
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
