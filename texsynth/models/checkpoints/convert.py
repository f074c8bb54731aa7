"""From the files of a published model to the tensors of ours."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from texsynth.errors import ModelError
from texsynth.models.checkpoints.families import Assembled, distilled, sequential, torchvision, wavelets
from texsynth.models.checkpoints.read import Piece, identify, read_checkpoint, source
from texsynth.models.registry import build_model
from texsynth.models.weights import PARTS, read_weights

FAMILIES: dict[str, Callable[[list[Piece]], Assembled]] = {
    "sequential": sequential,
    "torchvision": torchvision,
    "distilled": distilled,
    "wavelets": wavelets,
}
"""Assemblers of models by the family of their files."""


@dataclass(frozen=True)
class Converted:
    """A published model in our layout."""

    layout: str
    """Layout of the files, such as `pytorch-wct`."""
    name: str
    """Name of the model when the user gives none."""
    tensors: dict[str, Tensor]
    """`encoder.*` or `encoderL.*`, `decoderL.*`, `photo.*`, float32 on the CPU."""
    header: dict[str, str]
    """Origin: layout, sources with their SHA-256, licence where it is known."""


def convert(paths: Sequence[Path]) -> Converted:
    """Recognise the checkpoint files of one model and bring them into our layout.

    Raises ModelError for files that are missing, damaged, of no known layout, or not of one model.
    """
    if not paths:
        raise ModelError("no checkpoint is given; give the files of one model")
    files = {path: read_checkpoint(path) for path in paths}
    for path, tensors in files.items():
        if any(key.split(".")[0] in PARTS for key in tensors):
            return _own(path, tensors, list(files))
    pieces = [identify(path, tensors) for path, tensors in files.items()]
    others = [piece for piece in pieces if piece.form.family != pieces[0].form.family]
    if others:
        raise ModelError(
            f"{pieces[0].path} and {others[0].path} are of different layouts; give the files of one model"
        )
    model = FAMILIES[pieces[0].form.family](pieces)
    header = {"layout": model.layout, "sources": json.dumps([source(path) for path in files]), **model.notes}
    build_model(model.name, model.tensors)
    return Converted(model.layout, model.name, model.tensors, header)


def _own(path: Path, tensors: dict[str, Tensor], paths: list[Path]) -> Converted:
    """Return a model that is in our layout already."""
    if len(paths) > 1:
        raise ModelError(f"{path} is a whole model of texsynth; give it alone")
    header = read_weights(path)[1] if path.suffix == ".safetensors" else {}
    build_model(str(path), tensors)
    whole = {key: value.float() for key, value in tensors.items()}
    return Converted("texsynth", path.stem, whole, {**header, "sources": json.dumps([source(path)])})
