"""The Transposer: texture synthesis in one pass, any exemplar to any size (Liu et al. 2020; paper 004).

1. The encoder gives features of the exemplar at three scales (`features`).
2. At each scale the self-similarity map is extended to the output's size, and the transposed convolution lays
   filters, made from the features, where it says so (`transposer_parts.TransposedScale`).
3. The decoder joins the scales from coarse to fine, up to half the output's size (`_decode`).
4. Pixels are copied from the exemplar along the layout (`transposer_copy.CopyHead`), and a residual is added.

Deviations from paper 004, each for a reason:
- The map is extended along its own peaks to the size of the output (`texture.placement`), so that any size
  takes one pass, and on a torus the output is periodic.
- The transposed convolution is divided by the sum of its weights, biases come from global means, and features
  are normalised per pixel, so that nothing depends on the size or on the batch.
- Pixels are copied from the exemplar; the network chooses from which copy (`transposer_copy`), and its
  decoder's picture is added as a residual that starts at zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from texsynth.analysis.self_similarity import self_difference
from texsynth.errors import InputError, ModelError
from texsynth.models.hub.catalog import ASSETS
from texsynth.models.transposer_copy import CopyHead, high_pass
from texsynth.models.transposer_parts import (
    REACH,
    SCALES,
    OwnEncoder,
    TransposedScale,
    canvas_of,
    convolve,
    exact,
    resize,
    scale_size,
)
from texsynth.models.vgg import Encoder, Network, child, inference
from texsynth.models.weights import part, read_checked
from texsynth.ops.resample import pad_to_multiple
from texsynth.synthesis.placement import Layout, place_copies

MIN_SIDE = 16  # Smallest side of an exemplar

FILTERS = (16, 24, 32)  # Channels of the filters at 1/2, 1/4 and 1/8

DECODED = 16  # Channels of the decoder at half size

OWN_WIDTHS = (16, 32, 48, 64)  # Channels of the own encoder at full size and at the three scales


class Transposer(Network):
    """Exemplar to texture."""

    def __init__(
        self, encoder: OwnEncoder | Encoder, filters: Sequence[int] = FILTERS, decoded: int = DECODED
    ) -> None:
        """encoder: its own, or a VGG-shaped one with levels up to 4, which stays as it is."""
        super().__init__()
        self.encoder = encoder
        self.dtype = torch.float32
        """Number type of the convolutions in `expand`; all else stays in float32."""
        self.own = isinstance(encoder, OwnEncoder)
        if not self.own:
            encoder.requires_grad_(False)
        channels = encoder.widths[1 : SCALES + 1]
        for scale in range(1, SCALES + 1):
            self.add_module(f"scale{scale}", TransposedScale(channels[scale - 1], filters[scale - 1]))
        widths = (decoded, *filters[1:], 0)
        for scale in range(1, SCALES + 1):
            inputs = filters[scale - 1] + widths[scale]
            self.add_module(f"decode{scale}", nn.Conv2d(inputs, widths[scale - 1], 3))
        self.copy = CopyHead(channels[0], decoded)
        self.residual1 = nn.Conv2d(decoded, 8, 3)
        self.residual2 = nn.Conv2d(8 + 3, 16, 3)
        self.residual3 = nn.Conv2d(16, 3, 3)
        nn.init.zeros_(self.residual3.weight)
        assert self.residual3.bias is not None
        nn.init.zeros_(self.residual3.bias)

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> Transposer:
        """Build from a state dict, by its shapes. Raises KeyError or RuntimeError for another layout."""
        inside = part(state, "encoder")
        encoder: OwnEncoder | Encoder
        if "conv0.weight" in inside:
            names = ["conv0", *(f"down{scale}" for scale in range(1, SCALES + 1))]
            encoder = OwnEncoder([inside[f"{name}.weight"].shape[0] for name in names])
        else:
            encoder = Encoder.from_state(inside)
        filters = [state[f"scale{scale}.filter.weight"].shape[0] for scale in range(1, SCALES + 1)]
        return cls(encoder, filters, state["decode1.weight"].shape[0]).filled(state)

    def trained(self) -> list[nn.Parameter]:
        """Return the parameters that training changes; a pretrained encoder's are not among them."""
        return [p for p in self.parameters() if p.requires_grad]

    def features(self, exemplar: Tensor) -> list[Tensor]:
        """Return features of (N, 3, h, w) at 1/2, 1/4, 1/8 of its sides, rounded up to multiples of 8."""
        padded = pad_to_multiple(exemplar, 2**SCALES, MIN_SIDE)
        if isinstance(self.encoder, OwnEncoder):
            return self.encoder.forward(padded)
        with torch.no_grad():
            return self.encoder.forward(padded, SCALES + 1)[1:]

    def forward(
        self, exemplar: Tensor, layouts: Sequence[Layout], extras: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Synthesize along given layouts, one for each exemplar.

        exemplar: (N, 3, h, w) in [0, 1], h, w >= 16; extras: (N, k, h, w), which go where the pixels go.
        Returns (image (N, 3, H, W), not clamped; the copied channels (N, 3 + k, H, W)).
        """
        size, circular = layouts[0].size, layouts[0].circular
        features = self.features(exemplar)
        decoded = self._decode(features, layouts)
        sources = exemplar if extras is None else torch.cat([exemplar, extras], 1)
        copied: Tensor = self.copy(exemplar, features[0], decoded, layouts, sources)
        inner = F.relu(convolve(self.residual1, decoded, circular))
        inner = resize(inner, canvas_of(layouts[0]), circular)[..., : size[0], : size[1]]
        fine = F.relu(convolve(self.residual2, torch.cat([inner, copied[:, :3]], 1), circular))
        fine = convolve(self.residual3, fine, circular)
        # In units of the exemplar's contrast, so that a plain exemplar stays plain.
        contrast = exemplar.std((2, 3), keepdim=True).mean(1, keepdim=True)
        return copied[:, :3] + contrast * exact(fine), copied

    def _decode(self, features: Sequence[Tensor], layouts: Sequence[Layout]) -> Tensor:
        """Lay all scales and decode them up to half the canvas, (N, DECODED, H / 2, W / 2)."""
        canvas, circular = canvas_of(layouts[0]), layouts[0].circular
        x: Tensor | None = None
        for scale in range(SCALES, 0, -1):
            size = scale_size(canvas, scale)
            laid = child(self, f"scale{scale}", TransposedScale)(features[scale - 1], layouts, size)
            joined = laid if x is None else torch.cat([laid, resize(x, size, circular)], 1)
            x = F.relu(convolve(child(self, f"decode{scale}", nn.Conv2d), joined, circular))
        assert x is not None
        return x

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
    ) -> tuple[Tensor, Tensor | None]:
        """Make more of a texture, in one pass.

        exemplar: (1, 3, h, w) in [0, 1], sides of at least 16. size: (H, W) of the output. variation: 0..1,
        share of seeded noise in the map that places the copies. extras: (1, k, h, w), further maps of the
        same surface, copied alike. Returns (image (1, 3, H, W) in [0, 1], extras (1, k, H, W) or None).
        Raises InputError for a smaller exemplar.
        """
        if min(exemplar.shape[2:]) < MIN_SIDE:
            height, width = exemplar.shape[2:]
            raise InputError(
                f"an exemplar has {width} x {height} pixels; it needs at least {MIN_SIDE} each way"
            )
        layouts = lay_out(exemplar, size, rng, circular=circular, variation=variation)
        with torch.autocast(exemplar.device.type, self.dtype, enabled=self.dtype != torch.float32):
            image, copied = self(exemplar, layouts, extras)
        return image.clamp(0, 1), None if extras is None else copied[:, 3:]


def lay_out(
    exemplars: Tensor,
    size: tuple[int, int],
    rng: torch.Generator,
    *,
    circular: bool = False,
    origins: Sequence[tuple[int, int]] | None = None,
    variation: float = 0.0,
) -> list[Layout]:
    """Place the copies by the self-similarity maps of the pixels themselves.

    exemplars: (N, 3, h, w). origins: corner of the first copy in each output, None for the middle.
    """
    h, w = exemplars.shape[2:]
    reach = (min(int(REACH * h), h - 1), min(int(REACH * w), w - 1))
    with torch.no_grad():
        difference, energy = self_difference(high_pass(exemplars), reach)
    maps = zip(difference.cpu(), energy.cpu(), strict=True)
    corners: Sequence[tuple[int, int] | None] = origins or [None] * len(exemplars)
    return [
        place_copies(d, e, (h, w), size, rng, circular=circular, origin=origin, variation=variation)
        for (d, e), origin in zip(maps, corners, strict=True)
    ]


def load_transposer(
    name: str = "transposer", device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> Transposer:
    """Load the embedded network `transposer`, or a file by path. dtype: of convolutions alone.

    Raises ModelError when the file is missing, damaged, of another layout or not the published one.
    """
    path = ASSETS / f"{name}.safetensors" if name == "transposer" else Path(name)
    tensors, _, _ = read_checked(path)
    try:
        net = Transposer.from_state(tensors)
    except (KeyError, RuntimeError, IndexError) as error:
        raise ModelError(
            f"{path} is not a Transposer ({error}); give a file made by `texsynth train pack-transposer`"
        ) from error
    net.dtype = dtype
    return inference(net, device)
