"""Whitening and colouring transform.

Li et al. 2017, "Universal Style Transfer via Feature Transforms", eq. 2 and 3. The roots are symmetric (ZCA):
of all whitenings the one nearest to the identity, and independent of the signs of eigenvectors.
"""

from texsynth.config.settings import WCTSettings
from texsynth.ops.linalg import psd_powers
from texsynth.transforms.affine import AffineMap
from texsynth.transforms.moments import Moments


def fit(content: Moments, style: Moments, settings: WCTSettings) -> AffineMap:
    """S^1/2 Sigma^-1/2 around the means, for covariances S of the style and Sigma of the content.

    Both get the ridge, not the content alone as in the published code, so equal moments give the identity.
    One pixel or a flat content gives the shift of the mean alone. The norm of the matrix is at most
    sqrt((C + ridge) / ridge) * (rms deviation of the style / of the content).
    """
    if not content.has_spread or style.n <= 1:
        return AffineMap.between_means(content, style)
    (whiten,) = psd_powers(content.regular_covariance(settings.ridge), -0.5)
    (colour,) = psd_powers(style.regular_covariance(settings.ridge), 0.5)
    return AffineMap.between_means(content, style, colour @ whiten)
