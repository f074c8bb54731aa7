"""The cascade of autoencoders as it was published: plain layers, both pictures encoded at every level, and
whitening and colouring of the features themselves, by singular values.

Li et al. 2017, "Universal Style Transfer via Feature Transforms", equations 2 and 3 and section 3.3, with
the bilinear up-sampling of Chiu and Gurari 2020. `pipelines.stylize` does the same with moments and folded
maps; this is to check it against, and to compare its speed with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.errors import ModelError
from texsynth.models.autoencoder import Decoder
from texsynth.models.registry import Model, build_model
from texsynth.models.vgg import Encoder, conv_names

Kernels = Mapping[str, tuple[Tensor, Tensor]]
"""Weight (O, C, 3, 3) and bias (O,) by the name of the convolution."""

Transform = Callable[[Tensor, Tensor], Tensor]
"""Features (C, n) of the content and (C, m) of the style to the content's new ones, (C, n)."""

SMALLEST = 1e-5
"""Singular values up to here are left out, whatever the scale of the features."""


def encoder_kernels(model: Model, level: int) -> Kernels:
    """Return the kernels of the encoder up to `level`, float32 and contiguous: channels before pixels."""
    convs = {f"conv{b}_{i}": model.vgg().conv(b, i) for b, i in conv_names(level)}
    return {name: _plain(conv) for name, conv in convs.items()}


def decoder_kernels(model: Model, level: int) -> Kernels:
    """Return the kernels of the decoder of `level`. Raises ModelError without it, or for another kind."""
    decoder = model.decoder(level)
    if decoder.upsampling != "bilinear":
        raise ModelError(
            f"the reference samples up bilinearly and the decoders of {model.name} do not; use another model"
        )
    return {f"inv{b}_{i}": _plain(decoder.conv(b, i)) for b, i in decoder.names}


def encode(image: Tensor, kernels: Kernels, level: int) -> Tensor:
    """Encode to reluLEVEL_1. image: (1, 3, H, W) in [0, 1], sides multiples of 2 ** (level - 1)."""
    x = image
    for block, index in conv_names(level):
        if index == 1 and block > 1:
            x = F.max_pool2d(x, 2)
        x = F.relu_(_conv(x, kernels[f"conv{block}_{index}"]))
    return x


def decode(features: Tensor, kernels: Kernels, level: int) -> Tensor:
    """Decode `features` (1, C, h, w) at reluLEVEL_1 to a picture, about [0, 1] but not clamped."""
    x = features
    for block, index in reversed(conv_names(level)):
        x = _conv(x, kernels[f"inv{block}_{index}"])
        if (block, index) != (1, 1):
            x = F.relu_(x)
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False) if index == 1 else x
    return x


def cascade(
    content: Tensor,
    style: Tensor,
    networks: Mapping[int, tuple[Kernels, Kernels]],
    levels: Sequence[int],
    transform: Transform,
) -> Tensor:
    """Stylize level by level, coarse to fine.

    content: (1, 3, H, W) in [0, 1], sides multiples of the coarsest stride; style likewise. networks: encoder
    and decoder by level. Returns (1, 3, H, W) in [0, 1].
    """
    for level in levels:
        encoder, decoder = networks[level]
        features, style_features = encode(content, encoder, level), encode(style, encoder, level)
        moved = transform(features[0].flatten(1), style_features[0].flatten(1))
        content = decode(moved.reshape(features.shape), decoder, level).clamp_(0, 1)
    return content


def svd_wct(content: Tensor, style: Tensor) -> Tensor:
    """Give features of the content the mean and covariance of the style.

    content: (C, n), style: (C, m), n and m at least 2. Returns (C, n) in their type. Directions that the
    content lacks stay empty.
    """
    centred, _ = _centred(content)
    vectors, values = _principal(centred)
    whitened = (vectors * values**-0.5) @ vectors.T @ centred
    style_centred, style_mean = _centred(style)
    vectors, values = _principal(style_centred)
    return (vectors * values**0.5) @ vectors.T @ whitened + style_mean


def _conv(x: Tensor, kernel: tuple[Tensor, Tensor]) -> Tensor:
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), *kernel)


def _plain(conv: torch.nn.Conv2d) -> tuple[Tensor, Tensor]:
    assert conv.bias is not None
    return conv.weight.detach().float().contiguous(), conv.bias.detach().float()


def _centred(features: Tensor) -> tuple[Tensor, Tensor]:
    mean = features.mean(1, keepdim=True)
    return features - mean, mean


def _principal(centred: Tensor) -> tuple[Tensor, Tensor]:
    """Return directions (C, k) and variances (k,) of what is not nearly flat."""
    covariance = centred @ centred.T / (centred.shape[1] - 1)
    vectors, values, _ = torch.linalg.svd(covariance)
    kept = values > SMALLEST
    return vectors[:, kept], values[kept]


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
