"""texsynth bench."""

from dataclasses import asdict
from functools import partial
from pathlib import Path

import typer

from texsynth.benchmark.names import choose_stages
from texsynth.cli import options
from texsynth.cli.completion import completion
from texsynth.cli.options import file_option, machine_option, option
from texsynth.cli.run import check_model
from texsynth.config.validation import nearest
from texsynth.errors import UsageError
from texsynth.images import store
from texsynth.interrupts import INTERRUPTED
from texsynth.jobs.checks import check_outputs

BACKENDS = ("torch", "openvino")
SIZES, QUICK_SIZES = (256, 512, 768, 1024), (256, 512)
REPEAT, QUICK_REPEAT = 5, 3

measured_option = partial(option, panel="What is measured")


def bench(
    *,
    sizes: list[int] | None = measured_option(
        None,
        "--size",
        min=32,
        max=4096,
        help="Side of the pictures in pixels. Repeatable. Default: 256, 512, 768 and 1024.",
    ),
    stages: list[str] | None = measured_option(
        None,
        "--stage",
        metavar="NAME",
        help="encode, moments, fit, decode, photo-decode, edge-aware, artistic, photo, paper, transform, "
        "reference or published, or one of their parts, such as fit-ift-4. Repeatable. "
        "Default: all but published.",
        autocompletion=completion("texsynth.benchmark.names", "NAMES"),
    ),
    full_width: bool = measured_option(
        False, help="Also a cascade as wide as VGG-19, with random weights: as published, and our way."
    ),
    repeat: int | None = measured_option(None, min=1, help="Times that every stage runs. Default: 5."),
    quick: bool = measured_option(False, help="Only 256 and 512 pixels, 3 times each."),
    models: list[str] | None = machine_option(
        None,
        "--model",
        metavar="NAME|FILE",
        help="Network: the name of an embedded one or a .safetensors file. Repeatable. Default: lite.",
    ),
    devices: list[str] | None = machine_option(
        None, "--device", help="auto, cpu, mps, cuda or cuda:N. Repeatable. Default: auto."
    ),
    dtypes: list[str] | None = machine_option(
        None,
        "--dtype",
        help="auto, float32, bfloat16 or float16. Repeatable. Default: auto, bfloat16 where native.",
    ),
    backends: list[str] | None = machine_option(
        None,
        "--backend",
        metavar="NAME",
        help="What computes the networks: torch or openvino. Repeatable. Default: those that are installed.",
    ),
    threads: options.Threads = None,
    output: Path | None = file_option(
        None,
        "-o",
        "--output",
        metavar="FILE.json",
        help="Also write everything, with every sample, to this file.",
    ),
    force: options.Force = False,
    screen: options.ScreenOptions,
) -> None:
    """Measure time and peak memory of every stage on this machine, beside the paper's figures.

    The pictures are made here, so nothing else is needed. texsynth bench --quick
    """
    chosen = choose_stages(stages or ())
    for name in models or ():
        check_model(name)
    for name in backends or ():
        if name not in BACKENDS:
            raise UsageError(f"unknown backend {name!r}{nearest(name, BACKENDS)}")
    check_outputs((), force=force, also=[output] if output else [])

    from texsynth.benchmark.run import Plan, measure, prepare
    from texsynth.benchmark.tables import Report, document, plain, ratios, tables
    from texsynth.models.openvino import missing_libraries

    plan = Plan(
        sizes=tuple(sorted(set(sizes or (QUICK_SIZES if quick else SIZES)))),
        models=tuple(models or ("lite",)),
        devices=tuple(devices or ("auto",)),
        dtypes=tuple(dtypes or ("auto",)),
        stages=chosen,
        repeat=repeat or (QUICK_REPEAT if quick else REPEAT),
        full_width=full_width,
        threads=threads,
        backends=tuple(backends or ("torch", *([] if missing_libraries() else ["openvino"]))),
    )
    cases = prepare(plan)
    report, show = Report.of(plan, [model for model, _ in cases]), screen.screen()
    with show.progress(len(plan.sizes) * sum(len(names) for _, names in cases), "stages") as bar:
        try:
            for result in measure(cases, plan, bar.picture):
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
        show.result(*"\n\n".join(tables(report)).split("\n"))
    if report.interrupted:
        show.note("interrupted; what was measured until then is shown")
        raise typer.Exit(INTERRUPTED)
