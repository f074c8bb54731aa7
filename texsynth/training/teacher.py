"""The teacher's features, which the student is to learn, reduced and cached.

A pass of the full-width teacher costs ten times a training step of the student, so each crop meets it once.
Features are kept at sampled positions, projected on their leading principal components, as float16.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from texsynth.errors import ModelError
from texsynth.models.vgg import LEVELS, Encoder, inference
from texsynth.models.weights import read_weights
from texsynth.training.data import to_image
from texsynth.training.optimizer import autocast_for

COMPONENTS = (32, 64, 128, 256, 256)
"""Principal components kept per level; they hold 90% and more of the variance."""

POSITIONS = (192, 192, 192, 192, 64)
"""Positions sampled per crop and level."""


@dataclass(frozen=True)
class Cache:
    """Crops and the teacher's features of them, one list entry per level.

    crops: (N, 3, S, S) uint8. positions[l]: (N, n_l) flat indices. targets[l]: (N, n_l, k_l) float16,
    centred, projected on the principal components. variance[l]: total feature variance per position.
    """

    crops: Tensor
    positions: list[Tensor]
    targets: list[Tensor]
    variance: list[float]


def load_teacher(path: Path) -> Encoder:
    """Load a full-width encoder from safetensors with keys `convB_I.weight|bias`.

    Raises ModelError for another layout or a damaged file.
    """
    tensors, _ = read_weights(path)
    try:
        teacher = Encoder.from_state(tensors)
    except (KeyError, RuntimeError) as error:
        raise ModelError(
            f"{path} is not a VGG encoder ({error}); its keys must be convB_I.weight and .bias"
        ) from error
    return inference(teacher)


def gather(features: Tensor, positions: Tensor) -> Tensor:
    """Take the features (N, C, h, w) at `positions`, (N, n) flat indices. Returns (N, n, C)."""
    flat = features.permute(0, 2, 3, 1).flatten(1, 2)
    return flat.gather(1, positions.long()[:, :, None].expand(-1, -1, flat.shape[2]))


def sample_positions(count: int, cells: int, most: int, rng: torch.Generator) -> Tensor:
    """Draw distinct flat positions in each of `count` pictures. Returns (count, min(most, cells))."""
    return torch.rand(count, cells, generator=rng).argsort(1)[:, :most].int()


@torch.no_grad()
def principal_components(teacher: Encoder, crops: Tensor) -> tuple[list[Tensor], list[Tensor], list[float]]:
    """Return by level the mean (C,), leading eigenvectors (C, k) and total variance of the features."""
    device = next(teacher.parameters()).device
    moments: list[list[Tensor]] = [[] for _ in LEVELS]
    for chunk in crops.split(16):
        for k, f in enumerate(teacher(to_image(chunk, device))):
            x = f.transpose(0, 1).flatten(1).double()
            moments[k].append(torch.cat([x.sum(1)[:, None], x @ x.T], 1) / x.shape[1])
    means, bases, variance = [], [], []
    for k, keep in enumerate(COMPONENTS):
        moment = torch.stack(moments[k]).mean(0)
        mean = moment[:, 0]
        covariance = moment[:, 1:] - torch.outer(mean, mean)
        _, vectors = torch.linalg.eigh(covariance)
        means.append(mean.float())
        bases.append(vectors[:, -keep:].flip(1).float())
        variance.append(float(covariance.trace()))
    return means, bases, variance


@torch.no_grad()
def build_cache(
    teacher: Encoder, crops: Tensor, rng: torch.Generator, on_step: Callable[[int, int], None]
) -> Cache:
    """Run the teacher once over `crops` (N, 3, S, S) uint8. on_step: takes how many are done, and all."""
    device = next(teacher.parameters()).device
    means, bases, variance = principal_components(teacher, crops[:256])
    positions: list[list[Tensor]] = [[] for _ in LEVELS]
    targets: list[list[Tensor]] = [[] for _ in LEVELS]
    done = 0
    autocast = autocast_for(device)
    for chunk in crops.split(16):
        with autocast():
            features = teacher(to_image(chunk, device))
        for k, f in enumerate(features):
            where = sample_positions(len(chunk), f.shape[2] * f.shape[3], POSITIONS[k], rng)
            values = (gather(f, where.to(device)).float() - means[k].to(device)) @ bases[k].to(device)
            positions[k].append(where)
            targets[k].append(values.half().cpu())
        done += len(chunk)
        on_step(done, len(crops))
    return Cache(crops, [torch.cat(p) for p in positions], [torch.cat(t) for t in targets], variance)


def save_cache(cache: Cache, path: Path, header: dict[str, str]) -> None:
    """Write `cache` as safetensors; `header` says what it was made from."""
    tensors = {"crops": cache.crops, "variance": torch.tensor(cache.variance)}
    for level, positions, targets in zip(LEVELS, cache.positions, cache.targets, strict=True):
        tensors |= {f"positions{level}": positions, f"targets{level}": targets}
    save_file(tensors, path, metadata=header)


def load_cache(path: Path, header: dict[str, str]) -> Cache | None:
    """Load the cache at `path` when it was made from the same `header`, else return None."""
    if not path.exists():
        return None
    with safe_open(path, "pt") as file:
        if file.metadata() != header:
            return None
    tensors = load_file(path)
    positions, targets = (
        [tensors[f"{name}{level}"] for level in LEVELS] for name in ("positions", "targets")
    )
    return Cache(tensors["crops"], positions, targets, tensors["variance"].tolist())
