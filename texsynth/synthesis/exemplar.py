"""Exemplars, and the atlas: several side by side in one field of source positions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.config.expand_rules import MIN_SIDE, check_exemplar_size
from texsynth.errors import InputError
from texsynth.ops.color import luma
from texsynth.ops.orientations import Orientation, turn_normals
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

    def __post_init__(self) -> None:
        """Check the size."""
        check_exemplar_size(self.image.shape[3], self.image.shape[2])

    def turned(self, orientation: Orientation) -> "Exemplar":
        """Return it and its maps in another orientation; the vectors of normal maps turn, too."""
        turn = orientation.apply
        mask, guide, siblings = self.mask, self.guide, [turn(s) for s in self.siblings]
        for n in self.normals:
            siblings[n] = turn_normals(siblings[n], orientation, green_down=n in self.green_down)
        return replace(
            self,
            image=turn(self.image),
            siblings=tuple(siblings),
            mask=None if mask is None else turn(mask),
            guide=None if guide is None else turn(guide),
        )


@dataclass(frozen=True)
class Part:
    """A rectangle of an atlas: one exemplar in one orientation."""

    left: int  # Its column in the atlas; all parts begin in row 0
    size: tuple[int, int]  # Rows and columns
    exemplar: int  # Number of the exemplar
    orientation: int  # Number of the orientation, 0 for the untouched exemplar


@dataclass(frozen=True)
class Atlas:
    """Exemplars side by side, in one or more orientations; a source position is a row and a column of it."""

    image: Tensor  # (3, h, w) in [0, 1]
    guide: Tensor  # (g, h, w), g = 0 without a guide
    siblings: Tensor  # (s, h, w), the channels of all sibling maps
    valid: Tensor  # (h, w) bool, where the texture may be taken from
    share: Tensor  # (h, w), how often a position should be used, 1 on average over the valid ones
    side: int  # Shorter side in pixels of the smallest exemplar
    parts: tuple[Part, ...]
    origin: Tensor
    """(h, w) long, row * w + column of the position in the untouched exemplar that a position shows."""

    def part(self, planes: Tensor, number: int) -> Tensor:
        """Cut a part out of planes (..., h, w) of the atlas."""
        part = self.parts[number]
        return planes[..., : part.size[0], part.left : part.left + part.size[1]]

    def largest_square(self) -> int:
        """Return the side of the largest valid square, up to `side`. Raises InputError below MIN_SIDE."""
        side = largest_square(self.valid, self.side)
        if side < MIN_SIDE:
            raise InputError(
                f"the largest free square that the mask leaves has {side} px; it needs at least {MIN_SIDE}"
            )
        return side


def build_atlas(
    exemplars: Sequence[Exemplar],
    *,
    guided: bool = False,
    orientations: Sequence[Orientation] = (Orientation(),),
) -> Atlas:
    """Put exemplars into one row. guided: keep what each says about a guide map, see `guide_planes`.

    orientations: those that pieces may have, the untouched one first.
    """
    total = sum(e.weight for e in exemplars)
    sides = [side for e in exemplars for o in orientations for side in o.apply(e.image).shape[2:3]]
    height, gap = max(sides), int(len(sides) > 1)  # Beyond its border a part goes on as it ends
    columns: list[tuple[Tensor, ...]] = []
    parts: list[Part] = []
    first = left = 0
    for number, e in enumerate(exemplars):
        index = first + torch.arange(e.image[0, 0].numel()).view(e.image.shape[2:])
        first += index.numel()
        for name, orientation in enumerate(orientations):
            turned = e.turned(orientation) if name else e
            rows, width = turned.image.shape[2:]
            valid = torch.ones(1, rows, width) if turned.mask is None else (turned.mask[0] > 0.5).float()
            valid = valid * float(e.weight > 0)
            share = valid * (e.weight / total / valid.sum().clamp_min(1))
            guide = guide_planes(turned) if guided else turned.image[0, :0]
            colours = torch.cat([turned.image[0], guide, *(s[0] for s in turned.siblings)])
            before = gap * bool(parts)
            margin = (before, gap, 0, height - rows)
            columns.append(
                (
                    F.pad(colours, margin, mode="replicate"),
                    *(F.pad(p, margin) for p in (valid, share, orientation.apply(index)[None])),
                )
            )
            parts.append(Part(left + before, (rows, width), number, name))
            left += before + width + gap
    colours, valid, share, origin = (torch.cat(planes, 2) for planes in zip(*columns, strict=True))
    guides = len(guide_planes(exemplars[0])) if guided else 0
    image, guide, siblings = colours.split([3, guides, len(colours) - 3 - guides])
    side = min(min(e.image.shape[2:]) for e in exemplars)
    count = valid.sum() / len(orientations)
    return Atlas(image, guide, siblings, valid[0] > 0.5, share[0] * count, side, tuple(parts), origin[0])


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
