"""Pairs of crops of one texture, as seen from other distances and in other light."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from texsynth.ops.resample import resize
from texsynth.training.data import Picture
from texsynth.training_settings import DescriptorSettings


def draw_pairs(pictures: Sequence[Picture], settings: DescriptorSettings, rng: torch.Generator) -> Tensor:
    """Two crops of each of `settings.batch` different pictures, or of all when there are fewer.

    Returns (2 B, 3, c, c) in [0, 1]; crop B + k shows the same texture as crop k.
    """
    chosen = torch.randperm(len(pictures), generator=rng)[: settings.batch].tolist()
    pairs = [_pair(pictures[number], settings, rng) for number in chosen]
    return torch.stack([first for first, _ in pairs] + [second for _, second in pairs])


def _pair(picture: Picture, settings: DescriptorSettings, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    views = [_View(settings, rng) for _ in range(2)]
    if float(torch.rand((), generator=rng)) < settings.alike:
        views[1] = views[0]
    first, second = (view.of(picture, rng) for view in views)
    return first, second


class _View:
    """A distance and a light to see textures in."""

    def __init__(self, settings: DescriptorSettings, rng: torch.Generator) -> None:
        self.settings = settings
        self.scale = 2 ** _within(settings.scale, rng)
        self.gain, self.gamma = (2 ** _within(settings.light, rng) for _ in range(2))
        self.tint = torch.tensor([1 + _within(settings.tint, rng) for _ in range(3)])[:, None, None]

    def of(self, picture: Picture, rng: torch.Generator) -> Tensor:
        """A random crop, (3, c, c)."""
        side = self.settings.crop_px
        span = min(min(picture.shape[:2]), max(round(side / self.scale), side // 4))
        top, left = (_below(length - span + 1, rng) for length in picture.shape[:2])
        cut = torch.from_numpy(picture[top : top + span, left : left + span].copy())
        crop = resize(cut.permute(2, 0, 1)[None] / 255, side, side)[0]
        if _below(2, rng):
            crop = crop.flip(2)
        if self.settings.turn:
            crop = crop.rot90(_below(4, rng), (1, 2))
        return (crop**self.gamma * self.gain * self.tint).clamp(0, 1)


def _within(reach: float, rng: torch.Generator) -> float:
    """A random number from -reach to reach."""
    return reach * (2 * float(torch.rand((), generator=rng)) - 1)


def _below(limit: int, rng: torch.Generator) -> int:
    return int(torch.randint(limit, (), generator=rng))
