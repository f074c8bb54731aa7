"""texsynth tileset."""

from functools import partial
from importlib import import_module
from typing import Annotated

from texsynth.cli import options
from texsynth.cli.expand import layout_option, map_option, size_settings
from texsynth.cli.maps import PlainRunOptions
from texsynth.cli.options import argument, machine_option
from texsynth.cli.run import look_settings, make_setup, piped, run_operation, without_results
from texsynth.cli.searching import search
from texsynth.config.map_kinds import Declared
from texsynth.config.map_settings import TilesetSettings
from texsynth.errors import UsageError
from texsynth.jobs.checks import check_headers
from texsynth.jobs.inputs import Input, find_input
from texsynth.jobs.materials import find_materials
from texsynth.jobs.tileset_inputs import tileset_jobs


def tileset(
    pictures: list[str] = argument(
        ...,
        metavar="EXEMPLAR...",
        help="Pictures of a texture, folders or quoted patterns; - is standard input.",
    ),
    *,
    output: Annotated[str | None, options.output_option("NAME.tileset.png")] = None,
    size: str | None = layout_option(
        None,
        metavar="WxH",
        help="A tile in pixels, like 128x128. Default: half of the exemplar, or whole periods near that.",
    ),
    siblings: list[str] | None = map_option(
        None,
        "--with",
        metavar="FILE",
        help="A map of the same surface, whose tiles are cut alike. Repeatable.",
    ),
    normals: list[str] | None = map_option(
        None,
        "--with-normal",
        metavar="FILE",
        help="The same for a normal map whose values or name do not show that it is one. Repeatable.",
    ),
    seed: int | None = machine_option(None, help="Seed of all random numbers. Default: 0."),
    look: options.LookOptions,
    common: PlainRunOptions,
) -> None:
    """Make 16 tiles of a texture that lay out any area without a repetition, for game engines.

    Besides the tiles it writes a sample of a layout, and an index in the format of the map editor Tiled.
    """
    settings = look_settings(TilesetSettings, look, size_settings(size, None), beside=["run"])
    setup = make_setup(common.as_run(seed=seed), output, look)
    named = [*(siblings or ()), *(normals or ())]
    data = piped([*pictures, *named])
    materials = [] if common.recursive or named else find_materials(pictures)
    for material in materials:
        setup.screen.note(str(material))
    exemplars = [material.colour for material in materials]
    exemplars = exemplars or search(setup, pictures, recursive=common.recursive, piped=data)
    exemplars = without_results(exemplars, "tileset", setup)
    if named and len(exemplars) > 1:
        raise UsageError(f"--with belongs to one exemplar, but {len(exemplars)} are given; run them singly")
    maps: list[tuple[Input, ...]] = [material.maps for material in materials]
    maps = maps or [tuple(find_input(argument, data) for argument in named)] * len(exemplars)
    known: list[Declared | None] = [None] * len(siblings or ())
    known += ["normals"] * len(normals or ())
    run_operation(
        tileset_jobs(exemplars, maps, [tuple(known)] * len(exemplars), settings, output, setup.result_format),
        partial(check_headers, needed=(), run=setup.run),
        lambda _: import_module("texsynth.jobs.tileset").MakeTileset(setup.run),
        setup,
    )
