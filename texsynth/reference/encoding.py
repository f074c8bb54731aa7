"""The encoding layer with the residuals of Deep TEN written out (Zhang, Xue and Dana 2017; paper 000).

    r_ik = x_i - c_k,   f_ik = e^{-s_k |r_ik|^2 + phi_i},   a_ik = f_ik / h_i,   h_i = sum_m f_im
    e_k = sum_i a_ik r_ik,   phi_i = min_k s_k |r_ik|^2                                       (equation 6)

What `texsynth.models.encoding` computes without the N x K x D residuals; see there why.

h_i holds all codewords, so e_j depends on c_k and s_k for every j, where the paper has the term j = k alone:

    dl/dc_k = sum_j dl/de_j de_j/dc_k,   de_j/dc_k = sum_i r_ij (-2 s_k a_ij a_ik r_ik)^T for j unlike k

Further errata of the paper: `texsynth docs mathematics`.
"""

from torch import Tensor


def residuals(x: Tensor, codewords: Tensor) -> Tensor:
    """r_ik = x_i - c_k. x: (N, D); codewords: (K, D). Returns (N, K, D)."""
    return x[:, None] - codewords


def assignment(x: Tensor, codewords: Tensor, smoothing: Tensor) -> Tensor:
    """a_ik of equation 6, whose largest exponent is 0. smoothing: (K,). Returns (N, K), rows sum to 1."""
    exponent = smoothing * residuals(x, codewords).square().sum(2)
    f = (exponent.amin(1, keepdim=True) - exponent).exp()
    return f / f.sum(1, keepdim=True)


def encode(x: Tensor, codewords: Tensor, smoothing: Tensor, weight: Tensor | float = 1.0) -> Tensor:
    """e_k = sum_i w_i a_ik r_ik. x: (N, D); codewords: (K, D); smoothing: (K,); weight: (N, 1). (K, D)."""
    share = weight * assignment(x, codewords, smoothing)
    return (share[:, :, None] * residuals(x, codewords)).sum(0)


def encode_backward(
    grad: Tensor, x: Tensor, codewords: Tensor, smoothing: Tensor, weight: Tensor | float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients by x, codewords and smoothing, with every e_j depending on every c_k and s_k.

    With g_k = dl/de_k, p_ik = g_k . r_ik and q_ik = a_ik (p_ik - sum_m a_im p_im), the gradient by the logit,

        dx_i = sum_k (a_ik g_k - 2 s_k q_ik r_ik)        (equations 1 and 2)
        dc_k = sum_i (2 s_k q_ik r_ik - a_ik g_k)        (equations 3 and 4, with the terms j unlike k)
        ds_k = -sum_i q_ik |r_ik|^2                      (equation 5, likewise)

    so that sum_i dx_i + sum_k dc_k = 0. grad: (K, D); weight: (N, 1), a factor w_i of all terms. Returns
    (N, D), (K, D) and (K,).
    """
    r, a = residuals(x, codewords), assignment(x, codewords, smoothing)
    p = (grad * r).sum(2)
    q = weight * a * (p - (a * p).sum(1, keepdim=True))
    pull = 2 * (smoothing * q)[:, :, None] * r
    direct = (weight * a)[:, :, None] * grad
    return (direct - pull).sum(1), (pull - direct).sum(0), -(q * r.square().sum(2)).sum(0)
