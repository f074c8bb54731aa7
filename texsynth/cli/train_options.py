"""What the training commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from texsynth.cli.show import Screen
from texsynth.errors import InputError, UsageError

if TYPE_CHECKING:
    import torch

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
