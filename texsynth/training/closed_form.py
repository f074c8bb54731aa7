"""Encoders cut out of their teacher and decoders by linear regression, before any gradient step.

Each layer of an encoder regresses the teacher's pre-activations from the student's own input, keeps the few
units that explain most of the teacher's features and of the image, and moves those until they explain more.
Each convolution of a decoder regresses, from the output of those before it, the input of the encoder's layer.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from texsynth.models.autoencoder import Decoder, PhotoDecoder, upsample, upsampling_of
from texsynth.models.vgg import Encoder, conv_names, pad_reflect
from texsynth.models.weights import decoder_part
from texsynth.training.data import to_image
from texsynth.training.teacher import CROPS_AT_ONCE, gather, sample_positions

Report = Callable[[str], None]

LIFTED = 2.0
"""Standard deviations that linear units of a bottleneck are lifted by, so that a ReLU hardly cuts them."""


def patches(x: Tensor, positions: Tensor) -> Tensor:
    """Take 3x3 neighbourhoods of (N, C, h, w), reflected at the border, at (N, n) flat indices.

    Returns (N * n, 9 C) in the order of a flattened convolution weight.
    """
    width, padded = x.shape[3], pad_reflect(x)
    row, column = positions.long() // width, positions.long() % width
    picture = torch.arange(len(x))[:, None]
    shifted = [padded[picture, :, row + dy, column + dx] for dy in range(3) for dx in range(3)]
    return torch.stack(shifted, 3).flatten(2).flatten(0, 1)


def _sampled(
    take: Callable[[Tensor, Tensor], Tensor], maps: Sequence[Tensor], positions: Sequence[Tensor]
) -> Tensor:
    """Take `patches` of all chunks at their positions, or `gather` their features. Returns (M, C)."""
    return torch.cat([take(x, p).flatten(0, -2) for x, p in zip(maps, positions, strict=True)])


def _positions(maps: Sequence[Tensor], count: int, rng: torch.Generator) -> list[Tensor]:
    cells = maps[0].shape[2] * maps[0].shape[3]
    return [sample_positions(len(x), cells, count, rng) for x in maps]


def ridge(gram: Tensor, cross: Tensor, share: float) -> Tensor:
    """Solve (gram + share * mean diagonal * I) W = cross in float64. gram: (d, d), cross: (d, k)."""
    damping = share * gram.diagonal().mean().double() * torch.eye(len(gram), dtype=torch.float64)
    solution: Tensor = torch.linalg.solve(gram.double() + damping, cross.double())
    return solution.float()


def regress(x: Tensor, y: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Fit y (M, k) from x (M, d) by `ridge`, with offset. Returns weight (d, k) and bias (k,)."""
    centre, mean = x.mean(0), y.mean(0)
    x = x - centre
    weight = ridge(x.T @ x / len(x), x.T @ (y - mean) / len(x), share)
    return weight, mean - centre @ weight


def select_units(covariance: Tensor, cross: Tensor, count: int) -> list[int]:
    """Select `count` units by greedy orthogonal matching pursuit, each the best addition to those before it.

    covariance: (m, m) of the candidates; cross: (m, k), second moments of candidates and targets.
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
    """Cut a narrow encoder of unit root mean square out of a wide one; crops (N, 3, 32 k, 32 k) uint8."""
    images = [to_image(chunk) for chunk in crops.split(CROPS_AT_ONCE)]
    student = Encoder(widths)
    narrow, wide = images, images
    for block, index in conv_names(len(widths)):
        if index == 1 and block > 1:
            narrow, wide = [F.max_pool2d(x, 2) for x in narrow], [F.max_pool2d(x, 2) for x in wide]
        conv = student.conv(block, index)
        wide = [teacher.conv(block, index)(pad_reflect(x)) for x in wide]
        positions = _positions(narrow, 128, rng)
        # The image at the resolution of the block: pixels of a cell as channels, at block 5 in half detail.
        fine = [F.avg_pool2d(x, 2) for x in images] if block == 5 else images
        folded = [F.pixel_unshuffle(x, 2 ** (min(block, 4) - 1)) for x in fine]
        inputs, targets = _sampled(patches, narrow, positions), _sampled(gather, wide, positions)
        explained = _cut_layer(conv, inputs, targets, _sampled(gather, folded, positions))
        report(f"conv{block}_{index}: {explained:.3f} of the teacher's features")
        wide = [F.relu(z) for z in wide]
        narrow = [F.relu(conv(pad_reflect(x))) for x in narrow]
    return student


def _cut_layer(conv: nn.Conv2d, inputs: Tensor, targets: Tensor, image: Tensor) -> float:
    """Set `conv` from samples: inputs (M, 9 C_in), teacher's pre-activations (M, C_t), image (M, c).

    Candidates are the teacher's units as seen from the student, and linear pass-throughs of the image lifted
    above the ReLU: without the image no decoder could rebuild it. Returns the explained share of targets.
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
    _set(conv, weight / scale, (bias - centre @ weight) / scale)
    return float(1 - residual.square().sum() / samples)


def _set(conv: nn.Conv2d, weight: Tensor, bias: Tensor) -> None:
    """Give `conv` the weight (9 C_in, C_out) and bias (C_out,) of a map from patches."""
    conv.weight.data = weight.T.reshape(conv.weight.shape).contiguous()
    if conv.bias is not None:
        conv.bias.data = bias


def refine_units(
    weight: Tensor, bias: Tensor, inputs: Tensor, goal: Tensor, rounds: int = 40
) -> tuple[Tensor, Tensor]:
    """Move ReLU units until the best linear map from them explains most of `goal`. Returns weight and bias.

    Variable projection: the map is solved for at every evaluation, so L-BFGS sees the units alone. Joint
    training would take hours over what this does to the first layer.
    weight: (d, k), bias: (k,), inputs: (M, d), goal: (M, c).
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
    """Subtract from a centred `goal` (M, c) the best linear map of `units` (M, k)."""
    centred = units - units.mean(0)
    gram, cross = centred.T @ centred / len(units), centred.T @ goal / len(units)
    return goal - centred @ ridge(gram, cross, 1e-5)


def _unit_energy(x: Tensor) -> Tensor:
    x = x - x.mean(0)
    return x / x.square().sum(1).mean().sqrt().clamp_min(1e-12)


def begin_decoder(
    level: int,
    encoder: Encoder,
    tensors: Mapping[str, Tensor],
    crops: Tensor,
    rng: torch.Generator,
    bottleneck: int | None = None,
) -> Decoder:
    """Build the decoder of `level` as an earlier training left it in `tensors`, else in closed form."""
    if stored := decoder_part(tensors, level):
        return Decoder.from_state(stored, level)
    finer = decoder_part(tensors, level - 1)
    decoder = Decoder(encoder.widths, level, upsampling_of(finer), bottleneck)
    if bottleneck:
        start_bottleneck(decoder, encoder, crops, rng)
    else:
        start_decoder(decoder, encoder, crops, rng)
    # From the next finer level on, that level's decoder does the same work and is trained already.
    decoder.load_state_dict({**decoder.state_dict(), **finer})
    return decoder


@torch.no_grad()
def start_decoder(decoder: Decoder, encoder: Encoder, crops: Tensor, rng: torch.Generator) -> None:
    """Set every convolution of `decoder` by regressing the input of the encoder's convolution."""
    goals: dict[tuple[int, int], list[Tensor]] = {}
    features = []
    for chunk in crops.split(CROPS_AT_ONCE):
        x = consumed = to_image(chunk)
        for block, index in conv_names(decoder.level):
            if index == 1 and block > 1:
                x, consumed = F.max_pool2d(x, 2), F.max_pool2d(consumed, 2)
            goals.setdefault((block, index), []).append(consumed)
            consumed = encoder.conv(block, index)(pad_reflect(x))
            x = F.relu(consumed)
        features.append(x)
    for block, index in decoder.names:
        goal = goals[block, index]
        if (block, index) != (1, 1):
            # The ReLU hides how negative a value was, so it is not worth explaining.
            floor = -0.5 * torch.cat([F.relu(z).transpose(0, 1).flatten(1) for z in goal[:4]], 1).std(1)
            goal = [torch.maximum(z, floor[:, None, None]) for z in goal]
        _fit(decoder.conv(block, index), features, goal, rng)
        features = [decoder.step(x, block, index) for x in features]


@torch.no_grad()
def start_bottleneck(decoder: Decoder, encoder: Encoder, crops: Tensor, rng: torch.Generator) -> None:
    """Set the way to the next finer level to the best linear map of the rank of the bottleneck.

    Reduced-rank regression: least squares, then the principal components of what it predicts. The 3x3
    convolutions between the two factors pass on what they get, and offsets lift it above the ReLUs.
    """
    features, finer = [], []
    for chunk in crops.split(CROPS_AT_ONCE):
        finer.append(encoder.segment(to_image(chunk), 0, decoder.level - 1))
        coarse = encoder.segment(finer[-1], decoder.level - 1, decoder.level)
        features.append(upsample(coarse, decoder.upsampling))
    positions = _positions(features, 192, rng)
    x, y = _sampled(gather, features, positions), _sampled(gather, finer, positions)
    weight, bias = regress(x, y, 1e-3)
    predicted = x @ weight
    centred = (predicted - predicted.mean(0)).double()
    basis = torch.linalg.eigh(centred.T @ centred)[1][:, -(decoder.bottleneck or 0) :].float()
    inside = x @ (weight @ basis)
    spread = inside.std(0)
    # The others are rounding, and begin at nothing.
    alive = spread > 1e-3 * torch.maximum(spread.max(), inside.mean(0).abs())
    first, *middle, last = (decoder.conv(*name) for name in decoder.to_finer)
    per_unit = (1 / spread).where(alive, torch.zeros(()))
    _set(first, weight @ basis * per_unit, LIFTED - inside.mean(0) * per_unit)
    for conv in middle:
        same = nn.init.dirac_(torch.empty_like(conv.weight))
        conv.load_state_dict({"weight": same, "bias": torch.zeros(conv.out_channels)})
    back = basis * spread.where(alive, torch.zeros(()))
    _set(last, back.T, bias + predicted.mean(0) - LIFTED * back.sum(1))


@torch.no_grad()
def start_photo_decoder(decoder: PhotoDecoder, encoder: Encoder, crops: Tensor, rng: torch.Generator) -> None:
    """Set every step to give back the next finer features: convolutions up at half size, skips the rest."""
    deepest = len(decoder.widths)
    images = [to_image(chunk) for chunk in crops.split(CROPS_AT_ONCE)]
    pyramids = [[image, *encoder(image, deepest)] for image in images]
    inputs = [pyramid[deepest] for pyramid in pyramids]
    for level in range(deepest, 1, -1):
        target = level - 1 if level > 2 else 0
        halves = [F.avg_pool2d(pyramid[target], 2) for pyramid in pyramids]
        _fit(decoder.conv(f"up{level}"), inputs, halves, rng)
        skip = decoder.conv(f"skip{level - 1}")
        if target == 0:
            _fit(skip, [pyramid[1] for pyramid in pyramids], images, rng)
            continue
        skip.weight.copy_(torch.eye(len(skip.weight))[:, :, None, None])
        if level == deepest:  # its step has the whole features of the next level, so both give half
            for parameter in (skip.weight, *decoder.conv(f"up{level}").parameters()):
                parameter *= 0.5
        inputs = [F.relu(decoder.step(x, p[target], level)) for x, p in zip(inputs, pyramids, strict=True)]


def _fit(conv: nn.Conv2d, inputs: list[Tensor], goals: list[Tensor], rng: torch.Generator) -> None:
    """Fit `conv` from `inputs` to `goals`, chunks of (N, C, h, w), by least squares at sampled positions."""
    positions = _positions(inputs, 192, rng)
    x, y = _sampled(patches, inputs, positions), _sampled(gather, goals, positions)
    _set(conv, *regress(x, y, 1e-3))
