"""Read checkpoint files that strangers made: tensors and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from texsynth.errors import ModelError
from texsynth.models.checkpoints.formats import FORMS, Form
from texsynth.models.hub.cache import file_hash
from texsynth.models.hub.catalog import SUFFIX
from texsynth.models.weights import read_weights

WRAPPERS = ("model", "state_dict")
"""Keys under which training scripts keep the state dict beside other things."""

SHOWN = 3
"""Tensors that a message names."""


@dataclass(frozen=True)
class Piece:
    """A file whose form is known."""

    path: Path
    form: Form
    tensors: dict[str, Tensor]
    """In our names."""
    whole: bool
    """True if the file goes on beyond what is read."""


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Return the state dict in a file of torch or safetensors.

    Raises ModelError when it is missing, damaged, or holds anything that is no tensor of finite numbers.
    """
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "does not exist"
        raise ModelError(f"{path} {kind}; give the checkpoint files of one model")
    own = path.suffix == SUFFIX
    state = read_weights(path)[0] if own else _state_dict(_unpickled(path), path)
    for key, value in state.items():
        if not value.is_floating_point() or not bool(value.isfinite().all()):
            raise ModelError(f"{path}: {key} has values that are no finite numbers; download the file again")
    return state


def identify(path: Path, tensors: dict[str, Tensor]) -> Piece:
    """Return the tensors of the file `path` with its form. Raises ModelError for none that is known."""
    form = next((form for form in FORMS if form.fits(tensors)), None)
    if form is None:
        keys = sorted(tensors)
        shown = ", ".join(keys[:SHOWN]) + (", …" if len(keys) > SHOWN else "")
        raise ModelError(
            f"{path} is of no layout that texsynth reads (it holds {shown or 'no tensors'}); give files of "
            "vgg_normalised, torchvision, PytorchWCT, pytorch-AdaIN, WCT2 or Collaborative-Distillation"
        )
    return Piece(path, form, form.renamed(tensors), len(tensors) > 2 * len(form.names))


def source(path: Path) -> dict[str, str]:
    """Return name and hash of a file, for the header of a model made from it."""
    return {"file": path.name, "sha256": file_hash(path)}


def _unpickled(path: Path) -> object:
    try:
        # Tensors alone: a pickle may otherwise run any code.
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes make an unpickler fail in any way
        raise ModelError(
            f"{path} is damaged or holds more than tensors, and is not read; "
            "download it again, or save its state dict with torch.save"
        ) from error


def _state_dict(content: object, path: Path) -> dict[str, Tensor]:
    if isinstance(content, dict):
        content = next((content[key] for key in WRAPPERS if isinstance(content.get(key), dict)), content)
    if isinstance(content, dict) and all(isinstance(v, Tensor) for v in content.values()):
        return {str(key): value.detach() for key, value in content.items()}
    raise ModelError(f"{path} holds no state dict; save one with torch.save(network.state_dict(), ...)")
