"""Measures of how much of a style a picture has taken, and how much of its content it has kept.

Each of them can be fooled; read how. Features are those of any network: say which one measured.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.metrics.losses import random_directions, sliced_wasserstein
from texsynth.metrics.texture import structural_similarity
from texsynth.ops.color import luma
from texsynth.ops.linalg import psd_powers, symmetric_eigh
from texsynth.transforms.moments import Moments

MOST_DB = 100.0  # PSNR of equal pictures, which would be infinite

TINY = 1e-12


def gram_distance(output: Moments, style: Moments) -> float:
    """|G_o - G_s|^2 / |G_s|^2 of the uncentred Gram matrices F F^T / n; 0 is best.

    The style loss of Gatys et al. 2015, equations 3 and 4, relative to the style, so that neither the scale
    of the features nor the sizes of the pictures count. Features that vanish are 1 away from any style.

    The mean of the features dominates it, so colour weighs more than strokes; and it lies by rewarding what
    was optimized for it, as IFT and descent are.
    """
    target = style.second
    gap = (output.second - target).square().sum()
    return float(gap / target.square().sum().clamp_min(TINY))


def feature_wasserstein(output: Tensor, style: Tensor, rng: torch.Generator, directions: int = 64) -> float:
    """Root of the sliced Wasserstein distance (Heitz et al. 2021, equation 3) over the style's deviation.

    output: (1, C, n), style: (1, C, m), samples of features; unequal numbers are matched by their quantiles.
    rng: of the directions, so that results of one seed can be compared. The deviation is the root of the
    mean variance of the channels, and a hundredth of their magnitude where the style is flat; 0 is best, and
    a shift of all channels by their deviations is about 1.

    Sees the whole distribution, not only two moments; it lies by not seeing what is where.
    """
    rows = random_directions(directions, style.shape[1], rng, style)
    squared = float(sliced_wasserstein(output, style, rows))
    values = style.double()
    variance = float(values.var(2, correction=0).mean())
    return math.sqrt(squared / max(variance, 1e-4 * float(values.square().mean()), TINY))


def edge_similarity(output: Tensor, content: Tensor) -> float:
    """Structural similarity of the edges of two pictures (1, 3, H, W) in [0, 1] of one size; 1 is best.

    Papers on photo-realistic transfer compare the responses of a learnt edge detector (HED). Here it is
    `edges`, so the figures are not those of the papers.

    Blind to colour and light, as it should be; it lies where a style adds texture to what was smooth, for
    strokes are edges too, and by rewarding a result that hardly changes anything.
    """
    return structural_similarity(edges(output), edges(content))


def edges(image: Tensor) -> Tensor:
    """Magnitude of the Sobel gradient of luma; a step from black to white gives 1.

    image: (1, 3, H, W) in [0, 1]; the border is replicated. Returns (1, 1, H, W) float64.
    """
    across = image.new_tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]).double() / 4
    kernel = torch.stack([across, across.T])[:, None]
    steps = F.conv2d(F.pad(luma(image.double()), (1, 1, 1, 1), mode="replicate"), kernel)
    return steps.square().sum(1, keepdim=True).sqrt()


def psnr(output: Tensor, truth: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of two pictures of one size in [0, 1], at most MOST_DB.

    Of a content stylized by itself it says what the way through the network costs, for the style asks for
    nothing. It lies where shifts that nobody sees cost as much as spots that everybody does.
    """
    error = float((output.double() - truth.double()).square().mean())
    return min(MOST_DB, -10 * math.log10(error)) if error > 0 else MOST_DB


def frechet(a: Moments, b: Moments) -> float:
    """Squared Wasserstein-2 of two Gaussians: |m1 - m2|^2 + tr(S1 + S2) - 2 tr (S1^1/2 S2 S1^1/2)^1/2.

    The use on features is of Heusel et al. 2017. Only symmetric eigenproblems are solved: a general matrix
    root turns complex on singular ones.
    """
    first, second = a.covariance, b.covariance
    (root,) = psd_powers(first, 0.5)
    cross = symmetric_eigh(root @ second @ root).values.clamp_min(0).sqrt().sum()
    distance = (a.mean - b.mean).square().sum() + first.trace() + second.trace()
    return max(0.0, float(distance - 2 * cross))
