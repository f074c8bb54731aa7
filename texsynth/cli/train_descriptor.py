"""texsynth train descriptor."""

from __future__ import annotations

from typing import Annotated

import typer

from texsynth.cli import options
from texsynth.cli.show import Screen
from texsynth.cli.train_options import (
    Data,
    Folder,
    Notes,
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


def descriptor(
    folder: Folder,
    data: Data,
    preset: options.Preset = None,
    assignments: options.Set = None,
    steps: Steps = None,
    batch: Annotated[int | None, typer.Option("--batch", min=2, help="Textures per step.")] = None,
    rate: Annotated[float | None, typer.Option("--rate", min=0, help="Learning rate.")] = None,
    turn: Annotated[
        bool | None, typer.Option("--turn/--no-turn", help="Also turn crops by multiples of 90 degrees.")
    ] = None,
    model: Annotated[str, typer.Option("--model", help="Model whose features are read.")] = "lite",
    note: Notes = None,
    seed: Seed = 0,
    resume: Resume = False,
    device: options.Device = None,
    threads: options.Threads = None,
    quiet: options.Quiet = False,
) -> None:
    """Train the descriptor of textures that `match` and `describe` use.

    Two crops of one picture are to be nearer to each other than to crops of all others.

    texsynth train descriptor runs/descriptor --data textures
    """
    from texsynth.training_settings import DescriptorSettings

    flags = given(steps=steps, batch=batch, rate=rate, turn=turn)
    settings = look_settings(DescriptorSettings, preset, assignments or (), flags)
    need(data)
    check_fresh(folder / "descriptor.checkpoint", resume)
    from texsynth.training.descriptor import DescriptorRun, train_descriptor

    run = DescriptorRun(data, folder, settings, seed, model, notes_of(note))
    screen = Screen(quiet)
    with progress(screen, settings.steps) as on_step:
        chosen = machine(device, threads)
        out = train_descriptor(run, chosen, resume=resume, report=screen.note, on_step=on_step)
    screen.result(str(out))
