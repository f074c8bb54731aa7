"""The teacher's features, which the student is to learn, reduced and cached.

A pass of the full-width teacher costs ten times a training step of the student, so each crop meets it once.
Features are kept at sampled positions, projected on their leading principal components, as float16.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from texsynth.errors import ModelError
from texsynth.models.vgg import LEVELS, Encoder, inference
from texsynth.models.weights import MISFITS, read_weights
from texsynth.training.data import to_image
from texsynth.training.optimizer import autocast_for
from texsynth.transforms.moments import Moments

COMPONENTS = (32, 64, 128, 256, 256)
"""Principal components kept per level; they hold 90% and more of the variance."""

CHUNK = 8  # Pictures that networks are measured on at once

CROPS_AT_ONCE = 16
"""Crops that starts in closed form and the cache are made from at once; another number draws other ones."""

POSITIONS = (192, 192, 192, 192, 64)  # Positions sampled per crop and level


@dataclass(frozen=True)
class Cache:
    """Crops and the teacher's features of them, one list entry per level l."""

    crops: Tensor  # (N, 3, S, S) uint8
    positions: list[Tensor]  # (N, n_l) flat indices
    targets: list[Tensor]  # (N, n_l, k_l) float16, centred, projected on the principal components
    variance: list[float]  # Total feature variance per position


def load_teacher(path: Path) -> Encoder:
    """Load a full-width encoder, keys `convB_I.weight|bias`. Raises ModelError for any other file."""
    tensors, _ = read_weights(path)
    try:
        teacher = Encoder.from_state(tensors)
    except MISFITS as error:
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
def feature_moments(crops: Tensor, features: Callable[[Tensor], Sequence[Tensor]]) -> list[Moments]:
    """Collect the moments of the `features` of images, by level, over `crops` (N, 3, S, S) uint8."""
    chunks = [[Moments.of(f) for f in features(to_image(chunk))] for chunk in crops.split(CHUNK)]
    return [reduce(add, moments) for moments in zip(*chunks, strict=True)]


@torch.no_grad()
def build_cache(
    teacher: Encoder, crops: Tensor, rng: torch.Generator, on_step: Callable[[int, int], None]
) -> Cache:
    """Run the teacher once over `crops` (N, 3, S, S) uint8. on_step: takes how many are done, and all."""
    moments = feature_moments(crops[:256], teacher)
    # The leading eigenvectors first, (C, k).
    bases = [
        torch.linalg.eigh(m.covariance)[1][:, -count:].flip(1).float()
        for m, count in zip(moments, COMPONENTS, strict=True)
    ]
    positions: list[list[Tensor]] = [[] for _ in LEVELS]
    targets: list[list[Tensor]] = [[] for _ in LEVELS]
    autocast = autocast_for(crops.device)
    for start in range(0, len(crops), CROPS_AT_ONCE):
        chunk = crops[start : start + CROPS_AT_ONCE]
        with autocast():
            features = teacher(to_image(chunk))
        for k, f in enumerate(features):
            where = sample_positions(len(chunk), f.shape[2] * f.shape[3], POSITIONS[k], rng)
            positions[k].append(where)
            targets[k].append(((gather(f, where).float() - moments[k].mean.float()) @ bases[k]).half())
        on_step(start + len(chunk), len(crops))
    variance = [float(m.covariance.trace()) for m in moments]
    return Cache(crops, [torch.cat(p) for p in positions], [torch.cat(t) for t in targets], variance)


def save_cache(cache: Cache, path: Path, header: dict[str, str]) -> None:
    """Write `cache` as safetensors; `header` says what it was made from."""
    tensors = {"crops": cache.crops, "variance": torch.tensor(cache.variance)}
    for level, positions, targets in zip(LEVELS, cache.positions, cache.targets, strict=True):
        tensors |= {f"positions{level}": positions, f"targets{level}": targets}
    save_file(tensors, path, metadata=header)


def load_cache(path: Path, header: dict[str, str]) -> Cache | None:
    """Load the cache at `path` when it was made from the same `header`, else return None."""
    try:
        tensors, stored = read_weights(path)
    except ModelError:  # there is none, or it was cut off
        return None
    if stored != header:
        return None
    positions, targets = (
        [tensors[f"{name}{level}"] for level in LEVELS] for name in ("positions", "targets")
    )
    return Cache(tensors["crops"], positions, targets, tensors["variance"].tolist())
