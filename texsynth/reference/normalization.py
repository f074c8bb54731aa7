"""Local response normalisation and its derivative (paper 003, section 1.3).

    L_k = kappa + alpha sum_{t in G(k)} x_t^2,   y_k = x_k L_k^-beta
    dx_d = g_d L_d^-beta - 2 alpha beta x_d sum_{k : d in G(k)} g_k x_k L_k^{-beta-1}

The factor 2 belongs there, and the sum runs over the groups that hold d, not over G(d). Erratum: the
printed X_(i,j,ki) is X_(i,j,k).
"""

from __future__ import annotations

import torch
from torch import Tensor


def window_groups(channels: int, width: int, like: Tensor) -> Tensor:
    """Group `width` neighbouring channels around each, as torch has them; it divides alpha by `width`.

    like: gives device and type. Returns M (C, C) with M_kt = 1 where t is in G(k), else 0.
    """
    index = torch.arange(channels, device=like.device)
    away = index - index[:, None]
    return ((away >= -(width // 2)) & (away <= (width - 1) // 2)).to(like)


def normalize(x: Tensor, groups: Tensor, *, kappa: float, alpha: float, beta: float) -> Tensor:
    """y_k = x_k (kappa + alpha sum_{t in G(k)} x_t^2)^-beta. x and result: (..., C); groups: (C, C)."""
    return x * _energy(x, groups, kappa, alpha) ** -beta


def normalize_backward(
    grad: Tensor, x: Tensor, groups: Tensor, *, kappa: float, alpha: float, beta: float
) -> Tensor:
    """dX of paper 003, section 1.3. grad: (..., C), dz/dY; the others as for `normalize`."""
    energy = _energy(x, groups, kappa, alpha)
    shared = (grad * x * energy ** (-beta - 1)) @ groups
    return grad * energy**-beta - 2 * alpha * beta * x * shared


def _energy(x: Tensor, groups: Tensor, kappa: float, alpha: float) -> Tensor:
    """L_k, (..., C)."""
    return kappa + alpha * x.square() @ groups.T
