"""Parts of the Transposer: its own encoder; similarity map, filters and transposed convolution of one scale.

Nothing here looks at a whole batch or at a fixed size: features are normalised per pixel, pooling is global.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from texsynth.analysis.self_similarity import self_difference, transposed_convolution
from texsynth.models.vgg import child
from texsynth.synthesis.placement import Layout

SCALES = 3  # Features at 1/2, 1/4 and 1/8 of the picture's size

REACH = 0.75  # Largest shift of the self-similarity maps, as a share of the exemplar


def convolve(conv: nn.Conv2d, x: Tensor, circular: bool = False) -> Tensor:
    """Convolve (N, C, h, w) with padding by reflection or around a torus; sides of one pixel are repeated."""
    pad = conv.kernel_size[0] // 2
    if pad:
        mode = "circular" if circular else "reflect" if min(x.shape[2:]) > pad else "replicate"
        x = F.pad(x, (pad, pad, pad, pad), mode=mode)
    return F.conv2d(x, conv.weight, conv.bias, conv.stride)


def resize(x: Tensor, size: Sequence[int], circular: bool = False) -> Tensor:
    """Bilinear to `size` (H, W), pixel areas aligned; on a torus when `circular`. x: (N, C, h, w)."""
    if tuple(x.shape[2:]) == tuple(size):
        return x
    if not circular:
        return F.interpolate(x, tuple(size), mode="bilinear", align_corners=False)
    for dim in (2, 3):
        old, new = x.shape[dim], size[dim - 2]
        at = (torch.arange(new, dtype=torch.float64) + 0.5) * old / new - 0.5  # not every device has float64
        low = at.floor()
        share = (at - low).to(x).view(-1, *[1] * (3 - dim))
        first = low.long().to(x.device) % old
        near = x.index_select(dim, first)
        x = near + share * (x.index_select(dim, (first + 1) % old) - near)
    return x


def canvas_of(layout: Layout) -> tuple[int, int]:
    """Size of the features' picture: the output's on a torus, else multiples of 8 above it."""
    if layout.circular:
        return layout.size
    height, width = scale_size(layout.size, SCALES)
    return height * 2**SCALES, width * 2**SCALES


def scale_size(size: Sequence[int], scale: int) -> tuple[int, int]:
    """Size at 1 / 2 ** scale, rounded up."""
    return -(-size[0] // 2**scale), -(-size[1] // 2**scale)


def exact(x: Tensor) -> Tensor:
    """Float32, whatever autocast made of it, or float64 where everything is."""
    return x if x.dtype == torch.float64 else x.float()


def pixel_norm(x: Tensor) -> Tensor:
    """Every pixel's feature vector scaled to unit mean square. Same for any size and batch."""
    return x * torch.rsqrt(exact(x).square().mean(1, keepdim=True) + 1e-6).to(x.dtype)


class OwnEncoder(nn.Module):
    """The Transposer's own encoder: strided 3x3 convolutions, two at each scale (narrower than 004's)."""

    def __init__(self, widths: Sequence[int]) -> None:
        """widths: channels at full size and at the three scales."""
        super().__init__()
        self.widths = tuple(widths)
        self.conv0 = nn.Conv2d(3, widths[0], 3)
        for scale in range(1, SCALES + 1):
            self.add_module(f"down{scale}", nn.Conv2d(widths[scale - 1], widths[scale], 3, stride=2))
            self.add_module(f"conv{scale}", nn.Conv2d(widths[scale], widths[scale], 3))

    def forward(self, image: Tensor) -> list[Tensor]:
        """image: (N, 3, H, W) in [0, 1], sides multiples of 8. Features at 1/2, 1/4, 1/8, non-negative."""
        x = F.relu(pixel_norm(convolve(self.conv0, 2 * image - 1)))
        features = []
        for scale in range(1, SCALES + 1):
            for name in (f"down{scale}", f"conv{scale}"):
                x = F.relu(pixel_norm(convolve(child(self, name, nn.Conv2d), x)))
            features.append(x)
        return features


class TransposedScale(nn.Module):
    """One scale: self-similarity map, both branches, and the transposed convolution between them."""

    def __init__(self, channels: int, width: int, hidden: int = 8) -> None:
        """channels: of the encoder's features; width: of the filters; hidden: of the map's branch."""
        super().__init__()
        self.reduce = nn.Conv2d(channels, width, 3)
        self.filter = nn.Conv2d(width, width, 3)
        self.bias = nn.Linear(channels, width)
        self.map1 = nn.Conv2d(1, hidden, 3)
        self.map2 = nn.Conv2d(hidden, 1, 3)
        self.sharpness = nn.Parameter(torch.tensor([8.0]))
        nn.init.zeros_(self.map2.weight)
        nn.init.zeros_(self.bias.weight)
        nn.init.zeros_(self.bias.bias)

    @staticmethod
    def extended_map(features: Tensor, peaks: Tensor, circular: bool) -> Tensor:
        """Equation 1 for the whole layout: the maps of all copies added, difference over energy.

        features: (N, C, h, w); peaks: (N, 1, a, b), ones where copies lie. Returns (N, 1, a, b) in [-2, 0];
        -1 where no copy reaches.
        """
        reach = [min(int(REACH * n), n - 1) for n in features.shape[2:]]
        difference, energy = self_difference(features, (reach[0], reach[1]))
        both = torch.stack([difference, energy + energy.flip(1, 2)], 1)
        laid = transposed_convolution(peaks, both, circular=circular)
        if circular:
            laid = laid.roll((-reach[0], -reach[1]), (2, 3))
        else:
            a, b = peaks.shape[2:]
            laid = laid[..., reach[0] : reach[0] + a, reach[1] : reach[1] + b]
        scale = energy.amax((1, 2))[:, None, None].clamp_min(1e-6)
        difference, energy = (laid[:, i] / scale for i in (0, 1))
        share = (energy / 1e-3).clamp(0, 1)  # fades to -1 beyond the reach
        ratio = -difference.clamp_min(0) / energy.clamp_min(1e-3)
        return (share * ratio + share - 1).clamp(-2, 0)[:, None]

    def forward(self, features: Tensor, layouts: Sequence[Layout], size: Sequence[int]) -> Tensor:
        """Extend the map of (N, C, h, w) features, a layout each; lay filters, (N, width, H, W) of `size`."""
        circular = layouts[0].circular
        margin = (0, 0) if circular else (features.shape[2] // 2, features.shape[3] // 2)
        peaks = torch.cat([_peaks(layout, size, features.shape[2:], margin) for layout in layouts])
        similarity = self.extended_map(features, peaks.to(features.device), circular)
        return self.lay(features, similarity, size, margin, circular)

    def lay(
        self, features: Tensor, similarity: Tensor, size: Sequence[int], margin: Sequence[int], circular: bool
    ) -> Tensor:
        """Lay filters made of `features` where `similarity` (N, 1, a, b) says so.

        The map's branch gives log weights, and the sum of copies is divided by the sum of weights, so that
        its scale depends neither on the output's size nor on how many copies overlap.
        """
        filters = convolve(self.filter, F.relu(convolve(self.reduce, features)))
        branch = convolve(self.map2, F.relu(convolve(self.map1, similarity, circular)), circular)
        logits = self.sharpness * similarity + exact(branch)
        weights = (logits - logits.amax((2, 3), keepdim=True)).clamp_min(-7).exp()
        filters = torch.cat([exact(filters), torch.ones_like(exact(filters[:, :1]))], 1)
        laid = transposed_convolution(weights, filters, circular=circular)
        if not circular:
            laid = laid[..., margin[0] : margin[0] + size[0], margin[1] : margin[1] + size[1]]
        bias: Tensor = self.bias(features.mean((2, 3)))
        return laid[:, :-1] / laid[:, -1:].clamp_min(1e-4) + bias[:, :, None, None]


def _peaks(layout: Layout, size: Sequence[int], features: Sequence[int], margin: Sequence[int]) -> Tensor:
    """Ones where the copies of a layout lie on the canvas at `size`, (1, 1, a, b)."""
    shape = list(size)
    if not layout.circular:
        shape = [n - f + 2 * m + 1 for n, f, m in zip(size, features, margin, strict=True)]
    corners = torch.tensor([copy[:2] for copy in layout.placements], dtype=torch.float64)
    if layout.circular:
        corners = corners.remainder(torch.tensor(layout.size))
    ratio = torch.tensor([n / c for n, c in zip(size, canvas_of(layout), strict=True)])
    at = (corners * ratio + 0.5).floor().long() + torch.tensor(margin)
    limit = torch.tensor(shape)
    at = at.remainder(limit) if layout.circular else at.clamp_min(0).minimum(limit - 1)
    peaks = torch.zeros(1, 1, *shape)
    peaks[0, 0, at[:, 0], at[:, 1]] = 1
    return peaks
