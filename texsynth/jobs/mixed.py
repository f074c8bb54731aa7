"""Jobs of several commands in one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from texsynth.config.records import Record
from texsynth.config.settings import RunSettings
from texsynth.jobs.expand import Expand
from texsynth.jobs.expand_inputs import ExpandJob
from texsynth.jobs.files import JobResult
from texsynth.jobs.inputs import Job
from texsynth.jobs.memory import MemoryEstimate
from texsynth.jobs.operation import Operation
from texsynth.jobs.stylize import Stylize
from texsynth.pipelines.progress import OnStep


class Mixed(Operation[Job]):
    """Leaves every job to the operation for its kind."""

    def __init__(self, run: RunSettings, jobs: Sequence[Job]) -> None:
        """jobs: at least one; only the operations that they need are prepared."""
        needed = dict.fromkeys(_operation_of(job) for job in jobs)
        self._operations: dict[type[Operation[Any]], Operation[Any]] = {kind: kind(run) for kind in needed}

    @property
    def run(self) -> RunSettings:
        """The settings of the run, the same for all."""
        return next(iter(self._operations.values())).run

    @run.setter
    def run(self, run: RunSettings) -> None:
        for operation in self._operations.values():
            operation.run = run

    def load_networks(self) -> None:
        """Load those of every operation."""
        for operation in self._operations.values():
            operation.load_networks()

    def prepare(self, note: Callable[[str], None]) -> None:
        """Prepare every operation."""
        for operation in self._operations.values():
            operation.prepare(note)

    def records(self, job: Job) -> Sequence[tuple[Path, Record]]:
        """Say which files `job` writes and what each will carry."""
        return self._operations[_operation_of(job)].records(job)

    def load(self, job: Job) -> Any:  # noqa: ANN401 (as in Operation)
        """Read the files of `job`."""
        return self._operations[_operation_of(job)].load(job)

    def compute(self, job: Job, loaded: Any, on_step: OnStep) -> JobResult:  # noqa: ANN401 (as in Operation)
        """Work on what `load` gave."""
        return self._operations[_operation_of(job)].compute(job, loaded, on_step)

    def estimate(self, job: Job) -> MemoryEstimate | None:
        """Ask the operation of `job`."""
        return self._operations[_operation_of(job)].estimate(job)


def _operation_of(job: Job) -> type[Expand | Stylize]:
    return Expand if isinstance(job, ExpandJob) else Stylize
