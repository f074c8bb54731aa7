"""How well a block fits at every position of an atlas, by FFT."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from texsynth.synthesis.exemplar import Part


@dataclass(frozen=True)
class PartErrors:
    """Errors of the source positions in some parts of an atlas."""

    errors: Tensor  # (parts, rows, columns) by top left corner, infinite where none is allowed
    lefts: list[int]  # Columns of the atlas at which the parts begin
    least: float  # The least error without penalties

    def corners(self, places: Tensor) -> Tensor:
        """Turn places (K, 3) in `errors` into rows and columns of the atlas, (K, 2)."""
        return torch.stack([places[:, 1], places[:, 2] + torch.tensor(self.lefts)[places[:, 0]]], 1)

    def best(self, count: int) -> Tensor:
        """Pick the best source positions, none next to another, (K, 2)."""
        errors, places = self.errors.clone(), []
        for _ in range(count):
            index = int(errors.argmin())
            part, row, column = (int(i) for i in np.unravel_index(index, errors.shape))
            if not errors[part, row, column].isfinite():
                break
            places.append([part, row, column])
            errors[part, max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3] = torch.inf
        return self.corners(torch.tensor(places))


class Spectra:
    """Fourier transforms of planes of an atlas and their squares, part by part."""

    def __init__(self, planes: Tensor, parts: Sequence[Part]) -> None:
        """Transform planes (C, h, w)."""
        self.mean = planes.mean((1, 2), keepdim=True)  # smaller numbers, less rounding
        centred = planes - self.mean
        self.size = tuple(max(part.size[dim] for part in parts) for dim in (0, 1))
        own = [centred[:, : p.size[0], p.left : p.left + p.size[1]] for p in parts]
        self.plain = torch.stack([torch.fft.rfft2(part, s=self.size) for part in own])
        self.square = torch.stack([torch.fft.rfft2(part.square().sum(0), s=self.size) for part in own])

    def errors(self, parts: Sequence[int], target: Tensor, weight: Tensor, size: int) -> Tensor:
        """Sum weight * |atlas - target|^2 over a square at every position of its top left corner.

        target: (C, b, b), weight: (b, b). Returns (len(parts), h - b + 1, w - b + 1). Positions inside do not
        wrap around, so circular correlation at the parts' own size is exact.
        """
        centred = (target - self.mean) * weight
        stack = torch.fft.rfft2(torch.cat([centred, weight[None]]), s=self.size).conj()
        spectra = [stack[-1] * self.square[n] - 2 * (stack[:-1] * self.plain[n]).sum(0) for n in parts]
        sums: Tensor = torch.fft.irfft2(torch.stack(spectra), s=self.size)
        own = (centred * (target - self.mean)).sum()
        return sums[:, : self.size[0] - size + 1, : self.size[1] - size + 1] + own
