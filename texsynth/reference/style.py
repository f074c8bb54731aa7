"""Style losses with their gradients: Gram matrices and sliced Wasserstein (D'Orazio 2023; paper 004).

Features are Phi (H W, C), rows are positions. What `texsynth.metrics.losses` computes by autograd.

Equation 2 is meant as Phi_out^T Phi_out - Phi_tgt^T Phi_tgt with K_p = 1 / (C_p H_p W_p); errata of the
paper: `texsynth docs mathematics`.
"""

from __future__ import annotations

import torch
from torch import Tensor


def gram(phi: Tensor) -> Tensor:
    """K Phi^T Phi with K = 1 / (C H W). phi: (H W, C). Returns (C, C)."""
    return phi.T @ phi / phi.numel()


def gram_loss(output: Tensor, target: Tensor) -> Tensor:
    """One level of equation 2, put right: |gram(output) - gram(target)|_1 / C^2. Both (H W, C)."""
    return (gram(output) - gram(target)).abs().sum() / output.shape[1] ** 2


def gram_loss_gradient(output: Tensor, target: Tensor) -> Tensor:
    """2 K / C^2 Phi sign(gram(output) - gram(target)), the gradient by the output (H W, C)."""
    scale = 2 / (output.numel() * output.shape[1] ** 2)
    return scale * output @ torch.sign(gram(output) - gram(target))


def sliced_wasserstein(output: Tensor, target: Tensor, directions: Tensor) -> Tensor:
    """One level of equations 3 and 4: the mean over directions of |sort(S) - sort(T)|^2 / |S|.

    output, target: (n, C); directions: (K, C) unit rows.
    """
    s, t = output @ directions.T, target @ directions.T
    return (s.sort(0).values - t.sort(0).values).square().mean()


def sliced_wasserstein_gradient(output: Tensor, target: Tensor, directions: Tensor) -> Tensor:
    """2 / (n K) sum over v of (S_i - T_(rank of i)) v, the gradient by the output (n, C)."""
    s, t = output @ directions.T, target @ directions.T
    # The rank of each value in its direction: the inverse of the order that sorts.
    ranks = s.argsort(0).argsort(0)
    away = s - t.sort(0).values.gather(0, ranks)
    return 2 / away.numel() * away @ directions
