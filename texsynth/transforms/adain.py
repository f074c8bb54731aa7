"""Adaptive instance normalisation: every channel takes the style's mean and deviation.

Huang and Belongie 2017, "Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization", eq. 8.
"""

from texsynth.config.settings import AdaINSettings
from texsynth.transforms.affine import AffineMap
from texsynth.transforms.moments import Moments

LEAST_RIDGE = 1e-12  # Variances below this share of their mean are rounding, and no divisor


def fit(content: Moments, style: Moments, settings: AdaINSettings) -> AffineMap:
    """Diagonal map deviation_s / deviation_c around the means.

    The ridge replaces the published code's epsilon, which has the unit of the features and meets the content
    alone. One pixel or a flat content gives the shift of the mean alone. No entry exceeds
    sqrt((C + ridge) / ridge) * (rms deviation of the style / of the content).
    """
    if not content.has_spread or style.n <= 1:
        return AffineMap.between_means(content, style)
    ridge = max(settings.ridge, LEAST_RIDGE)
    variances = [m.covariance.diagonal() for m in (content, style)]
    floored_c, floored_s = (v + ridge * v.mean() for v in variances)
    return AffineMap.between_means(content, style, (floored_s / floored_c).sqrt().diag())
