"""texsynth train: the commands that made the embedded weights, and make others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from texsynth.cli import options
from texsynth.cli.options import LookOptions, grouped
from texsynth.cli.run import given, look_settings
from texsynth.cli.show import Screen
from texsynth.errors import InputError, UsageError
from texsynth.images.files import store, taken

if TYPE_CHECKING:
    import torch

    from texsynth.training.loop import Session
    from texsynth.training.transposer_compare import Score

app = typer.Typer(no_args_is_help=True, help="Train networks, compare them, and pack them into weight files.")

OnStep = Callable[[int, Mapping[str, float]], None]

Folder = Annotated[
    Path, typer.Argument(metavar="RUN", help="Folder of the run: weights, checkpoints and logs.")
]
Data = Annotated[
    Path, typer.Option("--data", help="Folder with training pictures; 10% by name are held out.")
]
Steps = Annotated[int | None, typer.Option(min=1, help="Length of the training.")]
Batch = Annotated[int | None, typer.Option(min=1, help="Crops per step.")]
Rate = Annotated[float | None, typer.Option(min=0, help="Learning rate of the kernels.")]
FiveNumbers = partial(typer.Option, metavar="A,B,C,D,E")


@dataclass(frozen=True, kw_only=True)
class TrainOptions(options.DeviceOptions):
    """The pictures, the random numbers and the machine of a training."""

    data: Data
    seed: Annotated[int, typer.Option(min=0, help="Decides all random numbers.")] = 0
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint, exactly.")] = False
    quiet: options.Quiet = False


@dataclass(frozen=True)
class TermOptions:
    """The weights of an autoencoder's loss."""

    cycle: Annotated[float | None, typer.Option(min=0, help="Weight of the feature error.")] = None
    reconstruction: Annotated[float | None, typer.Option(min=0, help="Weight of the image error.")] = None


@dataclass(frozen=True)
class NoteOptions:
    """Remarks on the origin of the weights."""

    note: Annotated[list[str] | None, typer.Option(metavar="KEY=TEXT", help="Provenance for the header.")] = (
        None
    )

    def as_header(self) -> dict[str, str]:
        """Return the pairs KEY=TEXT."""
        pairs = [item.partition("=") for item in self.note or ()]
        return {key: text for key, _, text in pairs}


@dataclass(frozen=True, kw_only=True)
class PackOptions(NoteOptions):
    """The weight file to write, and the pictures that it is measured on."""

    data: Data
    output: Annotated[Path, typer.Option("-o", "--output", help="Weight file to write.")]
    force: options.Force = False
    threads: options.Threads = None
    as_json: options.Json = False


@app.command()
@grouped
def encoder(
    folder: Folder,
    *,
    teacher: Annotated[
        Path, typer.Option(help="Safetensors of a full VGG-19, keys convB_I.weight and convB_I.bias.")
    ],
    steps: Steps = None,
    batch: Batch = None,
    crops: Annotated[int | None, typer.Option(min=32, help="Crops that the teacher sees.")] = None,
    widths: Annotated[str | None, FiveNumbers(help="Channels at relu1_1..relu5_1.")] = None,
    init: Annotated[Path | None, typer.Option(help="Folder of an earlier run to improve.")] = None,
    above: Annotated[
        int | None, typer.Option(min=1, max=4, help="Keep levels up to this one, train the deeper ones.")
    ] = None,
    level_weights: Annotated[
        str | None, FiveNumbers(help="Weights of the levels in the distillation.")
    ] = None,
    level_odds: Annotated[str | None, FiveNumbers(help="How often each level is decoded.")] = None,
    decoded: Annotated[int | None, typer.Option(min=1, help="Crops of a step that are also decoded.")] = None,
    terms: TermOptions,
    rate: Rate = None,
    training: TrainOptions,
) -> None:
    """Distil a narrow encoder from a full VGG-19, with decoders that keep it invertible.

    texsynth train encoder runs/lite --data pictures --teacher vgg19.safetensors
    """
    from texsynth.training.distillation import DistillationSettings
    from texsynth.training.encoder import EncoderRun, train_encoder

    _check_inputs(training.data, teacher, init)
    weights, odds = _numbers(level_weights, "--level-weights"), _numbers(level_odds, "--level-odds")
    channels = _numbers(widths, "--widths")
    flags = {
        "batch": batch,
        "decoded": decoded,
        **asdict(terms),
        "level_weights": weights,
        "level_odds": odds,
    }
    rest = {
        "steps": steps,
        "crops": crops,
        "widths": channels and tuple(map(int, channels)),
        "init": init,
        "above": above,
        "kernel_rate": rate,
    }
    loss = DistillationSettings(**given(flags))
    run = EncoderRun(training.data, teacher, folder, seed=training.seed, loss=loss, **given(rest))
    _train(partial(train_encoder, run), run.steps, training)


@app.command()
@grouped
def decoder(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="RUN", help="Folder of the run. Default with --model: MODEL-decoders."),
    ] = None,
    *,
    model: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="Begin a run with the encoder of this model.")
    ] = None,
    level: Annotated[
        list[int] | None,
        typer.Option(min=1, max=5, help="Level to decode from. Repeatable. Default: 1 to 4 in turn."),
    ] = None,
    photo: Annotated[bool, typer.Option("--photo", help="Train the photo decoder instead.")] = False,
    look: LookOptions,
    steps: Steps = None,
    epochs: Annotated[
        float | None, typer.Option(min=0.001, help="Length in passes over the pictures.")
    ] = None,
    batch: Batch = None,
    terms: TermOptions,
    rate: Rate = None,
    workers: Annotated[int | None, typer.Option(min=0, max=64, help="Processes that read pictures.")] = None,
    training: TrainOptions,
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
    flags = given({"batch": batch, **asdict(terms), "kernel_rate": rate, "workers": workers})
    if steps is not None or epochs is not None:
        flags |= {"steps": steps, "epochs": epochs and [epochs] * 5}
    settings = look_settings(DecoderSettings, look, flags)
    screen = Screen(training.quiet)
    if not folder:
        if not model:
            raise UsageError("give the folder of a run, or --model to begin one")
        folder = Path(f"{Path(model).name.removesuffix('.safetensors')}-decoders")
        screen.note(f"the run is in {folder}")
    _check_inputs(training.data)
    if not (model or (folder / "encoder.safetensors").exists()):
        raise InputError(f"there is no encoder in {folder}; give --model to begin with that of a model")
    from texsynth.training.decoder import PHOTO, plan, train_decoder, unfinished
    from texsynth.training.optimizer import autocast_for, check_muon
    from texsynth.training.run_folder import begin_from_model

    check_muon(settings.optimizer)
    autocast_for(_device(training), settings.precision)
    if model:
        begin_from_model(folder, model)
    runs = plan(folder, training.data, [PHOTO] if photo else level or [], settings, training.seed)
    left = unfinished(runs, training.resume)
    for run in runs:
        if run in left:
            begun = training.resume and run.checkpoint.exists()
            _train(partial(train_decoder, run), run.steps, replace(training, resume=begun))
        else:
            screen.note(f"{run.name} is finished already")


@app.command()
@grouped
def pack(
    folder: Folder,
    *,
    measure: Annotated[
        bool, typer.Option("--measure", help="Also measure the model on held-out pictures.")
    ] = False,
    teacher: Annotated[
        Path | None, typer.Option(help="Measure, and compare the features with this VGG-19's.")
    ] = None,
    keep_encoder: Annotated[
        bool, typer.Option("--keep-encoder", help="Leave the unit of the features as it is.")
    ] = False,
    decoders_only: Annotated[
        bool, typer.Option("--decoders-only", help="Leave the encoder out, and its features as they are.")
    ] = False,
    packing: PackOptions,
) -> None:
    """Join encoder and decoders of a run into one model file, and print held-out figures.

    Features are given a mean of one, unless the encoder is that of a model (--model) or to be kept.

    texsynth train pack runs/lite --data pictures --teacher vgg19.safetensors -o lite.safetensors
    """
    from texsynth.training.pack import pack as pack_run

    _check_inputs(packing.data, teacher)
    _check_output(packing.output, packing.force)
    _device(options.DeviceOptions("cpu", packing.threads))
    table = pack_run(
        folder,
        packing.data,
        packing.output,
        teacher,
        packing.as_header(),
        measure=measure,
        keep_encoder=keep_encoder,
        decoders_only=decoders_only,
    )
    screen = Screen(as_json=packing.as_json)
    for name, values in table.items():
        line = "  ".join(f"{key}: {value:.4g}" for key, value in values.items())
        screen.result(f"{name:24} {line}", measure=name, **values)


@app.command()
@grouped
def transposer(
    folder: Folder,
    *,
    look: LookOptions,
    steps: Steps = None,
    batch: Batch = None,
    rate: Rate = None,
    init: Annotated[Path | None, typer.Option(help="Network of an earlier run to go on from.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Model whose features the losses see. Default: lite.")
    ] = None,
    training: TrainOptions,
) -> None:
    """Train a Transposer on random crops of textures and on procedural ones.

    texsynth train transposer runs/tr --data textures -p transposer-lite-wasserstein
    """
    from texsynth.config.settings import TransposerSettings

    settings = look_settings(TransposerSettings, look, given({"batch": batch, "kernel_rate": rate}))
    _check_inputs(training.data, init)
    from texsynth.training.transposer import TransposerRun, train_transposer

    rest = given({"steps": steps, "init": init, "features": model})
    run = TransposerRun(training.data, folder, settings, seed=training.seed, **rest)
    _train(partial(train_transposer, run), run.steps, training)


@app.command()
@grouped
def compare(
    networks: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Run folders or weight files of Transposers.")
    ],
    *,
    data: Data,
    side: Annotated[int, typer.Option(min=16, help="Side of the exemplars in pixels.")] = 128,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Also write the table as JSON.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides all random numbers.")] = 0,
    force: options.Force = False,
    threads: options.Threads = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Compare trained Transposers on held-out textures: SSIM to the truth and Frechet distance of features.

    texsynth train compare runs/own-gram runs/own-wasserstein runs/lite-gram --data textures
    """
    import json

    from texsynth.pipelines.progress import Step
    from texsynth.training.transposer_compare import compare as compare_networks

    _check_inputs(data)
    _check_output(output, force)
    _device(options.DeviceOptions("cpu", threads))
    screen = Screen(quiet, as_json=as_json)
    with screen.progress(1) as bar:
        bar.picture("expanding")

        def on_picture(done: int, total: int) -> None:
            bar.step(Step("expanding", done, total))

        scores = compare_networks(networks, data, side=side, seed=seed, on_picture=on_picture)
    if output:
        table = json.dumps([asdict(score) for score in scores], indent=1)
        store(f"{table}\n".encode(), output, force=force)
    _show(screen, scores)


@app.command()
@grouped
def pack_transposer(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the run, or its network.")],
    *,
    packing: PackOptions,
) -> None:
    """Write a trained Transposer as float16 with its provenance, and print held-out figures.

    texsynth train pack-transposer runs/tr --data textures -o transposer.safetensors
    """
    from texsynth.training.transposer_compare import pack_transposer as pack_run

    _check_inputs(packing.data, folder)
    _check_output(packing.output, packing.force)
    _device(options.DeviceOptions("cpu", packing.threads))
    scores = pack_run(folder, packing.data, packing.output, packing.as_header())
    _show(Screen(as_json=packing.as_json), scores)


@app.command()
@grouped
def descriptor(
    folder: Folder,
    *,
    look: LookOptions,
    steps: Steps = None,
    batch: Annotated[int | None, typer.Option(min=2, help="Textures per step.")] = None,
    rate: Annotated[float | None, typer.Option(min=0, help="Learning rate.")] = None,
    turn: Annotated[
        bool | None, typer.Option("--turn/--no-turn", help="Also turn crops by multiples of 90 degrees.")
    ] = None,
    model: Annotated[str, typer.Option(help="Model whose features are read.")] = "lite",
    notes: NoteOptions,
    training: TrainOptions,
) -> None:
    """Train the descriptor of textures that `match` and `describe` use.

    Two crops of one picture are to be nearer to each other than to crops of all others.

    texsynth train descriptor runs/descriptor --data textures
    """
    from texsynth.config.training import DescriptorSettings

    flags = given({"steps": steps, "batch": batch, "rate": rate, "rotate": turn})
    settings = look_settings(DescriptorSettings, look, flags)
    _check_inputs(training.data)
    from texsynth.training.descriptor import DescriptorRun, train_descriptor

    run = DescriptorRun(training.data, folder, settings, training.seed, model, notes.as_header())
    _train(partial(train_descriptor, run), settings.steps, training)


def _train(train: Callable[[Session], Path], steps: int, training: TrainOptions) -> None:
    """Train with a progress bar, and print the file that was written."""
    from texsynth.training.loop import Session

    screen = Screen(training.quiet)
    with _progress(screen, steps) as on_step:
        result = train(Session(_device(training), training.resume, screen.note, on_step))
    screen.result(str(result))


def _device(machine: options.DeviceOptions) -> torch.device:
    """Set the threads and pick the device."""
    from texsynth.device import pick_device, set_threads

    set_threads(machine.threads)
    return pick_device(machine.device or "auto")


@contextmanager
def _progress(screen: Screen, total: int) -> Iterator[OnStep]:
    """Show a bar with the smoothed losses; without a terminal a line now and then."""
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


def _numbers(text: str | None, option: str) -> tuple[float, ...] | None:
    """Read the five numbers of an option's value `a,b,c,d,e`. Raises UsageError."""
    if text is None:
        return None
    words = [word.strip() for word in text.split(",")]
    if len(words) != 5 or not all(word.replace(".", "", 1).isdecimal() for word in words):
        raise UsageError(f"{option} {text!r} must be 5 numbers with commas between them")
    return tuple(map(float, words))


def _check_inputs(*paths: Path | None) -> None:
    """Raise InputError for a path that does not exist."""
    for path in paths:
        if path and not path.exists():
            raise InputError(f"{path} does not exist")


def _check_output(output: Path | None, force: bool) -> None:
    """Raise OutputExistsError for a file that must not be replaced."""
    if output and output.exists() and not force:
        raise taken(output)


def _show(screen: Screen, scores: Sequence[Score]) -> None:
    first, width = scores[0], max(len(score.name) for score in scores)
    if not screen.as_json:
        screen.result(
            f"{first.pictures} held-out textures; "
            f"Frechet distance of {first.layer} at {first.positions} positions"
        )
        screen.result(f"{'network':{width}}  encoder  loss         steps   SSIM  outside  Frechet  of each")
    for s in scores:
        figures = f"{s.ssim:.3f}    {s.ssim_outside:.3f}   {s.frechet:.4f}   {s.frechet_single:.4f}"
        screen.result(f"{s.name:{width}}  {s.encoder:7}  {s.loss:11} {s.steps:6}  {figures}", **asdict(s))
