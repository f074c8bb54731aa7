"""Decoders: features of one level back to an image, and the photo-realistic decoder with skips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from texsynth.models.vgg import BlockNetwork, Network, child, conv_names, conv_reflect, input_widths
from texsynth.transforms.affine import AffineMap

Upsampling = Literal["bilinear", "nearest"]


def upsample(x: Tensor, how: Upsampling = "bilinear") -> Tensor:
    """Double the size, bilinear as the paper on iterative feature transformation (002, section 2) does it."""
    return F.interpolate(x, scale_factor=2, mode=how)


class Decoder(BlockNetwork):
    """Mirror of the encoder from reluLEVEL_1: each convolution undoes one of the encoder's.

    With a bottleneck, which starts and ends with 1x1 convolutions, the way to the next finer level is narrow;
    from there on the decoder is that level's, and files hold it once.
    """

    prefix = "inv"

    def __init__(
        self,
        widths: tuple[int, ...],
        level: int,
        upsampling: Upsampling = "bilinear",
        bottleneck: int | None = None,
    ) -> None:
        """widths: of the encoder's blocks. level: 1..len(widths). upsampling: nearest in published ones.

        bottleneck: channels between `level`, at least 2, and the next finer one; None for the encoder's.
        """
        super().__init__()
        self.widths, self.level, self.upsampling, self.bottleneck = widths, level, upsampling, bottleneck
        if upsampling == "nearest":
            # A tensor, so that it stays with the weights through every file and training.
            self.register_buffer("nearest", torch.ones(1))
        self.names = conv_names(level)[::-1]
        self.to_finer = [name for name in self.names if name > (level - 1, 1)]
        """Steps to the next finer level, or to the image."""
        inputs = input_widths(widths)
        shapes = {name: (widths[name[0] - 1], inputs[name], 3) for name in self.names}
        if bottleneck:
            first, *middle, last = self.to_finer
            shapes[first] = (widths[level - 1], bottleneck, 1)
            shapes |= dict.fromkeys(middle, (bottleneck, bottleneck, 3))
            shapes[last] = (bottleneck, widths[level - 2], 1)
        for (block, index), shape in shapes.items():
            self.add_module(f"inv{block}_{index}", nn.Conv2d(*shape))

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], level: int) -> Decoder:
        """Build from keys `invB_I.weight|bias`; shapes decide the widths, a key `nearest` the upsampling."""
        widths = tuple(state[f"inv{b}_1.weight"].shape[1] for b in range(1, level + 1))
        return cls.filled(state, widths, level, upsampling_of(state), bottleneck_of(state, level))

    def own_state(self) -> dict[str, Tensor]:
        """Return the state dict without what a decoder with a bottleneck takes from the next finer level."""
        own = {f"inv{block}_{index}" for block, index in self.to_finer}
        return {
            key: value
            for key, value in self.state_dict().items()
            if not self.bottleneck or key.partition(".")[0] in own
        }

    def step(self, x: Tensor, block: int, index: int, before: AffineMap | None = None) -> Tensor:
        """Undo `convB_I` and the pooling before it; the last step is linear. before: of x, folded in."""
        x = convolve(self.conv(block, index), x, before)
        if (block, index) == (1, 1):
            return x
        x = F.relu_(x)
        return upsample(x, self.upsampling) if index == 1 else x

    def forward(self, features: Tensor, before: AffineMap | None = None) -> Tensor:
        """Decode features (N, C, h, w) at reluLEVEL_1, h, w >= 2, mapped by `before` first where it is given.

        Returns (N, 3, h * 2 ** (level - 1), w * 2 ** (level - 1)), about [0, 1] but not clamped.
        """
        return self.rest(self.step(features, *self.names[0], before))

    def rest(self, x: Tensor) -> Tensor:
        """Do all steps but the first."""
        return self.through(x, self.names[1:])

    def through(self, x: Tensor, names: Sequence[tuple[int, int]]) -> Tensor:
        """Do the steps of these names."""
        for block, index in names:
            x = self.step(x, block, index)
        return x


def bottleneck_of(state: Mapping[str, Tensor], level: int) -> int | None:
    """Return the channels of the bottleneck of the decoder of `level` with this state dict, if it has one."""
    width, _, side, _ = state[f"inv{level}_1.weight"].shape
    return width if side == 1 else None


def upsampling_of(state: Mapping[str, Tensor]) -> Upsampling:
    """Return the kind of upsampling of the decoder with this state dict."""
    return "nearest" if "nearest" in state else "bilinear"


class PhotoDecoder(Network):
    """Whole features of the coarse levels plus the high frequencies of the fine ones to an image.

    The skips carry the edges, and light and colour come up from levels 4 and 3: level 4 alone has lost too
    much of saturated colours. The high frequencies are what average pooling and up-sampling lose: linear and
    free of constants, so the map of a level may be applied before or after.
    """

    def __init__(self, widths: tuple[int, ...]) -> None:
        """widths: of the encoder's blocks up to the coarsest level that is read."""
        super().__init__()
        self.widths = widths
        for level in range(len(widths), 1, -1):
            # The last step is linear and gives the image; every layer at full size would cost most of all.
            target, size = (widths[level - 2], 1) if level > 2 else (3, 3)
            self.add_module(f"up{level}", nn.Conv2d(widths[level - 1], target, 3))
            self.add_module(f"skip{level - 1}", nn.Conv2d(widths[level - 2], target, size, bias=False))

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> PhotoDecoder:
        """Build from a state dict; its shapes decide the widths."""
        skips = sum(key.startswith("skip") for key in state)
        finer = [state[f"skip{level}.weight"].shape[1] for level in range(1, skips + 1)]
        return cls.filled(state, (*finer, state[f"up{skips + 1}.weight"].shape[1]))

    def conv(self, name: str) -> nn.Conv2d:
        """Return the convolution `upL` or `skipL`."""
        return child(self, name, nn.Conv2d)

    def forward(self, features: Sequence[Tensor], maps: Mapping[int, AffineMap] | None = None) -> Tensor:
        """Decode features of levels 1..len(widths), (N, C_l, h_l, w_l) with sides twice those of level l + 1.

        maps: of the features, folded into the convolutions. Returns (N, 3, h_1, w_1), not clamped to [0, 1].
        """
        deepest, maps = len(self.widths), maps or {}
        x, before = features[-1], maps.get(deepest)
        for level in range(deepest, 1, -1):
            x = self.step(x, features[level - 2], level, before, maps.get(level - 1))
            x, before = F.relu_(x) if level > 2 else x, None
        return x

    def step(
        self,
        x: Tensor,
        finer: Tensor,
        level: int,
        before: AffineMap | None = None,
        before_finer: AffineMap | None = None,
    ) -> Tensor:
        """Go one level up: `x`, mapped by `before`, at twice its size plus the skip from `finer`; no ReLU."""
        skip = convolve(self.conv(f"skip{level - 1}"), finer, before_finer)
        up = convolve(self.conv(f"up{level}"), x, before)
        # What the fine levels pass on are the high frequencies, skip - upsample(pooled skip).
        return upsample(up - F.avg_pool2d(skip, 2) if level <= 3 else up) + skip


def convolve(conv: nn.Conv2d, x: Tensor, before: AffineMap | None) -> Tensor:
    """Apply `conv`, with reflection padding where it is 3x3, to x (N, C, h, w) mapped by `before`."""
    weight, bias = before.fold(conv.weight, conv.bias) if before else (conv.weight, conv.bias)
    return conv_reflect(x, weight, bias) if conv.kernel_size == (3, 3) else F.conv2d(x, weight, bias)
