"""The cascade of autoencoders as it was published: plain layers, both pictures encoded at every level, and
whitening and colouring of the features themselves, by singular values.

Li et al. 2017, "Universal Style Transfer via Feature Transforms", equations 2 and 3 and section 3.3, with
the bilinear up-sampling of Chiu and Gurari 2020. `pipelines.stylize` does the same with moments and folded
maps; this is to check it against, and to compare its speed with.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

from texsynth.errors import ModelError
from texsynth.models.autoencoder import Decoder
from texsynth.models.registry import Model, build_model
from texsynth.models.vgg import Encoder, conv_names

Transform = Callable[[Tensor, Tensor], Tensor]
"""Features (C, n) of the content and (C, m) of the style to the content's new ones, (C, n)."""

SMALLEST = 1e-5  # Singular values up to here are left out, whatever the scale of the features


def plain_encoder(model: Model, level: int) -> nn.Sequential:
    """Return the encoder to reluLEVEL_1 in float32, layer by layer, channels before pixels.

    It takes (1, 3, H, W) in [0, 1], sides multiples of 2 ** (level - 1).
    """
    layers: list[nn.Module] = []
    for block, index in conv_names(level):
        if index == 1 and block > 1:
            layers.append(nn.MaxPool2d(2))
        layers += [nn.ReflectionPad2d(1), model.vgg().conv(block, index), nn.ReLU(inplace=True)]
    return _plain(layers)


def plain_decoder(model: Model, level: int) -> nn.Sequential:
    """Return the decoder of `level` likewise. Raises ModelError without it, or for another kind."""
    decoder = model.decoder(level)
    if decoder.upsampling != "bilinear":
        raise ModelError(
            f"the reference samples up bilinearly and the decoders of {model.name} do not; use another model"
        )
    layers: list[nn.Module] = []
    for block, index in decoder.names:
        layers += [nn.ReflectionPad2d(1), decoder.conv(block, index)]
        if (block, index) != (1, 1):
            layers.append(nn.ReLU(inplace=True))
            layers += [nn.Upsample(scale_factor=2, mode="bilinear")] if index == 1 else []
    return _plain(layers)


def _plain(layers: Sequence[nn.Module]) -> nn.Sequential:
    network = deepcopy(nn.Sequential(*layers)).requires_grad_(False)
    for parameter in network.parameters():
        parameter.data = parameter.data.float().contiguous()
    return network


def cascade(
    content: Tensor,
    style: Tensor,
    networks: Sequence[tuple[nn.Module, nn.Module]],
    transform: Transform,
) -> Tensor:
    """Stylize level by level.

    content: (1, 3, H, W) in [0, 1], sides multiples of the coarsest stride; style likewise. networks: pairs
    of an encoder and a decoder, coarse to fine. Returns (1, 3, H, W) in [0, 1].
    """
    for encoder, decoder in networks:
        features, style_features = encoder(content), encoder(style)
        moved = transform(features[0].flatten(1), style_features[0].flatten(1))
        content = decoder(moved.reshape(features.shape)).clamp_(0, 1)
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

VGG_WIDTHS = (64, 128, 256, 512, 512)  # Channels of VGG-19's blocks


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
        f"{name}.{key}": torch.zeros(like.shape)
        if like.dim() == 1
        else nn.init.kaiming_normal_(torch.empty(like.shape), generator=rng)
        for name, part in parts.items()
        for key, like in part.state_dict().items()
    }
    return build_model(NAME, tensors, device=device, dtype=dtype)
