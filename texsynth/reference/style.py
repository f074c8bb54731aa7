"""Style losses with their gradients: Gram matrices and sliced Wasserstein (D'Orazio 2023; paper 004).

Features are Phi (H W, C), rows are positions. What `texsynth.metrics.losses` computes by autograd.

Errata of equation 2: the difference Phi_out^T Phi_tgt - Phi_tgt^T Phi_out as printed is antisymmetric, 0
for Phi_out = 2 Phi_tgt and for Phi_out = 0, and it depends on the order of positions; meant is Phi_out^T
Phi_out - Phi_tgt^T Phi_tgt. The sum begins at level p = 0, not -1, and K_p = 1 / (C_p H_p W_p). Equation 3
lacks the sum over levels. Equation 4 is the square of the one-dimensional Wasserstein-2 distance, and for
equal numbers only.
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


def gram_loss_as_printed(output: Tensor, target: Tensor) -> Tensor:
    """Equation 2 as printed, one level: WRONG, 0 for all multiples of the target. For comparison only."""
    cross = output.T @ target
    return (cross - cross.T).abs().sum() / (output.numel() * output.shape[1] ** 2)


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
