"""The layers of paper 003 besides convolution, with problems 2, 3 and 5 of paper 001, and Haar pooling.

Maps are (H, W, C). With phi = im2row, entry (r, q, c) of phi(X) is pixel q of window r in channel c.

    pooling        Y_rc = sum_q phi(X)_rqc S_rqc,   dX = phi*(G_rc S_rqc),   S >= 0 and sum_q S_rqc = 1
    normalisation  L_k = kappa + alpha sum_{t in G(k)} x_t^2,   y_k = x_k L_k^-beta
                   dx_d = g_d L_d^-beta - 2 alpha beta x_d sum_{k : d in G(k)} g_k x_k L_k^{-beta-1}

One winner per window, the first in row-major order as in torch, is a subgradient of the maximum: no gradient
is lost or doubled where values are tied. The sum of the normalisation runs over the groups that hold d, not
over G(d). Errata of the papers: `texsynth docs mathematics`.
"""

import math

import torch
from torch import Tensor

from texsynth.reference.convolution import Pair, im2row, output_size, row2im


def _windows(x: Tensor, window: Pair, stride: int, padding: int) -> Tensor:
    """Return the windows (h' w', h_f w_f, C), padded by what no maximum ever is."""
    rows = im2row(x, window, stride=stride, padding=padding, fill=-math.inf)
    return rows.reshape(len(rows), -1, x.shape[2])


def max_pool(x: Tensor, window: Pair, *, stride: int, padding: int = 0) -> Tensor:
    """y = max over the window (paper 001, problem 5). x: (H, W, C), padded by half of it at most."""
    size = output_size((x.shape[0], x.shape[1]), window, stride=stride, padding=padding)
    return _windows(x, window, stride, padding).amax(1).reshape(*size, -1)


def max_pool_backward(grad: Tensor, x: Tensor, window: Pair, *, stride: int, padding: int = 0) -> Tensor:
    """dX = phi*(G S), (H, W, C), with one winner per window and channel. grad: (h', w', C)."""
    windows = _windows(x, window, stride, padding)
    chosen = torch.zeros_like(windows).scatter_(1, windows.argmax(1, keepdim=True), 1)
    passed = chosen * grad.flatten(0, 1)[:, None]
    return row2im(passed.flatten(1), x.shape, window, stride=stride, padding=padding)


def haar_pool(x: Tensor) -> Tensor:
    """Half the sums of 2 x 2 pixels, the low band of Haar wavelets (Yoo et al. 2019). x: even sides."""
    size = output_size((x.shape[0], x.shape[1]), (2, 2), stride=2)
    return im2row(x, (2, 2), stride=2).reshape(size[0] * size[1], 4, -1).sum(1).reshape(*size, -1) / 2


def haar_pool_backward(grad: Tensor, shape: torch.Size) -> Tensor:
    """Pass half of the gradient to each of the 2 x 2 pixels. grad: (H / 2, W / 2, C); shape: (H, W, C)."""
    half = (grad.flatten(0, 1) / 2)[:, None].expand(-1, 4, -1)
    return row2im(half.flatten(1), shape, (2, 2), stride=2)


def window_groups(channels: int, width: int, like: Tensor) -> Tensor:
    """Group `width` channels around each as torch does: M (C, C) with M_kt = 1 where t is in G(k), else 0."""
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
    """Log-loss of the softmax of logits (B, D), mean of log sum_t e^{x_t} - x_c: no p_c rounds to 0."""
    top = x.amax(1, keepdim=True)
    total = top[:, 0] + (x - top).exp().sum(1).log()
    return (total - x.gather(1, label[:, None])[:, 0]).mean()


def cross_entropy_backward(x: Tensor, label: Tensor) -> Tensor:
    """(p - onehot(c)) / B (paper 001, problem 2). Returns (B, D)."""
    index = label[:, None]
    return (softmax(x) - torch.zeros_like(x).scatter_(1, index, 1)) / len(x)
