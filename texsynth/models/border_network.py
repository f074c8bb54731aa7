"""The network that repairs the borders between copies of an exemplar.

A layout of copies is right everywhere but where two of them meet: there objects are cut, lines are broken,
brightness steps. For each pixel near a border the network sees what its own copy shows, what the copy beyond
the border would show there if it went on, and how far the border is. It answers with a small displacement of
both copies, their shares, and a little paint, so that what meets is bent to meet, one copy gives way to the
other where that shows least, and only what neither has is painted. Far from borders nothing changes. The idea
of Wu and Yu (2004), who deform seams by matched features; here the deformation is learned. See
`training.borders` for what it is trained for.
"""

from collections.abc import Mapping
from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from texsynth.models.vgg import Network
from texsynth.synthesis.borders import Borders, find_borders
from texsynth.synthesis.copy_choice import OnShare, lay_copies

REACH = 20  # Pixels from a border up to which anything may change
WIDTHS = (40, 80, 128)  # Channels at 1/2, 1/4 and 1/8 of the size
UNIT = 8  # Sides of what the network sees are multiples
MARGIN = 88  # No answer looks farther
LAYING = 0.8  # Share of the time that the layout takes

TILE = 1024  # Side of the pieces of a large output, to bound memory
BEND = 8.0  # Largest displacement in pixels
PAINT = 1.5  # Most that may be painted, in deviations of the exemplar
NEAR = 3.0  # Distance in pixels over which the hint of a border fades
DETAIL = 2  # What a mean over this radius in pixels takes away is detail
AROUND = 3  # Radius in pixels over which the strength of detail is measured
AMPLIFY = 2**0.5  # Most that mixed detail is amplified, which equal halves without correlation need
INPUTS = 9  # Two colours, and whether there is a second copy, the distance twice


class Repair(NamedTuple):
    """What the network does to a layout."""

    bend: Tensor  # (N, 4, H, W) pixels that the own and the other copy are displaced by, row and column
    share: Tensor  # (N, 1, H, W) in [0, 1], of the copy beyond the border
    paint: Tensor  # (N, 3, H, W), added to the colours


class Residual(nn.Module):
    """Two convolutions beside an identity."""

    def __init__(self, channels: int) -> None:
        """Draw random weights."""
        super().__init__()
        self.first, self.second = conv(channels, channels), conv(channels, channels)
        with torch.no_grad():
            self.second.weight.mul_(0.3)  # begins close to the identity

    def forward(self, x: Tensor) -> Tensor:
        """Add what the convolutions make of (N, C, h, w)."""
        more: Tensor = self.second(F.silu(self.first(F.silu(x))))
        return x + more


class BorderNetwork(Network):
    """A U-Net over three scales that repairs the borders of a layout."""

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        """Draw random weights. widths: channels at 1/2, 1/4 and 1/8 of the size."""
        super().__init__()
        self.dtype = torch.float32  # Number type of the convolutions in `repair`
        half, quarter, eighth = widths
        self.stem = conv(4 * INPUTS, half)
        self.encode1, self.encode2 = Residual(half), Residual(quarter)
        self.down1, self.down2 = nn.Conv2d(half, quarter, 2, 2), nn.Conv2d(quarter, eighth, 2, 2)
        self.middle1, self.middle2 = Residual(eighth), Residual(eighth)
        self.up2, self.up1 = nn.Conv2d(eighth, quarter, 1), nn.Conv2d(quarter, half, 1)
        self.decode2, self.decode1 = Residual(quarter), Residual(half)
        self.head = conv(half, 5 + 12)
        for parameter in self.head.parameters():  # begins by leaving everything as it is
            nn.init.zeros_(parameter)

    def forward(self, exemplar: Tensor, layout: Tensor, borders: Borders) -> tuple[Tensor, Repair]:
        """Repair a layout whose sides are multiples of 8.

        exemplar: (N, 3, h, w) in [0, 1]; layout: (N, 2, H, W) source positions.
        Returns the picture (N, 3, H, W), not clamped, and what was done.
        """
        sides = torch.tensor(exemplar.shape[2:], device=exemplar.device).view(2, 1, 1)
        valid = ((borders.other >= 0) & (borders.other < sides)).all(1, keepdim=True)
        mean = exemplar.mean((2, 3), keepdim=True)
        deviation = exemplar.std((2, 3), keepdim=True).mean(1, keepdim=True)
        window = (1 - borders.distance / REACH).clamp(0, 1)
        window = window * window * (3 - 2 * window)
        normal = (exemplar - mean) / deviation.clamp_min(0.02)
        own, other = sample(normal, layout), sample(normal, borders.other) * valid
        near = torch.exp(-borders.distance / NEAR)
        answer = self.answer(torch.cat([own, other, valid, window, near], 1))
        coarse = F.interpolate(answer[:, :5], scale_factor=2.0, mode="bilinear", align_corners=False)
        repair = Repair(
            BEND * torch.tanh(coarse[:, :4] / 2) * window,
            window * valid * torch.sigmoid(6 * coarse[:, 4:] - 3),
            PAINT * deviation * window * torch.tanh(F.pixel_shuffle(answer[:, 5:], 2)),
        )
        own, other = bent_copies(exemplar, layout, borders.other, repair)
        return blend(own, other.where(valid, own), repair.share) + repair.paint, repair

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> Self:
        """Build from a state dict; its shapes decide the widths. Raises KeyError, RuntimeError."""
        return cls.filled(state, tuple(len(state[f"{name}.weight"]) for name in ("stem", "down1", "down2")))

    def answer(self, x: Tensor) -> Tensor:
        """Run the convolutions on (N, 9, H, W). Returns (N, 17, H / 2, W / 2) in float32."""
        half = self.encode1(self.stem(F.pixel_unshuffle(x, 2)))
        quarter = self.encode2(self.down1(F.silu(half)))
        eighth = self.middle2(self.middle1(self.down2(F.silu(quarter))))
        quarter = self.decode2(quarter + double(self.up2(F.silu(eighth))))
        half = self.decode1(half + double(self.up1(F.silu(quarter))))
        answer: Tensor = self.head(F.silu(half)).float()
        return answer

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
        """Make more of a texture: lay copies of it, and repair their borders.

        exemplar: (1, 3, h, w) in [0, 1], sides of at least 16. size: (H, W) of the output. circular: make it
        periodic. variation: 0..1, share of seeded noise in the map that places the copies. extras:
        (1, k, h, w), further maps of the same surface, which follow the pixels. on_share: told how much is
        done.
        Returns (image (1, 3, H, W) in [0, 1], extras (1, k, H, W) or None).
        """
        layout = lay_copies(
            exemplar, size, rng,
            wrap=circular, variation=variation, on_share=lambda share: on_share(LAYING * share),
        )  # fmt: skip
        return self.repair(
            exemplar, layout,
            wrap=circular, siblings=extras, on_share=lambda share: on_share(LAYING + (1 - LAYING) * share),
        )  # fmt: skip

    @torch.no_grad()
    def repair(
        self,
        exemplar: Tensor,
        layout: Tensor,
        *,
        wrap: bool = False,
        siblings: Tensor | None = None,
        on_share: OnShare = lambda _: None,
    ) -> tuple[Tensor, Tensor | None]:
        """Repair a layout of any size.

        exemplar: (1, 3, h, w) in [0, 1]; layout: (2, H, W) source positions, periodic if `wrap`. siblings:
        (1, s, h, w) further maps of the same surface: every pixel is copied from where most of its colour is.
        Returns image (1, 3, H, W) in [0, 1] and siblings (1, s, H, W) or None.
        """
        size, borders = layout.shape[1:], find_borders(layout[None], REACH, wrap=wrap)
        planes = 3 if siblings is None else 3 + siblings.shape[1]
        output = exemplar.new_empty(1, planes, *size)
        for top in range(0, size[0], TILE):
            for left in range(0, size[1], TILE):
                spans = [range(at, min(at + TILE, n)) for at, n in zip((top, left), size, strict=True)]
                around = [_around(span, n, wrap) for span, n in zip(spans, size, strict=True)]
                rows, columns = (index for index, _ in around)
                inside = [own for _, own in around]
                parts = [x[:, :, rows][..., columns].to(exemplar.device) for x in (layout[None], *borders)]
                with torch.autocast(exemplar.device.type, self.dtype, enabled=self.dtype != torch.float32):
                    image, repair = self(exemplar, parts[0], Borders(*parts[1:]))
                if siblings is not None:
                    image = torch.cat([image, _copied(siblings, parts[0], parts[1], repair)], 1)
                here = [slice(span.start, span.stop) for span in spans]
                output[:, :, here[0], here[1]] = image[:, :, inside[0], inside[1]]
                on_share((top * size[1] + len(spans[0]) * spans[1].stop) / (size[0] * size[1]))
        return output[:, :3].clamp(0, 1), None if siblings is None else output[:, 3:]


def _around(span: range, length: int, wrap: bool) -> tuple[Tensor, slice]:
    """Return the rows or columns that a tile's answer looks at, a multiple of 8, and its own among them."""
    first = span.start - MARGIN if wrap else max(span.start - MARGIN, 0)
    last = span.stop + MARGIN if wrap else min(span.stop + MARGIN, length)
    index = torch.arange(first, first + -(-(last - first) // UNIT) * UNIT)
    index = index % length if wrap else index.clamp(max=length - 1)
    return index, slice(span.start - first, span.stop - first)


def bent_copies(source: Tensor, layout: Tensor, other: Tensor, repair: Repair) -> tuple[Tensor, Tensor]:
    """Bend both copies of each pixel. source: (N, c, h, w). Returns two pictures (N, c, H, W)."""
    return sample(source, layout + repair.bend[:, :2]), sample(source, other + repair.bend[:, 2:])


def _copied(source: Tensor, layout: Tensor, other: Tensor, repair: Repair) -> Tensor:
    """Copy each pixel from the copy that has the larger share there: values that may not be mixed."""
    at = torch.where(repair.share > 0.5, other + repair.bend[:, 2:], layout + repair.bend[:, :2])[0]
    row, column = (x.round().long().clamp(0, n - 1) for x, n in zip(at, source.shape[2:], strict=True))
    return source[:, :, row, column]


def blend(own: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """Mix two pictures (N, 3, H, W) by the share of the second, (N, 1, H, W); detail keeps its strength.

    The mean of details that have nothing in common is weaker than either, which shows as a blurred band; it
    is amplified to the mean of their deviations around, as Heitz and Neyret (2018) do for noise. Where one
    picture has no detail nothing is, so that a fading object leaves no ghost.
    """
    coarse = [_mean(x, DETAIL) for x in (own, other)]
    details = own - coarse[0], other - coarse[1]
    mixed = details[0] + share * (details[1] - details[0])
    first, second, left = (
        (_mean(x.square().mean(1, keepdim=True), AROUND) + 1e-6).sqrt() for x in (*details, mixed)
    )
    gain = ((first + share * (second - first)) / left).clamp(1, AMPLIFY)
    return torch.where(share > 0, own + share * (other - own) + (gain - 1) * mixed, own)


def _mean(x: Tensor, radius: int) -> Tensor:
    """Average squares of 2 * radius + 1 px of (N, C, H, W), in its own type; the border is repeated."""
    return F.avg_pool2d(F.pad(x, (radius,) * 4, mode="replicate"), 2 * radius + 1, 1)


def sample(source: Tensor, positions: Tensor) -> Tensor:
    """Read (N, C, h, w) at positions (N, 2, H, W) in pixels, bilinear, the border repeated."""
    height, width = source.shape[2:]
    row = positions[:, 0] * (2 / max(height - 1, 1)) - 1
    column = positions[:, 1] * (2 / max(width - 1, 1)) - 1
    grid = torch.stack([column, row], -1).to(source.dtype)
    return F.grid_sample(source, grid, mode="bilinear", padding_mode="border", align_corners=True)


def conv(inputs: int, outputs: int) -> nn.Conv2d:
    """Make a 3x3 convolution that keeps the size."""
    return nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="replicate")


def double(x: Tensor) -> Tensor:
    """Repeat every pixel of (N, C, h, w) twice each way."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
