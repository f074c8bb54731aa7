"""Photo-realistic transfer: what the network changes, without what it loses.

A decoder does not give saturated colours and fine detail back. So the features are decoded twice, mapped and
as they are, and the picture takes only what turns the second into the first.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from texsynth.models.registry import Model
from texsynth.ops.bilateral_grid import fit_field, fit_size
from texsynth.ops.color import LUMA, luma
from texsynth.pipelines.rasters import EVERYTHING, MakeCanvas, Raster, map_strips, strips
from texsynth.pipelines.transfer import Features, TiledAutoencoder, photo_autoencoder
from texsynth.transforms.affine import AffineMap
from texsynth.transforms.moments import Moments

Transfer = Callable[[TiledAutoencoder, MakeCanvas], Raster]
"""Maps the features of the content and decodes them into a canvas."""

MUTED = (8 / 255) ** 2
"""Mean square chroma of content and style together up to which the network's own colour errors would show."""


SURE = 2
"""Cells for each channel from which on their covariance is taken for what it is."""


def photo(
    content: Raster,
    model: Model,
    transfer: Transfer,
    make_canvas: MakeCanvas,
    *,
    smooth: bool,
    weight: Tensor | None = None,
    chroma: float | None = None,
) -> Raster:
    """Change light and colour of `content` as `transfer` does, in [0, 1].

    smooth: by the field of colour maps that explains it best; else pixel by pixel. weight: (1, 1, H, W), how
    much each pixel counts. chroma: mean square of the style's, as `chroma_power` has it, where it is known.
    """
    if smooth:
        out = _smooth(content, model, transfer, make_canvas, weight)
    else:
        out = transfer(_autoencoder(model, _corrected), make_canvas)
    if chroma is None or chroma > MUTED or chroma + (own := _mean_chroma(content, weight)) > MUTED:
        return out
    # Grey stays grey: no transfer has more colour than content and style together.
    limit = chroma + own
    share = limit / max(limit, _mean_chroma(out, weight), 1e-12)
    return out if share == 1 else map_strips(make_canvas, lambda x: luma(x).lerp(x, share**0.5), out)


def _smooth(
    content: Raster, model: Model, transfer: Transfer, make_canvas: MakeCanvas, weight: Tensor | None
) -> Raster:
    small = _ReducedCanvas(content.size, fit_size(content.size))
    transfer(_autoencoder(model, _together), lambda _: small)
    guide, mapped, plain = small.tensor.split(3, 1)
    if weight is not None:
        shown = _ReducedCanvas(content.size, small.reduced)
        shown.write(slice(0, content.size[0]), slice(0, content.size[1]), weight.to(guide))
        weight = shown.tensor
    colours = fit_field(guide, mapped, content.size, plain=plain, weight=weight)
    out = make_canvas(content.size)
    for rows in strips(content.size):
        strip = content.read(rows, EVERYTHING).to(guide).contiguous()
        out.write(rows, EVERYTHING, colours.apply(strip, rows.start).clamp_(0, 1))
    return out


def transferred(content: Tensor, mapped: Tensor, plain: Tensor) -> Tensor:
    """Do with a picture in memory what `photo` does by fields, differentiably; not clamped.

    All (1, 3, H, W): the content in [0, 1], and what the network makes of it with maps and without.
    """
    size = int(content.shape[2]), int(content.shape[3])
    small = _ReducedCanvas(size, fit_size(size))
    decoded = (x.float().clamp(0, 1) for x in (mapped, plain))
    small.write(slice(0, size[0]), slice(0, size[1]), torch.cat([content, *decoded], 1))
    guide, mapped, plain = small.tensor.split(3, 1)
    return fit_field(guide, mapped, size, plain=plain).apply(content.contiguous())


def _mean_chroma(raster: Raster, weight: Tensor | None) -> float:
    total = Moments.empty(3)
    for rows in strips(raster.size):
        part = None if weight is None else weight[:, :, rows]
        total = total + Moments.of(raster.read(rows, EVERYTHING), part)
    return chroma_power(total)


def chroma_power(colours: Moments) -> float:
    """Return the mean square distance of RGB colours from the grey of their luma, all channels added up."""
    away = torch.eye(3, dtype=torch.float64) - torch.tensor(LUMA, dtype=torch.float64)
    return float((away @ colours.second @ away.T).trace().clamp_min(0))


def without_guesses(fitted: AffineMap, own: Moments) -> AffineMap:
    """Shrink a map of features to its mean and one contrast, where cells are few.

    own: the moments that it was fitted to. What it makes of their mean and of their total variance stays.
    """
    share = min(1.0, own.n / (SURE * len(own.sum))) ** 2
    matrix, covariance = fitted.matrix, own.covariance
    contrast = (matrix @ covariance @ matrix.T).trace() / covariance.trace() if own.has_spread else 1.0
    plain = AffineMap.identity(len(own.sum)).matrix * contrast**0.5
    matrix = torch.lerp(plain, matrix, share)
    return replace(fitted, matrix=matrix, offset=fitted.offset + (fitted.matrix - matrix) @ own.mean)


Maps = Mapping[int, AffineMap]


def _autoencoder(model: Model, put_together: Callable[[Tensor, Tensor, Tensor], Tensor]) -> TiledAutoencoder:
    """Make an autoencoder that decodes to the picture, mapped features and unmapped ones, put together."""
    network = photo_autoencoder(model)

    def encode(image: Tensor) -> Features:
        return {0: image, **network.encode(image)}

    def decode(features: Features, maps: Maps) -> Tensor:
        return put_together(features[0].float(), *(network.decode(features, m).float() for m in (maps, {})))

    return replace(network, encode=encode, decode=decode)


def _corrected(image: Tensor, mapped: Tensor, plain: Tensor) -> Tensor:
    return image + mapped - plain


def _together(image: Tensor, mapped: Tensor, plain: Tensor) -> Tensor:
    return torch.cat([image, mapped, plain], 1)


@dataclass
class _ReducedCanvas:
    """A canvas of which only the picture reduced to a smaller size is kept."""

    size: tuple[int, int]
    reduced: tuple[int, int]
    tensor: Tensor = field(default_factory=lambda: torch.zeros(()))  # (1, C, height, width) with all written

    def read(self, rows: slice, columns: slice) -> Tensor:
        """Raise TypeError: nothing of the picture is there."""
        del rows, columns
        raise TypeError("a reduced canvas cannot be read")

    def write(self, rows: slice, columns: slice, values: Tensor) -> None:
        """Add to the means of the parts that the rectangle covers, some of each maybe."""
        down, right = (
            _shares(n, count, part).to(values)
            for n, count, part in zip(self.size, self.reduced, (rows, columns), strict=True)
        )
        self.tensor = self.tensor.to(values) + down @ values @ right.T


def _shares(size: int, count: int, part: slice) -> Tensor:
    """Return how much of each of `count` means over `size` pixels the pixels of `part` make, (count, n)."""
    pixels = torch.arange(part.start, part.stop, dtype=torch.float64)
    bounds = torch.arange(count + 1, dtype=torch.float64)[:, None] * (size / count)
    return (torch.minimum(bounds[1:], pixels + 1) - torch.maximum(bounds[:-1], pixels)).clamp_min(0) * (
        count / size
    )
