"""Clusters that several pictures share."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

MOST = 4  # Clusters

GAIN = 0.75
"""One more cluster must reduce the variance that is left to this share of it."""

LEAST = 0.04
"""Share of the first picture, and of one of the others, that a cluster has at least."""

STARTS, ROUNDS = 3, 30  # Of k-means

FLAT = 1e-9  # Variance that is none


@dataclass(frozen=True)
class SharedClusters:
    """What several pictures have in common."""

    labels: tuple[Tensor, ...]  # (n,) of each picture, the number of the cluster, from 0
    shares: Tensor  # (pictures, K) shares of the clusters in each picture, which add up to 1
    alike: Tensor  # (pictures, K) whether this picture's part is large enough and like the first picture's

    @property
    def count(self) -> int:
        """The number of clusters."""
        return int(self.shares.shape[1])


def shared_clusters(
    pictures: Sequence[Tensor], weights: Sequence[Tensor], rng: torch.Generator
) -> SharedClusters:
    """Cluster the samples of all pictures together, into as many clusters as are clearly apart.

    pictures: (n, D) samples of each, the first of which weighs as much as all others. weights: (n,) of the
    samples, non-negative. A cluster that is tiny in the first picture or in all others joins the nearest.
    A picture's part is not `alike` where all of that picture resembles the first one's part more. rng: of
    k-means++, on the CPU.
    """
    each = [w.double() / w.double().sum().clamp_min(1e-12) for w in weights]
    rows = torch.cat(list(pictures)).double()
    half = torch.cat([w / 2 / (1 if i == 0 else len(each) - 1) for i, w in enumerate(each)])
    centres, costs = _k_means(rows, half, 1, rng)
    while len(centres) < MOST:
        more, cost = _k_means(rows, half, len(centres) + 1, rng)
        if not cost < GAIN * costs or costs < FLAT:
            break
        centres, costs = more, cost
    sizes = [len(picture) for picture in pictures]
    while True:
        near = torch.cdist(rows, centres).argmin(1)
        labels = near.split(sizes)
        count = len(centres)
        pairs = zip(labels, each, strict=True)
        shares = torch.stack([w.new_zeros(count).index_add_(0, own, w) for own, w in pairs])
        least = torch.minimum(shares[0], shares[1:].amax(0))
        smallest = int(least.argmin())
        if count == 1 or float(least[smallest]) >= LEAST:
            break
        centres = torch.cat([centres[:smallest], centres[smallest + 1 :]])
    # The largest comes first.
    order = shares[0].argsort(descending=True, stable=True)
    return SharedClusters(
        tuple(order.argsort()[own] for own in labels),
        shares[:, order],
        _alike(rows.split(sizes), labels, each, shares)[:, order],
    )


def _alike(
    rows: Sequence[Tensor], labels: Sequence[Tensor], weights: Sequence[Tensor], shares: Tensor
) -> Tensor:
    means = [
        torch.zeros(shares.shape[1], r.shape[1], dtype=r.dtype).index_add_(0, own, r * w[:, None])
        / share[:, None].clamp_min(1e-12)
        for r, own, w, share in zip(rows, labels, weights, shares, strict=True)
    ]
    whole = torch.stack([(r * w[:, None]).sum(0) for r, w in zip(rows, weights, strict=True)])
    to_part = torch.stack([(mean - means[0]).norm(dim=1) for mean in means])
    to_whole = torch.stack([(middle - means[0]).norm(dim=1) for middle in whole])
    return (shares >= LEAST) & (to_part <= to_whole)


def _k_means(rows: Tensor, weights: Tensor, count: int, rng: torch.Generator) -> tuple[Tensor, float]:
    """Return the centres (count, D) of the best of some starts, and the weighted variance around them."""
    return min((_from_one_start(rows, weights, count, rng) for _ in range(STARTS)), key=lambda best: best[1])


def _from_one_start(rows: Tensor, weights: Tensor, count: int, rng: torch.Generator) -> tuple[Tensor, float]:
    """Run k-means from centres far apart (Arthur and Vassilvitskii 2007, "k-means++")."""
    near = torch.ones_like(weights)
    picked: list[Tensor] = []
    for _ in range(count):
        # A little for all, so that there is something to draw where all samples are alike.
        index = int(torch.multinomial(weights * near + 1e-20, 1, generator=rng))
        picked.append(rows[index])
        distance = (rows - rows[index]).square().sum(1)
        near = distance if len(picked) == 1 else torch.minimum(near, distance)
    centres = torch.stack(picked)
    for _ in range(ROUNDS):
        labels = torch.cdist(rows, centres).argmin(1)
        total = torch.zeros(count, dtype=rows.dtype).index_add_(0, labels, weights)
        sums = torch.zeros_like(centres).index_add_(0, labels, rows * weights[:, None])
        # A centre that has lost all of its samples stays.
        moved = torch.where(total[:, None] > 0, sums / total[:, None].clamp_min(1e-30), centres)
        if torch.equal(moved, centres):
            break
        centres = moved
    distance = torch.cdist(rows, centres).amin(1).square()
    return centres, float((weights * distance).sum())
