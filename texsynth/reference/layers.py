"""The remaining layers of paper 003, sections 1.4 to 1.8, with problems 2 and 3 of paper 001.

Errata of paper 003: the numerator of softmax is e^{X_k}, not e^{X_i}; the derivative of the log-loss is by
X_k, not by X_c, dz/dX_k = -delta_{k=c} / X_c. Paper 001, problem 2, drops two minus signs for i unlike gt,
which cancel; its result holds.
"""

from __future__ import annotations

import torch
from torch import Tensor


def vec(x: Tensor) -> Tensor:
    """List all entries in row-major order (section 1.4). Any order will do if it is the same everywhere."""
    return x.reshape(-1)


def vec_backward(grad: Tensor, shape: torch.Size) -> Tensor:
    """Put the entries back in their places. grad: (n,). Returns `shape`."""
    return grad.reshape(shape)


def relu(x: Tensor) -> Tensor:
    """max(0, x) (section 1.5)."""
    return torch.where(x > 0, x, 0)


def relu_backward(grad: Tensor, x: Tensor) -> Tensor:
    """dz/dY where x > 0, else 0; at 0 too, one of its subgradients."""
    return torch.where(x > 0, grad, 0)


def connected(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """y = W x + b (section 1.6; paper 001, problem 3). x: (L,); weight: (O, L); bias: (O,). Returns (O,)."""
    return weight @ x + bias


def connected_backward(grad: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """dx = W^T g, dW = g x^T, db = g. grad: (O,). Returns (L,), (O, L) and (O,)."""
    return weight.T @ grad, torch.outer(grad, x), grad


def softmax(x: Tensor) -> Tensor:
    """y_k = e^{x_k} / sum_t e^{x_t} over the last dimension (section 1.7), the largest exponent made 0."""
    powers = (x - x.amax(-1, keepdim=True)).exp()
    return powers / powers.sum(-1, keepdim=True)


def softmax_backward(grad: Tensor, y: Tensor) -> Tensor:
    """dx_d = y_d (g_d - sum_k g_k y_k). y: what `softmax` gave; both (..., D)."""
    return y * (grad - (grad * y).sum(-1, keepdim=True))


def log_loss(p: Tensor, label: Tensor) -> Tensor:
    """Mean of -log p_c over the examples (section 1.8). p: (B, D) positive; label: (B,), c from 0."""
    return -p.gather(1, label[:, None]).log().mean()


def log_loss_backward(p: Tensor, label: Tensor) -> Tensor:
    """-delta_{k=c} / p_c, over B for the mean. Returns (B, D)."""
    index = label[:, None]
    return torch.zeros_like(p).scatter_(1, index, -1 / p.gather(1, index)) / len(p)


def cross_entropy(x: Tensor, label: Tensor) -> Tensor:
    """Log-loss of the softmax, mean of log sum_t e^{x_t} - x_c: finite where p_c would round to 0.

    x: (B, D) logits; label: (B,).
    """
    top = x.amax(1, keepdim=True)
    total = top[:, 0] + (x - top).exp().sum(1).log()
    return (total - x.gather(1, label[:, None])[:, 0]).mean()


def cross_entropy_backward(x: Tensor, label: Tensor) -> Tensor:
    """(p - onehot(c)) / B (paper 001, problem 2). Returns (B, D)."""
    index = label[:, None]
    return (softmax(x) - torch.zeros_like(x).scatter_(1, index, 1)) / len(x)
