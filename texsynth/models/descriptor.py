"""The descriptor of textures: encoding layers on the levels of a pretrained encoder, then one projection.

A Deep TEN head (Zhang, Xue and Dana 2017) that reads several levels: at each, features are reduced to D
channels, encoded against K codewords, and the codes of the level, as one vector, are given unit length. A
linear projection of all of them, again of unit length, is the descriptor; the cosine of two says how alike
two textures are, whatever their sizes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from texsynth.errors import ModelError, is_exhaustion
from texsynth.models.encoding import Encoding
from texsynth.models.hub.catalog import ASSETS, SUFFIX
from texsynth.models.vgg import LEVELS, Network, child, inference
from texsynth.models.weights import MISFITS, part, read_checked


class DescriptorHead(Network):
    """Features of several levels to one descriptor."""

    def __init__(self, widths: Mapping[int, int], codewords: int, channels: int, size: int) -> None:
        """widths: channels of the features by level. codewords: K; channels: D; size: of the descriptor."""
        super().__init__()
        self.levels = tuple(sorted(widths))
        for level in self.levels:
            self.add_module(f"reduce{level}", nn.Linear(widths[level], channels))
            self.add_module(f"encode{level}", Encoding(codewords, channels))
        self.project = nn.Linear(len(self.levels) * codewords * channels, size)

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> DescriptorHead:
        """Build from the shapes in a state dict. Raises KeyError, IndexError or RuntimeError for others."""
        widths = {n: state[f"reduce{n}.weight"].shape[1] for n in LEVELS if f"reduce{n}.weight" in state}
        codewords, channels = state[f"encode{min(widths, default=0)}.codewords"].shape
        return cls.filled(state, widths, codewords, channels, len(state["project.bias"]))

    def reduce(self, level: int) -> nn.Linear:
        """Return the layer that makes D channels of the features of `level`."""
        return child(self, f"reduce{level}", nn.Linear)

    def encoding(self, level: int) -> Encoding:
        """Return the encoding layer of `level`."""
        return child(self, f"encode{level}", Encoding)

    def codes(self, features: Sequence[Tensor], weights: Sequence[Tensor] | None = None) -> list[Tensor]:
        """Return codes for each of `self.levels`, summed over positions; those of parts of a picture add up.

        features: levels 1, 2, ... up to the deepest that is read, (B, C_l, h_l, w_l). weights: of the same
        levels and places, (B, 1, h_l, w_l); 1 everywhere when left out. Returns (B, K, D) for each level.
        """
        codes = []
        for level in self.levels:
            x = features[level - 1].float().flatten(2).mT
            weight = None if weights is None else weights[level - 1].flatten(1)
            codes.append(self.encoding(level)(self.reduce(level)(x), weight))
        return codes

    def descriptor(self, codes: Sequence[Tensor]) -> Tensor:
        """Join codes, (B, K, D) for each level, of any scale. Returns (B, size) of unit length."""
        unit = torch.cat([F.normalize(code.flatten(1), dim=1) for code in codes], 1)
        return F.normalize(self.project(unit), dim=1)

    def forward(self, features: Sequence[Tensor], weights: Sequence[Tensor] | None = None) -> Tensor:
        """Describe the features; arguments of `codes`. Returns (B, size) of unit length."""
        with torch.autocast(features[0].device.type, enabled=False):
            return self.descriptor(self.codes(features, weights))


@dataclass(frozen=True)
class Descriptor:
    """A trained head and the encoder it is for."""

    head: DescriptorHead
    model: str  # Name of the model whose encoder it reads
    model_sha256: str
    sha256: str  # Hash of the weight file
    provenance: Mapping[str, str]


def load_descriptor(path: Path | None = None, device: torch.device | str = "cpu") -> Descriptor:
    """Load a weight file, or the embedded descriptor. Raises ModelError when it is missing or damaged."""
    path = path or ASSETS / f"descriptor{SUFFIX}"
    tensors, header, digest = read_checked(path)
    try:
        head = DescriptorHead.from_state(part(tensors, "descriptor"))
        model, model_sha256 = header["model"], header["model_sha256"]
    except MISFITS as error:
        if is_exhaustion(error):
            raise
        raise ModelError(
            f"{path} is no descriptor of texsynth; give a file made by `texsynth train descriptor`"
        ) from error
    return Descriptor(inference(head, device), model, model_sha256, digest, header)
