"""Pictures to features and back, as a whole or in tiles: moments add up, and maps fit anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.errors import UsageError
from texsynth.models.registry import Model
from texsynth.ops.resample import pad_to_multiple
from texsynth.pipelines.progress import OnStep, Step
from texsynth.pipelines.rasters import Canvas, MakeCanvas, Raster
from texsynth.pipelines.tiling import Tile, autoencoder_reach, cut_tiles, encoder_reach, photo_reach
from texsynth.transforms.affine import AffineMap
from texsynth.transforms.moments import Moments

Features = Mapping[int, Tensor]
"""By level."""

Fit = Callable[[int, Moments], AffineMap]
"""The map of a level, given the moments of the picture there."""

Weights = Mapping[int, Tensor | None]
"""By level, how much each pixel of the picture counts, (1, 1, H, W); None counts all alike."""


@dataclass(frozen=True)
class TiledEncoder:
    """What takes a picture apart into features."""

    model: Model
    deepest: int
    """Coarsest level whose cells count for padding."""
    near: int
    """How many pixels around a cell of that level its features depend on."""
    encode: Callable[[Tensor], Features]

    def of(self, tile: Tile, image: Raster) -> Features:
        """Features of a tile of `image`, halo included."""
        pixels = tile.of(image).to(self.model.device, self.model.dtype)
        return self.encode(pixels.contiguous(memory_format=torch.channels_last))

    def features(self, image: Raster) -> Features:
        """Features of all of `image`, without those of its padding."""
        (tile,) = cut_tiles(image.size, self.deepest, None, self.near)
        found = self.of(tile, image)
        return {level: tile.inner(f, image.size, 2 ** (level - 1)) for level, f in found.items()}

    def moments(self, image: Raster, weights: Weights, tile: int | None) -> dict[int, Moments]:
        """Moments of `image` at the levels of `weights`; tile: as in `cut_tiles`."""
        tiles = cut_tiles(image.size, self.deepest, tile, self.near)
        return _moments(((t, self.of(t, image)) for t in tiles), image.size, weights)


@dataclass(frozen=True)
class TiledAutoencoder(TiledEncoder):
    """The same with what makes a picture of features."""

    reach: int
    """How many pixels around a cell of the coarsest level such a picture depends on."""
    decode: Callable[[Features, Mapping[int, AffineMap]], Tensor]

    def transfer(
        self,
        image: Raster,
        weights: Weights,
        fit: Fit,
        tile: int | None,
        make_canvas: MakeCanvas,
        on_step: OnStep,
    ) -> Raster:
        """Map the features of `image` at the levels of `weights`. Returns a picture in [0, 1].

        tile: as in `cut_tiles`. A single tile is encoded once, several once for the moments and once more.
        make_canvas: where the result goes.
        """
        size = image.size
        tiles = cut_tiles(size, self.deepest, tile, self.reach)
        result = make_canvas(size)
        if len(tiles) == 1:
            features = self.of(tiles[0], image)
            maps = _fitted([(tiles[0], features)], size, weights, fit)
            self._paint(result, tiles[0], features, maps)
            on_step(Step("level", 1, 1))
            return result
        # The first pass does not decode, so it looks less far.
        near = cut_tiles(size, self.deepest, tile, self.near)

        def encoded() -> Iterator[tuple[Tile, Features]]:
            for done, t in enumerate(near, 1):
                yield t, self.of(t, image)
                on_step(Step("tile", done, 2 * len(tiles)))

        maps = _fitted(encoded(), size, weights, fit) if weights else {}
        for done, t in enumerate(tiles, len(tiles) + 1):
            self._paint(result, t, self.of(t, image), maps)
            on_step(Step("tile", done, 2 * len(tiles)))
        return result

    def _paint(self, result: Canvas, tile: Tile, features: Features, maps: Mapping[int, AffineMap]) -> None:
        made = self.decode(features, maps)
        if not bool(made.isfinite().all()):
            raise UsageError(f"the picture has overflowed in {_plain(made.dtype)}; use --dtype float32")
        values = tile.inner(made, result.size).float().clamp(0, 1)
        result.write(tile.rows.core(result.size[0]), tile.columns.core(result.size[1]), values)


def tiled_encoder(model: Model, level: int) -> TiledEncoder:
    """To features of levels 1..`level`, which do not depend on `level`."""
    deepest = len(model.encoder.widths)
    near = encoder_reach(model.encoder, level)
    return TiledEncoder(model, deepest, near, lambda image: _features(model, image, level))


def level_autoencoder(model: Model, level: int) -> TiledAutoencoder:
    """To the features of one level and back. Raises ModelError without its decoder."""
    decoder = model.decoder(level)
    return TiledAutoencoder(
        model,
        level,
        encoder_reach(model.encoder, level),
        lambda image: {level: model.encoder.segment(image, 0, level)},
        autoencoder_reach(model.encoder, decoder),
        lambda features, maps: decoder(features[level], maps[level]),
    )


def photo_autoencoder(model: Model) -> TiledAutoencoder:
    """To features of several levels and back with skips. Raises ModelError without that decoder."""
    decoder = model.photo_decoder()
    deepest = len(decoder.widths)
    return TiledAutoencoder(
        model,
        deepest,
        encoder_reach(model.encoder, deepest),
        lambda image: _features(model, image, deepest),
        photo_reach(model.encoder, decoder),
        lambda features, maps: decoder([features[level] for level in range(1, deepest + 1)], maps),
    )


def _features(model: Model, image: Tensor, deepest: int) -> Features:
    """Features of levels 1..`deepest`."""
    return dict(enumerate(model.encoder(image, deepest), 1))


def _fitted(
    encoded: Iterable[tuple[Tile, Features]], size: tuple[int, int], weights: Weights, fit: Fit
) -> dict[int, AffineMap]:
    return {level: fit(level, own) for level, own in _moments(encoded, size, weights).items()}


def _moments(
    encoded: Iterable[tuple[Tile, Features]], size: tuple[int, int], weights: Weights
) -> dict[int, Moments]:
    """Moments over the cells that a picture of `size` covers; padding does not count."""
    pooled = {level: None if w is None else _pooled(w, level) for level, w in weights.items()}
    total: dict[int, Moments] = {}
    for tile, features in encoded:
        for level, weight in pooled.items():
            stride = 2 ** (level - 1)
            own = None if weight is None else tile.core(weight, size, stride).to(features[level].device)
            found = Moments.of(tile.inner(features[level], size, stride), own)
            total[level] = total[level] + found if level in total else found
        # The next tile is encoded before the name is given to it.
        del features
    return total


def _plain(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _pooled(mask: Tensor, level: int) -> Tensor:
    """A mask of the image at the size of its features, padding included."""
    stride = 2 ** (level - 1)
    return F.avg_pool2d(pad_to_multiple(mask.float(), stride, at_least=2 * stride), stride)
