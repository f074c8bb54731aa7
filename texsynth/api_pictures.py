"""Pictures of callers, and how the functions on them do a job."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
from PIL.Image import Image

from texsynth.api_options import ImageLike
from texsynth.config.settings import RunSettings
from texsynth.errors import UsageError
from texsynth.images import Metadata, Picture, metadata
from texsynth.images.metadata import metadata_of
from texsynth.images.tensors import from_memory, to_pil
from texsynth.jobs.files import JobResult
from texsynth.jobs.inputs import Input, Job
from texsynth.jobs.operation import Operation
from texsynth.pipelines.progress import OnStep, silent

log = logging.getLogger("texsynth")  # Warnings about pictures go here; nothing is printed
log.addHandler(logging.NullHandler())


@dataclass(frozen=True)
class UserPicture:
    """A picture that went in, and what turns results into its kind."""

    input: Input
    _back: Callable[[Picture], Any]
    _metadata: Callable[[], Metadata | None] = lambda: None

    @classmethod
    def of(cls, image: ImageLike, role: str, name: str | None = None) -> Self:
        """role: what messages call a picture in memory; no other one of a call has it."""
        if isinstance(image, str | os.PathLike):
            path = Path(image)
            return cls(Input(path, name or path.name), to_pil, partial(metadata, path))
        picture, back = from_memory(image, role)
        kept = partial(metadata_of, image) if isinstance(image, Image) else lambda: None
        return cls(Input(Path(f"the {role}"), name or "image", picture=picture), back, kept)

    def back(self, result: Picture, run: RunSettings) -> Any:  # noqa: ANN401 (of the kind that went in)
        """Return a result as the kind that went in; a PIL image says beside its pixels what that one said."""
        values = self._back(result)
        if isinstance(values, Image) and not run.strip and (kept := self._metadata()):
            values.info.update(kept.info)
        return values


@contextmanager
def usual_torch() -> Iterator[None]:
    """Let tensors begin on the CPU in their own type, whatever default device or autocast the caller has set.

    Raises UsageError for another default dtype, which cannot be changed for one thread alone.
    """
    if (dtype := torch.get_default_dtype()) != torch.float32:
        raise UsageError(f"torch's default dtype is {dtype}; use torch.set_default_dtype(torch.float32)")
    is_usual = torch.get_default_device().type == "cpu"  # What changes it makes each call of torch slower
    with ExitStack() as usual:
        if not is_usual:
            usual.enter_context(torch.device("cpu"))
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                usual.enter_context(torch.autocast(kind, enabled=False))
        yield


def prepare(operation: Operation[Any]) -> None:
    """Load what the jobs of an operation share. Raises UsageError, ModelError."""
    with usual_torch():
        operation.prepare(log.warning)


def do_job(operation: Operation[Any], job: Job, progress: OnStep | None) -> JobResult:
    """Do one job of a prepared operation, and log what is remarkable about it."""
    with usual_torch():
        result = operation.compute(job, operation.load(job), progress or silent)
    for warning in result.warnings:
        log.warning("%s: %s", job.picture, warning)
    return result
