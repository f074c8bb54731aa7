"""Published checkpoints in texsynth's own layout."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from texsynth.errors import ModelError
from texsynth.models.hashes import file_hash
from texsynth.models.names import SUFFIX
from texsynth.models.registry import build_model
from texsynth.models.vgg import conv_names
from texsynth.models.weights import read_weights

WIDTHS = (64, 128, 256, 512, 512)


@dataclass(frozen=True)
class Converted:
    """A model in texsynth's layout. name: what it is called unless the user says otherwise."""

    layout: str
    name: str
    tensors: dict[str, Tensor]
    header: dict[str, str]


def convert(paths: Sequence[Path]) -> Converted:
    """Recognise the checkpoint that the files `paths` are, by what is in them.

    Raises ModelError for anything else.
    """
    if len(paths) != 1:
        raise ModelError(f"{len(paths)} files are no known checkpoint; give one")
    path = paths[0]
    if not path.is_file():
        raise ModelError(f"{path} does not exist; give a file that was downloaded")
    sources = json.dumps([{"file": path.name, "sha256": file_hash(path)}])
    if path.suffix == SUFFIX:
        tensors, header = read_weights(path)
        build_model(str(path), tensors)
        if not all(bool(value.isfinite().all()) for value in tensors.values()):
            raise ModelError(f"{path} has weights that are not finite; download it again")
        return Converted("texsynth", path.stem, tensors, {**header, "sources": sources})
    header = {"layout": "vgg_normalised", "sources": sources, "licence": "CC BY 4.0"}
    return Converted("vgg_normalised", "vgg19", _vgg_normalised(_loaded(path), path), header)


def _loaded(path: Path) -> Mapping[str, Tensor]:
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise ModelError(f"{path} is damaged or no checkpoint; download it again") from error
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise ModelError(f"{path} is no state dict; give a checkpoint with weights only")
    return found


def _vgg_normalised(state: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """An nn.Sequential whose first 1x1 convolution turns RGB in [0, 1] into centred BGR."""
    indices = sorted({int(key.split(".")[0]) for key in state if key.split(".")[0].isdecimal()})
    names = conv_names(5)
    shapes = [tuple(state[f"{index}.weight"].shape) for index in indices if f"{index}.weight" in state]
    inputs = [3, *(WIDTHS[block - 1] for block, _ in names)]
    expected = [(WIDTHS[b - 1], i, 3, 3) for (b, _), i in zip(names, inputs, strict=False)]
    if shapes[:1] != [(3, 3, 1, 1)] or shapes[1 : 1 + len(names)] != expected:
        raise ModelError(f"{path} is not a checkpoint that texsynth knows; give vgg_normalised.pth")
    colour, *convolutions = indices
    out = {}
    for (block, index), number in zip(names, convolutions, strict=False):
        out[f"encoder.conv{block}_{index}.weight"] = state[f"{number}.weight"].float()
        out[f"encoder.conv{block}_{index}.bias"] = state[f"{number}.bias"].float()
    matrix, offset = state[f"{colour}.weight"][..., 0, 0].double(), state[f"{colour}.bias"].double()
    weight = out["encoder.conv1_1.weight"].double()
    # Reflection padding only repeats pixels, so the map of colours may come after it.
    out["encoder.conv1_1.weight"] = torch.einsum("oihw,ij->ojhw", weight, matrix).float().contiguous()
    out["encoder.conv1_1.bias"] += torch.einsum("oihw,i->o", weight, offset).float()
    return out
