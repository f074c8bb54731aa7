"""Everything that a training changes, and the file from which a killed one goes on exactly."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim.swa_utils import AveragedModel

from texsynth.config.training import RENAMED
from texsynth.errors import InputError, UsageError
from texsynth.images.files import placed
from texsynth.models.autoencoder import Decoder
from texsynth.models.registry import load_model
from texsynth.models.weights import MISFITS, PARTS, part, prefixed, read_weights, write_exact
from texsynth.paths import exists, is_taken, unreadable
from texsynth.training import log
from texsynth.training.optimizer import Optimizer

if TYPE_CHECKING:
    from torch.distributed.checkpoint.stateful import Stateful


@dataclass(frozen=True)
class Learner:
    """A module in training, with all that changes along with it."""

    module: nn.Module
    optimizer: Optimizer
    rng: torch.Generator
    critic_state: Stateful | None = None  # A critic that the loss trains beside the module
    loader: Stateful | None = None
    """Source of the batches. Like the random numbers it is not taken back after a failure."""
    average: AveragedModel | None = None
    scaler: GradScaler | None = None

    @property
    def result(self) -> nn.Module:
        """The module that the training is for: the averaged one, where there is an average."""
        return self.average.module if self.average else self.module

    def is_finite(self) -> bool:
        """Tell whether all weights and running statistics are finite, averaged ones too."""
        modules = {self.module, self.result}
        return all(bool(v.isfinite().all()) for module in modules for v in module.state_dict().values())

    def state(self) -> dict[str, Any]:
        """Return the states of all parts by name."""
        states = {name: part.state_dict() for name, part in self._parts().items()}
        return {**states, "rng": self.rng.get_state()}

    def restore(self, state: Mapping[str, Any], *, random_numbers: bool) -> None:
        """Go back to `state`. random_numbers: restore these, too, and the place in the data."""
        for name, owner in self._parts().items():
            if random_numbers or name != "loader":
                owner.load_state_dict(state[name])
        if random_numbers:
            self.rng.set_state(state["rng"])

    def _parts(self) -> dict[str, Any]:
        names = ("module", "optimizer", "critic_state", "loader", "average", "scaler")
        return {name: part for name in names if (part := getattr(self, name)) is not None}


def running_average(module: nn.Module, decay: float) -> AveragedModel:
    """Start an exponential average of the weights of `module` (Polyak averaging).

    After update t = 0, 1, ... it is d * average + (1 - d) * weights with d = min(decay, (1 + t) / (10 + t)):
    early on it looks back over a tenth of the steps, so that the start is soon forgotten.
    """

    def follow(average: Tensor, weight: Tensor, count: Tensor | int) -> Tensor:
        return average.lerp(weight, 1 - min(decay, int(count) / (int(count) + 9)))

    average = AveragedModel(module, avg_fn=follow)
    # The weights at the start count as the first of the average, or it would begin with those after a step.
    average.n_averaged.fill_(1)
    return average.eval().requires_grad_(False)


@dataclass(frozen=True)
class Checkpoint:
    """The file of a training, and its log."""

    path: Path
    learner: Learner
    origin: Mapping[str, str]
    """All that the result follows from; a checkpoint of another origin is not resumed."""

    @property
    def log(self) -> Path:
        """The log beside the file."""
        return self.path.with_suffix(".csv")

    def start(self, resume: bool) -> int:
        """Step to begin with; a fresh run is saved first, so that there always is a good state."""
        if resume:
            check_fresh(self.path, resume)
            check_origin(self.path, self.origin)
            return self.load()
        self.log.unlink(missing_ok=True)
        self.save(0)
        return 0

    def save(self, step: int) -> None:
        """Write the state after `step` steps, and draw the log."""
        with placed(self.path, force=True) as file:
            torch.save({**self.learner.state(), "step": step, "origin": dict(self.origin)}, file)
        log.draw(self.log)

    def load(self, *, random_numbers: bool = True) -> int:
        """Go back to the file; keep the present random numbers if False. Returns the step."""
        state = _read(self.path, mmap=False)
        self.learner.restore(state, random_numbers=random_numbers)
        step = int(state["step"])
        log.keep(self.log, step)
        return step


def check_fresh(path: Path, resume: bool) -> None:
    """Raise UsageError for a run that exists and is not resumed, InputError for one that does not exist."""
    if is_taken(path) and not resume:
        raise UsageError(f"{path} exists; add --resume to go on, or choose another run folder")
    if resume and not exists(path):
        raise InputError(f"there is no checkpoint {path} to resume from; start without --resume")


def steps_done(path: Path) -> int:
    """Steps behind the checkpoint in `path`. Raises InputError when it is damaged."""
    return int(_read(path)["step"])


def check_origin(path: Path, origin: Mapping[str, str]) -> None:
    """Raise UsageError, naming what differs, unless the checkpoint in `path` was made from `origin`."""
    stored = _read(path)["origin"]
    if not stored and origin:
        raise UsageError(f"{path} is of an earlier version and does not say its settings; begin another run")
    for name, value in origin.items():
        if stored.get(name) != value:
            raise UsageError(
                f"{path} was made with {name} {stored.get(name)}, not {value}; "
                "resume with the same settings, or begin another run"
            )


def _read(path: Path, *, mmap: bool = True) -> dict[str, Any]:
    """Read a checkpoint. mmap: leave the tensors on disk until they are needed."""
    if reason := unreadable(path):
        raise InputError(f"the checkpoint {path} {reason}; begin another run")
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, mmap=mmap)
        int(state["step"])
    except (UnpicklingError, BadZipFile, EOFError, OSError, *MISFITS) as error:
        raise InputError(f"checkpoint {path} cannot be read ({error}); begin another run") from error
    # Version 0.1 had other names.
    parts = {"companion": "critic_state", "feed": "loader"}
    state = {parts.get(name, name): value for name, value in state.items()}
    state["origin"] = {RENAMED.get(name, name): value for name, value in state.get("origin", {}).items()}
    if "updates" in (average := state.get("average", {})):
        weights = {f"module.{key}": value for key, value in average["module"].items()}
        state["average"] = {"n_averaged": torch.tensor(average["updates"] + 1), **weights}
    return state


ENCODER = "encoder.safetensors"
"""The encoder of a run. That of a model says so in its header: `model` and `sha256`."""


def begin_from_model(
    folder: Path, name: str, *, decoders: bool = False, without: Collection[int] = ()
) -> None:
    """Put the encoder of a model into `folder`. Raises ModelError; UsageError when another is there.

    decoders: put in its decoders, too, where the folder has none; those of the levels `without` stay out.
    """
    model, path = load_model(name), folder / ENCODER
    encoder = model.vgg().state_dict()
    origin = {"model": short_name(name), "sha256": model.sha256}
    if decoders:
        parts = {
            f"decoder{level}": decoder for level, decoder in model.decoders.items() if level not in without
        }
        for key, network in {**parts, "photo": model.photo}.items():
            if network is not None and not exists(file := folder / f"{key}.safetensors"):
                state = network.own_state() if isinstance(network, Decoder) else network.state_dict()
                write_exact(file, prefixed(key, state), origin)
    if not exists(path):
        write_exact(path, prefixed("encoder", encoder), origin)
        return
    stored = part(read_weights(path)[0], "encoder")
    if stored.keys() != encoder.keys() or not all(
        torch.equal(stored[k].float(), encoder[k]) for k in encoder
    ):
        raise UsageError(
            f"{path} is not the encoder of {name}; choose another run folder, or leave --model out"
        )


def short_name(model: str) -> str:
    """Name of a model in headers and folders, without the place of its file."""
    return Path(model).stem if model.endswith(".safetensors") else model


def origin_of(folder: Path) -> dict[str, str]:
    """Return `model` and `sha256` of the model that the run's encoder is of; nothing for one of its own."""
    path = folder / ENCODER
    header = read_weights(path)[1] if exists(path) else {}
    return {key: header[key] for key in ("model", "sha256") if key in header}


def headers(folder: Path) -> dict[str, dict[str, str]]:
    """Collect the headers of the files of a run, by the part of the model."""
    paths = {name: folder / f"{name}.safetensors" for name in PARTS}
    stored = {name: read_weights(path)[1] for name, path in paths.items() if exists(path)}
    return {name: header for name, header in stored.items() if header}


def as_header(values: Mapping[str, object]) -> dict[str, str]:
    """Write values as the texts that a header holds."""
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
