"""Decoders: features of one level back to an image, and the photo-realistic decoder with skips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from texsynth.models.vgg import conv_names, conv_reflect, input_widths
from texsynth.transforms.affine import AffineMap


def upsample(x: Tensor) -> Tensor:
    """Twice the size, bilinear, as the paper on iterative feature transformation (002, section 2) does it."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class Decoder(nn.Module):
    """Mirror of the encoder from reluLEVEL_1: each convolution undoes one of the encoder's."""

    def __init__(self, widths: tuple[int, ...], level: int) -> None:
        """widths: of the encoder's blocks. level: 1..len(widths)."""
        super().__init__()
        self.widths, self.level = widths, level
        self.names = conv_names(level)[::-1]
        inputs = input_widths(widths)
        for block, index in self.names:
            self.add_module(f"inv{block}_{index}", nn.Conv2d(widths[block - 1], inputs[block, index], 3))

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], level: int) -> Decoder:
        """Build from a state dict with keys `invB_I.weight|bias`; its shapes decide the widths."""
        widths = tuple(state[f"inv{b}_1.weight"].shape[1] for b in range(1, level + 1))
        decoder = cls(widths, level)
        decoder.load_state_dict({key: value.float() for key, value in state.items()})
        return decoder

    def conv(self, block: int, index: int) -> nn.Conv2d:
        """The convolution that undoes the encoder's `convB_I`."""
        conv = self.get_submodule(f"inv{block}_{index}")
        assert isinstance(conv, nn.Conv2d)
        return conv

    def step(self, x: Tensor, block: int, index: int, before: AffineMap | None = None) -> Tensor:
        """Undo `convB_I`, and the pooling before it. The last step is linear: it gives the image.

        before: a map of x, folded into the convolution.
        """
        conv = self.conv(block, index)
        weight, bias = before.fold(conv.weight, conv.bias) if before else (conv.weight, conv.bias)
        x = conv_reflect(x, weight, bias)
        if (block, index) == (1, 1):
            return x
        x = F.relu_(x)
        return upsample(x) if index == 1 else x

    def forward(self, features: Tensor, before: AffineMap | None = None) -> Tensor:
        """features: (N, C, h, w) at reluLEVEL_1, h, w >= 2; mapped by `before` first, where it is given.

        Returns (N, 3, h * 2 ** (level - 1), w * 2 ** (level - 1)), about [0, 1] but not clamped.
        """
        first, *rest = self.names
        features = self.step(features, *first, before)
        for block, index in rest:
            features = self.step(features, block, index)
        return features


def high_frequencies(x: Tensor) -> Tensor:
    """What average pooling and up-sampling lose. x: (N, C, h, w), h and w even. Same shape.

    Linear and free of constants: for an affine map A f + b it gives A high_frequencies(f), so the map
    of a level may be applied before or after.
    """
    return x - upsample(F.avg_pool2d(x, 2))


class PhotoDecoder(nn.Module):
    """Whole features of the coarse levels plus the high frequencies of the fine ones to an image.

    The skips carry the edges, so lines stay where they are; light and colour come up from levels 4 and 3.
    Level 4 alone has lost too much of saturated colours.
    """

    def __init__(self, widths: tuple[int, ...]) -> None:
        """widths: of the encoder's blocks up to the coarsest level that is read."""
        super().__init__()
        self.widths = widths
        for level in range(len(widths), 1, -1):
            self.add_module(f"up{level}", nn.Conv2d(widths[level - 1], widths[level - 2], 3))
            if level > 2:
                self.add_module(f"merge{level - 1}", nn.Conv2d(2 * widths[level - 2], widths[level - 2], 3))
        # At full size one linear convolution reads the image out of relu1_1, and every layer costs most.
        self.merge1 = nn.Conv2d(2 * widths[0], 3, 3)

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> PhotoDecoder:
        """Build from a state dict; its shapes decide the widths."""
        levels = sum(key.startswith("up") and key.endswith("weight") for key in state)
        finer = [state[f"up{level}.weight"].shape[0] for level in range(2, levels + 2)]
        decoder = cls((*finer, state[f"up{levels + 1}.weight"].shape[1]))
        decoder.load_state_dict({key: value.float() for key, value in state.items()})
        return decoder

    def conv(self, name: str) -> nn.Conv2d:
        """Convolution `upL` or `mergeL`."""
        conv = self.get_submodule(name)
        assert isinstance(conv, nn.Conv2d)
        return conv

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """features: levels 1..len(widths), each (N, C_l, h_l, w_l) with h_l, w_l twice those of level l + 1.

        Returns (N, 3, h_1, w_1), about [0, 1] but not clamped.
        """
        x = features[-1]
        for level in range(len(self.widths), 1, -1):
            up, merge = self.conv(f"up{level}"), self.conv(f"merge{level - 1}")
            x = upsample(F.relu_(conv_reflect(x, up.weight, up.bias)))
            skip = features[level - 2]
            x = torch.cat([x, high_frequencies(skip) if level <= 3 else skip], 1)
            x = conv_reflect(x, merge.weight, merge.bias)
            x = F.relu_(x) if level > 2 else x
        return x
