"""Optimal transport between Gaussians: of all maps that give the style's mean and covariance, the one that
moves the features least.

Lu et al. 2019, "A Closed-form Solution to Universal Style Transfer"; barycentre: Alvarez-Esteban et al. 2016,
"A fixed-point approach to barycenters in Wasserstein space", eq. 19.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from texsynth.config.settings import OTSettings
from texsynth.ops.fixed_point import fixed_point
from texsynth.ops.linalg import psd_powers
from texsynth.ops.threads import one_thread
from texsynth.transforms.affine import AffineMap
from texsynth.transforms.moments import Moments, normalised

_ROUNDS = 100

_TOLERANCE = 1e-10  # Change of a round, as a share of the covariance; roundings alone come to 1e-11


def fit(content: Moments, style: Moments, settings: OTSettings) -> AffineMap:
    """Sigma^-1/2 (Sigma^1/2 S Sigma^1/2)^1/2 Sigma^-1/2 around the means: symmetric, positive semi-definite.

    S is the covariance of the style, Sigma of the content; both get the ridge. One pixel or a flat content
    gives the shift of the mean alone. The norm of the matrix is bounded as in WCT.
    """
    if not content.has_spread or style.n <= 1:
        return AffineMap.between_means(content, style)
    root, inverse = psd_powers(content.regular_covariance(settings.ridge), 0.5, -0.5)
    (middle,) = psd_powers(root @ style.regular_covariance(settings.ridge) @ root, 0.5)
    matrix = inverse @ middle @ inverse
    return AffineMap.between_means(content, style, (matrix + matrix.T) / 2)


@one_thread()
def barycentre(styles: Sequence[Moments], weights: Sequence[float]) -> Moments:
    """Find the style between styles: the Gaussian of least weighted squared transport distance to all.

    Unlike the mean of covariances it keeps one spread where the styles' means differ. weights: non-negative,
    not all zero. `n` is the weighted mean of the pixel counts. Styles without pixels are left out.
    """
    shares = normalised(styles, weights)
    if not shares:
        return Moments.empty(len(styles[0].sum), styles[0].sum.device)
    n = sum(s * m.n for m, s in shares)
    mean = torch.stack([s * m.mean for m, s in shares]).sum(0)
    covariances = [(m.covariance, s) for m, s in shares]

    def step(covariance: Tensor) -> Tensor:
        root, inverse = psd_powers(covariance, 0.5, -0.5)
        moved = [s * psd_powers(root @ c @ root, 0.5)[0] for c, s in covariances]
        half = inverse @ torch.stack(moved).sum(0)
        return half @ half.T

    start = torch.stack([s * c for c, s in covariances]).sum(0)
    return Moments.of_gaussian(n, mean, fixed_point(step, start, rounds=_ROUNDS, tolerance=_TOLERANCE))
