"""AVIF and HEIC with more than 8 bits per channel, which Pillow would cut to 8."""

import io

import numpy as np
from PIL import Image

from texsynth.images import avif, vips
from texsynth.images.picture import Pixels, split_alpha


def stored_bits(image: Image.Image, source: bytes) -> int:
    """Return the bits per channel of an opened picture of one frame; 8 where they cannot be read as more."""
    if getattr(image, "n_frames", 1) > 1:
        return 8
    if image.format == "HEIF":
        return int(image.info.get("bit_depth", 8))
    return avif.stored_bits(source) if image.format == "AVIF" and vips.has("heifload_buffer") else 8


def deep_pixels(image: Image.Image, source: bytes, bits: int) -> tuple[Pixels, Pixels | None]:
    """Decode colours and alpha at 16 bits, upright. Damage raises OSError, ValueError."""
    if image.format == "HEIF":
        import pillow_heif

        samples = np.asarray(pillow_heif.open_heif(io.BytesIO(source), convert_hdr_to_8bit=False))
    else:
        samples = vips.read_samples(source, "HEIF")
    if samples.dtype != np.uint16:
        raise ValueError("its bits per channel are told in two ways")
    # Decoders leave the lowest bits empty, so that white is a little less than white.
    top = 2**bits - 1
    values = samples.astype(np.uint32) >> (16 - bits)
    return split_alpha(((values * 65535 + top // 2) // top).astype(np.uint16))
