"""The folder of a training: the encoder it is for, and weights with what they were made by."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from texsynth.errors import OutputError, UsageError
from texsynth.models.registry import load_model
from texsynth.models.weights import PARTS, part, read_weights

ENCODER = "encoder.safetensors"
"""The encoder of a run. That of a model says so in its header: `model` and `sha256`."""


def begin_from_model(folder: Path, name: str) -> None:
    """Put the encoder of model `name` into `folder`, unless it is there.

    Raises ModelError for a model that cannot be loaded, UsageError when there is another encoder.
    """
    model = load_model(name)
    tensors = {f"encoder.{key}": value for key, value in model.vgg().state_dict().items()}
    path = folder / ENCODER
    if path.exists():
        there = part(read_weights(path)[0], "encoder")
        mine = part(tensors, "encoder")
        if there.keys() != mine.keys() or not all(torch.equal(there[key].float(), mine[key]) for key in mine):
            raise UsageError(
                f"{path} is not the encoder of {name}; choose another run folder, or leave --model out"
            )
        return
    write_exact(path, tensors, {"model": short_name(name), "sha256": model.sha256})


def short_name(model: str) -> str:
    """What a model is called in headers and folders, without the place of its file."""
    return Path(model).stem if model.endswith(".safetensors") else model


def origin_of(folder: Path) -> dict[str, str]:
    """`model` and `sha256` of the model that the run's encoder is of; empty for an encoder of its own."""
    path = folder / ENCODER
    header = read_weights(path)[1] if path.exists() else {}
    return {key: header[key] for key in ("model", "sha256") if key in header}


def headers(folder: Path) -> dict[str, dict[str, str]]:
    """What the files of a run say of how they were made, by the part of the model."""
    paths = {name: folder / f"{name}.safetensors" for name in PARTS}
    return {
        name: header for name, path in paths.items() if path.exists() and (header := read_weights(path)[1])
    }


def write_exact(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> None:
    """Save without rounding, whole or not at all. Raises OutputError."""
    kept = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    temporary = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(kept, temporary, metadata=dict(header))
        temporary.chmod(0o644)  # safetensors writes for the owner alone
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        raise OutputError(f"{path} cannot be written: {error}") from error


def as_header(values: Mapping[str, object]) -> dict[str, str]:
    """Values as the texts that a header holds."""
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
