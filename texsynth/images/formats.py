"""The formats of pictures: what files are called, and what can be read, written and kept of each."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    """What is known of a format."""

    name: str  # As Pillow calls it
    suffixes: tuple[str, ...]  # Of its files, in lower case, the usual one first
    writes: bool = False
    depths: tuple[int, ...] = (8,)
    """Bits per channel that are written; 32 are floats of linear light."""
    alpha: bool = False  # It can be written with transparency, as the next one in a single channel
    grey: bool = False
    longest: int | None = None  # Pixels that a side can have, where that is few
    package: str = ""  # That reads and writes it, where the project does not bring one
    follows: str = ".png"
    """Suffix of results where the format is that of the content: its own where nothing is lost by it."""
    named_by_suffix: bool = False  # Its files do not begin with anything of their own


TABLE = (
    Format("PNG", (".png",), True, (8, 16), alpha=True, grey=True),
    Format("JPEG", (".jpg", ".jpeg"), True, grey=True, longest=65500),
    Format("WEBP", (".webp",), True, alpha=True, longest=16383),
    Format("TIFF", (".tif", ".tiff"), True, (8, 16, 32), alpha=True, grey=True, follows=".tif"),
    Format("BMP", (".bmp",)),
    Format("GIF", (".gif",)),
    Format("AVIF", (".avif",), True, alpha=True, longest=65535),
    Format("HEIF", (".heic", ".heif"), package="pillow_heif"),
    Format("PSD", (".psd",)),
    Format("EXR", (".exr",), True, (8, 16, 32), alpha=True, grey=True, package="OpenEXR", follows=".exr"),
    Format("HDR", (".hdr",), follows=".tif"),
    Format("PFM", (".pfm",), follows=".tif"),
    Format("PPM", (".ppm", ".pgm", ".pbm", ".pnm")),
    Format("JPEG2000", (".jp2", ".j2k", ".jpx", ".jpf")),
    Format("JXL", (".jxl",), package="pillow_jxl"),
    Format("DDS", (".dds",)),
    Format(
        "TGA", (".tga",), True, alpha=True, grey=True, longest=65535, follows=".tga", named_by_suffix=True
    ),
)
"""All formats that are read. Pillow asks those that know nothing to look for last."""

BY_NAME = {one.name: one for one in TABLE}

BY_SUFFIX = {suffix: one for one in TABLE for suffix in one.suffixes}

EXTRA = "pip install 'texsynth[formats]'"
"""The command that adds the packages of formats that have one."""

READ = ", ".join(one.suffixes[0].lstrip(".") for one in TABLE)
"""What messages name as readable."""


def result_suffix(name: str, asked: str | None) -> str:
    """Return how the name of a result ends, like `.png`. name: of its content. asked: by --format."""
    if asked is not None:
        return asked
    dot = name.rfind(".")
    source = BY_SUFFIX.get(name[dot:].lower()) if dot >= 0 else None
    if source is None:
        return ".png"
    # What the file is called stays: .tiff gives .tiff.
    own = name[dot:].lower()
    return own if BY_SUFFIX[source.follows] is source else source.follows
