"""Decoders by linear regression, without one gradient step; training starts from here.

Every convolution regresses, from what the ones before it made, what the encoder's layer had consumed.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from texsynth.models.autoencoder import Decoder, PhotoDecoder, upsampling_of
from texsynth.models.vgg import Encoder, conv_names, pad_reflect
from texsynth.models.weights import part
from texsynth.training.closed_form import patches, ridge
from texsynth.training.data import to_image
from texsynth.training.teacher import gather, sample_positions

_CHUNK = 16


def begin_decoder(
    level: int, encoder: Encoder, tensors: Mapping[str, Tensor], crops: Tensor, rng: torch.Generator
) -> Decoder:
    """The decoder of `level` as an earlier training left it in `tensors`, else in closed form."""
    given = part(tensors, f"decoder{level}")
    if given:
        return Decoder.from_state(given, level)
    finer = part(tensors, f"decoder{level - 1}")
    decoder = Decoder(encoder.widths, level, upsampling_of(finer))
    start_decoder(decoder, encoder, crops, rng)
    # From the next finer level on, that level's decoder does the same work and is trained already.
    decoder.load_state_dict({**decoder.state_dict(), **finer})
    return decoder


@torch.no_grad()
def start_decoder(decoder: Decoder, encoder: Encoder, crops: Tensor, rng: torch.Generator) -> None:
    """Set every convolution of `decoder` by regressing what the encoder's convolution had consumed."""
    goals: dict[tuple[int, int], list[Tensor]] = {}
    features = []
    for chunk in crops.split(_CHUNK):
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
        _regress(decoder.conv(block, index), features, goal, rng)
        features = [decoder.step(x, block, index) for x in features]


@torch.no_grad()
def start_photo_decoder(decoder: PhotoDecoder, encoder: Encoder, crops: Tensor, rng: torch.Generator) -> None:
    """Set `decoder` so that every step gives back the encoder's features of the next finer level.

    The convolutions up regress those features at half their size, and the skips pass on the rest.
    """
    deepest = len(decoder.widths)
    images = [to_image(chunk) for chunk in crops.split(_CHUNK)]
    goals = [[image, *encoder(image, deepest)] for image in images]
    inputs = [pyramid[deepest] for pyramid in goals]
    for level in range(deepest, 1, -1):
        target = level - 1 if level > 2 else 0
        halves = [F.avg_pool2d(pyramid[target], 2) for pyramid in goals]
        _regress(decoder.conv(f"up{level}"), inputs, halves, rng)
        skip = decoder.conv(f"skip{level - 1}")
        if target == 0:
            _regress(skip, [pyramid[1] for pyramid in goals], images, rng)
            continue
        skip.weight.copy_(torch.eye(len(skip.weight))[:, :, None, None])
        if level == deepest:  # its step has the whole features of the next level, so both give half
            for parameter in (skip.weight, *decoder.conv(f"up{level}").parameters()):
                parameter *= 0.5
        inputs = [F.relu(decoder.step(x, p[target], level)) for x, p in zip(inputs, goals, strict=True)]


def _regress(conv: nn.Conv2d, inputs: list[Tensor], goals: list[Tensor], rng: torch.Generator) -> None:
    """Least squares of `goals` on the neighbourhoods of `inputs`, both (N, C, h, w), at sampled positions."""
    cells = inputs[0].shape[2] * inputs[0].shape[3]
    where = [sample_positions(len(x), cells, 192, rng) for x in inputs]
    _fit(
        conv,
        torch.cat([patches(x, p) for x, p in zip(inputs, where, strict=True)]),
        torch.cat([gather(z, p).flatten(0, 1) for z, p in zip(goals, where, strict=True)]),
    )


def _fit(conv: nn.Conv2d, inputs: Tensor, goal: Tensor) -> None:
    """Least squares of `goal` (M, C_out) on patches (M, 9 C_in)."""
    centre, mean = inputs.mean(0), goal.mean(0)
    inputs = inputs - centre
    gram = inputs.T @ inputs / len(inputs)
    weight = ridge(gram, inputs.T @ (goal - mean) / len(inputs), 1e-3)
    conv.weight.data = weight.T.reshape(conv.weight.shape).contiguous()
    if conv.bias is not None:
        conv.bias.data = mean - centre @ weight
