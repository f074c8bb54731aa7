"""texsynth maps."""

from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Annotated, Any

from texsynth.cli import options
from texsynth.cli.options import look_option
from texsynth.cli.run import given, look_settings, make_setup, piped, run_operation, without_results
from texsynth.cli.searching import search
from texsynth.config.map_settings import MapsSettings
from texsynth.jobs.checks import check_headers
from texsynth.jobs.map_inputs import maps_jobs


@dataclass(frozen=True)
class MapsOptions(options.LookOptions):
    """What the maps shall be like."""

    tileable: bool | None = look_option(
        None,
        "--tileable/--no-tileable",
        help="Whether the picture's borders meet, so that those of the maps shall. Default: as it looks.",
    )
    depth: float | None = look_option(
        None, help="Height of the relief over the picture's shorter side. Default: 0.03."
    )
    invert: bool | None = look_option(None, "--invert/--no-invert", help="Dark is high instead of deep.")
    green: str | None = look_option(
        None, help="Where normals lean whose green is light: up (OpenGL) or down (DirectX). Default: up."
    )


@dataclass(frozen=True)
class PlainRunOptions(
    options.RunScreenOptions, options.OutputOptions, options.InputOptions, options.ExecutorOptions
):
    """All that commands share which need no network."""

    threads: options.Threads = None

    def as_run(self, **more: Any) -> options.RunOptions:  # noqa: ANN401 (further options)
        """Return them as those of a command with networks."""
        return options.RunOptions(**vars(self), **more)


def maps(
    pictures: Annotated[list[str], options.pictures_argument("PICTURE...")],
    *,
    output: Annotated[str | None, options.output_option("NAME_height.png, NAME_normal.png, ...")] = None,
    look: MapsOptions,
    common: PlainRunOptions,
) -> None:
    """Guess height, normals, roughness and occlusion of the surface in a photograph."""
    flags = given(
        {"tileable": look.tileable, "depth": look.depth, "invert": look.invert, "green": look.green}
    )
    settings = look_settings(MapsSettings, look, flags, beside=["run"])
    setup = make_setup(common.as_run(), output, look)
    run = setup.run
    inputs = search(setup, pictures, recursive=common.recursive, piped=piped(pictures))
    inputs = without_results(inputs, "maps", setup)
    run_operation(
        maps_jobs(inputs, settings, output, setup.result_format),
        partial(check_headers, needed=(), run=run),
        lambda _: import_module("texsynth.jobs.maps").EstimateMaps(run),
        setup,
    )
