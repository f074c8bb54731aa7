"""One source position for each pixel of a vote: maps whose values must not be mixed are read there."""

import torch
from torch import Tensor

from texsynth.synthesis.patch_search import STRIDE, PatchField


def medoid_positions(field: PatchField, planes: Tensor, output: Tensor, deviation: float) -> Tensor:
    """Find, for each pixel, whose patch speaks loudest for what the vote made of it.

    planes: (C, h, w) of the atlas. output: (C, H, W), the result of a vote for `field` with this deviation.
    Returns the source positions (2, H, W).
    """
    p, (height, width) = field.patch, field.size
    best, chosen = torch.full(field.size, -torch.inf), torch.zeros(2, *field.size, dtype=torch.long)
    falloff = -((torch.arange(p) - (p - 1) / 2).square()) / (2 * (p / 3) ** 2)
    trust = field.weight.log()
    for dy in range(p):
        rows, of_rows = _covered(field.at.shape[1], dy - field.margin, height, wrap=field.wrap)
        for dx in range(p):
            columns, of_columns = _covered(field.at.shape[2], dx - field.margin, width, wrap=field.wrap)
            here = rows[:, None], columns[None]
            at = field.at[:, of_rows][:, :, of_columns] + torch.tensor([dy, dx]).view(2, 1, 1)
            error = (planes[:, at[0], at[1]] - output[:, *here]).square().mean(0)
            score = trust[of_rows][:, of_columns] + falloff[dy] + falloff[dx] - error / (2 * deviation**2)
            better = score > best[here]
            best[here] = torch.where(better, score, best[here])
            chosen[:, *here] = torch.where(better, at, chosen[:, *here])
    return chosen


def _covered(count: int, offset: int, length: int, *, wrap: bool) -> tuple[Tensor, Tensor]:
    """Return the output's rows at `offset` in each of `count` patches, and the numbers of these patches."""
    rows, numbers = torch.arange(count) * STRIDE + offset, torch.arange(count)
    if wrap:
        return rows % length, numbers
    inside = (rows >= 0) & (rows < length)
    return rows[inside], numbers[inside]
