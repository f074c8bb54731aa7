"""How much of a picture is a near-copy of another part of it, turned and mirrored copies counted."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.ops.color import luma
from texsynth.ops.resample import box_sum

BLOCK_PX = 31  # Side of the blocks that are looked for elsewhere

FLAT = 2 / 255  # Deviation below which a block shows nothing that could be recognised again

RECURS = 0.8  # Normalised correlation from which on a block counts as the same

WAVES = 8  # Cosines along each side of a block, by which places are ranked

STRIDE = 3  # Pixels between ranked places: none is farther than one pixel from one of them

CANDIDATES = 4  # Ranked places around which a block is compared pixel by pixel

REACH = 2  # Pixels around them where it is compared: low waves peak a little beside the place

MOST_SCORES = 2**22  # Scores at a time


class Recurrence(NamedTuple):
    """Shares of the blocks of a picture that occur again: in any of eight orientations, and as they are."""

    turned: float
    upright: float


def recurrence(image: Tensor, most: int = 256) -> Recurrence:
    """Share of 31x31 blocks, side by side on a grid, of which a near-copy stands elsewhere in the picture.

    image: (1, 3, H, W) in [0, 1]; of more than `most` blocks every n-th is tried. A near-copy is a window at
    any pixel that does not overlap the block and whose lightness correlates by more than 0.8 with one of the
    four turns of the block or of its mirror image. Flat blocks have none.

    Windows are ranked by the lowest cosines of a block, which change order and sign only when it is turned or
    mirrored, and the best are compared pixel by pixel. So a share can be too low, never too high.

    Faint noise does not hide a copy. It lies on periodic textures, which must repeat, and on smooth ones,
    where one gradient looks like the next: compare it with the truth's share, never with 0. It is blind to
    copies that are bent, resized, or smaller than a block, and a block that is seen twice counts as much as
    one that is seen thirty times.
    """
    grey = luma(image.double()).float()[0, 0]
    if min(grey.shape) < BLOCK_PX:
        return Recurrence(0.0, 0.0)
    windows = _Windows(grey)
    corners = windows.corners()
    corners = corners[:: math.ceil(len(corners) / most)]
    shown = corners[windows.deviation[corners[:, 0], corners[:, 1]] > FLAT]
    turned = upright = 0
    for blocks in shown.split(max(1, MOST_SCORES // (8 * windows.count))):
        if not len(blocks):  # a split of nothing is one part
            continue
        scores = windows.rank(blocks)
        same = windows.recurring(blocks, scores[:, :1])
        turned += int((same | windows.recurring(blocks, scores)).sum())
        upright += int(same.sum())
    return Recurrence(turned / len(corners), upright / len(corners))


class _Windows:
    """All windows of the size of a block in a picture (H, W), named by their upper left corners."""

    def __init__(self, grey: Tensor) -> None:
        self.grey = grey
        # Float64: the difference of two means of squares is all that is left of a faint texture.
        both = torch.stack([grey.double(), grey.double().square()])
        mean, square = box_sum(both, BLOCK_PX) / BLOCK_PX**2
        self.mean = mean.float()
        self.deviation = (square - mean.square()).clamp_min(0).sqrt().float()
        self.flat = self.deviation[::STRIDE, ::STRIDE] <= FLAT
        side, order = (torch.arange(n, dtype=grey.dtype, device=grey.device) for n in (BLOCK_PX, WAVES))
        waves = torch.cos(math.pi * order[:, None] * (side + 0.5) / BLOCK_PX)
        self.waves = waves / waves.norm(dim=1, keepdim=True)
        self.described = self._describe(grey[None], STRIDE)[0]

    @property
    def count(self) -> int:
        """The number of ranked windows."""
        return int(self.flat.numel())

    def corners(self) -> Tensor:
        """The corners of blocks side by side, (n, 2)."""
        rows, columns = (torch.arange(0, n, BLOCK_PX, device=self.grey.device) for n in self.mean.shape)
        return torch.cartesian_prod(rows, columns)

    def rank(self, blocks: Tensor) -> Tensor:
        """Correlate the low waves of blocks in eight orientations with those of every third window.

        blocks: (n, 2). Returns (n, 8, h, w); -1 for windows that are flat or overlap the block.
        """
        own = self._describe(self._cut(blocks), 1)[..., 0, 0].unflatten(1, (WAVES, WAVES))
        sign = 1 - 2 * (torch.arange(WAVES, device=blocks.device) % 2).to(own)
        turns = [
            (own.mT if k & 4 else own) * (sign[:, None] if k & 2 else 1) * (sign if k & 1 else 1)
            for k in range(8)
        ]
        flat = torch.stack(turns, 1).flatten(0, 1).flatten(1)
        scores = (flat @ self.described.flatten(1)).view(-1, 8, *self.flat.shape)
        rows, columns = (torch.arange(n, device=blocks.device) * STRIDE for n in self.flat.shape)
        near = _overlaps(rows[:, None], columns, blocks[:, :, None, None])
        return scores.masked_fill_((near | self.flat)[:, None], -1)

    def recurring(self, blocks: Tensor, scores: Tensor) -> Tensor:
        """Tell which blocks (n, 2) have a near-copy next to one of their best `scores` (n, k, h, w)."""
        score, turn = scores.max(1)
        peaks = score.where(score >= F.max_pool2d(score[:, None], 3, 1, 1)[:, 0], score.new_tensor(-1))
        best, place = peaks.flatten(1).topk(min(CANDIDATES, self.count), 1)
        turn = turn.flatten(1).gather(1, place)
        nudge = torch.arange(-REACH, REACH + 1, device=blocks.device)
        around = torch.cartesian_prod(nudge, nudge).T[:, None, None]
        centre = torch.stack([place // score.shape[2], place % score.shape[2]]) * STRIDE
        limit = torch.tensor(self.mean.shape, device=blocks.device).view(2, 1, 1, 1) - 1
        at = (centre[..., None] + around).clamp_min(0).minimum(limit)
        pixels = self._cut(blocks)
        turned = torch.stack([_turned(pixels, k) for k in range(scores.shape[1])], 1).flatten(2)
        mine = turned.gather(1, turn[..., None].expand(-1, -1, turned.shape[2]))
        theirs = self._cut(at.flatten(1).T).view(*at.shape[1:], -1)
        product = torch.einsum("nkp,nkap->nka", mine, theirs) / BLOCK_PX**2
        spread = self.deviation[blocks[:, 0], blocks[:, 1], None, None] * self.deviation[at[0], at[1]]
        apart = ~_overlaps(at[0], at[1], blocks[:, :, None, None]) & (best > -1)[..., None]
        recurs: Tensor = ((product > RECURS * spread) & apart).flatten(1).any(1)
        return recurs

    def _cut(self, corners: Tensor) -> Tensor:
        """Cut out windows (n, 31, 31) with mean 0."""
        side = torch.arange(BLOCK_PX, device=corners.device)
        rows, columns = corners[:, 0, None, None] + side[:, None], corners[:, 1, None, None] + side
        mean = self.mean[corners[:, 0], corners[:, 1]]
        pixels: Tensor = self.grey[rows, columns] - mean[:, None, None]
        return pixels

    def _describe(self, pictures: Tensor, stride: int) -> Tensor:
        """Take the cosines but the constant of every window, as unit vectors (n, 64, h, w)."""
        down = F.conv2d(pictures[:, None], self.waves[:, None, :, None], stride=(stride, 1))
        both = F.conv2d(down.flatten(0, 1)[:, None], self.waves[:, None, None], stride=(1, stride))
        waves = both.view(len(pictures), WAVES**2, *both.shape[2:])
        waves[:, 0] = 0
        return F.normalize(waves, dim=1)


def _turned(blocks: Tensor, k: int) -> Tensor:
    """Turn or mirror (..., b, b) into orientation k of eight; 0 leaves it."""
    blocks = blocks.mT if k & 4 else blocks
    blocks = blocks.flip(-2) if k & 2 else blocks
    return blocks.flip(-1) if k & 1 else blocks


def _overlaps(rows: Tensor, columns: Tensor, blocks: Tensor) -> Tensor:
    """Tell whether windows at these corners overlap blocks (n, 2, ...)."""
    near: Tensor = ((rows - blocks[:, 0]).abs() < BLOCK_PX) & ((columns - blocks[:, 1]).abs() < BLOCK_PX)
    return near
