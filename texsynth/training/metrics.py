"""Held-out figures of an autoencoder: explained variance, reconstruction, cycle error."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.models.vgg import LEVELS, Encoder
from texsynth.training.data import to_image

_CHUNK = 8


@torch.no_grad()
def explained_variance(student: Encoder, teacher: Encoder, fit: Tensor, held_out: Tensor) -> dict[int, float]:
    """R2 of the teacher's features under the best linear map (with offset) from the student's, per level.

    fit, held_out: (N, 3, S, S) uint8 crops. The map is a ridge regression on `fit`; its share of explained
    variance is measured on every position of `held_out`.
    """
    fitted = _joint_moments(student, teacher, fit)
    scores = {}
    for level, test in _joint_moments(student, teacher, held_out).items():
        k = student.widths[level - 1]
        mean, cov = _centred(fitted[level])
        damping = 1e-6 * cov[:k, :k].diagonal().mean() * torch.eye(k, dtype=torch.float64)
        weight = torch.linalg.solve(cov[:k, :k] + damping, cov[:k, k:])
        offset = mean[k:] - mean[:k] @ weight
        test_mean, test_cov = _centred(test)
        bias = test_mean[k:] - test_mean[:k] @ weight - offset
        explained = 2 * (weight * test_cov[:k, k:]).sum() - (weight * (test_cov[:k, :k] @ weight)).sum()
        total = test_cov[k:, k:].trace()
        scores[level] = float((explained - bias.square().sum()) / total)
    return scores


def _joint_moments(student: Encoder, teacher: Encoder, crops: Tensor) -> dict[int, Tensor]:
    """Per level the second moment of (1, student, teacher) features stacked."""
    moments: dict[int, Tensor] = {}
    for chunk in crops.split(_CHUNK):
        image = to_image(chunk)
        for level, small, wide in zip(LEVELS, student(image), teacher(image), strict=True):
            x = torch.cat([small, wide], 1).transpose(0, 1).flatten(1)
            mean = x.mean(1)
            # Float32 products of centred values, float64 sums: exact enough, and twice as fast.
            inner = ((x - mean[:, None]) @ (x - mean[:, None]).T).double() / x.shape[1]
            one = torch.cat([torch.ones(1), mean]).double()
            second = torch.outer(one, one)
            second[1:, 1:] += inner
            moments[level] = moments.get(level, torch.zeros(())) + second * len(chunk)
    return {level: m / m[0, 0] for level, m in moments.items()}


def _centred(moment: Tensor) -> tuple[Tensor, Tensor]:
    mean = moment[0, 1:]
    return mean, moment[1:, 1:] - torch.outer(mean, mean)


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
    error, count = 0.0, 0
    mean, second = torch.zeros(()), torch.zeros(())
    for chunk in held_out.split(_CHUNK):
        f = encoder.segment(to_image(chunk), 0, level)
        g = encoder.segment(decode(f).clamp(0, 1), 0, level)
        error += float(F.mse_loss(g, f, reduction="sum").double())
        x = f.transpose(0, 1).flatten(1).double()
        mean, second = mean + x.sum(1), second + x.square().sum(1)
        count += x.shape[1]
    variance = float((second - mean.square() / count).sum())
    return error / variance, error / float(second.sum())
