"""The copy head: which of the overlapping copies each output pixel is taken from.

Our deviation from paper 004, whose networks need days on large GPUs before features alone make crisp
pictures: the pixels come from the exemplar, and the network decides from which copy. The decision is
attention in a few rounds. A round builds, from the current choice around a pixel, what should be there; the
copies are then judged by how near they come to it, by the decoder's query, and by their own neighbourhood.
The first two are the mean-field rounds of a seam-finding random field (Kwatra et al. 2003); the weights, the
features and the query are learned.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from texsynth.models.transposer_parts import canvas_of, convolve, exact, resize
from texsynth.synthesis.placement import Layout, slot_sources

ROUNDS = (8, 8, 4, 4, 2, 2)
"""Output pixels to one of the grid, in each round: seams first move far, then find their exact place."""

SHARPNESS = (32.0, 4.0, 8.0, 8.0, 16.0, 16.0, 32.0)
"""Inverse temperatures that training starts from: of the prior alone, then of each round."""

RADIUS = 2  # Pixels of the grid around one that a round looks at

TRAINED_PX = 64
"""Side of the exemplars that ROUNDS are made for; every doubling adds a round with twice the radius."""

RAMP = 4.0  # A copy counts fully from this fraction, 1 / RAMP, of its half side inwards

NEVER = -1e4  # Logit of a slot that has no source at a pixel


class Slots:
    """Sources of a grid of output pixels, slot by slot, for a batch of layouts."""

    def __init__(
        self, layouts: Sequence[Layout], rows: Tensor, columns: Tensor, like: Tensor, *, cues: bool = False
    ) -> None:
        """rows, columns: output pixels of the grid, ascending. like: of the wanted device and number type."""
        self.shape = (len(rows), len(columns))
        self.index: list[Tensor] = []
        self.valid: list[Tensor] = []
        self.cues: list[Tensor] = []
        for slot in range(max(len(layout.slots) for layout in layouts)):
            painted = [slot_sources(layout, slot, rows, columns, cues=cues) for layout in layouts]
            # Half the memory of int64, which only indexing wants.
            self.index.append(torch.stack([p.source for p in painted]).int().to(like.device))
            self.valid.append(torch.stack([p.valid for p in painted])[:, None].to(like.device))
            if cues:
                self.cues.append(torch.stack([p.cues for p in painted]).to(like))

    def __len__(self) -> int:
        """Number of slots."""
        return len(self.index)

    def take(self, slot: int, source: Tensor) -> Tensor:
        """Copy of `source` (N, C, h, w) in one slot, (N, C, r, c)."""
        index = self.index[slot].long().flatten(1)[:, None]
        flat: Tensor = source.flatten(2)
        if len(flat) == 1:
            return flat[0].index_select(1, index[0, 0]).view(1, -1, *self.shape)
        taken = flat.gather(2, index.expand(-1, flat.shape[1], -1))
        return taken.view(*taken.shape[:2], *self.shape)


class CopyHead(nn.Module):
    """Per-pixel choice among the copies of a layout."""

    def __init__(self, channels: int, decoded: int, keys: int = 6, hidden: int = 24) -> None:
        """channels: of the encoder's finest features; decoded: of the decoder's; keys: learned channels."""
        super().__init__()
        self.key = nn.Conv2d(6 + channels, keys, 3)
        self.query1 = nn.Conv2d(6 + keys + decoded, hidden, 3)
        self.query2 = nn.Conv2d(hidden, 6 + keys, 3)
        self.cue1 = nn.Conv2d(3, 8, 1)
        self.cue2 = nn.Conv2d(8, 1, 1)
        self.prior = nn.Parameter(torch.tensor([0.2, 0.6, 0.15]))
        """Weights of the distance to the copy's border, of its agreement and of its rank."""
        self.rounds = nn.Parameter(torch.tensor([math.log(s) for s in SHARPNESS]))
        self.coherence = nn.Parameter(torch.tensor([1.0]))
        self.fine = nn.Parameter(torch.tensor([math.log(32.0), 0.0]))
        for p in (self.query2.weight, self.cue2.weight, self.query2.bias, self.cue2.bias, self.key.bias):
            assert p is not None
            nn.init.zeros_(p)

    def forward(
        self, image: Tensor, finest: Tensor, decoded: Tensor, layouts: Sequence[Layout], sources: Tensor
    ) -> Tensor:
        """Copy `sources` along the layouts.

        image: (N, 3, h, w) exemplars; finest: (N, channels, h', w') their features; decoded: (N, c, H', W')
        at half the canvas; sources: (N, k, h, w), what is copied. Returns (N, k, H, W).
        """
        plain = torch.cat([image - 0.5, 1.5 * high_pass(image)], 1)
        learned = convolve(self.key, torch.cat([plain, resize(finest, image.shape[2:])], 1))
        keys = torch.cat([plain, exact(learned)], 1)
        logits = self._choose(keys, decoded, layouts)
        return self._lay(list(logits.split(1, 1)), image, sources, layouts)

    def _choose(self, keys: Tensor, decoded: Tensor, layouts: Sequence[Layout]) -> Tensor:
        """Logits of every slot at the decoder's size, (N, slots, H', W')."""
        size, circular, canvas = layouts[0].size, layouts[0].circular, canvas_of(layouts[0])
        spread = keys.var((2, 3), keepdim=True).sum(1, keepdim=True) + 1e-4
        logits: Tensor | None = None
        for start in range(0, len(ROUNDS), 2):
            step = ROUNDS[start]
            shape = (-(-decoded.shape[2] * 2 // step), -(-decoded.shape[3] * 2 // step))
            grid = [centres(c, m).clamp(max=n - 1) for n, c, m in zip(size, canvas, shape, strict=True)]
            slots = Slots(layouts, grid[0], grid[1], keys, cues=True)
            valid = torch.cat(slots.valid, 1)
            prior = torch.cat([self._prior(cues) for cues in slots.cues], 1)
            if logits is None:
                logits = self.rounds[0].exp() * prior
            logits = resize(logits, shape, circular).where(valid, prior.new_tensor(NEVER))
            pooled = blur(keys, step // 4, circular=False)
            kept = [slots.take(k, pooled) for k in range(len(slots))]
            hints = F.adaptive_avg_pool2d(decoded, shape)
            plan = [(s, RADIUS) for s in self.rounds[start + 1 : start + 3].exp()]
            if start == 0:  # a large exemplar has large features, and seams must move farther
                times = int(math.log2(max(1, min(keys.shape[2:]) / TRAINED_PX)))
                plan = [(plan[0][0], RADIUS << k) for k in range(times, 0, -1)] + plan
            for sharpness, radius in plan:
                cost, near = self._cost(kept, logits, valid, hints, radius, circular)
                logits = sharpness * (prior - cost / spread) + self.coherence * (near + 1e-6).log()
                logits = logits.where(valid, logits.new_tensor(NEVER))
        assert logits is not None
        return logits

    def _cost(
        self, kept: list[Tensor], logits: Tensor, valid: Tensor, hints: Tensor, radius: int, circular: bool
    ) -> tuple[Tensor, Tensor]:
        """One round: how far every copy is from the target of its neighbourhood, and the smoothed choice.

        kept: keys of the slots, each (N, c, h, w); logits, valid: (N, slots, h, w); hints: decoded features.
        """
        near = blur(logits.softmax(1), radius, circular) * valid
        near = near / near.sum(1, keepdim=True).clamp_min(1e-9)
        target = near[:, :1] * kept[0]
        for k in range(1, len(kept)):
            target = torch.addcmul(target, near[:, k : k + 1], kept[k])
        query = convolve(self.query1, torch.cat([target, hints.to(target.dtype)], 1), circular)
        query = exact(convolve(self.query2, F.relu(query), circular))
        # |key - target|^2 - query . key, without what is the same for all copies.
        both = query + 2 * target
        terms = [((key - both) * key).sum(1, keepdim=True) for key in kept]
        return blur(torch.cat(terms, 1), radius, circular), near

    def _prior(self, cues: Tensor) -> Tensor:
        border = (cues[:, :1] * RAMP).clamp(max=1)
        known = (self.prior.view(1, 3, 1, 1) * torch.cat([border, cues[:, 1:]], 1)).sum(1, keepdim=True)
        return known + exact(self.cue2(F.relu(self.cue1(cues))))

    def _lay(self, coarse: list[Tensor], image: Tensor, sources: Tensor, layouts: Sequence[Layout]) -> Tensor:
        """The last round at full size, on colours alone, one slot at a time to save memory."""
        size, circular, canvas = layouts[0].size, layouts[0].circular, canvas_of(layouts[0])
        slots = Slots(layouts, torch.arange(size[0]), torch.arange(size[1]), image)
        logits = [resize(k, canvas, circular)[..., : size[0], : size[1]].where(v, k.new_tensor(NEVER))
                  for k, v in zip(coarse, slots.valid, strict=True)]  # fmt: skip
        target = _mix(logits, slots, image)
        spread = image.var((2, 3), keepdim=True).sum(1, keepdim=True) + 1e-4
        sharpness, gain = self.fine[0].exp() / spread, self.fine[1].exp()
        for k, valid in enumerate(slots.valid):
            cost = (slots.take(k, image) - target).square().sum(1, keepdim=True)
            logits[k] = (gain * logits[k] - sharpness * blur(cost, 1, circular)).where(
                valid, cost.new_tensor(NEVER)
            )
        return _mix(logits, slots, sources)


def blur(x: Tensor, radius: int, circular: bool) -> Tensor:
    """Box mean of side 2 radius + 1. x: (N, C, h, w); the border is repeated, or continued around a torus."""
    mode = "circular" if circular and min(x.shape[2:]) >= radius else "replicate"
    x = F.pad(x, (radius,) * 4, mode=mode)
    for dim in (2, 3):  # a few shifted sums are faster than pooling
        length = x.shape[dim] - 2 * radius
        total = x.narrow(dim, 0, length)
        for shift in range(1, 2 * radius + 1):
            total = total + x.narrow(dim, shift, length)
        x = total
    return x / (2 * radius + 1) ** 2


def high_pass(image: Tensor) -> Tensor:
    """Detail below about a quarter of the picture: 3x3 mean minus most of a wide mean. (N, C, h, w)."""
    fine = blur(image, 1, circular=False)
    wide = max(1, min(image.shape[2:]) // 8)
    # Two box means along one axis each cost the same for any width.
    mean = _box(_box(fine, wide, 2), wide, 3)
    return fine - 0.8 * mean


def centres(size: int, count: int) -> Tensor:
    """The output pixels nearest to the centres of `count` equal parts of `size` pixels, (count,) long."""
    return ((torch.arange(count, dtype=torch.float64) + 0.5) * size / count - 0.5).floor().long().clamp_min(0)


def _box(x: Tensor, radius: int, dim: int) -> Tensor:
    """Mean over 2 radius + 1 samples along `dim`, the ends repeated."""
    length = x.shape[dim]
    index = torch.arange(-radius - 1, length + radius, device=x.device).clamp(0, length - 1)
    table = x.index_select(dim, index).cumsum(dim)
    return (table.narrow(dim, 2 * radius + 1, length) - table.narrow(dim, 0, length)) / (2 * radius + 1)


def _mix(logits: Sequence[Tensor], slots: Slots, source: Tensor) -> Tensor:
    """Sum over slots of softmax(logits) times their copies of `source`, one slot at a time."""
    top = torch.stack([k.detach() for k in logits]).amax(0)
    total = torch.zeros_like(top)
    mixed = source.new_zeros(len(source), source.shape[1], *top.shape[2:])
    for k, logit in enumerate(logits):
        weight = (logit - top).exp()
        total = total + weight
        mixed = mixed + weight * slots.take(k, source)
    return mixed / total
