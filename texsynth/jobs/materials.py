"""Materials: which map of a surface a file holds, by the usual endings of names; folders of such files."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from texsynth.analysis.map_kinds import map_kind
from texsynth.config.map_kinds import Declared, MapKind
from texsynth.errors import InputError
from texsynth.images import SUFFIXES, Picture
from texsynth.jobs.inputs import Input, find_inputs
from texsynth.paths import listing

COLOUR = ("color", "colour", "col", "albedo", "diffuse", "diff", "basecolor", "base_color", "basecolour")
"""Endings of names of the map that shows the surface; the usual ones of libraries of materials."""

NORMALS: dict[str, Declared] = {
    **dict.fromkeys(("normal", "normals", "norm", "nrm", "nor"), "normals"),
    **dict.fromkeys(("normalgl", "normal_gl", "normal_opengl", "nor_gl"), "opengl"),
    **dict.fromkeys(("normaldx", "normal_dx", "normal_directx", "nor_dx"), "directx"),
}
"""Endings of names of normal maps, and what they say about green."""

OTHERS = (
    *("rough", "roughness", "rgh", "gloss", "glossiness", "smoothness", "height", "disp", "displacement"),
    *("bump", "ao", "occlusion", "ambientocclusion", "ambient_occlusion", "metal", "metallic", "metalness"),
    *("spec", "specular", "opacity", "alpha", "mask", "emissive", "emission", "cavity", "curvature"),
    *("translucency", "thickness", "orm", "arm", "rma", "mra", "id"),
)
"""Endings of names of further maps."""

# The longest ending that fits counts; a resolution like 2k may come after it.
_ENDINGS = sorted([*COLOUR, *NORMALS, *OTHERS], key=len, reverse=True)
_NAME = re.compile(rf"(?:(.+?)([_\-. ]))?({'|'.join(_ENDINGS)})([_-]\d{{1,2}}k)?", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class MapName:
    """The parts of a file's name without its suffix."""

    stem: str  # What all maps of a material share; may be empty
    joint: str = ""  # The character before the ending
    ending: str = ""  # As it is written; empty where the name has none

    @property
    def role(self) -> str:
        """The ending in lower case."""
        return self.ending.lower()

    @classmethod
    def of(cls, name: str) -> "MapName":
        """Take `name` apart; a resolution after the ending belongs to what is shared."""
        parts = _NAME.fullmatch(name)
        return cls((parts[1] or "") + (parts[4] or ""), parts[2] or "", parts[3]) if parts else cls(name)


@dataclass(frozen=True)
class Material:
    """The maps of one surface."""

    colour: Input
    maps: tuple[Input, ...]

    def __str__(self) -> str:
        """Say in a line which files there are."""
        maps = ", ".join(item.path.name for item in self.maps)
        return f"{self.colour.path.parent} is one material: {self.colour.path.name} with {maps}"


def find_materials(arguments: Sequence[str]) -> list[Material]:
    """Return the material in each of `arguments`, when all of them are folders of one; else none.

    A folder is a material when all pictures in it are called alike before the usual endings, each ending is
    there once, and one is that of colours. Without such an ending the picture that is called like what they
    share is the one of colours, if there are normals: a second photograph would hardly be called so.
    """
    materials = [material_in(Path(argument)) for argument in arguments]
    return [material for material in materials if material] if all(materials) else []


def material_in(folder: Path) -> Material | None:
    """Return the material in `folder`, None when it is none. See `find_materials`."""
    if not any(item.suffix.lower() in SUFFIXES for item in listing(folder).files):
        return None
    items = find_inputs([str(folder)], recursive=False)
    names = [MapName.of(item.path.stem) for item in items]
    roles = [name.role for name in names]
    alike = len({name.stem.lower() for name in names}) == 1 and len(set(roles)) == len(roles) > 1
    has_normals = any(role in NORMALS for role in roles)
    colours = [role for role in roles if role in COLOUR] or ([""] if "" in roles and has_normals else [])
    if not alike or len(colours) != 1 or ("" in roles and colours != [""]):
        return None
    chosen = roles.index(colours[0])
    return Material(items[chosen], tuple(item for number, item in enumerate(items) if number != chosen))


def sibling_kind(item: Input, picture: Picture, declared: Declared | None) -> MapKind:
    """Say what the values of a map are, by what is known, its name, and else by the values themselves.

    Raises InputError for a grey map that is said to hold normals.
    """
    named = NORMALS.get(MapName.of(item.stem).role)
    if picture.grey and declared == "normals":
        raise InputError(f"{item} is grey, but a normal map has three channels; give it with --with")
    if declared in (None, "normals") and not picture.grey:
        declared = named or declared
    return map_kind(picture, declared)


def sibling_stem(result: str, exemplar: str, sibling: str) -> str:
    """Return the name of a sibling's result, beside one of the exemplar that is called `result`.

    All are names of files without suffix. The sibling's ending, or else its whole name, is put to what is
    shared: `wall_color`, `brick_color` and `brick_normal` make `wall_normal`.
    """
    name, own, source = MapName.of(result), MapName.of(sibling), MapName.of(exemplar)
    shared = name.stem if name.role in COLOUR else result
    joint = (name.joint if shared != result else "") or own.joint or source.joint or "_"
    return f"{shared}{joint if shared else ''}{own.ending or sibling}"
