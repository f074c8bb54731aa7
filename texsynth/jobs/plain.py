"""Operations that need no network: all is computed on the CPU."""

from collections.abc import Callable
from pathlib import Path

import torch

import texsynth
from texsynth.config.records import Record, Versions
from texsynth.config.settings import RunSettings
from texsynth.images import Picture
from texsynth.jobs.files import OutputFile
from texsynth.jobs.inputs import J
from texsynth.jobs.operation import Operation, resolve_run
from texsynth.jobs.recorded import record_text


class PlainOperation(Operation[J]):
    """A command of which only threads, seed and the form of files can be chosen."""

    def __init__(self, run: RunSettings) -> None:
        """run: its device and number type do not count."""
        self.run = _on_cpu(run)

    def prepare(self, note: Callable[[str], None]) -> None:
        """Set the number of threads."""
        del note
        self.run = resolve_run(_on_cpu(self.run))[0]

    @property
    def detail(self) -> str:
        """A line about the machine."""
        return f"on the CPU, with {self.run.threads} threads"

    @property
    def recorded_run(self) -> RunSettings:
        """What a record holds of `run`."""
        return self.run.model_copy(update={"memory_limit": None})


def versions() -> Versions:
    """Return the versions that a record holds."""
    return Versions(texsynth=texsynth.__version__, torch=torch.__version__)


def recorded_file(picture: Picture, path: Path, record: Record) -> OutputFile:
    """Make the file of a picture that carries its record."""
    return OutputFile(picture, path, record_text(record, path))


def _on_cpu(run: RunSettings) -> RunSettings:
    # A model that other jobs of a manifest use is none of these' business.
    plain = {"device": "cpu", "dtype": "float32", "model": RunSettings().model}
    return run.model_copy(update=plain)
