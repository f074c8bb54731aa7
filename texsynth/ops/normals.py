"""Normal maps: vectors of surfaces, stored as colours."""

import torch
from torch import Tensor

LEAST = 1e-6  # Length below which a vector has no direction


def carry_normals(colours: Tensor, change: Tensor, lengths: Tensor, *, y_up: bool) -> Tensor:
    """Turn the vectors of a normal map whose pixels have been moved by a linear map.

    colours: (..., 3, H, W) in [0, 1], the vectors x, y, z as (v + 1) / 2, resampled already. change: (2, 2)
    float64, the new place of a point (x, y), y downwards, is `change` times the old one. lengths:
    (..., 1, H, W), what the vectors shall have. y_up: whether green is light where the surface faces the top
    of the picture (OpenGL), or its bottom (DirectX). Heights stay as they are, so gradients are multiplied by
    the inverse transpose of `change`, and so are x and y beside the same z.
    """
    vectors = 2 * colours - 1
    sign = vectors.new_tensor([1.0, -1.0 if y_up else 1.0])
    matrix = sign[:, None] * torch.linalg.inv(change).mT.to(vectors) * sign
    across = torch.einsum("ij,...jhw->...ihw", matrix, vectors[..., :2, :, :])
    return with_lengths(torch.cat([across, vectors[..., 2:, :, :]], -3), lengths)


def with_lengths(vectors: Tensor, lengths: Tensor) -> Tensor:
    """Scale vectors (..., 3, H, W) to `lengths` (..., 1, H, W). Returns colours in [0, 1]."""
    now = torch.linalg.vector_norm(vectors, dim=-3, keepdim=True).clamp_min(LEAST)
    colours: Tensor = (vectors * (lengths / now) + 1) / 2
    return colours.clamp(0, 1)


def normal_lengths(colours: Tensor) -> Tensor:
    """Return the lengths of the vectors of a normal map (..., 3, H, W) in [0, 1], (..., 1, H, W)."""
    lengths: Tensor = torch.linalg.vector_norm(2 * colours - 1, dim=-3, keepdim=True)
    return lengths
