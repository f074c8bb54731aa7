"""Which descriptors are nearest to one."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor


def nearest(
    query: Tensor, descriptors: Tensor, count: int, *, without: Collection[int] = ()
) -> list[tuple[int, float]]:
    """Rows of the most similar descriptors and their cosines, best first; of equal ones the first row.

    query: (size,) and descriptors: (n, size), both of unit length. count: return at most so many. without:
    rows that are left out.
    """
    similarity = descriptors.float() @ query.float()
    similarity[list(without)] = -torch.inf
    found = similarity.sort(descending=True, stable=True)
    most = min(count, len(descriptors) - len(set(without)))
    cosines = found.values[:most].clamp(-1, 1)
    return list(zip(found.indices[:most].tolist(), cosines.tolist(), strict=True))
