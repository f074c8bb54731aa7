"""Options that several trainings, and the measurements of their networks, share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from texsynth.cli import options
from texsynth.cli.options import option
from texsynth.errors import InputError
from texsynth.jobs.checks import check_outputs
from texsynth.paths import FOLDER, unreadable

if TYPE_CHECKING:
    import torch

Seed = Annotated[int, Option("--seed", min=0, help="Decides all random numbers.")]
Notes = Annotated[list[str] | None, Option("--note", metavar="KEY=TEXT", help="Provenance for the header.")]
FIVE = "A,B,C,D,E"


def check_inputs(*paths: Path | None) -> None:
    """Raise InputError for a path, of a file or a folder, where nothing can be read."""
    for path in filter(None, paths):
        reason = unreadable(path)
        if reason and reason != FOLDER:
            raise InputError(f"{path} {reason}")


@dataclass(frozen=True)
class DataOptions:
    """The pictures of a training or of a comparison."""

    data: Path = option(..., "--data", help="Folder with training pictures; 10% by name are held out.")

    def check_inputs(self, *others: Path | None) -> None:
        """Raise InputError for a path where nothing can be read."""
        check_inputs(self.data, *others)


@dataclass(frozen=True)
class LengthOptions(options.DeviceOptions):
    """The length, the random numbers and the machine of a training."""

    steps: int | None = option(None, min=1, help="Length of the training.")
    seed: Seed = 0
    resume: bool = option(False, help="Go on from the last checkpoint, exactly.")
    quiet: options.Quiet = False

    def pick_device(self) -> torch.device:
        """Set the threads and pick the device."""
        from texsynth.device import pick_device, set_threads

        set_threads(self.threads)
        return pick_device(self.device or "auto")


@dataclass(frozen=True)
class TrainOptions(DataOptions, LengthOptions):
    """The pictures, and the rest of a training."""


@dataclass(frozen=True)
class AutoencoderOptions:
    """Settings of the kernels and of the loss of an autoencoder, by the names that they have in a preset."""

    batch: int | None = option(None, min=1, help="Crops per step.")
    kernel_rate: float | None = option(None, "--rate", min=0, help="Learning rate of the kernels.")
    cycle: float | None = option(None, min=0, help="Weight of the feature error.")
    reconstruction: float | None = option(None, min=0, help="Weight of the image error.")


@dataclass(frozen=True)
class StylisedOptions:
    """What training on stylised pictures needs besides contents."""

    stylised: bool = option(False, help="Train on pictures stylised through levels 1 to 4, or with --photo.")
    styles: Path | None = option(None, help="Folder with styles for --stylised. Default: that of --data.")
    teacher: Path | None = option(None, help="File of a full VGG-19 that judges the pictures of --stylised.")


@dataclass(frozen=True)
class EncoderOptions(AutoencoderOptions):
    """Settings of an encoder, by the names that they have in an EncoderRun."""

    teacher: Path = option(..., help="Safetensors of a full VGG-19, keys convB_I.weight and .bias.")
    crops: int | None = option(None, min=32, help="Crops that the teacher sees.")
    widths: str | None = option(None, metavar=FIVE, help="Channels at relu1_1..relu5_1.")
    init: Path | None = option(None, help="Folder of an earlier run to improve.")
    above: int | None = option(None, min=1, max=4, help="Keep levels up to this one, train the deeper ones.")
    level_weights: str | None = option(None, metavar=FIVE, help="Weights of the levels in distillation.")
    level_odds: str | None = option(None, metavar=FIVE, help="How often each level is decoded.")
    decoded: int | None = option(None, min=1, help="Crops of a step that are also decoded.")


@dataclass(frozen=True)
class MeasureOptions(DataOptions):
    """The pictures that networks are measured on, the table and the file that are written."""

    force: options.Force = False
    threads: options.Threads = None
    as_json: options.Json = False

    def begin(self, output: Path | None, *inputs: Path | None) -> None:
        """Check the files and set the threads. Raises InputError and OutputExistsError."""
        from texsynth.device import set_threads

        self.check_inputs(*inputs)
        check_outputs((), force=self.force, also=[output] if output else [])
        set_threads(self.threads)


@dataclass(frozen=True)
class PackOptions(MeasureOptions):
    """The weight file that is written, and what it is measured on."""

    output: Path = option(..., "-o", "--output", help="Weight file to write.")
    note: Notes = None
