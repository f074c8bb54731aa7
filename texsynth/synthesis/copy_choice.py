"""From overlapping copies of an exemplar to one source position for each pixel.

Every pixel of a layout is covered by about six copies. Which of them shows there is settled in rounds from
coarse to fine: a round builds, from the current choice around a pixel, what should be there, and the copies
are then judged by how near they come to it and by what their neighbours chose. These are mean-field rounds of
a random field that finds seams (Kwatra et al. 2003). Nothing here is learned: weights that were trained for
the choice made seams more visible by a fifth than the numbers below (30 held-out textures, 128 to 256 px).
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.analysis.self_similarity import self_difference
from texsynth.ops.resample import box_mean
from texsynth.synthesis.placement import Layout, place_copies, slot_sources

REACH = 0.75  # Largest shift of the self-similarity map, as a share of the exemplar
ROUNDS = ((8, 4.0), (8, 8.0), (4, 8.0), (4, 16.0), (2, 16.0), (2, 32.0))
"""Output pixels to one of the grid, and how sharply copies are told apart: seams move far, then settle."""
PRIOR_SHARPNESS = 32.0  # The same before the first round, where only the prior speaks
FINE_SHARPNESS = 32.0  # The same in the last round, at full size on colours alone
PRIOR = (0.2, 0.6, 0.15)  # Weights of the distance to a copy's edge, of its agreement and of its rank
RADIUS = 2  # Pixels of the grid around one that a round looks at
SMALL_PX = 64  # Side of an exemplar; every doubling adds a round with twice the radius
RAMP = 4.0  # A copy counts fully from this fraction, 1 / RAMP, of its half side inwards
PLACING, COARSE = 0.1, 0.4
"""Share of the time that placing copies takes, and of the rest what comes before the full size."""

NEVER = -1e4  # Logit of a slot that has no source at a pixel


OnShare = Callable[[float], None]
"""Is told how much of a work is done, 0 to 1."""


def lay_copies(
    exemplar: Tensor,
    size: tuple[int, int],
    rng: torch.Generator,
    *,
    wrap: bool = False,
    variation: float = 0.0,
    on_share: OnShare = lambda _: None,
) -> Tensor:
    """Place copies of an exemplar by its self-similarity map, and choose among them.

    exemplar: (1, 3, h, w) in [0, 1], sides of at least 16. size: (H, W) of the output, periodic if `wrap`.
    variation: 0..1, share of seeded noise in the map. Returns source positions (2, H, W), row and column.
    """
    height, width = exemplar.shape[2:]
    reach = (min(int(REACH * height), height - 1), min(int(REACH * width), width - 1))
    difference, energy = (x[0].cpu() for x in self_difference(high_pass(exemplar), reach))
    layout = place_copies(difference, energy, (height, width), size, rng, circular=wrap, variation=variation)
    on_share(PLACING)
    index = choose_copies(exemplar, layout, lambda share: on_share(PLACING + (1 - PLACING) * share))
    return torch.stack([index // width, index % width])


def choose_copies(exemplar: Tensor, layout: Layout, on_share: OnShare = lambda _: None) -> Tensor:
    """Choose a copy for each pixel. Returns (H, W) long, the pixel of the flattened exemplar shown there."""
    image = exemplar[0]
    keys = torch.cat([image - 0.5, 1.5 * high_pass(exemplar)[0]])
    spread = keys.var((1, 2)).sum() + 1e-4
    # Off the torus the grids cover whole multiples of 8 pixels.
    canvas = [n if layout.circular else -(-n // 8) * 8 for n in layout.size]
    logits = torch.empty(0)
    for number, (step, sharpness) in enumerate(ROUNDS):
        if number % 2 == 0:
            shape = [-(-n // step) for n in canvas]
            rows, columns = (
                centres(c, m).clamp(max=n - 1) for n, c, m in zip(layout.size, canvas, shape, strict=True)
            )
            slots = [slot_sources(layout, k, rows, columns) for k in range(len(layout.slots))]
            valid = torch.stack([s.valid for s in slots]).to(image.device)
            prior = torch.stack([_prior(s.cues) for s in slots]).to(image)
            blurred = box_mean(keys[None], step // 4)[0].flatten(1)
            copies = torch.stack([blurred[:, s.source.to(image.device)] for s in slots])
            logits = _grown(logits, shape, layout.circular) if number else PRIOR_SHARPNESS * prior
            logits = logits.where(valid, NEVER)
        radii = [RADIUS]
        if number == 0:  # a large exemplar has large features, and seams must move farther
            doublings = int(math.log2(max(1, min(image.shape[1:]) / SMALL_PX)))
            radii = [RADIUS << k for k in range(doublings, -1, -1)]
        for radius in radii:
            near = _mean(logits.softmax(0), radius, layout.circular) * valid
            near = near / near.sum(0).clamp_min(1e-9)
            target = torch.einsum("khw,kchw->chw", near, copies)
            cost = _mean((copies - target).square().sum(1), radius, layout.circular)
            logits = sharpness * (prior - cost / spread) + (near + 1e-6).log()
            logits = logits.where(valid, NEVER)
        on_share(COARSE * (number + 1) / len(ROUNDS))
    logits = _grown(logits, canvas, layout.circular)
    return _choose_at_full_size(image, logits, layout, lambda share: on_share(COARSE + (1 - COARSE) * share))


def _choose_at_full_size(image: Tensor, logits: Tensor, layout: Layout, on_share: OnShare) -> Tensor:
    """Do the last round on colours alone, slot after slot to save memory. logits: (slots, H', W')."""
    height, width = layout.size
    flat, count = image.flatten(1), len(layout.slots)
    logits = logits[:, :height, :width]
    sources, weights = [], []
    for k in range(count):
        slot = slot_sources(layout, k, torch.arange(height), torch.arange(width), cues=False)
        sources.append(slot.source.int().to(image.device))  # half the memory of int64
        weights.append(logits[k].where(slot.valid.to(image.device), NEVER))
        on_share((k + 1) / (2 * count))
    shares = torch.stack(weights).softmax(0)
    target = sum((shares[k] * flat[:, sources[k].long()] for k in range(count)), torch.zeros(()).to(image))
    spread = image.var((1, 2)).sum() + 1e-4
    best = torch.full_like(weights[0], -torch.inf)
    chosen = sources[0]
    for k, (source, weight) in enumerate(zip(sources, weights, strict=True), count + 1):
        cost = _mean((flat[:, source.long()] - target).square().sum(0, keepdim=True), 1, layout.circular)[0]
        score = torch.where(weight > NEVER / 2, weight - FINE_SHARPNESS * cost / spread, NEVER)
        chosen = torch.where(score > best, source, chosen)
        best = torch.maximum(score, best)
        on_share(k / (2 * count))
    return chosen.long()


def high_pass(image: Tensor) -> Tensor:
    """Detail below about a quarter of the picture: 3x3 mean minus most of a wide mean. (N, C, h, w)."""
    return box_mean(image, 1) - 0.8 * box_mean(image, max(1, min(image.shape[2:]) // 8))


def centres(size: int, count: int) -> Tensor:
    """The output pixels nearest to the centres of `count` equal parts of `size` pixels, (count,) long."""
    return ((torch.arange(count, dtype=torch.float64) + 0.5) * size / count - 0.5).floor().long().clamp_min(0)


def _prior(cues: Tensor) -> Tensor:
    """Score the copies of a slot before anything is compared. cues: (3, r, c). Returns (r, c)."""
    edge, agreement, rank = cues
    score: Tensor = PRIOR[0] * (RAMP * edge).clamp(max=1) + PRIOR[1] * agreement + PRIOR[2] * rank
    return score


def _mean(planes: Tensor, radius: int, wrap: bool) -> Tensor:
    """Box mean of side 2 radius + 1. planes: (C, h, w); the border is repeated, or continued on a torus."""
    mode = "circular" if wrap and min(planes.shape[1:]) >= radius else "replicate"
    x = F.pad(planes[None], (radius,) * 4, mode=mode)[0]
    for dim in (1, 2):  # a few shifted sums are faster than pooling
        length = x.shape[dim] - 2 * radius
        total = x.narrow(dim, 0, length)
        for shift in range(1, 2 * radius + 1):
            total = total + x.narrow(dim, shift, length)
        x = total
    return x / (2 * radius + 1) ** 2


def _grown(planes: Tensor, size: Sequence[int], wrap: bool) -> Tensor:
    """Bilinear to `size` (H, W), pixel areas aligned; on a torus when `wrap`. planes: (C, h, w)."""
    if not wrap:
        return F.interpolate(planes[None], tuple(size), mode="bilinear", align_corners=False)[0]
    for dim in (1, 2):
        old, new = planes.shape[dim], size[dim - 1]
        at = (torch.arange(new, dtype=torch.float64) + 0.5) * old / new - 0.5  # not every device has float64
        first = at.floor().long()
        share = (at - first).to(planes).view(-1, *[1] * (2 - dim))
        low, high = (planes.index_select(dim, (first + k).to(planes.device) % old) for k in (0, 1))
        planes = low + share * (high - low)
    return planes
