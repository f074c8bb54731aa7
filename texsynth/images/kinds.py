"""Files of formats that are not read, told from how they begin, so that they can be called by their name."""

import struct
from typing import BinaryIO

from texsynth.images import formats

HEAD = 4096
"""Bytes from the beginning that say what a file is."""

STARTS = (
    (0, b"%PDF", "a PDF (or Illustrator) document"),
    (0, b"%!PS", "PostScript (EPS)"),
    (0, b"\xc5\xd0\xd3\xc6", "PostScript (EPS)"),
    (0, b"gimp xcf", "a GIMP project (XCF)"),
    (0, b"BLENDER", "a Blender project"),
    (0, b"8BPS\0\2", "a large Photoshop document (PSB)"),
    (0, b"CSFCHUNK", "a Clip Studio project"),
    (0, b"IIRO", "a camera raw file (ORF)"),
    (0, b"IIRS", "a camera raw file (ORF)"),
    (0, b"IIU\0", "a camera raw file (RW2)"),
    (0, b"FUJIFILMCCD-RAW", "a camera raw file (RAF)"),
    (0, b"FOVb", "a camera raw file (X3F)"),
    (8, b"CR\2\0", "a camera raw file (CR2)"),
    (4, b"ftypcrx", "a camera raw file (CR3)"),
    (4, b"ftyp", "a video"),
    (0, b"\x1a\x45\xdf\xa3", "a video (Matroska, WebM)"),
    (8, b"AVI ", "a video (AVI)"),
    (0, b"FLV\1", "a video"),
    (0, b"\0\0\1\xba", "a video (MPEG)"),
    (0, b"OggS", "sound or video (Ogg)"),
    (0, b"ID3", "sound (MP3)"),
    (8, b"WAVE", "sound (WAV)"),
    (0, b"\0\0\1\0", "an icon (ICO)"),
    (0, b"icns", "an icon (ICNS)"),
    (0, b"qoif", "QOI"),
    (0, b"SIMPLE  =", "FITS"),
    (0, b"\x89HDF", "HDF5"),
    (0, b"\xabKTX", "a GPU texture (KTX)"),
    (0, b"glTF", "a 3D model (glTF)"),
    (0, b"Kaydara FBX", "a 3D model (FBX)"),
    (0, b"\x01\xda", "SGI"),
    (0, b"P7\n", "PAM"),
    (0, b"\xd7\xcd\xc6\x9a", "a Windows metafile"),
    (0, b"{\\rtf", "a text document"),
    (0, b"7z\xbc\xaf", "an archive (7z)"),
    (0, b"Rar!", "an archive (RAR)"),
    (0, b"\x1f\x8b", "an archive (gzip)"),
)
"""Place, bytes there, and what is told of such a file."""

PICTURES = (b"ftypavif", b"ftypavis", b"ftyphei", b"ftyphev", b"ftypmif1", b"ftypmsf1", b"ftypjp", b"ftypjxl")
"""How the files of that family begin that are pictures, from the fifth byte."""

ZIPS = (
    (b"application/x-krita", "a Krita project (KRA)"),
    (b"image/openraster", "an OpenRaster project (ORA)"),
    (b"word/", "a text document"),
)

SUB_IFDS, SMALL_COPY, DNG = 330, 254, 50706
"""Tags of a TIFF: further pictures in it, whether the first is a small copy of another, version of DNG."""


def unread(file: BinaryIO) -> str:
    """Say what a file is that is not read, like `a PDF`; '' for a picture, or what nobody knows."""
    file.seek(0)
    head = file.read(HEAD)
    file.seek(0)
    if head[4:].startswith(PICTURES):
        return ""
    for place, start, kind in STARTS:
        if head[place:].startswith(start):
            return kind
    if head[:4] == b"PK\3\4":
        return next((kind for word, kind in ZIPS if word in head), "an archive (ZIP)")
    if head[:4] in (b"II*\0", b"MM\0*") and _is_raw(file, "<" if head[:2] == b"II" else ">"):
        return "a camera raw file (DNG, NEF or the like)"
    if b"<svg" in head[:HEAD] and head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return "an SVG drawing"
    return ""


def sentence(kind: str) -> str:
    """Return what is said of such a file after its name."""
    return f"is {kind}, which is not read; use one of {formats.READ}"


def _is_raw(file: BinaryIO, order: str) -> bool:
    """Tell from its first directory whether a TIFF is a photograph that nobody has developed."""
    file.seek(4)
    start = file.read(4)
    if len(start) < 4:
        return False
    file.seek(struct.unpack(f"{order}I", start)[0])
    (count,) = struct.unpack(f"{order}H", file.read(2).ljust(2, b"\0"))
    directory = file.read(min(count, 200) * 12)
    file.seek(0)
    tags = {}
    for place in range(0, len(directory) - 11, 12):
        tag, _, _, value = struct.unpack_from(f"{order}HHII", directory, place)
        tags[tag] = value
    return DNG in tags or (SUB_IFDS in tags and tags.get(SMALL_COPY) == 1)
