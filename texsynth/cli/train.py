"""texsynth train: the commands that made the embedded weights, and make others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Typer

from texsynth.cli import options
from texsynth.cli.options import LookOptions, argument, option
from texsynth.cli.run import check_model, given, look_settings
from texsynth.cli.show import Screen
from texsynth.cli.train_options import (
    AutoencoderOptions,
    EncoderOptions,
    LengthOptions,
    MeasureOptions,
    Notes,
    PackOptions,
    Seed,
    StylisedOptions,
    TrainOptions,
    check_inputs,
)
from texsynth.cli.train_run import check_run_folder, run_folder, train_on_screen, train_on_stylised
from texsynth.config.training import BorderSettings, DecoderSettings, DescriptorSettings, TransposerSettings
from texsynth.errors import InputError, UsageError
from texsynth.images.files import store
from texsynth.paths import exists
from texsynth.pipelines.progress import Step

if TYPE_CHECKING:
    from texsynth.training.transposer_compare import Score

app = Typer(no_args_is_help=True, help="Train networks, compare them, and pack them into weight files.")

Folder = Annotated[Path, Argument(metavar="RUN", help="Folder of the run: weights, checkpoints and logs.")]


@app.command()
def encoder(folder: Folder, *, training: TrainOptions, own: EncoderOptions) -> None:
    """Distil a narrow encoder from a full VGG-19, with decoders that keep it invertible.

    texsynth train encoder runs/lite --data pictures --teacher vgg19.safetensors
    """
    from texsynth.training.encoder import EncoderRun, train_encoder

    training.check_inputs(own.teacher, own.init)
    check_run_folder(folder)
    flags: dict[str, Any] = given({**vars(own), "steps": training.steps, "seed": training.seed})
    for name, kind in {"widths": int, "level_weights": float, "level_odds": float}.items():
        if name in flags:
            flags[name] = _numbers(flags[name], f"--{name.replace('_', '-')}", kind)
    run = EncoderRun(data=training.data, folder=folder, **flags)
    train_on_screen(train_encoder, run, run.steps, training)


@app.command()
def decoder(
    folder: Path | None = argument(
        None, metavar="RUN", help="Folder of the run. Default with --model: MODEL-decoders."
    ),
    *,
    training: TrainOptions,
    model: str | None = option(
        None,
        metavar="NAME|FILE",
        help="Begin a run with the encoder of this model; with --stylised with its decoders, too.",
    ),
    level: list[int] | None = option(
        None, min=1, max=5, help="Level to decode from. Repeatable. Default: 1 to 4 in turn."
    ),
    photo: bool = option(False, help="Train the photo decoder instead."),
    own: StylisedOptions,
    look: LookOptions,
    epochs: float | None = option(None, min=0.001, help="Length in passes over the pictures."),
    terms: AutoencoderOptions,
    workers: int | None = option(None, min=0, max=64, help="Processes that read pictures."),
) -> None:
    """Train decoders for the encoder of a run, or of any model.

    texsynth train decoder --model vgg19 --data pictures -p decoder-paper
    texsynth train decoder runs/lite --data pictures --level 4
    texsynth train decoder --model lite --data pictures --stylised --teacher vgg19.safetensors
    texsynth train decoder --model lite --data photos --stylised --photo --teacher vgg19.safetensors
    """
    if own.stylised:
        train_on_stylised(
            folder,
            training,
            model,
            own,
            look,
            terms,
            given({"level": level or None, "epochs": epochs, "workers": workers}),
            photo=photo,
        )
        return
    if own.styles or own.teacher:
        raise UsageError("--styles and --teacher are for training on stylised pictures; add --stylised")
    if photo and level:
        raise UsageError("give either --level or --photo")
    if training.steps and epochs:
        raise UsageError("give either --steps or --epochs")
    flags = given({**vars(terms), "workers": workers})
    if training.steps or epochs:
        flags |= {"steps": training.steps, "epochs": epochs and [epochs] * 5}
    settings = look_settings(DecoderSettings, look, flags)
    screen = Screen(training.quiet)
    folder = run_folder(folder, model, "decoders", screen)
    training.check_inputs()
    if not (model or exists(folder / "encoder.safetensors")):
        raise InputError(f"there is no encoder in {folder}; give --model to begin with that of a model")
    from texsynth.training.checkpoint import begin_from_model
    from texsynth.training.decoder import PHOTO, plan, train_decoder, unfinished
    from texsynth.training.optimizer import autocast_for, check_muon

    check_muon(settings.optimizer)
    autocast_for(training.pick_device(), settings.precision)
    if model:
        # A bottleneck leaves the rest of the way to the decoder of the next finer level.
        begin_from_model(folder, model, decoders=settings.bottleneck is not None, without=level or ())
    runs = plan(folder, training.data, [PHOTO] if photo else level or [], settings, training.seed)
    left = unfinished(runs, training.resume)
    for run in runs:
        if run in left:
            begun = training.resume and exists(run.checkpoint)
            train_on_screen(train_decoder, run, run.steps, replace(training, resume=begun))
        else:
            screen.note(f"{run.name} is finished already")


@app.command()
def pack(
    folder: Folder,
    *,
    measure: bool = option(False, help="Also measure the model on held-out pictures."),
    teacher: Path | None = option(None, help="Measure, and compare features with this VGG-19's."),
    keep_encoder: bool = option(False, help="Leave the unit of the features as it is."),
    decoders_only: bool = option(False, help="Leave the encoder out, and its features as they are."),
    common: PackOptions,
) -> None:
    """Join encoder and decoders of a run into one model file, and print held-out figures.

    Features are given a mean of one, unless the encoder is that of a model (--model) or to be kept.

    texsynth train pack runs/lite --data pictures --teacher vgg19.safetensors -o lite.safetensors
    """
    from texsynth.training.pack import pack as pack_run

    common.begin(common.output, teacher)
    flags = {"measure": measure, "keep_encoder": keep_encoder, "decoders_only": decoders_only}
    table = pack_run(folder, common.data, common.output, teacher, _header(common.note), **flags)
    screen = Screen(as_json=common.as_json)
    for name, values in table.items():
        line = "  ".join(f"{key}: {value:.4g}" for key, value in values.items())
        screen.result(f"{name:24} {line}", measure=name, **values)


@app.command()
def transposer(
    folder: Folder,
    *,
    data: Path | None = option(None, help="Folder with training pictures; 10% by name are held out."),
    dtd: Path | None = option(
        None, help="Folder of the Describable Textures Dataset, the one that holds `dtd`; instead of --data."
    ),
    training: LengthOptions,
    look: LookOptions,
    batch: int | None = option(None, min=1, help="Crops per step."),
    rate: float | None = option(None, min=0, help="Learning rate of the kernels."),
    init: Path | None = option(None, help="Network of an earlier run to go on from."),
    model: str | None = option(
        None,
        metavar="NAME|FILE",
        help="Model whose features the losses see. Default: vgg19 with that encoder, else lite.",
    ),
) -> None:
    """Train the network of paper 004, an exemplar to twice its size, on random crops of textures.

    texsynth train transposer runs/paper --data textures -p transposer-paper-own-wasserstein
    """
    settings = look_settings(TransposerSettings, look, given({"batch": batch, "kernel_rate": rate}))
    if (data is None) == (dtd is None):
        raise UsageError("give the pictures as one of --data FOLDER and --dtd FOLDER")
    model = model or ("vgg19" if settings.encoder == "vgg19" else "lite")
    for name in {model, "vgg19"} if settings.encoder == "vgg19" else {model}:
        check_model(name)
    check_inputs(data, dtd, init)
    check_run_folder(folder)
    from texsynth.training.transposer import TransposerRun, steps_of, train_transposer

    run = TransposerRun(data, folder, settings, seed=training.seed, init=init, features=model, dtd=dtd)
    run = replace(run, steps=training.steps or steps_of(run))
    _tell_use(train_on_screen(train_transposer, run, run.steps, training), training)


@app.command()
def compare(
    networks: list[Path] = argument(..., metavar="RUN...", help="Run folders or files of Transposers."),
    *,
    side: int = option(128, min=16, help="Side of the exemplars in pixels."),
    output: Path | None = option(None, "-o", "--output", help="Also write the table as JSON."),
    seed: Seed = 0,
    common: MeasureOptions,
    quiet: options.Quiet = False,
) -> None:
    """Compare trained Transposers on held-out textures: SSIM to the truth and Frechet distance of features.

    Quilting, copies without a network and a network with random weights come first.

    texsynth train compare runs/borders runs/paper --data textures
    """
    import json

    from texsynth.training.transposer_compare import compare as compare_networks

    common.begin(output)
    screen = Screen(quiet, as_json=common.as_json)
    with screen.progress(1) as bar:
        bar.picture("expanding")
        scores = compare_networks(
            networks,
            common.data,
            side=side,
            seed=seed,
            on_picture=lambda done, total: bar.step(Step("expanding", done, total)),
        )
    if output:
        table = json.dumps([asdict(score) for score in scores], indent=1)
        store(f"{table}\n".encode(), output, force=common.force)
    _show(screen, scores)


@app.command()
def pack_transposer(
    folder: Path = argument(..., metavar="RUN", help="Folder of the run, or its network."),
    *,
    common: PackOptions,
) -> None:
    """Write a trained Transposer as float16 with its provenance, and print held-out figures.

    texsynth train pack-transposer runs/borders --data textures -o transposer.safetensors
    """
    from texsynth.training.transposer_compare import pack_transposer as pack_run

    common.begin(common.output, folder)
    scores = pack_run(folder, common.data, common.output, _header(common.note))
    _show(Screen(as_json=common.as_json), scores)


@app.command()
def descriptor(
    folder: Folder,
    *,
    training: TrainOptions,
    look: LookOptions,
    batch: int | None = option(None, min=2, help="Textures per step."),
    rate: float | None = option(None, min=0, help="Learning rate."),
    rotate: bool | None = option(
        None, "--turn/--no-turn", help="Also turn crops by multiples of 90 degrees."
    ),
    model: str = option("lite", help="Model whose features are read."),
    note: Notes = None,
) -> None:
    """Train the descriptor of textures that `match` and `describe` use.

    Two crops of one picture are to be nearer to each other than to crops of all others.

    texsynth train descriptor runs/descriptor --data textures
    """
    flags = given({"steps": training.steps, "batch": batch, "rate": rate, "rotate": rotate})
    settings = look_settings(DescriptorSettings, look, flags)
    training.check_inputs()
    check_run_folder(folder)
    from texsynth.training.descriptor import DescriptorRun, train_descriptor

    run = DescriptorRun(training.data, folder, settings, training.seed, model, _header(note))
    train_on_screen(train_descriptor, run, settings.steps, training)


@app.command()
def borders(
    folder: Folder,
    *,
    training: TrainOptions,
    look: LookOptions,
    batch: int | None = option(None, min=1, help="Windows of layouts per step."),
    rate: float | None = option(None, min=0, help="Learning rate."),
    init: Path | None = option(None, help="Network of an earlier run to go on from."),
) -> None:
    """Train a network that repairs the borders between copies, for `expand --transposer`.

    texsynth train borders runs/borders --data textures
    """
    flags = given({"steps": training.steps, "batch": batch, "rate": rate})
    settings = look_settings(BorderSettings, look, flags)
    training.check_inputs(init)
    check_run_folder(folder)
    from texsynth.training.borders import BorderRun, train_borders

    run = BorderRun(training.data, folder, settings, training.seed, init)
    _tell_use(train_on_screen(train_borders, run, settings.steps, training), training)


def _tell_use(network: Path, training: LengthOptions) -> None:
    """Say how a trained network is used."""
    Screen(training.quiet).note(f"to use it: texsynth expand --transposer {quote(str(network))} PICTURE")


def _header(notes: list[str] | None) -> dict[str, str]:
    """Split the texts KEY=TEXT of --note."""
    return {key: text for key, _, text in (note.partition("=") for note in notes or ())}


def _numbers(text: str, option: str, kind: type[int] | type[float]) -> tuple[float, ...]:
    """Read the five numbers of an option's value `a,b,c,d,e`. Raises UsageError."""
    words = [word.strip() for word in text.split(",")]
    if len(words) != 5 or not all(word.replace(".", "", 1).isdecimal() for word in words):
        raise UsageError(f"{option} {text!r} must be 5 numbers with commas between them")
    return tuple(kind(float(word)) for word in words)


def _show(screen: Screen, scores: Sequence[Score]) -> None:
    first, width = scores[0], max(len(score.name) for score in scores)
    if not screen.as_json:
        features = f"Frechet distance of {first.layer} at {first.positions} positions"
        screen.result(f"{first.pictures} held-out textures; {features}")
        screen.result(f"{'network':{width}}  encoder  loss         steps   SSIM  outside  Frechet  of each")
    for s in scores:
        figures = f"{s.ssim:.3f}    {s.ssim_outside:.3f}   {s.frechet:.4f}   {s.frechet_single:.4f}"
        screen.result(f"{s.name:{width}}  {s.encoder:7}  {s.loss:11} {s.steps:6}  {figures}", **asdict(s))
