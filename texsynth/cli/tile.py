"""texsynth tile."""

from __future__ import annotations

from typing import Annotated

import typer

from texsynth.cli import options, texture
from texsynth.cli.jobs import Target, carry_out, check_suffix
from texsynth.cli.show import Screen
from texsynth.cli.texture import Maps, known_method, plan_tasks, texture_plan
from texsynth.cli.values import given, look_settings, run_settings


def tile(
    pictures: Annotated[
        list[str],
        typer.Argument(
            metavar="PICTURE...", help="Pictures, folders or quoted patterns; - is standard input."
        ),
    ],
    output: options.TileOutput = None,
    method: texture.Method = None,
    preset: options.Preset = None,
    assignments: options.Set = None,
    siblings: texture.Siblings = None,
    mask: texture.Mask = None,
    preview: texture.Preview = None,
    model: options.Model = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    threads: options.Threads = None,
    seed: options.Seed = None,
    recursive: options.Recursive = False,
    suffix: options.Format = "png",
    max_pixels: options.MaxPixels = None,
    frame: options.Frame = None,
    bit_depth: options.BitDepth = None,
    quality: options.Quality = None,
    report: options.Report = None,
    force: options.Force = False,
    resume: options.Resume = False,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.Json = False,
) -> None:
    """Make pictures seamless: same size, their borders meet, the middle stays.

    texsynth tile wall.png
    """
    from texsynth.batch.expand_plan import expand_jobs
    from texsynth.settings import ExpandSettings

    look = given({"method": known_method(method)})
    settings = look_settings(ExpandSettings, preset, assignments or (), look)
    run = run_settings(
        model=model, device=device, dtype=dtype, threads=threads, seed=seed, max_pixels=max_pixels,
        frame=frame, bit_depth=bit_depth, quality=quality,
    )  # fmt: skip
    target = Target(output, suffix.lower().lstrip("."), force, resume, report)
    ending = check_suffix(target.suffix)
    tasks = plan_tasks("tile", pictures, Maps(siblings or (), mask), recursive=recursive)
    jobs = expand_jobs(tasks, output, count=1, suffix=ending)
    plan = texture_plan(jobs, settings, run, target, preview=preview)
    screen = Screen(quiet, verbose, as_json, results=output != "-")
    raise typer.Exit(carry_out(plan, target, run, screen, dry_run=dry_run))
