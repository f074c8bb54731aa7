"""texsynth bench."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from texsynth.cli import options
from texsynth.cli.app import INTERRUPTED
from texsynth.cli.show import Screen
from texsynth.errors import OutputError

SIZES, QUICK_SIZES = (256, 512, 768, 1024), (256, 512)
REPEAT, QUICK_REPEAT = 5, 3

MEASURED = "What is measured"


def _stage_names(incomplete: str) -> list[str]:
    from texsynth.benchmark.names import NAMES

    return [name for name in NAMES if name.startswith(incomplete)]


def bench(
    sizes: Annotated[
        list[int] | None,
        typer.Option(
            "--size",
            min=32,
            max=4096,
            help="Side of the pictures in pixels. Repeatable. Default: 256, 512, 768 and 1024.",
            rich_help_panel=MEASURED,
        ),
    ] = None,
    stages: Annotated[
        list[str] | None,
        typer.Option(
            "--stage",
            metavar="NAME",
            help="encode, moments, fit, decode, photo-decode, edge-aware, artistic, photo, paper, transform, "
            "reference or published, or one of their parts, such as fit-ift-4. Repeatable. "
            "Default: all but published.",
            autocompletion=_stage_names,
            rich_help_panel=MEASURED,
        ),
    ] = None,
    full_width: Annotated[
        bool,
        typer.Option(
            "--full-width",
            help="Also a cascade as wide as VGG-19, with random weights: as published, and our way.",
            rich_help_panel=MEASURED,
        ),
    ] = False,
    repeat: Annotated[
        int | None,
        typer.Option(min=1, help="Times that every stage runs. Default: 5.", rich_help_panel=MEASURED),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Only 256 and 512 pixels, 3 times each.", rich_help_panel=MEASURED),
    ] = False,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="NAME|FILE",
            help="Network: the name of an embedded one or a .safetensors file. Repeatable. Default: lite.",
            rich_help_panel=options.MACHINE,
        ),
    ] = None,
    devices: Annotated[
        list[str] | None,
        typer.Option(
            "--device",
            help="auto, cpu, mps, cuda or cuda:N. Repeatable. Default: auto.",
            rich_help_panel=options.MACHINE,
        ),
    ] = None,
    dtypes: Annotated[
        list[str] | None,
        typer.Option(
            "--dtype",
            help="auto, float32, bfloat16 or float16. Repeatable. Default: auto, bfloat16 where native.",
            rich_help_panel=options.MACHINE,
        ),
    ] = None,
    threads: options.Threads = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE.json",
            help="Also write everything, with every sample, to this file.",
            rich_help_panel=options.FILES,
        ),
    ] = None,
    force: options.Force = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.Json = False,
) -> None:
    """Measure time and peak memory of every stage on this machine, beside the paper's figures.

    The pictures are made here, so nothing else is needed. texsynth bench --quick
    """
    from texsynth.benchmark.names import chosen
    from texsynth.cli.run import check_model

    wanted = chosen(stages or ())
    for name in models or ():
        check_model(name)
    _check_output(output, force=force)

    from texsynth.benchmark.run import Plan, prepared
    from texsynth.benchmark.run import bench as measure
    from texsynth.benchmark.tables import document, facts, plain, ratios, tables
    from texsynth.images import store

    plan = Plan(
        sizes=tuple(sorted(set(sizes or (QUICK_SIZES if quick else SIZES)))),
        models=tuple(models or ("lite",)),
        devices=tuple(devices or ("auto",)),
        dtypes=tuple(dtypes or ("auto",)),
        stages=wanted,
        repeat=repeat or (QUICK_REPEAT if quick else REPEAT),
        full_width=full_width,
        threads=threads,
    )
    cases = prepared(plan)
    screen = Screen(quiet, verbose, as_json)
    with screen.progress(len(plan.sizes) * sum(len(case.stages) for case in cases), "stages") as bar:
        report = measure(plan, cases, bar)
    _note_load(screen, report.hardware)
    if output is not None:
        store(document(report).encode(), output, force=force)
    if as_json:
        screen.result("", kind="facts", **facts(report))
        for measurement in report.measurements:
            screen.result("", kind="measurement", **plain(measurement))
        for ratio in ratios(report):
            screen.result("", kind="ratio", slow=ratio.slow, fast=ratio.fast, by_size=ratio.by_size)
    else:
        screen.result("\n\n".join(tables(report)))
    if report.interrupted:
        screen.note("interrupted; what was measured until then is shown")
        raise typer.Exit(INTERRUPTED)


def _note_load(screen: Screen, hardware: Mapping[str, Any]) -> None:
    """Say when other programs kept the processor busy as the run began."""
    load, cores = hardware["load"], hardware["usable_cores"] or hardware["cores"]
    if load is not None and cores and load > cores / 2:
        screen.note(f"the load of {cores} cores was {load:.1f} before this began, so times may be too long")


def _check_output(output: Path | None, *, force: bool) -> None:
    """OutputError when the results could not be written in the end."""
    from texsynth.jobs.checks import check_folder

    if output is None:
        return
    if output.is_dir():
        raise OutputError(f"{output} is a folder; choose another name with -o")
    if output.exists() and not force:
        raise OutputError(f"{output} exists already; use --force to replace it")
    check_folder(output.parent)
