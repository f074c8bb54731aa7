"""Held-out figures of an autoencoder: explained variance, reconstruction, cycle error."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.metrics.frechet import FeatureSet
from texsynth.models.vgg import Encoder
from texsynth.training.data import to_image

_CHUNK = 8


@torch.no_grad()
def explained_variance(student: Encoder, teacher: Encoder, fit: Tensor, held_out: Tensor) -> dict[int, float]:
    """R2 of the teacher's features under the best linear map (with offset) from the student's, by level.

    fit, held_out: (N, 3, S, S) uint8 crops. The map is a ridge regression on `fit`; its share of explained
    variance is measured on every position of `held_out`.
    """
    scores = {}
    fitted, test = (_joint_moments(student, teacher, crops) for crops in (fit, held_out))
    for level, (k, train, truth) in enumerate(zip(student.widths, fitted, test, strict=True), 1):
        (mean, cov), (test_mean, test_cov) = train.gaussian(), truth.gaussian()
        damping = 1e-6 * cov[:k, :k].diagonal().mean() * torch.eye(k, dtype=torch.float64)
        weight = torch.linalg.solve(cov[:k, :k] + damping, cov[:k, k:])
        bias = (test_mean - mean)[k:] - (test_mean - mean)[:k] @ weight
        explained = 2 * (weight * test_cov[:k, k:]).sum() - (weight * (test_cov[:k, :k] @ weight)).sum()
        scores[level] = float((explained - bias.square().sum()) / test_cov[k:, k:].trace())
    return scores


def _joint_moments(student: Encoder, teacher: Encoder, crops: Tensor) -> list[FeatureSet]:
    """Collect the moments of student and teacher features stacked, by level."""
    moments = [FeatureSet() for _ in student.widths]
    for chunk in crops.split(_CHUNK):
        image = to_image(chunk)
        for moment, small, wide in zip(moments, student(image), teacher(image), strict=True):
            moment.add(torch.cat([small, wide], 1))
    return moments


@torch.no_grad()
def reconstruction(rebuild: Callable[[Tensor], Tensor], held_out: Tensor) -> float:
    """Mean PSNR in dB of `rebuild`, image to image, over the pictures of `held_out` (N, 3, S, S) uint8."""
    scores = []
    for chunk in held_out.split(_CHUNK):
        image = to_image(chunk)
        error = (rebuild(image).clamp(0, 1) - image).square().mean((1, 2, 3))
        scores += [-10 * math.log10(max(float(e), 1e-10)) for e in error]
    return sum(scores) / len(scores)


@torch.no_grad()
def cycle_error(
    encoder: Encoder, decode: Callable[[Tensor], Tensor], level: int, held_out: Tensor
) -> tuple[float, float]:
    """Error of encoder(clamp(decoder(f))) against f = encoder(image), over `held_out` (N, 3, S, S) uint8.

    Returns two ratios, squared error over variance of f (every channel centred) and over energy of f.
    """
    error, moments = 0.0, FeatureSet()
    for chunk in held_out.split(_CHUNK):
        f = encoder.segment(to_image(chunk), 0, level)
        g = encoder.segment(decode(f).clamp(0, 1), 0, level)
        error += float(F.mse_loss(g, f, reduction="sum").double())
        moments.add(f)
    mean, covariance = moments.gaussian()
    variance = float(covariance.trace())
    return error / moments.count / variance, error / moments.count / (variance + float(mean.square().sum()))
