"""Names of images, of files, and of the maps of a surface."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

PICTURES = (
    ".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".tga", ".bmp", ".exr", ".hdr", ".avif", ".jp2",
    ".psd",
)  # fmt: skip
"""Ends of names of pictures that Blender loads."""

READ_AS_THEY_ARE = (".png", ".jpg", ".jpeg", ".webp", ".tga", ".bmp")
"""Of these the command gets the file itself; TIFF may hold floats, and OpenEXR needs a package there."""

LONGEST = 100  # Letters of a name that is made

COLOUR, NORMAL, DIRECTX = "colour", "normal", "normal directx"

ENDINGS: dict[str, str] = {
    **dict.fromkeys(
        ("color", "colour", "col", "albedo", "diffuse", "diff", "basecolor", "base_color", "basecolour"),
        COLOUR,
    ),
    **dict.fromkeys(("normal", "normals", "norm", "nrm", "nor"), NORMAL),
    **dict.fromkeys(("normalgl", "normal_gl", "normal_opengl", "nor_gl"), NORMAL),
    **dict.fromkeys(("normaldx", "normal_dx", "normal_directx", "nor_dx"), DIRECTX),
    **dict.fromkeys(("rough", "roughness", "rgh"), "roughness"),
    **dict.fromkeys(("gloss", "glossiness", "smoothness"), "gloss"),
    **dict.fromkeys(("height", "disp", "displacement", "bump"), "height"),
    **dict.fromkeys(("ao", "occlusion", "ambientocclusion", "ambient_occlusion"), "occlusion"),
    **dict.fromkeys(("metal", "metallic", "metalness"), "metallic"),
    **dict.fromkeys(("spec", "specular"), "specular"),
    **dict.fromkeys(("opacity", "alpha"), "opacity"),
    **dict.fromkeys(("emissive", "emission"), "emission"),
    **{packed: packed for packed in ("orm", "arm", "rma", "mra")},
    **dict.fromkeys(("mask", "cavity", "curvature", "translucency", "thickness", "id"), ""),
}
"""Endings of names, and the map that they mean; nothing where a material has no place for it.

The same as in `texsynth expand FOLDER`.
"""

_ENDING = "|".join(sorted(ENDINGS, key=len, reverse=True))
_NAME = re.compile(rf"(?:(.+?)[_\-. ])?({_ENDING})([_-]\d{{1,2}}k)?", re.IGNORECASE | re.DOTALL)


def stem(name: str) -> str:
    """Return the name of an image without the end of a picture's file."""
    path = Path(name)
    return path.stem if path.suffix.lower() in PICTURES and path.stem else name


def result_name(image: str, what: str) -> str:
    """Return the name of what `what` made of an image: `wall_tile` of `wall.png`."""
    ending = f"_{what}"
    return f"{stem(image)[: 63 - len(ending)]}{ending}"  # Blender has room for 63 bytes


def file_stem(name: str) -> str:
    """Return a name that any file system takes for a file, without its suffix."""
    return re.sub(r"[^\w\-. ]", "_", stem(name)).strip(" .")[:LONGEST] or "picture"


def free_path(folder: Path, name: str, suffix: str) -> Path:
    """Return the path of a file that is not there yet: `wall_tile.png`, `wall_tile-2.png` and so on."""
    path, number = folder / f"{name}{suffix}", 1
    while path.exists() or path.is_symlink():
        number += 1
        path = folder / f"{name}-{number}{suffix}"
    return path


def map_name(file: str) -> tuple[str, str]:
    """Return what the maps of a surface share in their names, in small letters, and which one this is.

    The second is that of ENDINGS; None of them, so also nothing, where the name has no such ending.
    """
    parts = _NAME.fullmatch(Path(file).stem)
    if not parts:
        return Path(file).stem.lower(), COLOUR
    return f"{parts[1] or ''}{parts[3] or ''}".lower(), ENDINGS[parts[2].lower()]


def find_maps(files: Iterable[str]) -> tuple[str, dict[str, str]]:
    """Return what the maps of a surface among `files` share in their names, and these files by the map.

    A picture without an ending is the colours of those that are called like it. Of several surfaces it is the
    one with most maps. Raises ValueError.
    """
    surfaces: dict[str, dict[str, str]] = {}
    for file in sorted(files):
        if Path(file).suffix.lower() in PICTURES:
            shared, role = map_name(file)
            if role:
                surfaces.setdefault(shared, {}).setdefault(role, file)
    if not surfaces:
        raise ValueError("the folder holds no maps; choose one with pictures like wall_color and wall_normal")
    counts = sorted(((len(maps), shared) for shared, maps in surfaces.items()), reverse=True)
    if counts[0][0] < 2:
        raise ValueError(
            "no pictures of the folder belong together; their names have to end like _color and _normal"
        )
    if len(counts) > 1 and counts[0][0] == counts[1][0]:
        names = " and ".join(repr(shared) for _, shared in counts[:2])
        raise ValueError(f"the folder holds maps of several surfaces, {names}; give each a folder of its own")
    shared = counts[0][1]
    return shared.strip(" _-."), surfaces[shared]
