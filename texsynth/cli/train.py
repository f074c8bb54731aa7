"""texsynth train: the commands that made the embedded model, and make others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from texsynth.cli import options
from texsynth.cli.show import Screen
from texsynth.cli.train_decoder import decoder, pack
from texsynth.cli.train_descriptor import descriptor
from texsynth.cli.train_options import (
    Batch,
    Cycle,
    Data,
    Folder,
    Rate,
    Reconstruction,
    Resume,
    Seed,
    Steps,
    check_fresh,
    given,
    machine,
    need,
    numbers,
    progress,
)
from texsynth.cli.train_transposer import compare, pack_transposer, transposer

app = typer.Typer(no_args_is_help=True, help="Train networks, compare them, and pack them into weight files.")

Teacher = Annotated[
    Path,
    typer.Option("--teacher", help="Safetensors of a full VGG-19, keys convB_I.weight and convB_I.bias."),
]


@app.command()
def encoder(
    folder: Folder,
    data: Data,
    teacher: Teacher,
    steps: Steps = None,
    batch: Batch = None,
    crops: Annotated[int | None, typer.Option(min=32, help="Crops that the teacher sees.")] = None,
    widths: Annotated[
        str | None, typer.Option(metavar="A,B,C,D,E", help="Channels at relu1_1..relu5_1.")
    ] = None,
    init: Annotated[Path | None, typer.Option(help="Folder of an earlier run to improve.")] = None,
    above: Annotated[
        int | None, typer.Option(min=1, max=4, help="Keep levels up to this one, train the deeper ones.")
    ] = None,
    level_weights: Annotated[
        str | None, typer.Option(metavar="A,B,C,D,E", help="Weights of the levels in the distillation.")
    ] = None,
    level_odds: Annotated[
        str | None, typer.Option(metavar="A,B,C,D,E", help="How often each level is decoded.")
    ] = None,
    decoded: Annotated[int | None, typer.Option(min=1, help="Crops of a step that are also decoded.")] = None,
    cycle: Cycle = None,
    reconstruction: Reconstruction = None,
    rate: Rate = None,
    seed: Seed = 0,
    resume: Resume = False,
    device: options.Device = None,
    threads: options.Threads = None,
    quiet: options.Quiet = False,
) -> None:
    """Distil a narrow encoder from a full VGG-19, with decoders that keep it invertible.

    texsynth train encoder runs/lite --data pictures --teacher vgg19.safetensors
    """
    from texsynth.training.distillation import DistillationSettings
    from texsynth.training.encoder import EncoderRun, train_encoder

    need(data, teacher, *([init] if init else []))
    check_fresh(folder / "encoder.checkpoint", resume)
    terms = given(batch=batch, decoded=decoded, cycle=cycle, reconstruction=reconstruction)
    if level_weights:
        terms["level_weights"] = tuple(float(w) for w in numbers(level_weights, 5, "--level-weights"))
    if level_odds:
        terms["level_odds"] = tuple(float(w) for w in numbers(level_odds, 5, "--level-odds"))
    loss = DistillationSettings(**terms)
    rest = given(steps=steps, crops=crops, above=above, kernel_rate=rate, init=init)
    if widths:
        rest["widths"] = tuple(int(w) for w in numbers(widths, 5, "--widths"))
    run = EncoderRun(data, teacher, folder, seed=seed, loss=loss, **rest)
    screen = Screen(quiet)
    with progress(screen, run.steps) as on_step:
        chosen = machine(device, threads)
        out = train_encoder(run, chosen, resume=resume, report=screen.note, on_step=on_step)
    screen.result(str(out))


app.command("decoder")(decoder)
app.command("pack")(pack)
app.command("transposer")(transposer)
app.command("compare")(compare)
app.command("pack-transposer")(pack_transposer)
app.command("descriptor")(descriptor)
