"""The residual encoding layer of Deep TEN (Zhang, Xue and Dana 2017; paper 000 is its supplement).

Descriptors x_i are softly assigned to codewords c_k, and what is left over is summed:

    r_ik = x_i - c_k,   a_ik = softmax over k of (-s_k |r_ik|^2),   e_k = sum over i of a_ik r_ik

The N x K x D residuals are never built. With A = [a_ik] the codes are A^T X - diag(A^T 1) C; the gradients
for G = dl/dE are

    P = X G^T - 1 [g_k . c_k]_k              (p_ik = g_k . r_ik)
    Q = A * (P - rowsum(A * P))              (dl / d logit)
    dX = A G - 2 ((Q s) 1^T * X - Q diag(s) C)
    dC = -diag(A^T 1) G + 2 diag(s) (Q^T X - diag(Q^T 1) C)
    ds_k = -sum over i of q_ik |r_ik|^2

Where this leaves the paper: its "sub-encoders" differentiate e_k by c_k and s_k alone (equations 3 to 5).
The sum in the denominator of a_ik holds all codewords, so e_j depends on c_k and s_k for every j; the terms
that are left out are those with j unlike k. They are no trifle: over 50 random problems (64 descriptors, 16
codewords, 8 channels, all normal, smoothing factors even from 0 to 1) the printed gradients are off by a
median of 14% for the codewords and 38% for the smoothing factors; 58% and 52% where all factors are 1.
Moving descriptors and codewords alike changes no code, so sum_i dX_i + sum_k dC_k = 0; the gradients above
keep that and the printed ones do not. Equation 5 also drops the sum over i and the factor r_ik: its right
side is da_ik / ds_k. `texsynth.reference.encoding` spells both versions out.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

TILE = 2048  # Descriptors at a time: what a step makes of them then stays in the processor's cache


def assign(
    x: Tensor, codewords: Tensor, smoothing: Tensor, products: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Soft assignment in the stable form of equation 6, whose largest exponent is 0.

    x: (..., N, D); codewords: (K, D); smoothing: (K,), of any sign; products: x C^T where it is known.
    Returns assignment, whose rows sum to 1, and squared distances, (..., N, K). These lose digits far from
    the origin, so callers move it to the codewords.
    """
    products = x @ codewords.T if products is None else products
    squared = torch.add(x.square().sum(-1, keepdim=True) + codewords.square().sum(1), products, alpha=-2)
    distance = squared.clamp_min_(0)
    return torch.softmax(-smoothing * distance, -1), distance


def encode(x: Tensor, codewords: Tensor, smoothing: Tensor, weight: Tensor | None = None) -> Tensor:
    """Residual codes: e_k = sum over i of w_i a_ik (x_i - c_k), differentiable in the first three.

    x: (B, N, D) of any floating dtype; codewords: (K, D) and smoothing: (K,) in float32 or float64;
    weight: (B, N), 1 everywhere when left out, never differentiated. Returns (B, K, D) in the codewords'
    dtype, not normalised; codes of parts of a picture add up. Raises ValueError for other shapes.
    """
    if x.shape[-1:] != codewords.shape[1:] or smoothing.shape != codewords.shape[:1]:
        raise ValueError(
            f"descriptors {tuple(x.shape)}, codewords {tuple(codewords.shape)} and smoothing factors "
            f"{tuple(smoothing.shape)} must be (B, N, D), (K, D) and (K,)"
        )
    with torch.autocast(x.device.type, enabled=False):
        codes: Tensor = _Encode.apply(x, codewords, smoothing, weight)  # type: ignore[no-untyped-call]
        return codes


class _Encode(torch.autograd.Function):
    """The layer and its gradients by tiles; memory grows with D, K and a tile, not with N K D."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 (torch's signature)
        x: Tensor,
        codewords: Tensor,
        smoothing: Tensor,
        weight: Tensor | None,
    ) -> Tensor:
        ctx.save_for_backward(x, codewords, smoothing, *([] if weight is None else [weight]))
        origin = codewords.mean(0)
        moved = codewords - origin
        codes = codewords.new_zeros(len(x), *codewords.shape)
        for part in _tiles(x):
            tile = x[:, part].to(codewords) - origin
            share = _weighted(assign(tile, moved, smoothing)[0], weight, part)
            codes += share.mT @ tile - share.sum(1)[..., None] * moved
        return codes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:  # noqa: ANN401
        x, codewords, smoothing, *rest = ctx.saved_tensors
        weight = rest[0] if rest else None
        # Autocast that is on where the backward pass is called would reach the products here too.
        with torch.autocast(x.device.type, enabled=False):
            origin = codewords.mean(0)
            moved = codewords - origin
            grad_x = torch.empty_like(x)
            grad_codewords, grad_smoothing = torch.zeros_like(codewords), torch.zeros_like(smoothing)
            offset = (grad * moved).sum(-1)[:, None]
            # With the gradient and with the codewords in one product, which fills processors better.
            both = torch.cat([grad, moved.expand_as(grad)], 1)
            for part in _tiles(x):
                tile = x[:, part].to(codewords) - origin
                along, products = (tile @ both.mT).chunk(2, -1)
                soft, distance = assign(tile, moved, smoothing, products)
                along = along - offset
                along = along - (soft * along).sum(-1, keepdim=True)
                share = _weighted(soft, weight, part)
                logit = share * along
                pull = 2 * logit * smoothing
                straight = torch.cat([share, pull], -1) @ both
                grad_x[:, part] = straight.addcmul_(pull.sum(-1, keepdim=True), tile, value=-1)
                grad_codewords += (pull.mT @ tile - pull.sum(1)[..., None] * moved).sum(0)
                grad_codewords -= (share.sum(1)[..., None] * grad).sum(0)
                grad_smoothing -= (logit * distance).sum((0, 1))
        return grad_x, grad_codewords, grad_smoothing, None


def _tiles(x: Tensor) -> Iterator[slice]:
    step = max(1, TILE // max(1, len(x)))
    return (slice(start, start + step) for start in range(0, x.shape[1], step))


def _weighted(share: Tensor, weight: Tensor | None, part: slice) -> Tensor:
    return share if weight is None else share * weight[:, part, None].to(share)


class Encoding(nn.Module):
    """The layer with its codewords and smoothing factors."""

    def __init__(self, codewords: int, channels: int) -> None:
        """codewords: K; channels: D. Drawn uniformly: codewords +-1 / sqrt(K D), smoothing 0 to 1."""
        super().__init__()
        reach = (codewords * channels) ** -0.5
        self.codewords = nn.Parameter(torch.empty(codewords, channels).uniform_(-reach, reach))
        self.smoothing = nn.Parameter(torch.rand(codewords))

    def forward(self, x: Tensor, weight: Tensor | None = None) -> Tensor:
        """x: (B, N, D); weight: (B, N). Returns codes (B, K, D), summed over N."""
        return encode(x, self.codewords, self.smoothing, weight)
