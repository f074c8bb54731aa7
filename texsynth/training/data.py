"""Training pictures: found in a folder, held in memory, cut into crops."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from texsynth.errors import InputError
from texsynth.images import SUFFIXES, read_rgb8

Picture = np.ndarray
"""(H, W, 3) uint8 sRGB."""


def is_held_out(path: Path) -> bool:
    """True for the 10% of file names that no training may see (the same 10% everywhere)."""
    return int(hashlib.sha256(path.name.encode()).hexdigest(), 16) % 10 == 0


def find_pictures(folder: Path, *, held_out: bool) -> list[Path]:
    """Pictures below `folder` in name order, either the training 90% or the held-out 10%.

    Raises InputError when there are none.
    """
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    chosen = [p for p in paths if is_held_out(p) == held_out]
    if not chosen:
        kind = "held-out" if held_out else "training"
        raise InputError(f"no {kind} pictures below {folder}; give a folder with pictures")
    return chosen


def load_pictures(paths: Sequence[Path], min_side: int) -> list[Picture]:
    """Read the pictures whose shorter side is at least `min_side` pixels."""
    with ThreadPoolExecutor(4) as pool:
        pictures = list(pool.map(read_rgb8, paths))
    kept = [p for p in pictures if min(p.shape[:2]) >= min_side]
    if not kept:
        raise InputError(f"none of {len(paths)} pictures has both sides of at least {min_side} pixels")
    return kept


def random_crops(pictures: Sequence[Picture], count: int, size: int, rng: torch.Generator) -> Tensor:
    """Random square crops, half of them mirrored. Returns (count, 3, size, size) uint8."""
    out = torch.empty(count, 3, size, size, dtype=torch.uint8)
    for k in range(count):
        picture = pictures[_below(len(pictures), rng)]
        top, left = _below(picture.shape[0] - size + 1, rng), _below(picture.shape[1] - size + 1, rng)
        crop = torch.from_numpy(picture[top : top + size, left : left + size]).permute(2, 0, 1)
        out[k] = crop.flip(2) if _below(2, rng) else crop
    return out


def centre_crops(pictures: Sequence[Picture], size: int) -> Tensor:
    """The middle of every picture. Returns (len(pictures), 3, size, size) uint8."""
    crops = []
    for picture in pictures:
        top, left = (picture.shape[0] - size) // 2, (picture.shape[1] - size) // 2
        crops.append(torch.from_numpy(picture[top : top + size, left : left + size]).permute(2, 0, 1))
    return torch.stack(crops).contiguous()


def to_image(crops: Tensor, device: torch.device | str = "cpu") -> Tensor:
    """(N, 3, H, W) uint8 crops to an image batch in [0, 1], channels last."""
    return crops.to(device).float().div_(255).contiguous(memory_format=torch.channels_last)


def intensify(image: Tensor, rng: torch.Generator) -> Tensor:
    """Up to twice the contrast in every colour channel on its own, as styles have and photographs do not.

    image: (N, 3, H, W) in [0, 1]. Same shape and range.
    """
    gain = 1 + torch.rand(len(image), 3, 1, 1, generator=rng).to(image)
    middle = image.mean((2, 3), keepdim=True)
    return (middle + gain * (image - middle)).clamp(0, 1)


def _below(limit: int, rng: torch.Generator) -> int:
    return int(torch.randint(limit, (), generator=rng))
