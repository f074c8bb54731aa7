"""The network of paper 004 as it is written: every output pixel comes from features, none is copied.

1. An encoder gives features at 1/4, 1/8 and 1/16 of the exemplar: its own, or a pretrained and frozen one.
2. At each scale the self-similarity map (equation 1) is the input of a transposed convolution whose filters
   and biases are made from the features (`MapScale`).
3. The decoder doubles the coarsest scale, adds the next finer one, and so on to twice the exemplar's size.

What the paper leaves open is as in its author's published program: two convolutions at each scale of the
encoder and in each branch, sums (not concatenations) in the decoder, a sigmoid at the end. Deviations, each
for a reason:
- The map is that of the corrected equation, over the overlap, with shifts up to half the features, so that
  the output has exactly twice their size; the program normalises it to [0, 1] instead.
- What is laid is divided by the number of shifts, up to a constant, and biases come from global means, as
  otherwise only exemplars of one size would work.
- Batch norm follows every convolution but that of the pixels, as the paper says; the program has it in
  encoder and decoder alone. Weights of a mean above or below zero lay a pyramid over the whole output.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from texsynth.analysis.self_similarity import self_difference, transposed_convolution
from texsynth.models.vgg import Encoder, Network, child
from texsynth.models.weights import part
from texsynth.ops.resample import pad_to_multiple
from texsynth.synthesis.copy_choice import OnShare

TAPS = (4, 8, 16)  # The features' scales, as parts of the exemplar's sides

WIDTHS = (64, 128, 256, 512, 1024)  # Channels of the own encoder at 1, 1/2, 1/4, 1/8 and 1/16, times `width`

REFERENCE_PX = 128  # Side of the exemplars that the paper trains on

MULTIPLE = 32  # Exemplars are padded to multiples, so that features at 1/16 have even sides

HIDDEN = 8  # Channels between the two convolutions of a map's branch

LEAST_ENERGY = 1e-2
"""Least denominator of equation 1, as a share of the largest; textures have a quarter at the corners."""


def convolve(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """Convolve (N, C, h, w) with padding by reflection; sides of one pixel are repeated."""
    pad = conv.kernel_size[0] // 2
    if pad:
        mode = "reflect" if min(x.shape[2:]) > pad else "replicate"
        x = F.pad(x, (pad, pad, pad, pad), mode=mode)
    return F.conv2d(x, conv.weight, conv.bias, conv.stride)


def exact(x: Tensor) -> Tensor:
    """Float32, whatever autocast made of it, or float64 where everything is."""
    return x if x.dtype == torch.float64 else x.float()


class BatchNorm(nn.BatchNorm2d):
    """Batch norm whose running statistics begin as plain averages, not near the values they start from."""

    def forward(self, x: Tensor) -> Tensor:
        """Shapes (N, C, h, w)."""
        if self.training:
            assert self.num_batches_tracked is not None
            self.momentum = max(0.1, 1 / (int(self.num_batches_tracked) + 1))
        return super().forward(x)


class Block(nn.Module):
    """Convolution, batch norm, ReLU. Shapes (N, C, h, w)."""

    def __init__(
        self, inputs: int, outputs: int, stride: int = 1, side: int = 3, *, signed: bool = False
    ) -> None:
        """side: of the kernel. signed: leave the ReLU out."""
        super().__init__()
        self.signed = signed
        self.conv = nn.Conv2d(inputs, outputs, side, stride, bias=False)
        self.norm = BatchNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, h / stride, w / stride), non-negative unless `signed`."""
        normed: Tensor = self.norm(convolve(self.conv, x))
        return normed if self.signed else F.relu(normed)


class PaperEncoder(nn.Module):
    """The encoder of the paper: 3x3 convolutions, one at full size and two at each further scale."""

    def __init__(self, widths: Sequence[int]) -> None:
        """widths: channels at 1, 1/2, 1/4, 1/8 and 1/16."""
        super().__init__()
        self.widths = tuple(widths)
        self.conv1 = Block(3, widths[0])
        for k in range(1, len(widths)):
            self.add_module(f"conv{k + 1}_1", Block(widths[k - 1], widths[k], 2))
            self.add_module(f"conv{k + 1}_2", Block(widths[k], widths[k]))

    def forward(self, image: Tensor) -> list[Tensor]:
        """image: (N, 3, H, W) in [0, 1], sides multiples of 16. Features at 1/4, 1/8, 1/16, non-negative."""
        x, features = self.conv1(image), []
        for k in range(1, len(self.widths)):
            x = child(self, f"conv{k + 1}_2", Block)(child(self, f"conv{k + 1}_1", Block)(x))
            features.append(x)
        return features[1:]


class FrozenEncoder(nn.Module):
    """relu3_1, relu4_1 and relu5_1 of a pretrained encoder, brought to the widths by 1x1 convolutions."""

    def __init__(self, pretrained: Encoder, widths: Sequence[int]) -> None:
        """pretrained: of five levels, which stays as it is. widths: channels at 1/4, 1/8 and 1/16."""
        super().__init__()
        self.pretrained = pretrained.requires_grad_(False)
        for tap, before, after in zip(TAPS, pretrained.widths[2:], widths, strict=True):
            self.add_module(f"widen{tap}", Block(before, after, side=1))

    def forward(self, image: Tensor) -> list[Tensor]:
        """image: (N, 3, H, W) in [0, 1], sides multiples of 16. Features at 1/4, 1/8, 1/16, non-negative."""
        with torch.no_grad():
            features = self.pretrained(image, 5)[2:]
        return [child(self, f"widen{tap}", Block)(x) for tap, x in zip(TAPS, features, strict=True)]


class MapScale(nn.Module):
    """One scale: the self-similarity map convolved, transposed, with filters made from the features."""

    def __init__(self, channels: int, shifts: int) -> None:
        """channels: of features, filters and output. shifts: in the map of an exemplar of REFERENCE_PX."""
        super().__init__()
        self.filter = nn.Sequential(Block(channels, channels), Block(channels, channels, signed=True))
        self.bias = nn.Linear(channels, channels)
        self.shifts = shifts
        self.map = nn.Sequential(Block(1, HIDDEN), Block(HIDDEN, 1, signed=True))
        self.output = Block(channels, channels)

    def forward(self, features: Tensor, noise: Tensor | None = None) -> Tensor:
        """features: (N, C, h, w) with even h, w. noise: (1, 1, h + 1, w + 1). Returns (N, C, 2 h, 2 w)."""
        similarity = self_similarity(features)
        if noise is not None:
            similarity = similarity + noise * similarity.std((2, 3), keepdim=True)
        filters = self.filter(features)
        weights = exact(self.map(similarity))
        share = math.sqrt(self.shifts) / (weights.shape[2] * weights.shape[3])
        laid = transposed_convolution(share * weights, exact(filters))
        bias: Tensor = self.bias(filters.mean((2, 3)))
        out: Tensor = self.output(laid + bias[:, :, None, None])
        return out


def self_similarity(features: Tensor) -> Tensor:
    """Equation 1 of paper 004, corrected: minus difference over energy, both over the overlap.

    features: (N, C, h, w) with even sides. Returns (N, 1, h + 1, w + 1), shifts by up to half the sides, with
    shift (p, q) at [h / 2 + p, w / 2 + q]; at most 0, and 0 in the middle.
    """
    height, width = features.shape[2:]
    difference, energy = self_difference(features, (height // 2, width // 2))
    least = LEAST_ENERGY * energy.amax((1, 2), keepdim=True)
    return (-difference / energy.maximum(least).clamp_min(1e-12))[:, None]


class PaperTransposer(Network):
    """Exemplar to a texture of exactly twice its size."""

    def __init__(self, encoder: PaperEncoder | FrozenEncoder, widths: Sequence[int]) -> None:
        """widths: channels at 1, 1/2, 1/4, 1/8 and 1/16; those of the features are the last three."""
        super().__init__()
        self.encoder = encoder
        self.own = isinstance(encoder, PaperEncoder)
        self.dtype = torch.float32
        """Number type of the convolutions in `expand`; all else stays in float32."""
        self.widths = tuple(widths)
        for tap, channels in zip(TAPS, widths[2:], strict=True):
            self.add_module(f"scale{tap}", MapScale(channels, (REFERENCE_PX // tap + 1) ** 2))
        for k in range(len(widths) - 1, 0, -1):
            self.add_module(f"decode{k}", Block(widths[k], widths[k - 1]))
        self.pixels = nn.Conv2d(widths[0], 3, 3)

    @classmethod
    def of_width(cls, width: float, pretrained: Encoder | None = None) -> PaperTransposer:
        """Build with random weights. width: factor of WIDTHS. pretrained: its encoder; None for its own."""
        widths = tuple(max(2, round(width * channels)) for channels in WIDTHS)
        return cls(FrozenEncoder(pretrained, widths[2:]) if pretrained else PaperEncoder(widths), widths)

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> PaperTransposer:
        """Build from a state dict, by its shapes. Raises KeyError or RuntimeError for another format."""
        decoder = [state[f"decode{k}.conv.weight"].shape[:2] for k in range(1, len(WIDTHS))]
        widths = (decoder[0][0], *(inputs for _, inputs in decoder))
        pretrained = part(state, "encoder.pretrained")
        own = Encoder.from_state(pretrained) if pretrained else None
        with torch.device("meta"):  # As in `filled`
            encoder = FrozenEncoder(own, widths[2:]) if own else PaperEncoder(widths)
        return cls.filled(state, encoder, widths)

    def trained(self) -> list[nn.Parameter]:
        """Return the parameters that training changes; a pretrained encoder's are not among them."""
        return [p for p in self.parameters() if p.requires_grad]

    def forward(self, exemplar: Tensor, noises: Mapping[int, Tensor] | None = None) -> Tensor:
        """exemplar: (N, 3, h, w) in [0, 1]. noises: added to the map of each tap, in units of its deviation.

        Returns (N, 3, 2 h, 2 w) in [0, 1], in whose middle the exemplar's features were laid unmoved.
        """
        h, w = exemplar.shape[2:]
        padded = pad_to_multiple(exemplar, MULTIPLE, MULTIPLE)
        laid = {
            tap: child(self, f"scale{tap}", MapScale)(features, noises and noises[tap])
            for tap, features in zip(TAPS, self.encoder(padded), strict=True)
        }
        x = laid[TAPS[-1]]
        for k in range(len(self.widths) - 1, 0, -1):
            doubled = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = child(self, f"decode{k}", Block)(doubled)
            if (tap := 2 ** (k - 1)) in laid:
                x = x + laid[tap]
        image = exact(convolve(self.pixels, x)).sigmoid()
        top, left = (padded.shape[2] - h) // 2, (padded.shape[3] - w) // 2
        return image[..., top : top + 2 * h, left : left + 2 * w]

    @torch.no_grad()
    def expand(
        self,
        exemplar: Tensor,
        size: tuple[int, int],
        *,
        circular: bool,
        rng: torch.Generator,
        variation: float = 0.0,
        extras: Tensor | None = None,
        on_share: OnShare = lambda _: None,
    ) -> tuple[Tensor, Tensor | None]:
        """Make more of a texture: passes that double it until it covers `size` (H, W); the middle is cut out.

        exemplar: (1, 3, h, w) in [0, 1]. variation: 0..1, deviation of seeded noise in the maps over theirs.
        extras are not copied, as nothing is. Returns (image (1, 3, H, W) in [0, 1], None). Raises ValueError
        for `circular`: outputs are not periodic. on_share: told how much is done.
        """
        del extras
        if circular:
            raise ValueError("the network of paper 004 has no periodic outputs")
        image, dtype = exemplar, self.dtype
        with torch.autocast(exemplar.device.type, dtype, enabled=dtype != torch.float32):
            while True:
                image = self(image, _noises(image.shape[2:], variation, rng, image) if variation else None)
                shares = [min(have / want, 1.0) for have, want in zip(image.shape[2:], size, strict=True)]
                on_share(shares[0] * shares[1])
                if min(shares) >= 1:
                    break
        top, left = ((have - want) // 2 for have, want in zip(image.shape[2:], size, strict=True))
        return image[..., top : top + size[0], left : left + size[1]].clamp(0, 1), None

    def watched(self) -> Iterator[tuple[str, list[nn.Module], bool]]:
        """Yield the parts that training watches: name, modules, and whether channels are counted in it."""
        scales = {tap: child(self, f"scale{tap}", MapScale) for tap in TAPS}
        yield "encoder", [self.encoder], True
        yield "maps", [scale.map for scale in scales.values()], False
        yield "filters", [scale.filter for scale in scales.values()], True
        yield "biases", [scale.bias for scale in scales.values()], False
        for tap, scale in scales.items():
            yield f"scale{tap}", [scale], True
        for k in range(len(self.widths) - 1, 0, -1):
            yield f"decode{k}", [child(self, f"decode{k}", Block)], True


def _noises(size: Sequence[int], variation: float, rng: torch.Generator, like: Tensor) -> dict[int, Tensor]:
    """Draw the noise of every tap for an exemplar of `size`, (1, 1, h + 1, w + 1) each."""
    sides = [-(-n // MULTIPLE) * MULTIPLE for n in size]
    return {
        tap: (variation * torch.randn(1, 1, *(n // tap + 1 for n in sides), generator=rng)).to(like)
        for tap in TAPS
    }
