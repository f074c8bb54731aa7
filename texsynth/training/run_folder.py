"""The folder of a training: the encoder that it is for, and weights with their provenance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from texsynth.errors import UsageError
from texsynth.images.files import store, writing
from texsynth.models.registry import load_model
from texsynth.models.weights import PARTS, part, read_weights

ENCODER = "encoder.safetensors"
"""The encoder of a run. That of a model says so in its header: `model` and `sha256`."""


def begin_from_model(folder: Path, name: str) -> None:
    """Put the encoder of model `name` into `folder`, unless it is there.

    Raises ModelError for a model that cannot be loaded, UsageError when there is another encoder.
    """
    model, path = load_model(name), folder / ENCODER
    encoder = model.vgg().state_dict()
    if not path.exists():
        tensors = {f"encoder.{key}": value for key, value in encoder.items()}
        write_exact(path, tensors, {"model": short_name(name), "sha256": model.sha256})
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
    header = read_weights(path)[1] if path.exists() else {}
    return {key: header[key] for key in ("model", "sha256") if key in header}


def headers(folder: Path) -> dict[str, dict[str, str]]:
    """Collect the headers of the files of a run, by the part of the model."""
    paths = {name: folder / f"{name}.safetensors" for name in PARTS}
    stored = {name: read_weights(path)[1] for name, path in paths.items() if path.exists()}
    return {name: header for name, header in stored.items() if header}


def write_exact(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> None:
    """Save without rounding, whole or not at all. Raises OutputError."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    stored = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    store(save(stored, dict(header)), path, force=True)


def as_header(values: Mapping[str, object]) -> dict[str, str]:
    """Write values as the texts that a header holds."""
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
