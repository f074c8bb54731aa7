"""Iterative feature transformation on the C x n features themselves, as Chiu and Gurari 2020 state it.

What `transforms.ift` computes on C x C matrices; to check it against, and to compare its speed with.
Equation numbers are those of the supplement (paper 002). Its equations 1 to 27 hold, but for the limit of
the third sum in equation 23: m, the pixels of the style, not n. F^(j) is F0, the features of the content,
in every update; were it the current iterate, the term of the content would vanish.
"""

import numpy as np
import torch
from torch import Tensor


def loss(features: Tensor, anchor: Tensor, second: Tensor, *, weight: float) -> Tensor:
    """|F - F0|^2 + lambda |F F^T / n - S|^2 (equation 1).

    features, anchor: F and F0 (C, n); second: S (C, C); weight: lambda / n. Returns a scalar.
    """
    gap = second_moment(features) - second
    return (features - anchor).square().sum() + weight * features.shape[1] * gap.square().sum()


def gradient(features: Tensor, anchor: Tensor, second: Tensor, *, weight: float) -> Tensor:
    """2 (F - F0) + 4 lambda / n (F F^T / n - S) F (equations 2 and 27). Arguments as for `loss`; (C, n)."""
    return 2 * (features - anchor) + 4 * weight * (second_moment(features) - second) @ features


def reduced_loss(matrix: Tensor, sigma: Tensor, second: Tensor, *, weight: float) -> Tensor:
    """The loss of F = A F0 divided by n, from Sigma = F0 F0^T / n: tr((A-I) Sigma (A-I)^T) + lambda/n |..|^2.

    matrix: A, sigma, second: (C, C). Returns a scalar.
    """
    away = matrix - torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
    gap = matrix @ sigma @ matrix.T - second
    return (away @ sigma @ away.T).trace() + weight * gap.square().sum()


def direct(anchor: Tensor, second: Tensor, *, weight: float, rate: float, n_upd: int) -> Tensor:
    """Descend with a fixed rate, each step by the gradient of equation 27 as it stands.

    anchor: F0 (C, n), the content's features, where the descent begins. second: (C, C) second moment
    F_s F_s^T / m of the style. weight: lambda / n. Returns (C, n) in the type of `anchor`.
    """
    features = anchor
    for _ in range(n_upd):
        features = features - rate * gradient(features, anchor, second, weight=weight)
    return features


def searched(anchor: Tensor, second: Tensor, *, weight: float, n_upd: int) -> Tensor:
    """Do `direct` with steps to the least loss along each gradient: where the quartic's slope is 0.

    Not of the paper, but the program's default. Its bound for steps that cannot diverge is `stable_bound`.
    """
    features, n = anchor, anchor.shape[1]
    for _ in range(n_upd):
        down = -gradient(features, anchor, second, weight=weight)
        # |F + t D - F0|^2 + lambda |M0 + t M1 + t^2 M2|^2
        cross = features @ down.T / n
        parts = (second_moment(features) - second, cross + cross.T, second_moment(down))
        quartic = np.zeros(5)
        for i, a in enumerate(parts):
            for j, b in enumerate(parts):
                quartic[i + j] += weight * n * float((a * b).sum())
        away = features - anchor
        quartic[1] += 2 * float((away * down).sum())
        quartic[2] += float(down.square().sum())
        line = np.polynomial.Polynomial(quartic)
        roots = line.deriv().roots().real
        features = features + float(roots[line(roots).argmin()]) * down
    return features


def stable_bound(anchor: Tensor, second: Tensor, *, weight: float) -> float:
    """2 / L: no step from the anchor below it raises the loss.

    L = 2 + 4 lambda / n (2 |S| + 3 |Sigma - S|) bounds the Hessian wherever the loss is no higher than there.
    """
    gap = second_moment(anchor) - second
    return 2 / (2 + 4 * weight * float(2 * second.norm() + 3 * gap.norm()))


def fused(anchor: Tensor, second: Tensor, *, weight: float, rate: float, n_upd: int) -> Tensor:
    """Do `direct` with one product per step, F <- B F + 2 rate F0: the fastest form on features known."""
    features, n = anchor, anchor.shape[1]
    eye = torch.eye(len(anchor), dtype=anchor.dtype, device=anchor.device)
    for _ in range(n_upd):
        step = (1 - 2 * rate) * eye - 4 * rate * weight * (features @ features.T / n - second)
        features = torch.addmm(anchor, step, features, beta=2 * rate)
    return features


def second_moment(features: Tensor) -> Tensor:
    """Average f f^T over the pixels of `features` (C, n): (C, C), the paper's Gram matrix."""
    return features @ features.T / features.shape[1]


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
