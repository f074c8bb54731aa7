"""texsynth train: the commands that made the embedded model, and make others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from texsynth.cli import options
from texsynth.cli.run import look_settings
from texsynth.cli.show import Screen
from texsynth.errors import InputError, OutputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from texsynth.training.transposer_compare import Score


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
    from texsynth.config.training import DecoderSettings

    if photo and level:
        raise UsageError("give either --level or --photo")
    if steps is not None and epochs is not None:
        raise UsageError("give either --steps or --epochs")
    flags = given(batch=batch, cycle=cycle, reconstruction=reconstruction, kernel_rate=rate, workers=workers)
    if steps is not None:
        flags |= {"steps": steps, "epochs": None}
    if epochs is not None:
        flags |= {"steps": None, "epochs": [epochs] * 5}
    settings = look_settings(DecoderSettings, options.LookOptions(preset, assignments), flags)
    screen = Screen(quiet)
    folder = folder or _default_folder(model, screen)
    need(data)
    if not (model or (folder / "encoder.safetensors").exists()):
        raise InputError(f"there is no encoder in {folder}; give --model to begin with that of a model")
    from texsynth.training.decoder import PHOTO, plan, train_decoder, unfinished
    from texsynth.training.optimizer import autocast_for
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
    from texsynth.config.settings import TransposerSettings

    settings = look_settings(
        TransposerSettings, options.LookOptions(preset, assignments), given(batch=batch, kernel_rate=rate)
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
    from texsynth.config.training import DescriptorSettings

    flags = given(steps=steps, batch=batch, rate=rate, turn=turn)
    settings = look_settings(DescriptorSettings, options.LookOptions(preset, assignments), flags)
    need(data)
    check_fresh(folder / "descriptor.checkpoint", resume)
    from texsynth.training.descriptor import DescriptorRun, train_descriptor

    run = DescriptorRun(data, folder, settings, seed, model, notes_of(note))
    screen = Screen(quiet)
    with progress(screen, settings.steps) as on_step:
        chosen = machine(device, threads)
        out = train_descriptor(run, chosen, resume=resume, report=screen.note, on_step=on_step)
    screen.result(str(out))


Folder = Annotated[
    Path, typer.Argument(metavar="RUN", help="Folder of the run: weights, checkpoints and logs.")
]
Data = Annotated[
    Path, typer.Option("--data", help="Folder with training pictures; 10% by name are held out.")
]
Steps = Annotated[int | None, typer.Option("--steps", min=1, help="Length of the training.")]
Batch = Annotated[int | None, typer.Option("--batch", min=1, help="Crops per step.")]
Rate = Annotated[float | None, typer.Option("--rate", min=0, help="Learning rate of the kernels.")]
Cycle = Annotated[float | None, typer.Option("--cycle", min=0, help="Weight of the feature error.")]
Reconstruction = Annotated[
    float | None, typer.Option("--reconstruction", min=0, help="Weight of the image error.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Decides all random numbers.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint, exactly.")]
Notes = Annotated[
    list[str] | None, typer.Option("--note", metavar="KEY=TEXT", help="Provenance for the header.")
]

OnStep = Callable[[int, Mapping[str, float]], None]


def numbers(text: str, count: int, option: str) -> list[str]:
    """The `count` numbers of a flag's value `a,b,c`. Raises UsageError."""
    found = [number.strip() for number in text.split(",")]
    if len(found) != count or not all(number.replace(".", "", 1).isdecimal() for number in found):
        raise UsageError(f"{option} {text!r} must be {count} numbers with commas between them")
    return found


def given(**values: Any) -> dict[str, Any]:  # noqa: ANN401 (fields of several settings)
    """The values that are not None."""
    return {key: value for key, value in values.items() if value is not None}


def notes_of(notes: list[str] | None) -> dict[str, str]:
    """`key=text` pairs of --note."""
    pairs = [item.partition("=") for item in notes or ()]
    return {key: text for key, _, text in pairs}


def need(*paths: Path) -> None:
    """Raise InputError for a path that does not exist."""
    for path in paths:
        if not path.exists():
            raise InputError(f"{path} does not exist")


def check_fresh(checkpoint: Path, resume: bool) -> None:
    """A run is begun once, and resumed only after that. Raises UsageError or InputError."""
    if checkpoint.exists() and not resume:
        raise UsageError(f"{checkpoint} exists; add --resume to go on, or choose another run folder")
    if resume and not checkpoint.exists():
        raise InputError(f"there is no checkpoint {checkpoint} to resume from; start without --resume")


def machine(device: str | None, threads: int | None) -> torch.device:
    """Set the threads and pick the device."""
    from texsynth.device import pick_device, set_threads

    set_threads(threads)
    return pick_device(device or "auto")


@contextmanager
def progress(screen: Screen, total: int) -> Iterator[OnStep]:
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


app.command("decoder")(decoder)
app.command("pack")(pack)
app.command("transposer")(transposer)
app.command("compare")(compare)
app.command("pack-transposer")(pack_transposer)
app.command("descriptor")(descriptor)
