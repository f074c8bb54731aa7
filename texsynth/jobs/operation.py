"""A command on many files is one object: the command line, workers, replay and Python run the same."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic

import texsynth
from texsynth.config.records import Record
from texsynth.config.settings import RunSettings
from texsynth.errors import InputError, UsageError
from texsynth.jobs.files import JobResult
from texsynth.jobs.inputs import J
from texsynth.jobs.memory import MemoryEstimate
from texsynth.pipelines.progress import OnStep

if TYPE_CHECKING:
    import torch

    from texsynth.models.registry import Model


class Operation(ABC, Generic[J]):
    """A command on many files.

    It can be pickled until `prepare` is called. `load` and `records` may be called by another thread than
    `compute`, one job at a time each.
    """

    run: RunSettings  # With every `auto` decided once `prepare` has been called

    def load_networks(self) -> None:
        """Load what `estimate` needs. Raises TexsynthError."""

    def prepare(self, note: Callable[[str], None]) -> None:
        """Choose the device and load networks. note: told about oddities. Raises TexsynthError."""

    def records(self, job: J) -> Sequence[tuple[Path, Record]]:
        """Say which files `job` writes and what each will carry; empty when it writes none."""
        del job
        return ()

    @abstractmethod
    def load(self, job: J) -> Any:  # noqa: ANN401 (each operation has its own)
        """Read the files of `job`. Raises TexsynthError."""

    @abstractmethod
    def compute(self, job: J, loaded: Any, on_step: OnStep) -> JobResult:  # noqa: ANN401 (as above)
        """Work on what `load` gave. Raises TexsynthError."""

    def estimate(self, job: J) -> MemoryEstimate | None:
        """Estimate the memory of a job after `load_networks`; None where that is not known."""
        del job
        return None

    @property
    def detail(self) -> str:
        """A line about the machine, for --verbose."""
        through = "" if self.run.backend == "torch" else f" through {self.run.backend}"
        return f"model {self.run.model} on {self.run.device} in {self.run.dtype}{through}"


def resolve_run(run: RunSettings) -> tuple[RunSettings, torch.device, torch.dtype]:
    """Decide every `auto` of `run` and set the number of threads."""
    from texsynth.device import pick_device, pick_dtype, set_threads

    device = pick_device(run.device)
    dtype = pick_dtype(run.dtype, device)
    decided = {
        "device": str(device),
        "dtype": str(dtype).removeprefix("torch."),
        "threads": set_threads(run.threads),
    }
    return run.model_copy(update=decided), device, dtype


def run_on(run: RunSettings, model: Model) -> RunSettings:
    """Return `run` on the device, in the number type and through the backend of a loaded model."""
    dtype = str(model.dtype).removeprefix("torch.")
    known = {"model": model.name, "device": str(model.device), "dtype": dtype, "backend": model.backend}
    return run.model_copy(update=known)


def resolve_run_and_model(run: RunSettings, model: Model | None = None) -> tuple[RunSettings, Model]:
    """Decide every `auto` of `run` and load its model. Raises UsageError, ModelError.

    model: one that is loaded already, which decides on the device and the number type.
    """
    if model is not None:
        return resolve_run(run_on(run, model))[0], model
    from texsynth.models.hub.catalog import cache_folder
    from texsynth.models.registry import compile_networks, load_model

    run, device, dtype = resolve_run(run)
    model = load_model(run.model, device, dtype)
    if run.backend == "openvino":
        from texsynth.models.openvino import through_openvino

        if run.compiled:
            raise UsageError("--compile is for --backend torch; leave one of the two out")
        model = through_openvino(model)
    if run.compiled:
        compile_networks(model, cache_folder() / "compiled")
    return run, model


def refuse_other_weights(recorded: str | None, loaded: str, name: str) -> None:
    """Raise InputError when the weights are not those of a record. recorded: None where there is none."""
    if recorded not in (None, loaded):
        raise InputError(
            f"the result was made with other weights of {name} ({recorded[:8]}…, here {loaded[:8]}…), so it "
            f"cannot be made again; make a new one with texsynth stylize or blend"
        )


def other_version(recorded: str) -> list[str]:
    """Return a remark when a record is of another version, whose pieces lie elsewhere."""
    if recorded == texsynth.__version__:
        return []
    return [f"the result was made by texsynth {recorded}; expect another picture of the same texture"]


def other_weights(recorded: str | None, loaded: str | None, name: str) -> list[str]:
    """Return a remark when the weights are not those of a record. recorded: None where there is none."""
    if recorded in (None, loaded):
        return []
    return [f"the result was made with other weights of {name}; expect a different picture"]
