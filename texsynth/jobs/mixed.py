"""Jobs of several commands in one run."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from texsynth.config.records import Record
from texsynth.config.settings import RunSettings
from texsynth.jobs.expand import Expand
from texsynth.jobs.expand_inputs import ExpandJob
from texsynth.jobs.files import JobResult
from texsynth.jobs.inputs import Job
from texsynth.jobs.map_inputs import MapsJob
from texsynth.jobs.maps import EstimateMaps
from texsynth.jobs.memory import MemoryEstimate
from texsynth.jobs.operation import Operation
from texsynth.jobs.stylize import Stylize
from texsynth.jobs.tileset import MakeTileset
from texsynth.jobs.tileset_inputs import TilesetJob
from texsynth.pipelines.progress import OnStep

OPERATIONS: tuple[type[Any], ...] = (EstimateMaps, MakeTileset, Expand, Stylize)


def _kind(job: Job) -> type[Operation[Any]]:
    """Return the operation that does `job`."""
    kinds: dict[type[Job], type[Operation[Any]]]
    kinds = {ExpandJob: Expand, MapsJob: EstimateMaps, TilesetJob: MakeTileset}
    return next((kind for job_type, kind in kinds.items() if isinstance(job, job_type)), Stylize)


class Mixed(Operation[Job]):
    """Leaves every job to the operation for its kind."""

    def __init__(self, run: RunSettings, jobs: Sequence[Job]) -> None:
        """jobs: at least one; only the operations that they need are prepared."""
        self.run = run
        kinds: set[Any] = {_kind(job) for job in jobs}
        # Those with a network last, which decide on the device.
        self._operations: dict[type[Operation[Any]], Operation[Any]] = {
            kind: kind(run) for kind in OPERATIONS if kind in kinds
        }

    def load_networks(self) -> None:
        """Load those of every operation."""
        for operation in self._operations.values():
            operation.load_networks()

    def prepare(self, note: Callable[[str], None]) -> None:
        """Prepare every operation."""
        for operation in self._operations.values():
            operation.run = self.run
            operation.prepare(note)
        self.run = operation.run

    def records(self, job: Job) -> Sequence[tuple[Path, Record]]:
        """Say which files `job` writes and what each will carry."""
        return self._of(job).records(job)

    def load(self, job: Job) -> Any:  # noqa: ANN401 (as in Operation)
        """Read the files of `job`."""
        return self._of(job).load(job)

    def compute(self, job: Job, loaded: Any, on_step: OnStep) -> JobResult:  # noqa: ANN401 (as in Operation)
        """Work on what `load` gave."""
        return self._of(job).compute(job, loaded, on_step)

    def estimate(self, job: Job) -> MemoryEstimate | None:
        """Ask the operation of `job`."""
        return self._of(job).estimate(job)

    def _of(self, job: Job) -> Operation[Any]:
        return self._operations[_kind(job)]
