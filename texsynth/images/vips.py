"""Rows of PNG and JPEG files by libvips, which keeps few of them in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from texsynth.images.picture import Pixels

if TYPE_CHECKING:
    import pyvips

DTYPES = {"uchar": np.uint8, "ushort": np.uint16}


def vips_rows(source: Path | bytes, source_format: str, count: int) -> Iterator[Pixels]:
    """(count, W, C) uint8 or uint16 from the top down, the last one shorter.

    source_format: PNG or JPEG. Palettes come as colours, fewer than 8 bits as 8. Damage raises OSError.
    """
    import pyvips  # not part of a start: only pictures read by strips pay for it

    try:
        image = _opened(source, source_format)
        region = pyvips.Region.new(image)
        for top in range(0, image.height, count):
            rows = min(count, image.height - top)
            data = region.fetch(0, top, image.width, rows)
            yield np.frombuffer(data, DTYPES[image.format]).reshape(rows, image.width, image.bands)
    except pyvips.Error as error:
        reason = (error.detail or error.message).strip().split("\n")[0]
        raise OSError(reason.split(": ", 1)[-1]) from None


def _opened(source: Path | bytes, source_format: str) -> pyvips.Image:
    import pyvips

    # libvips would keep the lines it read last, a hundred megabytes for each large picture.
    pyvips.cache_set_max(0)
    # Named loaders: the general one would look for options in square brackets in a file's name.
    load = getattr(
        pyvips.Image, source_format.lower() + ("load_buffer" if isinstance(source, bytes) else "load")
    )
    image: pyvips.Image = load(
        source if isinstance(source, bytes) else str(source), access="sequential", fail_on="error"
    )
    return image
