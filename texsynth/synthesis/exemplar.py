"""Exemplars, and the atlas: several side by side in one field of source positions."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.config.expand_rules import MIN_SIDE, check_exemplar_size
from texsynth.errors import InputError
from texsynth.ops.color import luma
from texsynth.ops.resample import box_mean, box_sum


@dataclass(frozen=True)
class Exemplar:
    """An input texture and what belongs to it pixel by pixel. Raises InputError below MIN_SIDE."""

    image: Tensor  # (1, 3, h, w) in [0, 1]
    siblings: tuple[Tensor, ...] = ()
    """Further maps of the same surface, each (1, c, h, w): normals, roughness."""
    mask: Tensor | None = None
    """(1, 1, h, w), above 0.5 where the texture may be taken from; None for everywhere."""
    guide: Tensor | None = None
    """(1, g, h, w) in [0, 1], what a guide map's values look like here; None stands for blurred lightness."""
    weight: float = 1.0  # Share of the output among several exemplars, relative to the others
    normals: tuple[int, ...] = ()  # Which of the siblings are normal maps: their vectors turn with them
    green_down: tuple[int, ...] = ()  # Which of these have green light where the surface faces downwards
    labels: tuple[int, ...] = ()  # Which of the siblings have values that must not be mixed

    def __post_init__(self) -> None:
        """Check the size."""
        check_exemplar_size(self.image.shape[3], self.image.shape[2])


@dataclass(frozen=True)
class Atlas:
    """Exemplars side by side; a source position is a row and a column of it."""

    image: Tensor  # (3, h, w) in [0, 1]
    guide: Tensor  # (g, h, w), g = 0 without a guide
    siblings: Tensor  # (s, h, w), the channels of all sibling maps
    valid: Tensor  # (h, w) bool, where the texture may be taken from
    share: Tensor  # (h, w), how often a position should be used, 1 on average over the valid ones
    side: int  # Shorter side in pixels of the smallest exemplar

    def largest_square(self) -> int:
        """Return the side of the largest valid square, up to `side`. Raises InputError below MIN_SIDE."""
        side = largest_square(self.valid, self.side)
        if side < MIN_SIDE:
            raise InputError(
                f"the largest free square that the mask leaves has {side} px; it needs at least {MIN_SIDE}"
            )
        return side


def build_atlas(exemplars: Sequence[Exemplar], *, guided: bool = False) -> Atlas:
    """Put exemplars into one row, with a column between two so that no piece has parts of both.

    guided: keep what each says about a guide map, see `guide_planes`.
    """
    height = max(e.image.shape[2] for e in exemplars)
    columns: list[tuple[Tensor, ...]] = []
    total = sum(e.weight for e in exemplars)
    for e in exemplars:
        rows, width = e.image.shape[2:]
        valid = torch.ones(1, rows, width) if e.mask is None else (e.mask[0] > 0.5).float()
        valid = valid * float(e.weight > 0)
        share = valid * (e.weight / total / valid.sum().clamp_min(1))
        guide = guide_planes(e) if guided else e.image[0, :0]
        siblings = torch.cat([e.image[0, :0], *(s[0] for s in e.siblings)])
        planes = (e.image[0], guide, siblings, valid, share)
        columns.append(tuple(F.pad(p, (0, int(e is not exemplars[-1]), 0, height - rows)) for p in planes))
    image, guide, siblings, valid, share = (torch.cat(planes, 2) for planes in zip(*columns, strict=True))
    side = min(min(e.image.shape[2:]) for e in exemplars)
    return Atlas(image, guide, siblings, valid[0] > 0.5, share[0] * valid.sum(), side)


def guide_planes(exemplar: Exemplar) -> Tensor:
    """Return the exemplar's own guide, (g, h, w), or its lightness, blurred so that it has large shapes."""
    if exemplar.guide is not None:
        return exemplar.guide[0]
    return box_mean(luma(exemplar.image), max(1, min(exemplar.image.shape[2:]) // 16))[0]


def largest_square(valid: Tensor, limit: int) -> int:
    """Return the side of the largest square inside `valid` (h, w) bool, up to `limit`."""
    low, high = 0, min(limit, *valid.shape)
    while low < high:  # squares inside a square are valid too, so bisection finds the largest
        middle = (low + high + 1) // 2
        low, high = (middle, high) if bool(free_squares(valid, middle).any()) else (low, middle - 1)
    return low


def free_squares(valid: Tensor, size: int) -> Tensor:
    """Mark top left corners of squares inside `valid` (h, w), (h - size + 1, w - size + 1) bool."""
    return box_sum(~valid, size) < 0.5


ROUNDS = 60  # Corrections of the offsets; shares are then met to a fraction of a percent


def label_potentials(
    size: tuple[int, int],
    shares: Sequence[float],
    scale: float,
    rng: torch.Generator,
    *,
    wrap: bool,
    bias: Tensor | None = None,
) -> Tensor:
    """Draw smooth random fields, one for each exemplar; the highest one says whose a pixel is.

    shares: of the area, one per exemplar, not all zero. scale: width of the regions in pixels; fields change
    by about 1 over it. wrap: continue around the torus. bias: (len(shares), *size), added before the shares
    are met. Returns (len(shares), *size).
    """
    target = torch.tensor(shares) / sum(shares)
    margin = 0 if wrap else 2 * round(scale)
    rows, columns = size[0] + margin, size[1] + margin
    noise = torch.randn(len(shares), rows, columns, generator=rng)
    # A Gaussian low-pass, on the torus; a margin is cut off where the picture is none.
    frequency = torch.fft.fftfreq(rows)[:, None].square() + torch.fft.rfftfreq(columns).square()
    smooth = torch.fft.rfft2(noise) * torch.exp(-frequency * (2 * scale**2))
    field = torch.fft.irfft2(smooth, s=(rows, columns))[:, : size[0], : size[1]]
    field = field / field.std().clamp_min(1e-9)
    field = field if bias is None else field + bias
    offset = target.clamp_min(1e-9).log()
    for _ in range(ROUNDS):
        chosen = (field + offset[:, None, None]).argmax(0)
        area = torch.bincount(chosen.flatten(), minlength=len(shares)) / chosen.numel()
        offset = offset + 0.5 * (target - area)
    offset = offset.masked_fill(target == 0, -torch.inf)
    potentials: Tensor = field + offset[:, None, None]
    return potentials
