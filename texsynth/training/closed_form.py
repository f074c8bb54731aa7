"""A student encoder cut out of its teacher, layer by layer, before any joint training.

Each layer regresses the teacher's pre-activations from the student's own input, keeps the few units that
explain most of the teacher's features and of the image, and moves those until they explain more.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from texsynth.models.vgg import Encoder, conv_names, pad_reflect
from texsynth.training.data import to_image
from texsynth.training.teacher import gather, sample_positions

Report = Callable[[str], None]
_CHUNK = 16


def patches(x: Tensor, positions: Tensor) -> Tensor:
    """3x3 neighbourhoods, reflected at the border. x: (N, C, h, w); positions: (N, n) flat indices.

    Returns (N * n, 9 C) in the order of a flattened convolution weight.
    """
    width, padded = x.shape[3], pad_reflect(x)
    row, column = positions.long() // width, positions.long() % width
    picture = torch.arange(len(x))[:, None]
    shifted = [padded[picture, :, row + dy, column + dx] for dy in range(3) for dx in range(3)]
    return torch.stack(shifted, 3).flatten(2).flatten(0, 1)


def ridge(gram: Tensor, cross: Tensor, share: float) -> Tensor:
    """Solve (gram + share * mean diagonal * I) W = cross in float64. gram: (d, d), cross: (d, k)."""
    damped = gram.double() + share * gram.diagonal().mean().double() * torch.eye(
        len(gram), dtype=torch.float64
    )
    solution: Tensor = torch.linalg.solve(damped, cross.double())
    return solution.float()


def select_units(covariance: Tensor, cross: Tensor, count: int) -> list[int]:
    """Greedy orthogonal matching pursuit on second moments.

    covariance: (m, m) of the candidates; cross: (m, k) of candidates and targets.
    Returns `count` indices, each the best addition to those before it.
    """
    covariance, cross = covariance.double(), cross.double()
    floor = 1e-6 * covariance.diagonal().mean()
    chosen: list[int] = []
    for _ in range(count):
        gain = cross.square().sum(1) / covariance.diagonal().clamp_min(floor)
        gain[covariance.diagonal() < floor] = 0
        gain[chosen] = -1
        best = int(gain.argmax())
        chosen.append(best)
        share = covariance[:, best] / covariance[best, best]
        cross = cross - torch.outer(share, cross[best])
        covariance = covariance - torch.outer(share, covariance[best])
    return chosen


@torch.no_grad()
def cut_encoder(
    teacher: Encoder, widths: tuple[int, ...], crops: Tensor, rng: torch.Generator, report: Report
) -> Encoder:
    """A narrow encoder from a wide one.

    crops: (N, 3, S, S) uint8, S a multiple of 32. Channels come out with unit root mean square.
    """
    images = [to_image(chunk) for chunk in crops.split(_CHUNK)]
    student = Encoder(widths)
    narrow, wide = images, images
    for block, index in conv_names(len(widths)):
        if index == 1 and block > 1:
            narrow, wide = [F.max_pool2d(x, 2) for x in narrow], [F.max_pool2d(x, 2) for x in wide]
        wide_out = [teacher.conv(block, index)(pad_reflect(x)) for x in wide]
        cells = narrow[0].shape[2] * narrow[0].shape[3]
        where = [sample_positions(len(x), cells, 128, rng) for x in narrow]
        targets = torch.cat([gather(z, p).flatten(0, 1) for z, p in zip(wide_out, where, strict=True)])
        wanted = torch.cat(
            [gather(_folded_image(x, block), p).flatten(0, 1) for x, p in zip(images, where, strict=True)]
        )
        inputs = torch.cat([patches(x, p) for x, p in zip(narrow, where, strict=True)])
        explained = _cut_layer(student.conv(block, index), inputs, targets, wanted)
        report(f"conv{block}_{index}: {explained:.3f} of the teacher's features")
        wide = [F.relu(z) for z in wide_out]
        narrow = [F.relu(student.conv(block, index)(pad_reflect(x))) for x in narrow]
    return student


def _folded_image(image: Tensor, block: int) -> Tensor:
    """The image at the resolution of `block`: pixels of a cell as channels, at block 5 in half detail."""
    return F.pixel_unshuffle(F.avg_pool2d(image, 2) if block == 5 else image, 2 ** (min(block, 4) - 1))


def _cut_layer(conv: nn.Conv2d, inputs: Tensor, targets: Tensor, image: Tensor) -> float:
    """Set `conv` from samples: inputs (M, 9 C_in), teacher's pre-activations (M, C_t), image (M, c).

    Candidates are the teacher's units as seen from the student, and linear pass-throughs of the image lifted
    above the ReLU: without the image among the targets no decoder could rebuild it.
    """
    samples = len(inputs)
    centre = inputs.mean(0)
    inputs = inputs - centre
    gram = inputs.T @ inputs / samples
    to_teacher = ridge(gram, inputs.T @ (targets - targets.mean(0)) / samples, 1e-4)
    to_image_ = ridge(gram, inputs.T @ (image - image.mean(0)) / samples, 1e-4)
    _, directions = torch.linalg.eigh((to_image_.T @ gram @ to_image_).double())
    count = 3 if image.shape[1] == 3 else min(conv.out_channels // 2, image.shape[1])
    lift = to_image_ @ directions[:, -count:].float()
    spread = (lift * (gram @ lift)).sum(0).sqrt()
    weight = torch.cat([to_teacher, lift], 1)
    bias = torch.cat([targets.mean(0), 2.5 * spread])
    units = F.relu(inputs @ weight + bias)
    centred = units - units.mean(0)
    goal = torch.cat([_unit_energy(F.relu(targets)), _unit_energy(image)], 1)
    covariance, cross = centred.T @ centred / samples, centred.T @ goal / samples
    chosen = select_units(covariance, cross, conv.out_channels)
    weight, bias = refine_units(weight[:, chosen], bias[chosen], inputs, goal)
    units = F.relu(inputs @ weight + bias)
    residual = _unexplained(units, goal)[:, : targets.shape[1]]
    scale = units.square().mean(0).sqrt()
    scale = scale.where(scale > 1e-3, torch.ones_like(scale))
    conv.weight.data = (weight / scale).T.reshape(conv.weight.shape).contiguous()
    conv.bias.data = (bias - centre @ weight) / scale  # type: ignore[union-attr]
    return float(1 - residual.square().sum() / samples)


def refine_units(
    weight: Tensor, bias: Tensor, inputs: Tensor, goal: Tensor, rounds: int = 40
) -> tuple[Tensor, Tensor]:
    """Move ReLU units until the best linear map from them explains most of `goal`.

    Variable projection: the map is solved for at every evaluation, so L-BFGS sees the units alone. One layer
    by itself is a small problem, and joint training would take hours over what this does to the first one.
    weight: (d, k), bias: (k,), inputs: (M, d), goal: (M, c). Returns weight and bias.
    """
    weight, bias = (x.detach().clone().requires_grad_() for x in (weight, bias))
    search = torch.optim.LBFGS([weight, bias], max_iter=rounds, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        search.zero_grad()
        loss = _unexplained(F.relu(inputs @ weight + bias), goal).square().sum() / len(inputs)
        loss.backward()
        return loss

    with torch.enable_grad():
        search.step(closure)
    return weight.detach(), bias.detach()


def _unexplained(units: Tensor, goal: Tensor) -> Tensor:
    """What the best linear map of `units` (M, k) leaves of a centred `goal` (M, c)."""
    centred = units - units.mean(0)
    gram, cross = centred.T @ centred / len(units), centred.T @ goal / len(units)
    return goal - centred @ ridge(gram, cross, 1e-5)


def _unit_energy(x: Tensor) -> Tensor:
    x = x - x.mean(0)
    return x / x.square().sum(1).mean().sqrt().clamp_min(1e-12)
