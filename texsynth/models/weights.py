"""Weight files: safetensors with provenance in the header, written as float16."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from texsynth.errors import ModelError

PARTS = (
    *("encoder", "encoder1", "encoder2", "encoder3", "encoder4", "encoder5"),
    *("decoder1", "decoder2", "decoder3", "decoder4", "decoder5", "photo"),
)
"""Parts of a model, prefixes of its tensors and names of the files of a training run."""


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and header of a safetensors file.

    Raises ModelError when the file is missing or damaged.
    """
    if not path.is_file():
        raise ModelError(f"model file {path} does not exist; reinstall texsynth or give another --model")
    try:
        with safe_open(path, "pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            return tensors, dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise ModelError(f"model file {path} is damaged ({error}); install it again") from error


def write_weights(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> None:
    """Save as float16. Raises ModelError for a value that float16 cannot hold."""
    half = {key: value.detach().cpu().to(torch.float16).contiguous() for key, value in tensors.items()}
    bad = [key for key, value in half.items() if not value.isfinite().all()]
    if bad:
        raise ModelError(f"weights {bad[0]} do not fit in float16; train again with a lower rate")
    save_file(half, path, metadata=dict(header))
    path.chmod(0o644)  # safetensors writes for the owner alone


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries below `prefix.`, without it."""
    return {key[len(prefix) + 1 :]: v for key, v in tensors.items() if key.startswith(prefix + ".")}


def collect(folder: Path) -> dict[str, Tensor]:
    """Weights of a run: the encoder, and every decoder in its finished form where there is one."""
    tensors: dict[str, Tensor] = {}
    for name in PARTS:
        path = folder / f"{name}.safetensors"
        if path.exists():
            tensors |= read_weights(path)[0]
    if not part(tensors, "encoder"):
        raise ModelError(f"{folder} has no encoder.safetensors; run `texsynth train encoder` first")
    return tensors
