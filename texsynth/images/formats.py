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
    lossy: bool = False  # Decoded pixels are near those that were written, not the same
    follows: str = ".png"
    """Suffix of results of contents in this format, where it is not written."""
    float_follows: str = ""
    """The same for those that hold floats, where not all of the format do."""
    named_by_suffix: bool = False  # Its files do not begin with anything of their own


TABLE = (
    Format("PNG", (".png",), True, (8, 16), alpha=True, grey=True),
    Format("JPEG", (".jpg", ".jpeg"), True, grey=True, longest=65500, lossy=True),
    Format("WEBP", (".webp",), True, alpha=True, longest=16383, lossy=True),
    Format("TIFF", (".tif", ".tiff"), True, (8, 16, 32), alpha=True, grey=True),
    Format("BMP", (".bmp",)),
    Format("GIF", (".gif",)),
    Format("AVIF", (".avif",), True, alpha=True, longest=65535, lossy=True),
    Format("HEIF", (".heic", ".heif"), package="pillow_heif"),
    Format("PSD", (".psd",), float_follows=".tif"),
    Format("EXR", (".exr",), True, (8, 16, 32), alpha=True, grey=True, package="OpenEXR"),
    Format("HDR", (".hdr",), follows=".tif"),
    Format("PFM", (".pfm",), follows=".tif"),
    Format("PPM", (".ppm", ".pgm", ".pbm", ".pnm")),
    Format("JPEG2000", (".jp2", ".j2k", ".jpx", ".jpf")),
    Format("JXL", (".jxl",), package="pillow_jxl", float_follows=".tif"),
    Format("DDS", (".dds",)),
    Format("TGA", (".tga",), True, alpha=True, grey=True, longest=65535, named_by_suffix=True),
)
"""All formats that are read. Pillow asks those that know nothing to look for last."""

BY_NAME = {one.name: one for one in TABLE}

BY_SUFFIX = {suffix: one for one in TABLE for suffix in one.suffixes}

EXTRA = "pip install 'texsynth[formats]'"
"""The command that adds the packages of formats that have one."""

READ = ", ".join(one.suffixes[0].lstrip(".") for one in TABLE)
"""What messages name as readable."""


@dataclass(frozen=True)
class ResultFormat:
    """The format of results whose names are not given: that of their content, unless another is asked for."""

    asked: str | None = None  # How their names shall end, like `.png`
    bit_depth: int | None = None  # Bits per channel that are asked for

    def suffix(self, name: str, *, exact: bool = False, is_float: bool = False) -> str:
        """Return how the name of a result ends, like `.png`.

        name: of its content. exact: every pixel counts, as where borders meet, so no lossy format follows.
        is_float: the content holds floats; to be said where its format does not tell.
        """
        if self.asked is not None:
            return self.asked
        end = name[name.rfind(".") :].lower() if "." in name else ""
        source = BY_SUFFIX.get(end)
        # What the file is called stays: .tiff gives .tiff.
        follows = ".png" if source is None else end if source.writes else source.follows
        if source is not None and is_float and source.float_follows:
            follows = source.float_follows
        result, depth = BY_SUFFIX[follows], self.bit_depth or 8
        if depth not in result.depths or (exact and result.lossy):
            return ".tif" if depth == 32 else ".png"
        return follows


FOLLOWING = ResultFormat()
"""Results have the format of their content."""
