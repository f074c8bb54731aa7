"""Operations that fail, or kill their worker; here, for workers must be able to import them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from texsynth.config.settings import RunSettings
from texsynth.errors import InputError, ModelError
from texsynth.jobs.files import JobResult
from texsynth.jobs.inputs import Input, InputJob, Job
from texsynth.jobs.operation import Operation


def job(name: str) -> Job:
    return InputJob(Input(Path(name), name), Path(f"{name}.png"))


class Deadly(Operation[Job]):
    """Job `once` kills its first worker, `always` every one; `bad` fails, `bug` has a bug."""

    def __init__(self, folder: Path, *, refused: bool = False) -> None:
        self.run, self.folder, self.refused = RunSettings(), folder, refused

    def prepare(self, note: Callable[[str], None]) -> None:
        if self.refused:
            raise ModelError("no such model")
        note("a remark")

    def load(self, job: Job) -> str | None:
        return None if job.picture.key == "skip" else job.picture.key

    def compute(self, job: Job, loaded: Any, on_step: object) -> JobResult:  # noqa: ANN401 (as in Operation)
        del on_step
        marker = self.folder / loaded
        if loaded == "always" or (loaded == "once" and not marker.exists()):
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if loaded == "bad":
            raise InputError(f"{job.picture} is bad")
        if loaded == "bug":
            raise UnsendableError(lambda: None)
        assert job.picture.key == loaded
        return JobResult(size=(len(loaded), 1))


class Raising(Operation[Job]):
    """Raises the error for the key of a job in one stage: load or compute."""

    def __init__(self, errors: dict[str, BaseException], stage: str) -> None:
        self.run, self.errors, self.stage = RunSettings(), errors, stage

    def load(self, job: Job) -> str:
        self._raise(job, "load")
        return job.picture.key

    def compute(self, job: Job, loaded: object, on_step: object) -> JobResult:
        del loaded, on_step
        self._raise(job, "compute")
        return JobResult(size=(1, 1))

    def _raise(self, job: Job, stage: str) -> None:
        if stage == self.stage and job.picture.key in self.errors:
            raise self.errors[job.picture.key]


class UnsendableError(Exception):
    """An error that cannot be pickled."""


def tell_environment(connection: Connection) -> None:
    """Send the environment of this process, as the work of a worker."""
    connection.send(dict(os.environ))
