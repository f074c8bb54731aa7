"""The affine map of features that every transform ends in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from texsynth.transforms.moments import Moments


@dataclass(frozen=True)
class AffineMap:
    """f -> matrix f + offset at every pixel."""

    matrix: Tensor  # (C, C) float64
    offset: Tensor  # (C,) float64
    notes: tuple[str, ...] = ()
    """Remarks on how it was fitted, for those who see the result."""

    @classmethod
    def identity(cls, channels: int, device: torch.device | str = "cpu") -> AffineMap:
        """Return the map that changes nothing."""
        matrix = torch.eye(channels, dtype=torch.float64, device=device)
        return cls(matrix, torch.zeros_like(matrix[0]))

    @classmethod
    def between_means(cls, content: Moments, style: Moments, matrix: Tensor | None = None) -> AffineMap:
        """Apply `matrix`, by default the identity, around the means: mean_s + matrix (f - mean_c).

        Without a pixel on either side there is no mean to go to, and the map is the identity.
        """
        if content.n <= 0 or style.n <= 0:
            return cls.identity(len(content.sum), content.sum.device)
        if matrix is None:
            matrix = cls.identity(len(content.sum), content.sum.device).matrix
        return cls(matrix, style.mean - matrix @ content.mean)

    @staticmethod
    def mix(maps: Sequence[AffineMap], weights: Sequence[float]) -> AffineMap:
        """Average maps; weights are non-negative and need not add up to 1."""
        share = [w / sum(weights) for w in weights]
        pairs = list(zip(share, maps, strict=True))
        matrix = torch.stack([s * m.matrix for s, m in pairs]).sum(0)
        offset = torch.stack([s * m.offset for s, m in pairs]).sum(0)
        return AffineMap(matrix, offset, tuple(dict.fromkeys(note for m in maps for note in m.notes)))

    @torch.no_grad()
    def __call__(self, features: Tensor) -> Tensor:
        """Map features (N, C, h, w), any floating type. Returns the same shape, type and memory layout.

        float64 features are mapped in float64, all others in float32.
        """
        dtype = torch.float64 if features.dtype == torch.float64 else torch.float32
        matrix = self.matrix.to(dtype).to(features.device)
        offset = self.offset.to(dtype).to(features.device)
        # A matrix product, not a convolution: cuDNN's convolutions round to TF32 by default.
        with torch.autocast(features.device.type, enabled=False):
            x = features.to(dtype)
            if features.is_contiguous(memory_format=torch.channels_last):
                out = torch.nn.functional.linear(x.permute(0, 2, 3, 1), matrix, offset).permute(0, 3, 1, 2)
            else:
                flat = torch.baddbmm(offset[:, None], matrix.expand(len(x), -1, -1), x.flatten(2))
                out = flat.reshape(features.shape)
        return out.to(features.dtype)

    def to(self, device: torch.device | str) -> AffineMap:
        """Copy to `device`, which must know float64."""
        return replace(self, matrix=self.matrix.to(device), offset=self.offset.to(device))

    def lerp(self, strength: float) -> AffineMap:
        """Interpolate from the identity at strength 0 to this map at 1."""
        none = AffineMap.identity(len(self.offset), self.offset.device)
        matrix = torch.lerp(none.matrix, self.matrix, strength)
        return replace(self, matrix=matrix, offset=self.offset * strength)

    def change(self, content: Moments) -> float:
        """Return how far features with these moments move, over their own deviation; both root mean squares.

        inf where features without any spread move.
        """
        home = content.sum.device
        matrix = self.matrix.to(home) - AffineMap.identity(len(self.offset), home).matrix
        shift = matrix @ content.mean + self.offset.to(home)
        moved = float((matrix @ content.covariance @ matrix.T).trace() + shift.square().sum())
        spread = float(content.covariance.trace())
        return math.sqrt(max(moved, 0.0) / spread) if spread > 0 else math.inf if moved > 0 else 0.0

    def fold(self, conv_weight: Tensor, conv_bias: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return weight and bias of one convolution that equals this map followed by the given one.

        conv_weight: (O, C, kh, kw), conv_bias: (O,). Exact for reflection, replication and circular padding,
        which copy features, and without padding; not for zero padding, whose zeros the map would have moved.
        """
        dtype, device = conv_weight.dtype, conv_weight.device
        home = torch.device("cpu") if device.type == "mps" else device  # MPS has no float64
        here, kernel = self.to(home), conv_weight.detach().to(home).double()
        weight = torch.einsum("ockl,cd->odkl", kernel, here.matrix)
        bias = torch.einsum("ockl,c->o", kernel, here.offset)
        if conv_bias is not None:
            bias = bias + conv_bias.detach().to(home).double()
        return weight.contiguous().to(dtype).to(device), bias.to(dtype).to(device)
