"""Tiny networks and pictures for tests."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from texsynth.models.autoencoder import Decoder, PhotoDecoder, Upsampling
from texsynth.models.border_network import BorderNetwork
from texsynth.models.registry import Model, build_model
from texsynth.models.vgg import Encoder, inference
from texsynth.models.wavelets import WaveDecoder

WIDTHS = (4, 6, 8, 10, 12)


def tiny_tensors(seed: int = 0, upsampling: Upsampling = "bilinear") -> dict[str, Tensor]:
    """Random weights of a complete model, in the layout of a model file."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        parts = {
            "encoder": Encoder(WIDTHS),
            **{f"decoder{level}": Decoder(WIDTHS, level, upsampling) for level in (1, 2, 3, 4, 5)},
            "photo": PhotoDecoder(WIDTHS[:4]),
        }
        return in_parts(parts)


def bottleneck_tensors() -> dict[str, Tensor]:
    """The same of a complete model whose decoder of level 5 ends at level 4."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        own = Decoder(WIDTHS, 5, bottleneck=7).own_state()
    whole = {key: value for key, value in tiny_tensors().items() if not key.startswith("decoder5.")}
    return whole | {f"decoder5.{key}": value for key, value in own.items()}


def wave_tensors(*, concatenated: bool) -> dict[str, Tensor]:
    """The same of a model that pools by wavelets."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        photo = WaveDecoder(WIDTHS[:4], concatenated=concatenated)
        return in_parts({"encoder": Encoder(WIDTHS[:4], "haar"), "photo": photo})


def level_tensors() -> dict[str, Tensor]:
    """The same of a model with an encoder of its own for every level, of other widths at level 1."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        widths = {level: WIDTHS[:level] if level > 1 else (7,) for level in (1, 2, 3, 4, 5)}
        parts: dict[str, nn.Module] = {f"encoder{level}": Encoder(w) for level, w in widths.items()}
        parts |= {f"decoder{level}": Decoder(w, level, "nearest") for level, w in widths.items()}
        return in_parts(parts)


def in_parts(parts: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """State dicts under the names of their parts."""
    return {f"{name}.{key}": v for name, net in parts.items() for key, v in net.state_dict().items()}


def tiny_model(dtype: torch.dtype = torch.float32) -> Model:
    """A complete model with random weights."""
    return build_model("tiny", tiny_tensors(), dtype=dtype)


def waves(height: int, width: int, phase: float = 0.0) -> Tensor:
    """A smooth coloured picture (1, 3, H, W) in [0, 1]."""
    y = torch.linspace(0, 4 * math.pi, height)[:, None]
    x = torch.linspace(0, 6 * math.pi, width)[None]
    channels = [torch.sin(x + phase) * torch.cos(y), torch.sin(x + y + phase), torch.cos(2 * x - y)]
    return torch.stack([0.5 + 0.45 * c for c in channels])[None]


def tiny_borders(seed: int = 0, *, paint: bool = True) -> BorderNetwork:
    """A narrow network that repairs borders at random; without `paint` it bends and mixes alone."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = BorderNetwork((4, 6, 8))
        nn.init.normal_(net.head.weight, std=0.2)
    if not paint:
        nn.init.zeros_(net.head.weight[5:])
    return inference(net)
