"""Symmetric C x C linear algebra that survives rank-deficient and badly scaled matrices.

Everything is float64: in float32 the small eigenvalues of flat textures turn negative. It stays where it is,
but for Apple's MPS, which has no float64.
"""

import warnings
from typing import NamedTuple

import torch
from torch import Tensor

_JITTERS = (0.0, 1e-14, 1e-13, 1e-12, 1e-11, 1e-10)


class Eigen(NamedTuple):
    """A symmetric matrix as `vectors @ diag(values) @ vectors.T`."""

    values: Tensor  # (C,) float64, ascending
    vectors: Tensor  # (C, C) float64, orthonormal columns

    @property
    def cutoff(self) -> float:
        """C * eps * largest: eigenvalues up to here are zero but for rounding, at any scale of the matrix."""
        return len(self.values) * torch.finfo(torch.float64).eps * float(self.values.abs().amax())


def symmetric_eigh(matrix: Tensor) -> Eigen:
    """Eigendecomposition of a symmetric matrix, tried again with ten times more jitter when LAPACK gives up.

    matrix: (C, C), finite; it is symmetrised first. If no jitter helps, the off-diagonal part is dropped with
    a warning, which turns a transform by whitening into one by deviations, as AdaIN.
    """
    matrix = matrix.detach().to("cpu" if matrix.device.type == "mps" else matrix.device).double()
    matrix = (matrix + matrix.T) / 2
    scale = matrix.diagonal().abs().amax()
    eye = torch.eye(len(matrix), dtype=torch.float64, device=matrix.device)
    for jitter in _JITTERS:
        try:
            values, vectors = torch.linalg.eigh(matrix + jitter * scale * eye)
        except RuntimeError:  # LinAlgError, or LAPACK's own complaint
            continue
        if values.isfinite().all() and vectors.isfinite().all():
            return Eigen(values - jitter * scale, vectors)
    warnings.warn(
        "an eigendecomposition failed; channels are treated as uncorrelated", RuntimeWarning, stacklevel=2
    )
    values, order = matrix.diagonal().sort()
    return Eigen(values, eye[:, order])


def psd_powers(matrix: Tensor, *exponents: float) -> tuple[Tensor, ...]:
    """Symmetric powers of a positive semi-definite matrix from one decomposition.

    matrix: (C, C). Returns one (C, C) float64 matrix for each exponent. Directions of eigenvalue zero, to
    rounding, stay zero for negative exponents too (pseudo-inverse).
    """
    eigen = symmetric_eigh(matrix)
    alive = eigen.values > eigen.cutoff
    values = eigen.values.where(alive, torch.ones_like(eigen.values))
    return tuple((eigen.vectors * (values**p * alive)) @ eigen.vectors.T for p in exponents)
