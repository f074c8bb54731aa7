"""TIFF of floats, of whole numbers of 32 bits, and of grey with alpha at 16, which Pillow does not read."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from texsynth.images import vips
from texsynth.images.light import Samples, Unpacked
from texsynth.images.picture import Pixels, split_alpha
from texsynth.images.tiff import BITS, EXTRA, HEIGHT, KINDS, ORIENTATION, PROFILE, WIDTH, Tiff


def unpacked(tiff: Tiff) -> Unpacked:
    """Return what reads the page of a directory."""
    profile, extra = bytes(tiff.tags.get(PROFILE, ())), tiff.tags.get(EXTRA, ())
    is_float = tiff.number(KINDS, 1) != 1
    tags = {tag: values if tag == BITS else values[0] for tag, values in tiff.tags.items() if values}

    def samples_of(stored: Pixels) -> Samples:
        if stored.dtype == np.uint32:
            stored = (stored >> 16).astype(np.uint16)
        elif is_float:
            stored = stored.astype(np.float32, copy=False)
        # Colours that are multiplied by alpha have been divided by libvips.
        colours, alpha = split_alpha(stored)
        if alpha is None or tuple(extra[:1]) not in ((1,), (2,)):
            return Samples(colours, None, profile or None)
        return Samples(colours, alpha, profile or None)

    def rows(source: Path | bytes, count: int) -> Iterator[Samples]:
        # Of several pages, those of a file that libvips looks at.
        yield from map(samples_of, vips.read_rows(source, "TIFF", count))

    return Unpacked(
        "TIFF",
        (tiff.number(WIDTH), tiff.number(HEIGHT)),
        lambda data: samples_of(vips.read_samples(data, "TIFF")),
        is_float,
        rows if len(tiff.pages) == 1 and vips.has_small_segments(tags) else None,
        len(tiff.pages),
        tiff.number(ORIENTATION, 1),
    )
