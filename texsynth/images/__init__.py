"""Files to pixel arrays and back: the only package that knows picture formats. It does not import torch."""

from texsynth.images.files import placed, remove_leftovers, store
from texsynth.images.formats import ResultFormat
from texsynth.images.metadata import Metadata, metadata
from texsynth.images.picture import OUTPUT_SUFFIXES, SUFFIXES, Picture, check_sides, output_format
from texsynth.images.reader import (
    LARGEST_FILE,
    Header,
    file_limit,
    file_sha256,
    probe,
    read,
    read_bytes,
    read_rgb8,
    verify,
)
from texsynth.images.records import sidecar
from texsynth.images.sheet import blank, captioned, contact_sheet, jpeg_thumbnail, thumbnails
from texsynth.images.streaming import Strips, open_strips, pixel_hash, write_strips
from texsynth.images.writer import (
    check_package,
    embedded_settings,
    encode,
    settings_and_hash,
    settings_inside,
    write,
)

__all__ = [
    "LARGEST_FILE",
    "OUTPUT_SUFFIXES",
    "SUFFIXES",
    "Header",
    "Metadata",
    "Picture",
    "ResultFormat",
    "Strips",
    "blank",
    "captioned",
    "check_package",
    "check_sides",
    "contact_sheet",
    "embedded_settings",
    "encode",
    "file_limit",
    "file_sha256",
    "jpeg_thumbnail",
    "metadata",
    "open_strips",
    "output_format",
    "pixel_hash",
    "placed",
    "probe",
    "read",
    "read_bytes",
    "read_rgb8",
    "remove_leftovers",
    "settings_and_hash",
    "settings_inside",
    "sidecar",
    "store",
    "thumbnails",
    "verify",
    "write",
    "write_strips",
]
