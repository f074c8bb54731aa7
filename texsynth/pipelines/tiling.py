"""Tiles of a picture that networks work on one at a time, with the same result as on the whole picture.

A tile is a core, whose result counts, and a halo around it, which is as wide as the networks look. Halos end
at the picture's border, where the networks then reflect, exactly as they do for the whole picture. Cores
begin and end at whole cells of the deepest level, so pooling cuts tiles as it cuts the picture.
"""

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from texsynth.models.autoencoder import Decoder, PhotoDecoder
from texsynth.models.vgg import Encoder, LevelEncoders, conv_names
from texsynth.models.wavelets import WaveDecoder
from texsynth.ops.resample import reflected_index
from texsynth.pipelines.rasters import Raster


@dataclass(frozen=True)
class Span:
    """A tile along one axis, in pixels of the padded picture, all multiples of the deepest stride."""

    start: int  # First of the core
    stop: int  # One past the last of the core
    first: int  # First of the halo
    last: int  # One past the last of the halo

    def core(self, size: int, stride: int = 1) -> slice:
        """Slice a picture of `size` pixels to the core, in cells of `stride`; padding is left out."""
        return slice(self.start // stride, -(-min(self.stop, size) // stride))

    def inner(self, size: int, stride: int = 1) -> slice:
        """Slice the tile to the core."""
        core, offset = self.core(size, stride), self.first // stride
        return slice(core.start - offset, core.stop - offset)


@dataclass(frozen=True)
class Tile:
    """A core with its halo."""

    rows: Span
    columns: Span

    def core(self, image: Tensor, size: tuple[int, int], stride: int = 1) -> Tensor:
        """View the core in something (N, C, h, w) with cells of `stride`, of a picture of `size`."""
        return image[:, :, self.rows.core(size[0], stride), self.columns.core(size[1], stride)]

    def inner(self, features: Tensor, size: tuple[int, int], stride: int = 1) -> Tensor:
        """View the core in what was computed from the tile, of a picture of `size`."""
        return features[:, :, self.rows.inner(size[0], stride), self.columns.inner(size[1], stride)]

    def read(self, image: Raster) -> Tensor:
        """Read core and halo of `image`, (1, C, h, w), reflected beyond its right and bottom border."""
        (rows, down), (columns, right) = (
            _within(span, size) for span, size in zip((self.rows, self.columns), image.size, strict=True)
        )
        pixels = image.read(rows, columns)
        for dim, index in ((2, down), (3, right)):
            if index is not None:
                pixels = pixels.index_select(dim, index.to(pixels.device))
        return pixels


def _within(span: Span, size: int) -> tuple[slice, Tensor | None]:
    """Return the pixels of a picture of `size` that a tile needs, and their order in it; None as they are."""
    if span.last <= size:
        return slice(span.first, span.last), None
    index = reflected_index(size, span.last)[span.first :]
    low, high = int(index.min()), int(index.max()) + 1
    return slice(low, high), index - low


def cut_tiles(size: tuple[int, int], level: int, side: int | None, halo: int) -> list[Tile]:
    """Cut a picture of `size` (height, width), padded to two whole cells of `level` at least, into tiles.

    side: of the cores in pixels, at most, but one cell at least; they are all about as large. None makes one
    tile of the whole picture. halo: in pixels, see `encoder_reach` and the like; rounded up to whole cells.
    The cores cover every pixel of the picture once.
    """
    rows, columns = (_spans(n, 2 ** (level - 1), side, halo) for n in size)
    return [Tile(row, column) for row in rows for column in columns]


def _spans(size: int, stride: int, side: int | None, halo: int) -> list[Span]:
    used, cells = -(-size // stride), max(-(-size // stride), 2)
    count = 1 if side is None else -(-used // max(side // stride, 1))
    around = -(-halo // stride)
    ends = [used * i // count for i in range(count)] + [used]
    if count == 1:
        return [Span(0, cells * stride, 0, cells * stride)]
    return [
        Span(a * stride, b * stride, max(a - around, 0) * stride, min(b + around, cells) * stride)
        for a, b in pairwise(ends)
    ]


def encoder_reach(encoder: Encoder | LevelEncoders, level: int) -> int:
    """Count the pixels beyond a cell of `level` that its features depend on: one cell per convolution."""
    return sum(1 << (block - 1) for block, _ in encoder.names(level))


def autoencoder_reach(encoder: Encoder | LevelEncoders, decoder: Decoder) -> int:
    """Count the pixels beyond a cell that a pixel decoded by `decoder` depends on."""
    cells = 0
    for block, index in conv_names(decoder.level):
        # Against the flow of the decoder, which samples up behind the first convolution of a block.
        if index == 1 and block > 1:
            cells = _before_upsampling(cells, linear=decoder.upsampling == "bilinear")
        cells += decoder.conv(block, index).kernel_size[0] // 2
    return (cells << (decoder.level - 1)) + encoder_reach(encoder, decoder.level)


def photo_reach(encoder: Encoder | LevelEncoders, decoder: PhotoDecoder | WaveDecoder) -> int:
    """Count the pixels beyond its coarsest cell that a pixel decoded with skips depends on."""
    if isinstance(decoder, WaveDecoder):
        return _wave_reach(encoder, decoder)
    deepest, cells, reach = len(decoder.widths), 0, 0
    for level in range(2, deepest + 1):
        coarse = _before_upsampling(cells, linear=True)
        # The low frequencies that a skip loses are pooled, which takes whole coarse cells, and sampled up.
        finer = max(cells, 2 * coarse) + decoder.conv(f"skip{level - 1}").kernel_size[0] // 2
        reach = max(reach, (finer << (level - 2)) + encoder_reach(encoder, level - 1))
        cells = coarse + decoder.conv(f"up{level}").kernel_size[0] // 2
    return max(reach, (cells << (deepest - 1)) + encoder_reach(encoder, deepest))


def _wave_reach(encoder: Encoder | LevelEncoders, decoder: WaveDecoder) -> int:
    deepest, cells, reach = len(decoder.widths), 0, 0
    for level in range(1, deepest):
        coarse = _before_upsampling(cells + _convolutions(decoder, level), linear=False)
        # Wavelets take whole coarse cells.
        reach = max(reach, (2 * coarse << (level - 1)) + encoder_reach(encoder, level))
        cells = coarse
    cells += _convolutions(decoder, deepest)
    return max(reach, (cells << (deepest - 1)) + encoder_reach(encoder, deepest))


def _convolutions(decoder: WaveDecoder, level: int) -> int:
    return sum(block == level for block, _ in decoder.names)


def _before_upsampling(cells: int, *, linear: bool) -> int:
    """Count cells read beyond a range of pixels at twice the resolution, `cells` beyond whole ones."""
    return cells // 2 + 1 if linear else -(-cells // 2)
