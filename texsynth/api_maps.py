"""Materials, maps of surfaces and sets of tiles from Python; use it by `import texsynth`."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from PIL import Image

from texsynth.api import expand, tile
from texsynth.api_options import (
    ImageLike,
    Options,
    PathLike,
    Size,
    TextureOptions,
    given,
    resolve_settings,
    run_settings,
    sides,
)
from texsynth.api_pictures import UserPicture, do_job, prepare
from texsynth.config.map_kinds import Declared
from texsynth.config.map_settings import MapsSettings, TilesetSettings
from texsynth.errors import InputError
from texsynth.jobs.inputs import PIPE
from texsynth.jobs.map_inputs import ROLES, MapsJob
from texsynth.jobs.maps import EstimateMaps
from texsynth.jobs.materials import MapName, material_in
from texsynth.jobs.tileset import MakeTileset
from texsynth.jobs.tileset_inputs import TilesetJob


def material(folder: PathLike, *, seamless: bool = False, **options: Any) -> dict[str, Image.Image]:  # noqa: ANN401
    """Make more of all maps of one material, or make them seamless, with the same layout for all.

    folder: its pictures are called alike up to endings like _color, _normal and _roughness, and one of them
    holds the colours. seamless: as `tile` does it, in the same size. options: arguments of `expand` or
    `tile`, but siblings.

    Returns the maps by these endings in lower case, the colours first, which are "color" where their file
    has no ending. Raises the errors of `expand`, and InputError for a folder that is no material.
    """
    files = material_in(Path(folder))
    if files is None:
        raise InputError(
            f"{os.fspath(folder)} is no folder of one material, with pictures that are called alike up to "
            f"endings like _color and _normal; name the picture and its siblings instead"
        )
    function = tile if seamless else expand
    siblings = [str(other.path) for other in files.maps]
    pictures: Any = function(str(files.colour.path), siblings=siblings, **options)
    roles = [MapName.of(item.stem).role or "color" for item in (files.colour, *files.maps)]
    return dict(zip(roles, pictures, strict=True))


def maps(
    image: ImageLike,
    *,
    tileable: bool | None = None,
    depth: float | None = None,
    invert: bool | None = None,
    green: str | None = None,
    **options: Unpack[Options],
) -> dict[str, Any]:
    """Guess the maps of the surface in a photograph: "height", "normal", "roughness" and "ao".

    image: at least 16 pixels on both sides. tileable: whether its borders meet; by default as it looks.
    depth: height of the relief over the shorter side. invert: dark is high. green: up or down, where normals
    lean whose green is light. options: see `Options`.

    Returns pictures of the kind of `image`, of one channel but for the normals; arrays of uint8
    give maps of 8 bits, all others of 16. Raises InputError, UsageError, MemoryExhaustedError.

    >>> import numpy as np, texsynth
    >>> wall = np.random.default_rng(0).random((32, 48, 3))
    >>> {name: values.shape for name, values in texsynth.maps(wall).items()}
    {'height': (32, 48), 'normal': (32, 48, 3), 'roughness': (32, 48), 'ao': (32, 48)}
    """
    flags = given(tileable=tileable, depth=depth, invert=invert, green=green)
    settings = resolve_settings(MapsSettings, flags, options)
    shown = UserPicture.of(image, "image", options.get("name"))
    job = MapsJob(shown.input, PIPE, settings, tuple((role, PIPE) for role in ROLES))
    run = run_settings(options)
    operation = EstimateMaps(run)
    prepare(operation)
    result = do_job(operation, job, options.get("progress"))
    pictures = [(file.in_memory, shown.back(file.in_memory, run)) for file in result.files]
    return {
        role: _one_channel(values) if picture.grey else values
        for role, (picture, values) in zip(ROLES, pictures, strict=True)
    }


def tileset(
    exemplar: ImageLike,
    *,
    size: Size | None = None,
    siblings: Sequence[ImageLike] = (),
    **options: Unpack[TextureOptions],
) -> dict[str, Any]:
    """Make 16 tiles of a texture that lay out any area without a repetition.

    exemplar: at least 16 pixels on both sides. size: width and height of a tile. siblings: further maps of
    the same surface, of its size. options: see `TextureOptions`.

    Returns "tiles", a picture of 4 by 4 tiles of the kind of `exemplar`; "layout", a sample of what they lay
    out; "siblings", a list of the tiles of the other maps; and "index", what the command writes as JSON.
    Raises InputError, UsageError, MemoryExhaustedError.

    >>> import numpy as np, texsynth
    >>> wall = np.random.default_rng(0).random((32, 48, 3))
    >>> texsynth.tileset(wall, changes={"patch.layouts": 1, "corners": 1})["tiles"].shape
    (64, 64, 3)
    """
    flags = given(size=sides(size))
    settings = resolve_settings(TilesetSettings, flags, options, TextureOptions.__optional_keys__)
    shown = UserPicture.of(exemplar, "exemplar", options.get("name"))
    maps_of = [*siblings, *options.get("normals", ())]
    others = [UserPicture.of(other, f"sibling {number}") for number, other in enumerate(maps_of, 1)]
    known: list[Declared | None] = [None] * len(siblings)
    known += ["normals"] * (len(maps_of) - len(siblings))
    job = TilesetJob(
        shown.input,
        Path("tiles.png"),
        settings,
        tuple(other.input for other in others),
        tuple(known),
        tuple(Path(f"tiles_{number}.png") for number in range(1, len(others) + 1)),
        tuple(f"tiles_{number}.png" for number in range(1, len(others) + 1)),
        layout=Path("layout.png"),
        index=Path("tiles.json"),
        key=shown.input.key,
    )
    run = run_settings(options)
    operation = MakeTileset(run)
    prepare(operation)
    tiles, *rest = do_job(operation, job, options.get("progress")).files
    *beside, layout, index = rest
    assert isinstance(index.picture, bytes)
    return {
        "tiles": shown.back(tiles.in_memory, run),
        "layout": shown.back(layout.in_memory, run),
        "siblings": [other.back(file.in_memory, run) for other, file in zip(others, beside, strict=True)],
        "index": json.loads(index.picture),
    }


def _one_channel(values: Any) -> Any:  # noqa: ANN401 (see SameKind)
    """Return the first channel of a picture whose channels are equal."""
    if isinstance(values, Image.Image):
        return values
    if isinstance(values, np.ndarray):
        return values if values.ndim == 2 else values[..., 0]
    return values[..., :1, :, :]
