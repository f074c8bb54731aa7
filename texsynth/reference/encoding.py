"""The encoding layer with the residuals of Deep TEN written out (Zhang, Xue and Dana 2017; paper 000).

    r_ik = x_i - c_k,   f_ik = e^{-s_k |r_ik|^2 + phi_i},   a_ik = f_ik / h_i,   h_i = sum_m f_im
    e_k = sum_i a_ik r_ik,   phi_i = min_k s_k |r_ik|^2                                       (equation 6)

What `texsynth.models.encoding` computes without the N x K x D residuals; see there why.

Errata: h_i holds all codewords, so e_j depends on c_k and s_k for every j, and

    dl/dc_k = sum_j dl/de_j de_j/dc_k,   de_j/dc_k = sum_i r_ij (-2 s_k a_ij a_ik r_ik)^T for j unlike k

where the paper has the term j = k alone ("the sub-encoder e_k only depends on the codeword c_k", equations
3 and 4, and the same of s_k, equation 5). The right side of equation 5 is da_ik / ds_k; summed over i and
times r_ik it is de_k / ds_k. Equation 1 reads r_ik da_ik/dx_i + a_ik I, an outer product and the D x D
identity. The sum of equation 2 takes s_m and r_im for each m. After equation 6, "e^phi f/dx" is e^phi df/dx
with phi held constant; the part of phi cancels in a_ik.
"""

from __future__ import annotations

import torch
from torch import Tensor


def residuals(x: Tensor, codewords: Tensor) -> Tensor:
    """r_ik = x_i - c_k. x: (N, D); codewords: (K, D). Returns (N, K, D)."""
    return x[:, None] - codewords


def assignment(x: Tensor, codewords: Tensor, smoothing: Tensor) -> Tensor:
    """a_ik of equation 6, whose largest exponent is 0. smoothing: (K,). Returns (N, K), rows sum to 1."""
    exponent = smoothing * residuals(x, codewords).square().sum(2)
    f = (exponent.amin(1, keepdim=True) - exponent).exp()
    return f / f.sum(1, keepdim=True)


def encode(x: Tensor, codewords: Tensor, smoothing: Tensor) -> Tensor:
    """e_k = sum_i a_ik r_ik. x: (N, D); codewords: (K, D); smoothing: (K,). Returns (K, D)."""
    return (assignment(x, codewords, smoothing)[:, :, None] * residuals(x, codewords)).sum(0)


def encode_backward(
    grad: Tensor, x: Tensor, codewords: Tensor, smoothing: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients by x, codewords and smoothing, with every e_j depending on every c_k and s_k.

    With g_k = dl/de_k, p_ik = g_k . r_ik and q_ik = a_ik (p_ik - sum_m a_im p_im), the gradient by the logit,

        dx_i = sum_k (a_ik g_k - 2 s_k q_ik r_ik)        (equations 1 and 2)
        dc_k = sum_i (2 s_k q_ik r_ik - a_ik g_k)        (equations 3 and 4, with the terms j unlike k)
        ds_k = -sum_i q_ik |r_ik|^2                      (equation 5, likewise)

    so that sum_i dx_i + sum_k dc_k = 0. grad: (K, D). Returns (N, D), (K, D) and (K,).
    """
    r, a = residuals(x, codewords), assignment(x, codewords, smoothing)
    p = (grad * r).sum(2)
    q = a * (p - (a * p).sum(1, keepdim=True))
    pull = 2 * (smoothing * q)[:, :, None] * r
    direct = a[:, :, None] * grad
    return (direct - pull).sum(1), (pull - direct).sum(0), -(q * r.square().sum(2)).sum(0)


def encode_backward_as_printed(
    grad: Tensor, x: Tensor, codewords: Tensor, smoothing: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return gradients of the paper's independent sub-encoders: dx is right, the others WRONG for K > 1.

    Equations 3 to 5 with the sums over i, and equation 5 times r_ik; only the terms j unlike k are left out,
    as printed. For comparison only. Arguments and result as for `encode_backward`.
    """
    r, a = residuals(x, codewords), assignment(x, codewords, smoothing)
    p, distance = (grad * r).sum(2), r.square().sum(2)
    # f g / h^2 of equations 4 and 5, where g is the sum of the other f.
    own = a * (1 - a)
    d_codewords = ((2 * smoothing * own * p)[:, :, None] * r - a[:, :, None] * grad).sum(0)
    d_smoothing = -(own * distance * p).sum(0)
    return encode_backward(grad, x, codewords, smoothing)[0], d_codewords, d_smoothing


def shift_sum(d_x: Tensor, d_codewords: Tensor) -> Tensor:
    """sum_i dx_i + sum_k dc_k, (D,): 0, since moving descriptors and codewords alike changes no code."""
    return torch.cat([d_x, d_codewords]).sum(0)
