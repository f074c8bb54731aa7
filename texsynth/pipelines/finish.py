"""The finish of a painted picture: its pixels descend until features are spread as the style's are.

A decoder answers with something between all pictures that fit the features it is given, so its strokes are
soft. Descent on pixels needs no decoder. What descends, summed over levels, is the squared Wasserstein-2
distance of the Gaussian of the features to the style's, over the style's variance and half as much for each
coarser level, or else fine ones would give way, with contours too strong. Its derivative by one of n
features f is 2 (f - T(f)) / n, where T is optimal transport between the two (`transforms.optimal_transport`).
So moments are all that has to be known of a style, as elsewhere, and tiles add up to the whole picture.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from texsynth.config.settings import FinishSettings, OTSettings
from texsynth.errors import GRADIENT_BYTES, UsageError, check_room
from texsynth.models.registry import Model
from texsynth.ops.adam import Adam
from texsynth.ops.color import luma
from texsynth.pipelines.progress import OnStep, Step
from texsynth.pipelines.rasters import Raster, TensorRaster, read_all
from texsynth.pipelines.tiling import Tile, cut_tiles
from texsynth.pipelines.transfer import Features, pooled_weight, tiled_encoder
from texsynth.transforms import AffineMap, fit_mix
from texsynth.transforms.moments import Moments

CONTOURS = (1, 2)
"""Levels at which the content is kept: their cells are small enough for contours."""

FAINT = 0.05
"""Share of a level's deviation that is added to that of each channel, so that faint ones count less."""

STILL = 1e-2
"""Derivative by a value of a pixel, of the loss times the number of pixels, that hardly moves it any more."""

BETAS = (0.9, 0.99)  # Of Adam, whose usual memory of a thousand steps is too long here

LAST_RATE = 0.1  # Share of the rate that is left at the end

TINY = 1e-12


def finish(
    painted: Raster,
    content: Raster,
    goals: Mapping[int, Moments],
    model: Model,
    settings: FinishSettings,
    *,
    weight: Tensor | None,
    tile: int | None,
    on_step: OnStep,
) -> Tensor:
    """Sharpen the strokes of a picture by descent on its pixels: Adam, with a rate that falls along a cosine.

    painted, content: of one size, in [0, 1]; of the content light and dark alone count. goals: the moments
    that features of each level shall have, at least one. weight: (1, 1, H, W), how much pixels count. tile:
    side in pixels as in `stylize_raster`; derivatives differ by rounding only, but the kinks of the network
    make up to a level of 255 of that on average, and more at single pixels. Returns (1, 3, H, W) in [0, 1].
    Raises UsageError when features overflow.
    """
    check_room(GRADIENT_BYTES)
    with torch.inference_mode(False), torch.no_grad():
        if model.dtype != torch.float32:
            # Pixels move in small steps, for which half precision is too coarse.
            model = replace(model, encoder=copy.deepcopy(model.encoder).float(), dtype=torch.float32)
        image = read_all(painted).to(model.device, torch.float32).clone()
        if weight is not None and not bool(weight.any()):
            return image
        descent = _Descent(_GreyRaster(content), goals, model, settings.content, weight, tile)
        optimizer = Adam(image, BETAS, STILL)
        for done in range(settings.steps):
            cosine = (1 + math.cos(math.pi * done / settings.steps)) / 2
            rate = settings.rate * (LAST_RATE + (1 - LAST_RATE) * cosine)
            optimizer.step(descent.gradient(image), rate)
            if not bool(image.isfinite().all()):
                raise UsageError(
                    f"the finish has overflowed in float32; use a lower finish.content than "
                    f"{settings.content:g}"
                )
            image.clamp_(0, 1)
            on_step(Step("finish", done + 1, settings.steps))
    return image


@dataclass(frozen=True)
class _Sums:
    """What the derivative at a level has to know of the whole picture."""

    own: Moments
    cross: Tensor  # (C,) float64 sum of w f g with the content's features g; zero at levels without contours

    def __add__(self, other: _Sums) -> _Sums:
        return _Sums(self.own + other.own, self.cross + other.cross)


@dataclass(frozen=True)
class _Slope:
    """The derivative by features f, in pieces: w (map(f) + scale g) with the content's features g."""

    map: AffineMap
    scale: Tensor  # (C,) float64


@dataclass(frozen=True)
class _GreyRaster:
    """Light and dark of a picture; its colours would come back where the style has none."""

    picture: Raster

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.picture.size

    def read(self, rows: slice, columns: slice) -> Tensor:
        """Read a rectangle, three channels alike."""
        return luma(self.picture.read(rows, columns)).expand(-1, 3, -1, -1)


class _Leaf:
    """A picture that hands out one part of itself to be derived by."""

    def __init__(self, image: Tensor) -> None:
        self.size, self._image = (int(image.shape[2]), int(image.shape[3])), image

    def read(self, rows: slice, columns: slice) -> Tensor:
        """Read a copy of a rectangle."""
        self._place = rows, columns
        self._part = self._image[:, :, rows, columns].clone().requires_grad_()
        return self._part

    def add_to(self, gradient: Tensor) -> None:
        """Add the derivative by the rectangle to `gradient`, of the whole picture."""
        rows, columns = self._place
        assert self._part.grad is not None
        gradient[:, :, rows, columns] += self._part.grad


class _Descent:
    """The loss of a picture against a content and goals."""

    def __init__(
        self,
        content: Raster,
        goals: Mapping[int, Moments],
        model: Model,
        kept: float,
        weight: Tensor | None,
        tile: int | None,
    ) -> None:
        """kept: weight of the content; the others as in `finish`."""
        self._content, self._size, self._kept, self._device = content, content.size, kept, model.device
        self._contours = [n for n in CONTOURS if kept and n <= len(model.encoder.widths)]
        self._levels = sorted({*goals, *self._contours})
        encoder = tiled_encoder(model, max(self._levels))
        self._encode = encoder.encode_tile
        self._tiles = cut_tiles(self._size, encoder.deepest, tile, encoder.encoder_halo)
        self._weights = {} if weight is None else {n: pooled_weight(weight, n) for n in self._levels}
        # The content's features are kept of a picture in one piece, and made again for tiles.
        self._whole = self._encode(self._tiles[0], content) if len(self._tiles) == 1 else None
        self._old = self._sums((t, self._of_content(t)) for t in self._tiles)
        self._goals = goals

    def gradient(self, image: Tensor) -> Tensor:
        """Derive the loss times the number of pixels by an image (1, 3, H, W)."""
        total = torch.zeros_like(image)
        slopes: dict[int, _Slope] = {}
        if len(self._tiles) > 1:
            slopes = self._slopes((t, self._encode(t, TensorRaster(image))) for t in self._tiles)
        for t in self._tiles:
            leaf = _Leaf(image)
            with torch.enable_grad():
                features = self._encode(t, leaf)
            # A picture in one piece is encoded once.
            slopes = slopes or self._slopes([(t, features)])
            old = self._of_content(t)
            with torch.enable_grad():
                # A number with these derivatives: for several tensors at once torch would load its compiler.
                products = [
                    (features[n] * self._by_features(t, n, features[n], old[n], slopes[n])).sum()
                    for n in self._levels
                ]
                torch.stack(products).sum().backward()
            leaf.add_to(total)
            # The next tile is encoded before the names are given to it.
            del features, old, products
        return total

    def _of_content(self, tile: Tile) -> Features:
        return self._whole or self._encode(tile, self._content)

    def _cells(self, tile: Tile, level: int, features: Tensor) -> Tensor:
        return tile.inner(features, self._size, 2 ** (level - 1))

    def _weight(self, tile: Tile, level: int) -> Tensor | None:
        if not self._weights:
            return None
        return tile.core(self._weights[level], self._size, 2 ** (level - 1)).to(self._device)

    def _sums(self, encoded: Iterable[tuple[Tile, Features]]) -> dict[int, _Sums]:
        total: dict[int, _Sums] = {}
        for tile, features in encoded:
            old = self._of_content(tile) if self._contours else {}
            for level in self._levels:
                f, weight = self._cells(tile, level, features[level].detach()), self._weight(tile, level)
                cross = torch.zeros(f.shape[1], dtype=torch.float64)
                if level in self._contours:
                    product = f * self._cells(tile, level, old[level])
                    cross = (product if weight is None else product * weight).sum((0, 2, 3)).cpu().double()
                sums = _Sums(Moments.of(f, weight), cross)
                total[level] = total[level] + sums if level in total else sums
            del features, old, f
        return total

    def _slopes(self, encoded: Iterable[tuple[Tile, Features]]) -> dict[int, _Slope]:
        return {level: self._slope(level, sums) for level, sums in self._sums(encoded).items()}

    def _slope(self, level: int, sums: _Sums) -> _Slope:
        own, old = sums.own, self._old[level].own
        pixels = self._size[0] * self._size[1] / own.n
        matrix, offset = torch.zeros_like(own.outer), torch.zeros_like(own.sum)
        scale = torch.zeros_like(own.sum)
        if level in self._goals:
            goal = self._goals[level]
            transport = fit_mix(OTSettings(), own, [goal], [1.0], self._device)
            # A style of one colour has no variance, but power.
            spread = max(float(goal.covariance.trace()), 1e-2 * float(goal.second.trace()), TINY)
            share = 2 ** (2 - level) * pixels / spread
            matrix += share * (torch.eye(len(offset), dtype=torch.float64) - transport.matrix)
            offset -= share * transport.offset
        if level in self._contours:
            # 2 - 2 r, averaged over channels, with r the correlation of a channel with the content's.
            share = 2 * self._kept * pixels / len(offset)
            (deviation, ours), (_, theirs) = _deviations(own), _deviations(old)
            r = (sums.cross / own.n - own.mean * old.mean) / (ours * theirs)
            slope = r / deviation.clamp_min(TINY)
            matrix += (share * slope / ours).diag()
            offset += share / ours * (old.mean / theirs - slope * own.mean)
            scale -= share / (ours * theirs)
        return _Slope(AffineMap(matrix, offset), scale)

    def _by_features(self, tile: Tile, level: int, features: Tensor, old: Tensor, slope: _Slope) -> Tensor:
        """Derive by all features of a tile; its halo has no part in the loss."""
        result = torch.zeros_like(features)
        values = slope.map(self._cells(tile, level, features.detach()))
        values += slope.scale.float().to(values.device)[:, None, None] * self._cells(tile, level, old)
        weight = self._weight(tile, level)
        self._cells(tile, level, result).copy_(values if weight is None else values * weight)
        return result


def _deviations(moments: Moments) -> tuple[Tensor, Tensor]:
    """Return the deviation of each channel, and what stands for it as a divisor, (C,) float64 each."""
    variances = moments.covariance.diagonal()
    return variances.sqrt(), (variances.sqrt() + FAINT * variances.mean().sqrt()).clamp_min(TINY)
