"""Encoders of one level each, as networks have them that were made small for every level apart."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from texsynth.models.vgg import Encoder


class LevelEncoders(nn.Module):
    """What an `Encoder` does, by a network of its own for every level."""

    def __init__(self, encoders: Mapping[int, Encoder]) -> None:
        """encoders: by level, at least one; a level without its own has the next coarser one."""
        super().__init__()
        self.own = nn.ModuleDict({str(level): encoder for level, encoder in sorted(encoders.items())})
        self.widths = tuple(self.of(level).widths[level - 1] for level in range(1, max(encoders) + 1))

    def of(self, level: int) -> Encoder:
        """The network that gives the features of `level`."""
        encoder = next(network for key, network in self.own.items() if int(key) >= level)
        assert isinstance(encoder, Encoder)
        return encoder

    def names(self, level: int) -> list[tuple[int, int]]:
        """As `Encoder.names`."""
        return self.of(level).names(level)

    def segment(self, x: Tensor, start: int, stop: int) -> Tensor:
        """As `Encoder.segment`; features at `start` are those of the network of `stop`."""
        return self.of(stop).segment(x, start, stop)

    def forward(self, image: Tensor, level: int = 5) -> list[Tensor]:
        """As `Encoder.forward`, with one pass for each level."""
        return [self.segment(image, 0, stop) for stop in range(1, level + 1)]
