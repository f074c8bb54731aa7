"""What trainings on the command line share, and the one of decoders on stylised pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from texsynth.cli.options import LookOptions
from texsynth.cli.run import given, look_settings
from texsynth.cli.show import Screen
from texsynth.cli.train_options import AutoencoderOptions, LengthOptions, StylisedOptions, TrainOptions
from texsynth.config.training import StylisedSettings
from texsynth.errors import UsageError
from texsynth.jobs.checks import check_writable
from texsynth.pipelines.progress import Step

if TYPE_CHECKING:
    from texsynth.training.loop import Session

R = TypeVar("R")


def run_folder(folder: Path | None, model: str | None, kind: str, screen: Screen) -> Path:
    """Return the folder of a run, or one named after its model. Raises UsageError without either."""
    if folder:
        check_run_folder(folder)
        return folder
    if not model:
        raise UsageError("give the folder of a run, or --model to begin one")
    folder = Path(f"{Path(model).name.removesuffix('.safetensors')}-{kind}")
    check_run_folder(folder)
    screen.note(f"the run is in {folder}")
    return folder


def check_run_folder(folder: Path) -> None:
    """OutputError when no run can be kept in `folder`, which need not exist yet."""
    check_writable(folder / "step.csv", force=True)


def train_on_screen(train: Callable[[R, Session], Path], run: R, steps: int, training: LengthOptions) -> Path:
    """Train with a bar and smoothed losses, or a line now and then; print and return the file written."""
    from texsynth.training.loop import Session

    screen, smooth = Screen(training.quiet), dict[str, float]()
    with screen.progress(1) as bar:
        bar.picture("training")

        def on_step(done: int, terms: Mapping[str, float]) -> None:
            for name, value in terms.items():
                smooth[name] = value + 0.95 * (smooth.get(name, value) - value)
            text = "  ".join(f"{name} {value:.4f}" for name, value in smooth.items())
            bar.rename(text)
            bar.step(Step(f"step {done}", done, steps))
            if done % 50 == 0 or done == steps:
                screen.note(f"{done}/{steps}  {text}")

        result = train(run, Session(training.pick_device(), training.resume, screen.note, on_step))
    screen.written(str(result))
    return result


def train_on_stylised(
    folder: Path | None,
    training: TrainOptions,
    model: str | None,
    own: StylisedOptions,
    look: LookOptions,
    terms: AutoencoderOptions,
    others: Mapping[str, Any],
    *,
    photo: bool,
) -> None:
    """Train all decoders of a run together, or its photo decoder. others: options of other trainings only."""
    if photo:
        others = {**others, **given({"cycle": terms.cycle})}
    for name in others:
        what = "the photo decoder on pictures alone" if photo else "the decoders of levels 1 to 4 together"
        raise UsageError(f"--{name} does not go with --stylised{photo * ' --photo'}, which trains {what}")
    if not own.teacher:
        raise UsageError("--stylised needs --teacher, the file of a full VGG-19 that judges the pictures")
    renamed = {"kernel_rate": "rate"}
    flags = {
        renamed.get(name, name): value
        for name, value in given({**vars(terms), "steps": training.steps}).items()
    }
    # What suits four decoders would break this one.
    look = replace(look, preset=look.preset or "cascade-photo") if photo else look
    settings = look_settings(StylisedSettings, look, flags)
    folder = run_folder(folder, model, "stylised", Screen(training.quiet))
    training.check_inputs(own.teacher, own.styles)
    from texsynth.training.checkpoint import begin_from_model, check_fresh, check_origin
    from texsynth.training.style_judge import load_judge
    from texsynth.training.stylised import plan_stylised, train_stylised

    load_judge(own.teacher)
    if model:
        begin_from_model(folder, model, decoders=True)
    run = plan_stylised(
        folder, training.data, own.styles or training.data, own.teacher, settings, training.seed, photo=photo
    )
    check_fresh(run.checkpoint, training.resume)
    if training.resume:
        check_origin(run.checkpoint, run.origin)
    if run.is_finished():
        Screen(training.quiet).note(f"{folder} is finished already")
        return
    train_on_screen(train_stylised, run, settings.steps, training)
