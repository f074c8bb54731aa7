"""texsynth train transposer, compare and pack-transposer."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from texsynth.cli import options
from texsynth.cli.show import Screen
from texsynth.cli.train_options import (
    Batch,
    Data,
    Folder,
    Notes,
    Rate,
    Resume,
    Seed,
    Steps,
    check_fresh,
    given,
    machine,
    need,
    notes_of,
    progress,
)
from texsynth.cli.values import look_settings
from texsynth.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from texsynth.training.transposer_compare import Score


def transposer(
    folder: Folder,
    data: Data,
    preset: options.Preset = None,
    assignments: options.Set = None,
    steps: Steps = None,
    batch: Batch = None,
    rate: Rate = None,
    init: Annotated[Path | None, typer.Option(help="Network of an earlier run to go on from.")] = None,
    features: Annotated[
        str | None, typer.Option("--model", help="Model whose features the losses see. Default: lite.")
    ] = None,
    seed: Seed = 0,
    resume: Resume = False,
    device: options.Device = None,
    threads: options.Threads = None,
    quiet: options.Quiet = False,
) -> None:
    """Train a Transposer on random crops of textures and on procedural ones.

    texsynth train transposer runs/tr --data textures -p transposer-lite-wasserstein
    """
    from texsynth.settings import TransposerSettings

    settings = look_settings(
        TransposerSettings, preset, assignments or (), given(batch=batch, kernel_rate=rate)
    )
    need(data, *([init] if init else []))
    check_fresh(folder / "transposer.checkpoint", resume)
    from texsynth.training.transposer import TransposerRun, train_transposer

    run = TransposerRun(data, folder, settings, seed=seed, **given(steps=steps, init=init, features=features))
    screen = Screen(quiet)
    with progress(screen, run.steps) as on_step:
        chosen = machine(device, threads)
        out = train_transposer(run, chosen, resume=resume, report=screen.note, on_step=on_step)
    screen.result(str(out))


def compare(
    networks: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Run folders or weight files of Transposers.")
    ],
    data: Data,
    side: Annotated[int, typer.Option(min=16, help="Side of the exemplars in pixels.")] = 128,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Also write the table as JSON.")
    ] = None,
    seed: Seed = 0,
    force: options.Force = False,
    threads: options.Threads = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Compare trained Transposers on held-out textures: SSIM to the truth and Frechet distance of features.

    texsynth train compare runs/own-gram runs/own-wasserstein runs/lite-gram --data textures
    """
    from texsynth.pipelines.progress import Step
    from texsynth.training.transposer_compare import compare as compare_networks

    need(data)
    _check_output(output, force)
    machine("cpu", threads)
    screen = Screen(quiet, as_json=as_json)
    with screen.progress(1) as bar:
        bar.picture("expanding")
        scores = compare_networks(
            networks, data, side=side, seed=seed,
            on_picture=lambda done, total: bar.step(Step("expanding", done, total)),
        )  # fmt: skip
    if output:
        _write_json(output, scores)
    _show(screen, scores)


def pack_transposer(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the run, or its network.")],
    data: Data,
    output: Annotated[Path, typer.Option("-o", "--output", help="Weight file to write.")],
    note: Notes = None,
    force: options.Force = False,
    threads: options.Threads = None,
    as_json: options.Json = False,
) -> None:
    """Write a trained Transposer as float16 with its provenance, and print held-out figures.

    texsynth train pack-transposer runs/tr --data textures -o transposer.safetensors
    """
    from texsynth.training.transposer_compare import pack_transposer as pack_run

    need(data, folder)
    _check_output(output, force)
    machine("cpu", threads)
    _show(Screen(as_json=as_json), pack_run(folder, data, output, notes_of(note)))


def _check_output(output: Path | None, force: bool) -> None:
    if output and output.exists() and not force:
        raise OutputError(f"{output} exists already; use --force to replace it")


def _write_json(output: Path, scores: Sequence[Score]) -> None:
    import json
    import os

    part = output.with_suffix(".part")
    try:
        part.write_text(json.dumps([asdict(score) for score in scores], indent=1) + "\n", encoding="utf-8")
        os.replace(part, output)
    except OSError as error:
        raise OutputError(f"{output} cannot be written: {error}") from error


def _show(screen: Screen, scores: Sequence[Score]) -> None:
    first = scores[0]
    wide = max(len(score.name) for score in scores)
    if not screen.as_json:
        screen.result(
            f"{first.pictures} held-out textures; "
            f"Frechet distance of {first.layer} at {first.positions} positions"
        )
        screen.result(f"{'network':{wide}}  encoder  loss         steps   SSIM  outside  Frechet  of each")
    for s in scores:
        figures = f"{s.ssim:.3f}    {s.ssim_outside:.3f}   {s.frechet:.4f}   {s.frechet_single:.4f}"
        screen.result(f"{s.name:{wide}}  {s.encoder:7}  {s.loss:11} {s.steps:6}  {figures}", **asdict(s))
