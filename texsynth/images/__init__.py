"""Files to pixel arrays and back: the only package that knows picture formats. It does not import torch."""

from texsynth.images.decode import Header, probe, read, read_bytes, read_rgb8, verify
from texsynth.images.encode import embedded_settings, encode, sidecar, write
from texsynth.images.picture import OUTPUT_SUFFIXES, SUFFIXES, Picture, output_format
from texsynth.images.sheet import contact_sheet, thumbnails
from texsynth.images.store import store, storing
from texsynth.images.thumbnail import jpeg_thumbnail

__all__ = [
    "OUTPUT_SUFFIXES",
    "SUFFIXES",
    "Header",
    "Picture",
    "contact_sheet",
    "embedded_settings",
    "encode",
    "jpeg_thumbnail",
    "output_format",
    "probe",
    "read",
    "read_bytes",
    "read_rgb8",
    "sidecar",
    "store",
    "storing",
    "thumbnails",
    "verify",
    "write",
]
