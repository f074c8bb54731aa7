"""A network as wide as VGG-19 with random weights: speed does not depend on their values."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from texsynth.models.autoencoder import Decoder
from texsynth.models.registry import Model, build_model
from texsynth.models.vgg import Encoder

NAME = "full-width"

VGG_WIDTHS = (64, 128, 256, 512, 512)
"""Channels of VGG-19's blocks."""


def random_model(
    widths: tuple[int, ...] = VGG_WIDTHS,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Model:
    """Make an encoder and decoders of levels 1 to 4, without biases and without a photo decoder.

    Kernels have the deviation of He et al. 2015, "Delving Deep into Rectifiers", eq. 10, which keeps the
    second moment through any number of layers: no feature fades to where processors are slow, none overflows.
    """
    with torch.device("meta"):
        parts = {"encoder": Encoder(widths), **{f"decoder{n}": Decoder(widths, n) for n in (1, 2, 3, 4)}}
    rng = torch.Generator().manual_seed(seed)
    tensors = {
        f"{name}.{key}": _drawn(like.shape, rng)
        for name, part in parts.items()
        for key, like in part.state_dict().items()
    }
    return build_model(NAME, tensors, device=device, dtype=dtype)


def _drawn(shape: torch.Size, rng: torch.Generator) -> Tensor:
    if len(shape) == 1:
        return torch.zeros(shape)
    return torch.randn(shape, generator=rng) * math.sqrt(2 / math.prod(shape[1:]))
