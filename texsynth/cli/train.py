"""texsynth train: the commands that made the embedded model, and make others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from texsynth.cli import options
from texsynth.cli.show import Screen
from texsynth.errors import InputError, OutputError, UsageError

app = typer.Typer(no_args_is_help=True, help="Train encoders and decoders, and pack them into a model file.")

Folder = Annotated[
    Path, typer.Argument(metavar="RUN", help="Folder of the run: weights, checkpoints and logs.")
]
Data = Annotated[
    Path, typer.Option("--data", help="Folder with training pictures; 10% by name are held out.")
]
Teacher = Annotated[
    Path,
    typer.Option("--teacher", help="Safetensors of a full VGG-19, keys convB_I.weight and convB_I.bias."),
]
Steps = Annotated[int | None, typer.Option("--steps", min=1, help="Length of the training.")]
Batch = Annotated[int | None, typer.Option("--batch", min=1, help="Crops per step.")]
Cycle = Annotated[float | None, typer.Option("--cycle", min=0, help="Weight of the feature error.")]
Reconstruction = Annotated[
    float | None, typer.Option("--reconstruction", min=0, help="Weight of the image error.")
]
Rate = Annotated[float | None, typer.Option("--rate", min=0, help="Learning rate of the kernels.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Decides all random numbers.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint, exactly.")]

if TYPE_CHECKING:
    import torch

OnStep = Callable[[int, Mapping[str, float]], None]


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

    _need(data, teacher, *([init] if init else []))
    _check_fresh(folder / "encoder.checkpoint", resume)
    terms = _given(batch=batch, decoded=decoded, cycle=cycle, reconstruction=reconstruction)
    if level_weights:
        terms["level_weights"] = tuple(float(w) for w in _numbers(level_weights, 5, "--level-weights"))
    if level_odds:
        terms["level_odds"] = tuple(float(w) for w in _numbers(level_odds, 5, "--level-odds"))
    loss = DistillationSettings(**terms)
    rest = _given(steps=steps, crops=crops, above=above, kernel_rate=rate, init=init)
    if widths:
        rest["widths"] = tuple(int(w) for w in _numbers(widths, 5, "--widths"))
    run = EncoderRun(data, teacher, folder, seed=seed, loss=loss, **rest)
    screen = Screen(quiet)
    with _progress(screen, run.steps) as on_step:
        chosen = _machine(device, threads)
        out = train_encoder(run, chosen, resume=resume, report=screen.note, on_step=on_step)
    screen.result(str(out))


@app.command()
def decoder(
    folder: Folder,
    data: Data,
    level: Annotated[int | None, typer.Option(min=1, max=5, help="Level to decode from.")] = None,
    photo: Annotated[bool, typer.Option("--photo", help="Train the photo decoder instead.")] = False,
    steps: Steps = None,
    batch: Batch = None,
    cycle: Cycle = None,
    reconstruction: Reconstruction = None,
    rate: Rate = None,
    seed: Seed = 0,
    resume: Resume = False,
    device: options.Device = None,
    threads: options.Threads = None,
    quiet: options.Quiet = False,
) -> None:
    """Train a decoder for the encoder of a run.

    texsynth train decoder runs/lite --data pictures --level 4
    """
    from texsynth.training.decoder import DecoderRun, train_decoder

    if photo == (level is not None):
        raise UsageError("give either --level 1..5 or --photo")
    _need(data, folder / "encoder.safetensors")
    weights = _given(steps=steps, batch=batch, cycle=cycle, reconstruction=reconstruction, kernel_rate=rate)
    run = DecoderRun(data, folder, level or 0, seed=seed, **weights)
    _check_fresh(folder / f"{run.name}.checkpoint", resume)
    screen = Screen(quiet)
    with _progress(screen, run.steps) as on_step:
        chosen = _machine(device, threads)
        out = train_decoder(run, chosen, resume=resume, report=screen.note, on_step=on_step)
    screen.result(str(out))


@app.command()
def pack(
    folder: Folder,
    data: Data,
    output: Annotated[Path, typer.Option("-o", "--output", help="Weight file to write.")],
    teacher: Annotated[
        Path | None, typer.Option("--teacher", help="Also measure the model on held-out pictures.")
    ] = None,
    note: Annotated[
        list[str] | None, typer.Option("--note", metavar="KEY=TEXT", help="Provenance for the header.")
    ] = None,
    force: options.Force = False,
    threads: options.Threads = None,
    as_json: options.Json = False,
) -> None:
    """Join encoder and decoders of a run into one model file, and print held-out figures.

    texsynth train pack runs/lite --data pictures --teacher vgg19.safetensors -o lite.safetensors
    """
    from texsynth.training.pack import pack as pack_run

    _need(data)
    if output.exists() and not force:
        raise OutputError(f"{output} exists already; use --force to replace it")
    pairs = [item.partition("=") for item in note or ()]
    _machine("cpu", threads)
    table = pack_run(folder, data, output, teacher, {key: text for key, _, text in pairs})
    screen = Screen(as_json=as_json)
    for measure, values in table.items():
        line = "  ".join(f"{key}: {value:.4g}" for key, value in values.items())
        screen.result(f"{measure:24} {line}", measure=measure, **values)


def _numbers(text: str, count: int, option: str) -> list[str]:
    numbers = [number.strip() for number in text.split(",")]
    if len(numbers) != count or not all(number.replace(".", "", 1).isdecimal() for number in numbers):
        raise UsageError(f"{option} {text!r} must be {count} numbers with commas between them")
    return numbers


def _given(**values: Any) -> dict[str, Any]:  # noqa: ANN401 (fields of several settings)
    return {key: value for key, value in values.items() if value is not None}


def _need(*paths: Path) -> None:
    for path in paths:
        if not path.exists():
            raise InputError(f"{path} does not exist")


def _check_fresh(checkpoint: Path, resume: bool) -> None:
    if checkpoint.exists() and not resume:
        raise UsageError(f"{checkpoint} exists; add --resume to go on, or choose another run folder")
    if resume and not checkpoint.exists():
        raise InputError(f"there is no checkpoint {checkpoint} to resume from; start without --resume")


def _machine(device: str | None, threads: int | None) -> torch.device:
    from texsynth.device import pick_device, set_threads

    set_threads(threads)
    return pick_device(device or "auto")


@contextmanager
def _progress(screen: Screen, total: int) -> Iterator[OnStep]:
    """A bar with the smoothed losses; without a terminal a line now and then."""
    from texsynth.pipelines.progress import Step

    smooth: dict[str, float] = {}
    with screen.progress(1) as bar:

        def on_step(done: int, terms: Mapping[str, float]) -> None:
            for name, value in terms.items():
                smooth[name] = value + 0.95 * (smooth.get(name, value) - value)
            text = "  ".join(f"{name} {value:.4f}" for name, value in smooth.items())
            bar.picture(text)
            bar.step(Step("training", done, total))
            if done % 50 == 0 or done == total:
                screen.note(f"{done}/{total}  {text}")

        yield on_step
