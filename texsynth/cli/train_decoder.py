"""texsynth train decoder and pack."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from texsynth.cli import options
from texsynth.cli.show import Screen
from texsynth.cli.train_options import (
    Batch,
    Cycle,
    Data,
    Folder,
    Notes,
    Rate,
    Reconstruction,
    Resume,
    Seed,
    Steps,
    given,
    machine,
    need,
    notes_of,
    progress,
)
from texsynth.cli.values import look_settings
from texsynth.errors import InputError, OutputError, UsageError


def decoder(
    data: Data,
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="RUN", help="Folder of the run. Default with --model: MODEL-decoders."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME|FILE", help="Begin a run with the encoder of this model."),
    ] = None,
    level: Annotated[
        list[int] | None,
        typer.Option(min=1, max=5, help="Level to decode from. Repeatable. Default: 1 to 4 in turn."),
    ] = None,
    photo: Annotated[bool, typer.Option("--photo", help="Train the photo decoder instead.")] = False,
    preset: options.Preset = None,
    assignments: options.Set = None,
    steps: Steps = None,
    epochs: Annotated[
        float | None, typer.Option("--epochs", min=0.001, help="Length in passes over the pictures.")
    ] = None,
    batch: Batch = None,
    cycle: Cycle = None,
    reconstruction: Reconstruction = None,
    rate: Rate = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=0, max=64, help="Processes that read pictures.")
    ] = None,
    seed: Seed = 0,
    resume: Resume = False,
    device: options.Device = None,
    threads: options.Threads = None,
    quiet: options.Quiet = False,
) -> None:
    """Train decoders for the encoder of a run, or of any model.

    texsynth train decoder --model vgg19 --data pictures -p decoder-paper
    texsynth train decoder runs/lite --data pictures --level 4
    """
    from texsynth.training_settings import DecoderSettings

    if photo and level:
        raise UsageError("give either --level or --photo")
    if steps is not None and epochs is not None:
        raise UsageError("give either --steps or --epochs")
    flags = given(batch=batch, cycle=cycle, reconstruction=reconstruction, kernel_rate=rate, workers=workers)
    if steps is not None:
        flags |= {"steps": steps, "epochs": None}
    if epochs is not None:
        flags |= {"steps": None, "epochs": [epochs] * 5}
    settings = look_settings(DecoderSettings, preset, assignments or (), flags)
    screen = Screen(quiet)
    folder = folder or _default_folder(model, screen)
    need(data)
    if not (model or (folder / "encoder.safetensors").exists()):
        raise InputError(f"there is no encoder in {folder}; give --model to begin with that of a model")
    from texsynth.training.decoder import train_decoder
    from texsynth.training.decoder_plan import PHOTO, plan, unfinished
    from texsynth.training.precision import autocast_for
    from texsynth.training.run_folder import begin_from_model

    chosen = machine(device, threads)
    autocast_for(chosen, settings.precision)
    if model:
        begin_from_model(folder, model)
    runs = plan(folder, data, [PHOTO] if photo else level or [], settings, seed)
    left = unfinished(runs, resume)
    for run in runs:
        if run not in left:
            screen.note(f"{run.name} is finished already")
            continue
        with progress(screen, run.steps) as on_step:
            begun = resume and run.checkpoint.exists()
            out = train_decoder(run, chosen, resume=begun, report=screen.note, on_step=on_step)
        screen.result(str(out))


def _default_folder(model: str | None, screen: Screen) -> Path:
    if not model:
        raise UsageError("give the folder of a run, or --model to begin one")
    folder = Path(f"{Path(model).name.removesuffix('.safetensors')}-decoders")
    screen.note(f"the run is in {folder}")
    return folder


def pack(
    folder: Folder,
    data: Data,
    output: Annotated[Path, typer.Option("-o", "--output", help="Weight file to write.")],
    measure: Annotated[
        bool, typer.Option("--measure", help="Also measure the model on held-out pictures.")
    ] = False,
    teacher: Annotated[
        Path | None, typer.Option("--teacher", help="Measure, and compare the features with this VGG-19's.")
    ] = None,
    keep_encoder: Annotated[
        bool, typer.Option("--keep-encoder", help="Leave the unit of the features as it is.")
    ] = False,
    decoders_only: Annotated[
        bool, typer.Option("--decoders-only", help="Leave the encoder out, and its features as they are.")
    ] = False,
    note: Notes = None,
    force: options.Force = False,
    threads: options.Threads = None,
    as_json: options.Json = False,
) -> None:
    """Join encoder and decoders of a run into one model file, and print held-out figures.

    Features are given a mean of one, unless the encoder is that of a model (--model) or to be kept.

    texsynth train pack runs/lite --data pictures --teacher vgg19.safetensors -o lite.safetensors
    """
    from texsynth.training.pack import pack as pack_run

    need(data, *([teacher] if teacher else []))
    if output.exists() and not force:
        raise OutputError(f"{output} exists already; use --force to replace it")
    machine("cpu", threads)
    table = pack_run(
        folder,
        data,
        output,
        teacher,
        notes_of(note),
        measure=measure,
        keep_encoder=keep_encoder,
        decoders_only=decoders_only,
    )
    screen = Screen(as_json=as_json)
    for measure_name, values in table.items():
        line = "  ".join(f"{key}: {value:.4g}" for key, value in values.items())
        screen.result(f"{measure_name:24} {line}", measure=measure_name, **values)
