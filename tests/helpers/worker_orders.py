"""Orders for workers that die; in a module of their own, for workers must be able to import them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from texsynth.errors import InputError, ModelError
from texsynth.jobs.inputs import Input, Job
from texsynth.jobs.outcomes import Stages, Written
from texsynth.pipelines.progress import OnStep


def job(name: str) -> Job:
    return Job(Input(Path(name), name), Path(f"{name}.png"))


@dataclass(frozen=True)
class DeadlyOrder:
    """Job `once` kills its first worker, `always` every one; `bad` fails, `bug` has a bug."""

    folder: Path
    refused: bool = False

    def begin(self, note: Callable[[str], None]) -> Stages[Job]:
        if self.refused:
            raise ModelError("no such model")
        note("a remark")
        return Stages(lambda job: None if job.picture.key == "skip" else job.picture.key, self.make, write)

    def make(self, item: Job, found: str, on_step: OnStep) -> str:
        del on_step
        marker = self.folder / found
        if found == "always" or (found == "once" and not marker.exists()):
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if found == "bad":
            raise InputError(f"{item.picture} is bad")
        if found == "bug":
            raise UnsendableError(lambda: None)
        return found


class UnsendableError(Exception):
    """An error that cannot be pickled."""


def write(item: Job, made: str) -> Written:
    assert item.picture.key == made
    return Written(len(made), 1)
