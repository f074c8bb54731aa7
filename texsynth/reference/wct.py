"""Whitening and colouring on C x n features, by singular values as the published implementations have it.

Li et al. 2017, "Universal Style Transfer via Feature Transforms", eq. 2 and 3. What `transforms.wct` computes
from moments; to check it against, and to compare its speed with.
"""

from __future__ import annotations

import torch
from torch import Tensor

SMALLEST = 1e-5
"""Singular values up to here are left out, whatever the scale of the features."""


def svd_wct(content: Tensor, style: Tensor) -> Tensor:
    """Give features of the content the mean and covariance of the style.

    content: (C, n), style: (C, m), n and m at least 2. Returns (C, n) in their type. Directions that the
    content lacks stay empty.
    """
    centred, _ = _centred(content)
    vectors, values = _principal(centred)
    whitened = (vectors * values**-0.5) @ vectors.T @ centred
    style_centred, style_mean = _centred(style)
    vectors, values = _principal(style_centred)
    return (vectors * values**0.5) @ vectors.T @ whitened + style_mean


def _centred(features: Tensor) -> tuple[Tensor, Tensor]:
    mean = features.mean(1, keepdim=True)
    return features - mean, mean


def _principal(centred: Tensor) -> tuple[Tensor, Tensor]:
    """Return directions (C, k) and variances (k,) of what is not nearly flat."""
    covariance = centred @ centred.T / (centred.shape[1] - 1)
    vectors, values, _ = torch.linalg.svd(covariance)
    kept = values > SMALLEST
    return vectors[:, kept], values[kept]
