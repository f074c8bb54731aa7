"""texsynth describe."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Annotated

import typer

from texsynth.cli import options
from texsynth.cli.jobs import piped
from texsynth.cli.library import DTYPE, worked_through
from texsynth.cli.show import Screen, complain
from texsynth.cli.values import run_settings

if TYPE_CHECKING:
    from texsynth.batch.plan import Look
    from texsynth.batch.portraits import Portrait
    from texsynth.batch.run import Outcome


def describe(
    pictures: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE...", help="Pictures, folders or quoted patterns; - is standard input."),
    ],
    device: options.Device = None,
    threads: options.Threads = None,
    recursive: options.Recursive = False,
    max_pixels: options.MaxPixels = None,
    frame: options.Frame = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.Json = False,
) -> None:
    """Say what textures are like: regularity, lattice, orientations, contrast, colours, and their descriptor.

    texsynth describe bricks.jpg --json
    """
    from texsynth.batch.check import check_headers
    from texsynth.batch.plan import Look, find_inputs
    from texsynth.batch.run import run as run_jobs

    run = run_settings(device=device, dtype=DTYPE, threads=threads, max_pixels=max_pixels, frame=frame)
    inputs = find_inputs(pictures, recursive=recursive, piped=piped(pictures))
    screen = Screen(quiet, verbose, as_json)
    good, failed = check_headers([Look(item) for item in inputs], [], run)
    found: dict[Look, Portrait] = {}

    def ended(outcome: Outcome) -> None:
        job = outcome.job
        if isinstance(job, Look) and job in found:
            _show(job, found.pop(job), screen)
        else:
            screen.outcome(outcome)

    if good:
        from texsynth.batch.machine import decided
        from texsynth.batch.portraits import portraits
        from texsynth.pipelines.describing import load_describer

        run, device_found, dtype_found = decided(run)
        describer = cache(lambda: load_describer(device_found, dtype_found))
        describer()
        stages = portraits(describer, run, found.__setitem__)
        report = worked_through(good, stages, screen, ended, failed)
    else:
        report = run_jobs((), 0, failed=failed, on_outcome=ended)
    if report.interrupted:
        complain(f"interrupted; {len(report.done)} of {report.total} pictures are described")
    raise typer.Exit(report.exit_code)


def _show(job: Look, portrait: Portrait, screen: Screen) -> None:
    path = str(job.picture.path)
    head = f"{path}: {portrait.width} x {portrait.height}"
    screen.result("\n  ".join([head, *portrait.lines]), path=path, **portrait.fields)
