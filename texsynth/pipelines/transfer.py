"""Encoders and decoders over tiles: moments add up, and one map fits every tile."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.config.settings import StylizeSettings
from texsynth.errors import UsageError, overflow
from texsynth.models.registry import Model
from texsynth.ops.resample import pad_to_multiple
from texsynth.pipelines.progress import OnStep, Step
from texsynth.pipelines.rasters import Canvas, GrainyRaster, MakeCanvas, Raster
from texsynth.pipelines.tiling import Tile, autoencoder_reach, cut_tiles, encoder_reach, photo_reach
from texsynth.transforms.affine import AffineMap
from texsynth.transforms.moments import Moments

Features = Mapping[int, Tensor]  # (N, C, h, w) by level

LOSSY = 3  # Level from which on a decoder's pictures differ visibly from what was encoded

WORTH, WORTH_FINE = 0.5, 0.9
"""Shares of what decoding loses from which on another decoding is worth its time, at lossy levels and others.

Fine levels lose little, and it would not be the style's: there a picture only keeps what no map changes."""

Fit = Callable[[int, Moments], AffineMap]
"""Fits the map of a level to the moments of the picture there."""


@dataclass(frozen=True)
class TiledEncoder:
    """An encoder that works on a picture as a whole or in tiles."""

    model: Model
    deepest: int  # Coarsest level whose cells count for padding
    encoder_halo: int  # Pixels around a cell of that level that its features depend on
    encode: Callable[[Tensor], Features]

    def encode_tile(self, tile: Tile, image: Raster) -> Features:
        """Encode a tile of `image`, halo included."""
        return self.encode(self.read_tile(tile, image))

    def read_tile(self, tile: Tile, image: Raster) -> Tensor:
        """Read a tile of `image`, halo included, as the encoder takes it."""
        pixels = tile.read(image).to(self.model.device, self.model.dtype)
        return pixels.contiguous(memory_format=torch.channels_last)

    def features(self, image: Raster) -> Features:
        """Encode all of `image`, without its padding."""
        (tile,) = cut_tiles(image.size, self.deepest, None, self.encoder_halo)
        features = self.encode_tile(tile, image)
        return {level: tile.inner(f, image.size, 2 ** (level - 1)) for level, f in features.items()}

    def moments(
        self, image: Raster, levels: Collection[int], weight: Tensor | None, tile: int | None
    ) -> dict[int, Moments]:
        """Sum the moments of `image`; weight and tile as in `stylize_raster`."""
        tiles = cut_tiles(image.size, self.deepest, tile, self.encoder_halo)
        return _moments(((t, self.encode_tile(t, image)) for t in tiles), image.size, levels, weight)


@dataclass(frozen=True)
class TiledAutoencoder(TiledEncoder):
    """An encoder over tiles with the decoder that makes a picture of mapped features."""

    halo: int  # Pixels around a cell of the coarsest level that the decoded picture depends on
    decode: Callable[[Features, Mapping[int, AffineMap]], Tensor]
    restores: float = 1.0
    """What decoding loses is added again as far as maps change nothing, if that is more than this share."""

    def transfer(
        self,
        image: Raster,
        levels: Collection[int],
        weight: Tensor | None,
        fit: Fit,
        tile: int | None,
        make_canvas: MakeCanvas,
        on_step: OnStep,
        own: Mapping[int, Moments] | None = None,
    ) -> Raster:
        """Map the features of `image` at some levels; weight, tile and make_canvas as in `stylize_raster`.

        One tile is encoded once, several once for the moments and once more. own: moments to fit to, instead
        of those of `image`. Returns a picture in [0, 1].
        """
        size = image.size
        # Noise is for maps to turn into strokes; what they leave as it is should not show it.
        clean = image.content if isinstance(image, GrainyRaster) else image
        tiles = cut_tiles(size, self.deepest, tile, self.halo)
        result = make_canvas(size)
        if len(tiles) == 1:
            pixels = self.read_tile(tiles[0], image)
            on_step(Step("level", 1, 5))
            features = self.encode(pixels)
            # What is decoded needs the memory.
            del pixels
            on_step(Step("level", 2, 5))
            own = own or _moments([(tiles[0], features)], size, levels, weight)
            maps = {level: fit(level, own[level]) for level in levels}
            on_step(Step("level", 3, 5))
            share = self._unchanged(own, maps)
            self._write_tile(
                result, tiles[0], clean, features, maps, share, lambda: on_step(Step("level", 4, 5))
            )
            on_step(Step("level", 5, 5))
            return result
        # The first pass does not decode, so it looks less far.
        near = cut_tiles(size, self.deepest, tile, self.encoder_halo)

        def encoded() -> Iterator[tuple[Tile, Features]]:
            for done, t in enumerate(near, 1):
                yield t, self.encode_tile(t, image)
                on_step(Step("tile", done, 2 * len(tiles)))

        own = own or (_moments(encoded(), size, levels, weight) if levels else {})
        maps = {level: fit(level, own[level]) for level in levels}
        share = self._unchanged(own, maps)
        for done, t in enumerate(tiles, len(tiles) + 1):
            self._write_tile(result, t, clean, self.encode_tile(t, image), maps, share)
            on_step(Step("tile", done, 2 * len(tiles)))
        return result

    def _unchanged(self, own: Mapping[int, Moments], maps: Mapping[int, AffineMap]) -> float:
        """Return the share of what decoding loses that is added again, 0 to 1."""
        most = max((fitted.change(own[level]) for level, fitted in maps.items()), default=0.0)
        return 1 - most if 1 - most > self.restores else 0.0

    def _write_tile(
        self,
        result: Canvas,
        tile: Tile,
        image: Raster,
        features: Features,
        maps: Mapping[int, AffineMap],
        share: float,
        on_decoded: Callable[[], None] = lambda: None,
    ) -> None:
        """Decode mapped features into the core of a tile. Raises UsageError where the numbers overflow.

        share: of what decoding loses that is added again.
        """
        picture = self.decode(features, maps)
        on_decoded()
        if share:
            lost = tile.read(image).to(picture.device) - self.decode(features, {}).float()
            picture = picture.float() + share * lost
        if not bool(picture.isfinite().all()):
            raise overflow("the picture has", picture.dtype)
        values = tile.inner(picture, result.size).float().clamp(0, 1)
        result.write(tile.rows.core(result.size[0]), tile.columns.core(result.size[1]), values)


def tiled_encoder(model: Model, level: int) -> TiledEncoder:
    """Make the encoder to features of levels 1..`level`; those of a level do not depend on `level`."""
    deepest = len(model.encoder.widths)
    near = encoder_reach(model.encoder, level)
    return TiledEncoder(model, deepest, near, lambda image: _features(model, image, level))


def level_autoencoder(model: Model, level: int) -> TiledAutoencoder:
    """Make the autoencoder of one level. Raises ModelError without its decoder.

    It restores what the decoder loses.
    """
    decoder = model.decoder(level)
    return TiledAutoencoder(
        model,
        level,
        encoder_reach(model.encoder, level),
        lambda image: {level: model.encoder.segment(image, 0, level)},
        autoencoder_reach(model.encoder, decoder),
        lambda features, maps: decoder(features[level], maps.get(level)),
        restores=WORTH if level >= LOSSY else WORTH_FINE,
    )


def check_levels(model: Model, settings: StylizeSettings) -> None:
    """Raise ModelError if `model` lacks a decoder of `settings`, UsageError if photo mode lacks a level."""
    if settings.mode == "photo":
        deepest = len(model.photo_decoder().widths)
        if max(settings.levels) > deepest:
            raise UsageError(
                f"photo mode has levels 1 to {deepest}, not {max(settings.levels)}; change levels"
            )
    else:
        for level in settings.levels:
            model.decoder(level)


def photo_autoencoder(model: Model) -> TiledAutoencoder:
    """Make the autoencoder of several levels with skips. Raises ModelError without that decoder."""
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
    """Encode at levels 1..`deepest`."""
    return dict(enumerate(model.encoder(image, deepest), 1))


def pooled_weight(weight: Tensor, level: int) -> Tensor:
    """Average weights (1, 1, H, W) over the cells of a level; those at the border are reflected."""
    stride = 2 ** (level - 1)
    return F.avg_pool2d(pad_to_multiple(weight.float(), stride, at_least=2 * stride), stride)


def _moments(
    encoded: Iterable[tuple[Tile, Features]],
    size: tuple[int, int],
    levels: Collection[int],
    weight: Tensor | None,
) -> dict[int, Moments]:
    """Sum moments over the cells that a picture of `size` covers; padding does not count."""
    pooled = {level: None if weight is None else pooled_weight(weight, level) for level in levels}
    total: dict[int, Moments] = {}
    for tile, features in encoded:
        for level, cells in pooled.items():
            stride = 2 ** (level - 1)
            own = None if cells is None else tile.core(cells, size, stride).to(features[level].device)
            moments = Moments.of(tile.inner(features[level], size, stride), own)
            total[level] = total[level] + moments if level in total else moments
        # The next tile is encoded before the name is given to it.
        del features
    return total
