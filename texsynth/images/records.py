"""Settings in the files of results: a text of a PNG, or a packet of XMP in TIFF, JPEG, WebP and AVIF.

Other formats have no place for them that all programs leave alone, so a file beside the picture holds them.
"""

import hashlib
import html
import io
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO
from xml.sax.saxutils import escape

from PIL import Image

from texsynth.images.metadata import add_tags
from texsynth.images.picture import output_format
from texsynth.images.png import SEAL, add_seal
from texsynth.images.seal import KEY, sealed, unsealed
from texsynth.images.stored import Stored
from texsynth.images.tiff import XMP
from texsynth.images.vips import KEYWORD
from texsynth.strict_yaml import as_ascii

PACKETS = ("WEBP", "AVIF")
"""Formats into which Pillow puts a packet."""

INSIDE = frozenset({"PNG", "TIFF", "JPEG", *PACKETS})
"""Formats whose files carry settings."""

NAMESPACE = "urn:texsynth:record#"
BYTE = 1  # Type of a TIFF's tag

ADDRESS = b"http://ns.adobe.com/xap/1.0/\0"
EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
"""What a segment of a JPEG with a packet begins with, and one with a part of what does not fit into it."""

LONGEST_SEGMENT = 65533
PART_HEAD = struct.Struct(">32sII")  # Hash of all parts, their length, and the place of this one

UNKNOWN = "0" * 64  # In place of a hash of the same length


def sidecar(path: Path, *, asked: bool = False) -> Path | None:
    """The file with the settings of `path`, if that is asked for or its format has no place for them."""
    return None if output_format(path) in INSIDE and not asked else path.with_name(f"{path.name}.yaml")


def packet_options(name: str, settings: str) -> Mapping[str, object]:
    """What Pillow is told so that a file has room for settings, whose hash `put` fills in."""
    return {"xmp": _packet(sealed(settings, UNKNOWN))} if name in PACKETS and settings else {}


def put(data: bytes, name: str, settings: str, digest: str) -> bytes:
    """Return the file with its settings and the hash of its pixels inside.

    A PNG has its settings already, a WebP or AVIF those of `packet_options`.
    """
    if name == "JPEG":
        return _with_segments(data, sealed(settings, digest))
    if name in PACKETS:
        return data.replace(_seal_line(UNKNOWN), _seal_line(digest), 1)
    with io.BytesIO(data) as file:
        put_into(file, name, settings, digest)
        return file.getvalue()


def put_into(file: BinaryIO, name: str, settings: str, digest: str) -> None:
    """Do the same to an open PNG or TIFF."""
    if name == "PNG":
        add_seal(file, digest)
    else:
        add_tags(file, {XMP: (BYTE, _packet(sealed(settings, digest)))})


def inside(image: Image.Image, file: Stored) -> tuple[str, str]:
    """Return the settings in an opened file, and the hash of its pixels; '' for what it lacks."""
    if file.png:
        return str(image.info.get(KEYWORD, "")), str(image.info.get(SEAL.decode(), ""))
    packet = b""
    if file.tiff:
        packet = bytes(value & 0xFF for value in file.tiff.tags.get(XMP, ()))
    elif file.jpeg:
        packet = _joined(file.jpeg.packets)
    elif image.format in PACKETS:
        packet = image.info.get("xmp", b"")
    return unsealed(_settings_in(packet.decode(errors="replace")))


def is_record(text: bytes) -> bool:
    """Tell whether a file beside a picture, of which this is the start, is one of ours."""
    return text.startswith(b"command: ")


def _seal_line(digest: str) -> bytes:
    return f"{KEY}: '{digest}'".encode()


def _description(settings: str, more: str = "") -> str:
    body = f"<texsynth:settings>{escape(as_ascii(settings))}</texsynth:settings>" if settings else ""
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" xmlns:texsynth="{NAMESPACE}"{more}>{body}</rdf:Description>'
        "</rdf:RDF></x:xmpmeta>"
    )


def _packet(settings: str, more: str = "") -> bytes:
    start, end = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>', '<?xpacket end="w"?>'
    return f"{start}{_description(settings, more)}{end}".encode()


def _settings_in(packet: str) -> str:
    """Read the settings of a packet, also as other programs write it; '' for none."""
    prefix = re.search(rf"""xmlns:([\w.-]+)\s*=\s*["']{re.escape(NAMESPACE)}["']""", packet)
    if not prefix:
        return ""
    name = f"{prefix[1]}:settings"
    for start, end in ((f"<{name}>", f"</{name}>"), (f'{name}="', '"')):
        _, found, rest = packet.partition(start)
        value, closed, _ = rest.partition(end)
        if found and closed:
            return html.unescape(value)
    return ""


def _with_segments(data: bytes, settings: str) -> bytes:
    """Put a packet into a JPEG, behind the segments that have to come first."""
    place = 2
    while data[place] == 0xFF and data[place + 1] in (0xE0, 0xE1):
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    packet, parts = _packet(settings), []
    if len(ADDRESS) + len(packet) > LONGEST_SEGMENT:
        rest = _description(settings).encode()
        name = hashlib.md5(rest, usedforsecurity=False).hexdigest().upper()
        packet = _packet(
            "", f' xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="{name}"'
        )
        step = LONGEST_SEGMENT - len(EXTENSION) - PART_HEAD.size
        parts = [
            EXTENSION + PART_HEAD.pack(name.encode(), len(rest), start) + rest[start : start + step]
            for start in range(0, len(rest), step)
        ]
    segments = (struct.pack(">BBH", 0xFF, 0xE1, len(body) + 2) + body for body in (ADDRESS + packet, *parts))
    return data[:place] + b"".join(segments) + data[place:]


def _joined(packets: list[bytes]) -> bytes:
    """Join the bodies of segments: the packet, and the parts of what did not fit into it."""
    main = b"".join(body.removeprefix(ADDRESS) for body in packets if body.startswith(ADDRESS))
    parts: dict[int, bytes] = {}
    head = len(EXTENSION)
    for body in packets:
        if body.startswith(EXTENSION) and len(body) >= head + PART_HEAD.size:
            name, _, place = PART_HEAD.unpack_from(body, head)
            if name in main:
                parts[place] = body[head + PART_HEAD.size :]
    return b"".join(parts[place] for place in sorted(parts)) or main
