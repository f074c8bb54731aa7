"""TIFF of floats, or of whole numbers of 32 bits, which Pillow does not read in colours."""

import numpy as np

from texsynth.images import vips
from texsynth.images.light import Samples, Unpacked
from texsynth.images.picture import split_alpha
from texsynth.images.tiff import EXTRA, HEIGHT, KINDS, ORIENTATION, PROFILE, WIDTH, Tiff


def unpacked(tiff: Tiff) -> Unpacked:
    """Return what reads the page of a directory."""
    profile, extra = bytes(tiff.tags.get(PROFILE, ())), tiff.tags.get(EXTRA, ())
    is_float = tiff.number(KINDS, 1) != 1

    def decode(data: bytes) -> Samples:
        samples = vips.read_samples(data, "TIFF")
        if samples.dtype == np.uint32:
            samples = (samples >> 16).astype(np.uint16)
        elif is_float:
            samples = samples.astype(np.float32)
        colours, alpha = split_alpha(samples)
        if alpha is None or tuple(extra[:1]) not in ((1,), (2,)):
            return Samples(colours, None, profile or None)
        return Samples(colours, alpha, profile or None)

    return Unpacked(
        "TIFF",
        (tiff.number(WIDTH), tiff.number(HEIGHT)),
        decode,
        is_float,
        len(tiff.pages),
        tiff.number(ORIENTATION, 1),
    )
