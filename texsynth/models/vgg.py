"""VGG-19-shaped encoders of any width.

One class serves the full-width network and our quarter-width `lite`: the channel table is read from the
weights. Architecture: Simonyan and Zisserman 2015; the cut at relu1_1..relu5_1, the reflection padding and
the unit mean activation are those of the style-transfer literature (`vgg_normalised`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BLOCKS = (2, 2, 4, 4, 1)
"""Convolutions kept in each block of VGG-19; the fifth block ends at relu5_1."""

LEVELS = (1, 2, 3, 4, 5)
"""Level L is the output of the first convolution of block L after its ReLU, reluL_1."""


def conv_names(level: int = 5) -> list[tuple[int, int]]:
    """Return (block, index) of every convolution up to and including reluLEVEL_1, in forward order."""
    names = [(b, i) for b, count in enumerate(BLOCKS, 1) for i in range(1, count + 1)]
    return [name for name in names if name <= (level, 1)]


def input_widths(widths: tuple[int, ...]) -> dict[tuple[int, int], int]:
    """Return the input channels of every convolution of a network whose blocks have `widths` channels."""
    outputs = [widths[b - 1] for b, _ in conv_names(len(widths))]
    return dict(zip(conv_names(len(widths)), [3, *outputs], strict=False))


def pad_reflect(x: Tensor) -> Tensor:
    """Pad by one reflected pixel. x: (N, C, h, w) with h, w >= 2. Returns (N, C, h + 2, w + 2)."""
    if torch.is_autocast_enabled(x.device.type):
        # On CPUs autocast would pad in float32, which takes longer than the convolution in bfloat16.
        with torch.autocast(x.device.type, enabled=False):
            return F.pad(x, (1, 1, 1, 1), mode="reflect")
    return F.pad(x, (1, 1, 1, 1), mode="reflect")


def exported() -> bool:
    """Tell whether a network is being traced to be exported."""
    # torch.onnx could tell, too, but takes its time to be imported.
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]


def conv_reflect(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve (N, C, h, w), h, w >= 2, with (O, C, 3, 3) and reflection padding to (N, O, h, w)."""
    if len(weight) <= 3 and x.shape[2] % 2 == x.shape[3] % 2 == 0 and not exported():
        return _conv_blocks(pad_reflect(x), weight, bias)
    return F.conv2d(pad_reflect(x), weight, bias)


def max_pool(x: Tensor) -> Tensor:
    """2x2 max pooling. x: (N, C, h, w); an odd last line or column is pooled alone."""
    # What is exported shall serve pictures of any size.
    odd = x.shape[2] % 2 or x.shape[3] % 2 or exported()
    if odd or (x.requires_grad and torch.is_grad_enabled()):
        return F.max_pool2d(x, 2, 2, ceil_mode=True)
    # On CPUs twice as fast as the pooling kernel, which also looks for the places of the maxima; with these
    # its derivative is ten times as fast.
    rows = torch.maximum(x[:, :, ::2], x[:, :, 1::2])
    return torch.maximum(rows[..., ::2], rows[..., 1::2])


def _conv_blocks(padded: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Do `conv_reflect` with 2 x 2 pixels as channels, on (N, C, h + 2, w + 2) with h, w even.

    Processors fill their vectors with output channels, and the three of an image leave most of one empty.
    """
    block = weight.new_zeros(len(weight), 2, 2, weight.shape[1], 4, 4)
    for row in (0, 1):
        for column in (0, 1):
            block[:, row, column, :, row : row + 3, column : column + 3] = weight
    kernel = block.flatten(0, 2).contiguous(memory_format=torch.channels_last)
    repeated = None if bias is None else bias.repeat_interleave(4)
    return F.pixel_shuffle(F.conv2d(padded, kernel, repeated, stride=2), 2)


def haar_pool(x: Tensor) -> Tensor:
    """Low band of the Haar wavelets, twice the mean of 2x2. x: (N, C, h, w); odd sides as above."""
    return 2 * F.avg_pool2d(x, 2, ceil_mode=True)


Pooling = Literal["max", "haar"]
POOLINGS = {"max": max_pool, "haar": haar_pool}

_N = TypeVar("_N", bound=nn.Module)


def child(network: nn.Module, name: str, kind: type[_N]) -> _N:
    """Return the part `name` of a network."""
    module = network.get_submodule(name)
    assert isinstance(module, kind)
    return module


class Network(nn.Module):
    """A network that is built from the shapes in a state dict."""

    @classmethod
    def filled(cls, state: Mapping[str, Tensor], *args: Any, **options: Any) -> Self:  # noqa: ANN401
        """Build with these arguments and the values of `state` in float32. Raises RuntimeError.

        It takes no random numbers, which would change those of a program that uses texsynth.
        """
        with torch.device("meta"):
            network = cls(*args, **options)
        own = {key: value.to(torch.float32, copy=True) for key, value in state.items()}
        network.load_state_dict(own, assign=True)
        return network


class BlockNetwork(Network):
    """A network with a convolution for each of VGG-19's, or for some of them."""

    prefix: ClassVar[str]

    def conv(self, block: int, index: int) -> nn.Conv2d:
        """Return the convolution that is, or undoes, `convB_I` of the encoder."""
        return child(self, f"{self.prefix}{block}_{index}", nn.Conv2d)


class Encoder(BlockNetwork):
    """Image to features at reluL_1; those that pool by wavelets differ, see `names`."""

    prefix = "conv"

    def __init__(self, widths: tuple[int, ...], pooling: Pooling = "max") -> None:
        """widths: channels of blocks 1..len(widths); five blocks reach relu5_1. pooling: haar in WCT2's."""
        super().__init__()
        self.widths, self.pooling = widths, pooling
        if pooling == "haar":
            # A tensor, so that it stays with the weights through every file and training.
            self.register_buffer("haar", torch.ones(1))
        for (block, index), channels in input_widths(widths).items():
            self.add_module(f"conv{block}_{index}", nn.Conv2d(channels, widths[block - 1], 3))

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> Encoder:
        """Build from keys `convB_I.weight|bias` and, for wavelets, `haar`. Raises KeyError, RuntimeError."""
        blocks = [b for b in LEVELS if f"conv{b}_1.weight" in state]
        if not blocks:
            raise KeyError("conv1_1.weight")
        widths = tuple(state[f"conv{b}_1.weight"].shape[0] for b in blocks)
        return cls.filled(state, widths, "haar" if "haar" in state else "max")

    def names(self, level: int) -> list[tuple[int, int]]:
        """Return the convolutions that lead to the features of `level`.

        Wavelet pooling loses nothing that a decoder could not be given, so there a level is what the pooling
        takes apart, the last ReLU of its block; the coarsest is not pooled, and is reluL_1 as ever.
        """
        if self.pooling == "haar" and 0 < level < len(self.widths):
            return [name for name in conv_names(level + 1) if name <= (level, BLOCKS[level - 1])]
        return conv_names(level)

    def segment(self, x: Tensor, start: int, stop: int) -> Tensor:
        """Go from level `start` (0 is the image) to level `stop`. Shapes (N, C, h, w)."""
        for block, index in self.names(stop)[len(self.names(start)) :]:
            x = self.layer(x, block, index)
        return x

    def layer(self, x: Tensor, block: int, index: int) -> Tensor:
        """Apply `convB_I` and its ReLU, after the pooling where it begins a block. Shapes (N, C, h, w)."""
        conv = self.conv(block, index)
        if index == 1 and block > 1:
            x = POOLINGS[self.pooling](x)
        return F.relu_(conv_reflect(x, conv.weight, conv.bias))

    def forward(self, image: Tensor, level: int = 5) -> list[Tensor]:
        """Return features of levels l <= `level`, (N, C_l, ceil(H / 2 ** (l - 1)), ...), non-negative.

        image: (N, 3, H, W) sRGB values in [0, 1], H and W at least 2 * 2 ** (level - 1).
        """
        features = [self.segment(image, 0, 1)]
        for stop in range(2, level + 1):
            features.append(self.segment(features[-1], stop - 1, stop))
        return features


def channels_last(
    module: _N, device: torch.device | str | None = None, dtype: torch.dtype | None = None
) -> _N:
    """Move `module` and store its kernels channels last, the faster layout for narrow convolutions."""
    module.to(device=device, dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return module


def inference(module: _N, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> _N:
    """Freeze `module` for evaluation, channels last."""
    return channels_last(module.eval().requires_grad_(False), device, dtype)


class LevelEncoders(nn.Module):
    """An encoder that is a network of its own for every level; its methods are those of `Encoder`."""

    def __init__(self, encoders: Mapping[int, Encoder]) -> None:
        """encoders: by level, at least one; a level without its own has the next coarser one."""
        super().__init__()
        self.own = nn.ModuleDict({str(level): encoder for level, encoder in sorted(encoders.items())})
        self.widths = tuple(self.of(level).widths[level - 1] for level in range(1, max(encoders) + 1))

    def of(self, level: int) -> Encoder:
        """Return the network that gives the features of `level`."""
        encoder = next(network for key, network in self.own.items() if int(key) >= level)
        assert isinstance(encoder, Encoder)
        return encoder

    def names(self, level: int) -> list[tuple[int, int]]:
        """Return the convolutions that lead to the features of `level`."""
        return self.of(level).names(level)

    def segment(self, x: Tensor, start: int, stop: int) -> Tensor:
        """Go from level `start` to `stop`; features at `start` are those of the network of `stop`."""
        return self.of(stop).segment(x, start, stop)

    def forward(self, image: Tensor, level: int = 5) -> list[Tensor]:
        """Return the features of levels 1..`level`, with one pass for each."""
        return [self.segment(image, 0, stop) for stop in range(1, level + 1)]
