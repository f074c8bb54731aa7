"""Haar wavelets on features, and the decoder that puts their bands together (Yoo et al. 2019, WCT2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from texsynth.models.autoencoder import convolve, upsample
from texsynth.models.vgg import BLOCKS, conv_names, input_widths
from texsynth.transforms.affine import AffineMap

BANDS = 4
"""LL, LH, HL and HH: low or high down the columns, then along the rows."""

_HAAR = ((1, 1, 1, 1), (-1, 1, -1, 1), (-1, -1, 1, 1), (1, -1, -1, 1))
"""Twice the weights of the four pixels of a block in each band."""


def pool(x: Tensor) -> Tensor:
    """Bands of every 2x2 block, an orthogonal transform. x: (N, C, 2h, 2w). Returns (N, C, 4, h, w)."""
    blocks = F.pixel_unshuffle(x, 2).unflatten(1, (-1, BANDS))
    return torch.einsum("kp,ncphw->nckhw", x.new_tensor(_HAAR) / 2, blocks)


def unpool(bands: Tensor) -> list[Tensor]:
    """Every band at full size on its own; their sum is what was pooled.

    bands: (N, C, 4, h, w). Returns four times (N, C, 2h, 2w).
    """
    weights = bands.new_tensor(_HAAR)[:, :, None, None] / 2
    alone = [band[:, :, None] * weights[k] for k, band in enumerate(bands.unbind(2))]
    return [F.pixel_shuffle(blocks.flatten(1, 2), 2) for blocks in alone]


class WaveDecoder(nn.Module):
    """The coarsest features to an image, with the high bands of the finer ones where the encoder pooled.

    It stands where a `PhotoDecoder` does: maps move the light and colour of the coarsest features and the
    contrasts of the others. WCT2 maps features inside the encoder and the decoder too, one after the other;
    here all moments are measured in one pass, and all maps applied in another, so that tiles stay exact.
    """

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
        decoder = cls(widths, concatenated=state[f"inv1_{BLOCKS[0]}.weight"].shape[1] != widths[0])
        decoder.load_state_dict({key: value.float() for key, value in state.items()})
        return decoder

    def conv(self, block: int, index: int) -> nn.Conv2d:
        """The convolution that undoes the encoder's `convB_I`."""
        conv = self.get_submodule(f"inv{block}_{index}")
        assert isinstance(conv, nn.Conv2d)
        return conv

    def forward(self, features: Sequence[Tensor], maps: Mapping[int, AffineMap] | None = None) -> Tensor:
        """features: levels 1..len(widths), each (N, C_l, h_l, w_l) with h_l, w_l twice those of level l + 1.

        maps: what to do to the features of a level first. Returns (N, 3, h_1, w_1), about [0, 1].
        """
        maps = maps or {}
        x, before = features[-1], maps.get(len(self.widths))
        for block, index in self.names:
            if self._joins(block, index):
                own = maps.get(block)
                finer = features[block - 1]
                x = self._joined(x, own(finer) if own else finer)
            x, before = convolve(self.conv(block, index), x, before), None
            x = x if (block, index) == (1, 1) else F.relu_(x)
        return x

    def _joins(self, block: int, index: int) -> bool:
        """Whether this convolution, the first of its block on the way back, reads unpooled features."""
        return block < len(self.widths) and index == BLOCKS[block - 1]

    def _joined(self, x: Tensor, finer: Tensor) -> Tensor:
        """Unpool x as the low band, (N, C, h, w), with the high bands of `finer`, (N, C, 2h, 2w)."""
        low = upsample(x, "nearest") / 2
        if not self.concatenated:
            # All high bands together are what pooling loses.
            return low + (finer - upsample(F.avg_pool2d(finer, 2), "nearest"))
        return torch.cat([low, *unpool(pool(finer))[1:], finer], 1)
