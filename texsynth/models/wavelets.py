"""Haar wavelets on features, and the decoder that puts their bands together (Yoo et al. 2019, WCT2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from texsynth.models.autoencoder import convolve, upsample
from texsynth.models.vgg import BLOCKS, BlockNetwork, conv_names, conv_reflect, input_widths
from texsynth.transforms.affine import AffineMap

_SIGNS = ((1, 1, 1, 1), (-1, 1, -1, 1), (-1, -1, 1, 1), (1, -1, -1, 1))
_PIXELS = ((0, 0), (0, 1), (1, 0), (1, 1))

BANDS = len(_SIGNS)  # LL, LH, HL and HH: low or high down the columns, then along the rows


def pool(x: Tensor, band: int) -> Tensor:
    """Return one band, 0..3, of 2x2 blocks, (N, C, 2h, 2w) to (N, C, h, w); all are orthogonal."""
    out = x[..., ::2, ::2] * (_SIGNS[band][0] / 2)
    for sign, (row, column) in zip(_SIGNS[band][1:], _PIXELS[1:], strict=True):
        out.add_(x[..., row::2, column::2], alpha=sign / 2)
    return out


def unpool(pooled: Tensor, band: int) -> Tensor:
    """Return the share of a band in the features that were pooled; (N, C, h, w) to (N, C, 2h, 2w)."""
    half, out = pooled / 2, F.interpolate(pooled, scale_factor=2)
    for sign, (row, column) in zip(_SIGNS[band], _PIXELS, strict=True):
        out[..., row::2, column::2] = sign * half
    return out


class WaveDecoder(BlockNetwork):
    """The coarsest features to an image, with the high bands of the finer ones where the encoder pooled.

    Maps move light and colour of the coarsest features and the contrasts of the others. WCT2 maps features
    inside the encoder and the decoder, one after the other; here all are measured in one pass and mapped in
    another, so that tiles stay exact.
    """

    prefix = "inv"

    def __init__(self, widths: tuple[int, ...], *, concatenated: bool) -> None:
        """widths: of the encoder's blocks. concatenated: the option `cat5` of WCT2, `sum` otherwise.

        Concatenated, a block reads the four bands, each unpooled alone, and the features before pooling.
        """
        super().__init__()
        self.widths, self.concatenated = widths, concatenated
        self.names = conv_names(len(widths))[::-1]
        outputs = input_widths(widths)
        for block, index in self.names:
            inputs = widths[block - 1] * (BANDS + 1 if concatenated and self._joins(block, index) else 1)
            self.add_module(f"inv{block}_{index}", nn.Conv2d(inputs, outputs[block, index], 3))

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> WaveDecoder:
        """Build from a state dict with keys `invB_I.weight|bias`; its shapes decide all else."""
        deepest = max(int(key[3]) for key in state if key.startswith("inv"))
        widths = tuple(state[f"inv{b}_1.weight"].shape[1] for b in range(1, deepest + 1))
        concatenated = state[f"inv1_{BLOCKS[0]}.weight"].shape[1] != widths[0]
        return cls.filled(state, widths, concatenated=concatenated)

    def forward(self, features: Sequence[Tensor], maps: Mapping[int, AffineMap] | None = None) -> Tensor:
        """Decode features, mapped by `maps`, as a `PhotoDecoder` does. Returns (N, 3, h_1, w_1)."""
        maps = maps or {}
        x, before = features[-1], maps.get(len(self.widths))
        for block, index in self.names:
            conv = self.conv(block, index)
            if self._joins(block, index):
                own, finer = maps.get(block), features[block - 1]
                x = _convolve_all(conv, self._joined(x, own(finer) if own else finer))
            else:
                x, before = convolve(conv, x, before), None
            x = x if (block, index) == (1, 1) else F.relu_(x)
        return x

    def _joins(self, block: int, index: int) -> bool:
        """Return whether this convolution, the first of its block on the way back, reads unpooled ones."""
        return block < len(self.widths) and index == BLOCKS[block - 1]

    def _joined(self, x: Tensor, finer: Tensor) -> Iterator[Tensor]:
        """Unpool x as the low band, (N, C, h, w), with the high bands of `finer`, (N, C, 2h, 2w)."""
        if not self.concatenated:
            # All high bands together are what pooling loses.
            yield unpool(x, 0).add_(finer).sub_(upsample(F.avg_pool2d(finer, 2), "nearest"))
            return
        yield unpool(x, 0)
        for band in range(1, BANDS):
            yield unpool(pool(finer, band), band)
        yield finer


def _convolve_all(conv: nn.Conv2d, parts: Iterator[Tensor]) -> Tensor:
    """Apply `conv` to `parts` in a row as channels, each (N, conv's outputs, h, w), one at a time."""
    weights = iter(conv.weight.split(len(conv.weight), 1))
    out = conv_reflect(next(parts), next(weights), conv.bias)
    for weight in weights:
        out += conv_reflect(next(parts), weight, None)
    return out
