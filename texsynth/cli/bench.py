"""texsynth bench."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from texsynth.cli import options
from texsynth.cli.app import INTERRUPTED

SIZES, QUICK_SIZES = (256, 512, 768, 1024), (256, 512)
REPEAT, QUICK_REPEAT = 5, 3


def _stage_names(incomplete: str) -> list[str]:
    from texsynth.benchmark.names import NAMES

    return [name for name in NAMES if name.startswith(incomplete)]


_measured = partial(typer.Option, rich_help_panel="What is measured")
_machine = partial(typer.Option, rich_help_panel=options.MACHINE)


@dataclass(frozen=True)
class StageOptions:
    """The stages and sizes that are measured, and the number of repetitions."""

    sizes: Annotated[
        list[int] | None,
        _measured(
            "--size",
            min=32,
            max=4096,
            help="Side of the pictures in pixels. Repeatable. Default: 256, 512, 768 and 1024.",
        ),
    ] = None
    stages: Annotated[
        list[str] | None,
        _measured(
            "--stage",
            metavar="NAME",
            help="encode, moments, fit, decode, photo-decode, edge-aware, artistic, photo, paper, transform, "
            "reference or published, or one of their parts, such as fit-ift-4. Repeatable. "
            "Default: all but published.",
            autocompletion=_stage_names,
        ),
    ] = None
    full_width: Annotated[
        bool,
        _measured(
            "--full-width",
            help="Also a cascade as wide as VGG-19, with random weights: as published, and our way.",
        ),
    ] = False
    repeat: Annotated[int | None, _measured(min=1, help="Times that every stage runs. Default: 5.")] = None
    quick: Annotated[bool, _measured("--quick", help="Only 256 and 512 pixels, 3 times each.")] = False


@dataclass(frozen=True)
class MachineOptions:
    """The models and devices that are measured."""

    models: Annotated[
        list[str] | None,
        _machine(
            "--model",
            metavar="NAME|FILE",
            help="Network: the name of an embedded one or a .safetensors file. Repeatable. Default: lite.",
        ),
    ] = None
    devices: Annotated[
        list[str] | None,
        _machine("--device", help="auto, cpu, mps, cuda or cuda:N. Repeatable. Default: auto."),
    ] = None
    dtypes: Annotated[
        list[str] | None,
        _machine(
            "--dtype",
            help="auto, float32, bfloat16 or float16. Repeatable. Default: auto, bfloat16 where native.",
        ),
    ] = None
    threads: options.Threads = None


@options.grouped
def bench(
    *,
    measured: StageOptions,
    machine: MachineOptions,
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
    screen: options.ScreenOptions,
) -> None:
    """Measure time and peak memory of every stage on this machine, beside the paper's figures.

    The pictures are made here, so nothing else is needed. texsynth bench --quick
    """
    from texsynth.benchmark.names import choose_stages
    from texsynth.cli.run import check_model, make_screen
    from texsynth.jobs.checks import check_outputs

    stages = choose_stages(measured.stages or ())
    for name in machine.models or ():
        check_model(name)
    check_outputs((), force=force, also=[output] if output else [])

    from texsynth.benchmark.run import Plan, measure, prepare
    from texsynth.benchmark.tables import Report, document, plain, ratios, tables
    from texsynth.images import store

    sizes, repeat = (QUICK_SIZES, QUICK_REPEAT) if measured.quick else (SIZES, REPEAT)
    plan = Plan(
        sizes=tuple(sorted(set(measured.sizes or sizes))),
        models=tuple(machine.models or ("lite",)),
        devices=tuple(machine.devices or ("auto",)),
        dtypes=tuple(machine.dtypes or ("auto",)),
        stages=stages,
        repeat=measured.repeat or repeat,
        full_width=measured.full_width,
        threads=machine.threads,
    )
    models = prepare(plan)
    report, show = Report.of(plan, [model for model, _ in models]), make_screen(screen)
    with show.progress(len(plan.sizes) * sum(len(names) for _, names in models), "stages") as bar:
        try:
            for result in measure(models, plan, bar.picture):
                report.measurements[result.case, result.stage, result.size] = result
                bar.advance()
        except KeyboardInterrupt:
            report.interrupted = True
    hardware = report.facts["hardware"]
    load, cores = hardware["load"] or 0.0, hardware["usable_cores"] or hardware["cores"]
    if cores and load > cores / 2:
        show.note(f"the load of {cores} cores was {load:.1f} before this began, so times may be too long")
    if output is not None:
        store(document(report).encode(), output, force=force)
    if screen.as_json:
        show.result("", kind="facts", **report.facts)
        for result in report.measurements.values():
            show.result("", kind="measurement", **plain(result))
        for ratio in ratios(report):
            show.result("", kind="ratio", **asdict(ratio))
    else:
        show.result("\n\n".join(tables(report)))
    if report.interrupted:
        show.note("interrupted; what was measured until then is shown")
        raise typer.Exit(INTERRUPTED)
