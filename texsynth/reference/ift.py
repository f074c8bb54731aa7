"""Iterative feature transformation on the C x n features themselves, as Chiu and Gurari 2020 state it.

What `transforms.ift` computes on C x C matrices; to check it against, and to compare its speed with.
"""

from __future__ import annotations

import torch
from torch import Tensor


def direct(anchor: Tensor, second: Tensor, *, weight: float, rate: float, n_upd: int) -> Tensor:
    """Gradient descent with a fixed rate, each step by the gradient of the supplement's eq. 27 as it stands.

    anchor: F0 (C, n), the content's features, where the descent begins. second: (C, C) second moment
    F_s F_s^T / m of the style. weight: lambda / n. Returns (C, n) in the type of `anchor`.
    """
    features, n = anchor, anchor.shape[1]
    for _ in range(n_upd):
        gradient = 2 * (features - anchor) + 4 * weight * (features @ features.T / n - second) @ features
        features = features - rate * gradient
    return features


def fused(anchor: Tensor, second: Tensor, *, weight: float, rate: float, n_upd: int) -> Tensor:
    """`direct` with one product for all of a step, F <- B F + 2 rate F0: the fastest form on features known.

    Arguments and result as for `direct`.
    """
    features, n = anchor, anchor.shape[1]
    eye = torch.eye(len(anchor), dtype=anchor.dtype, device=anchor.device)
    for _ in range(n_upd):
        step = (1 - 2 * rate) * eye - 4 * rate * weight * (features @ features.T / n - second)
        features = torch.addmm(anchor, step, features, beta=2 * rate)
    return features


def second_moment(features: Tensor) -> Tensor:
    """(C, C) mean of f f^T over the pixels of `features` (C, n), the paper's Gram matrix."""
    return features @ features.T / features.shape[1]
