"""Load a model by name or by file: an encoder, its decoders, and what they were made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

import torch
from torch import Tensor

from texsynth.errors import ModelError
from texsynth.models.autoencoder import Decoder, PhotoDecoder
from texsynth.models.hashes import expected_hashes, file_hash
from texsynth.models.names import ASSETS, cache_folder, locate
from texsynth.models.vgg import LEVELS, Encoder, inference
from texsynth.models.weights import part, read_weights


@dataclass(frozen=True)
class Model:
    """An encoder with one decoder per level and, for photographs, one decoder with skips."""

    name: str
    sha256: str
    encoder: Encoder
    decoders: Mapping[int, Decoder]
    photo: PhotoDecoder | None
    device: torch.device
    dtype: torch.dtype
    provenance: Mapping[str, str]

    def decoder(self, level: int) -> Decoder:
        """Decoder of `level`. Raises ModelError naming the command that trains a missing one."""
        if level not in self.decoders:
            raise ModelError(
                f"model {self.name} has no decoder for level {level}; train it with "
                f"`texsynth train decoder --model {quote(self.name)} --level {level} --data PICTURES`"
            )
        return self.decoders[level]

    def photo_decoder(self) -> PhotoDecoder:
        """Decoder with skips. Raises ModelError when the model has none."""
        if self.photo is None:
            raise ModelError(
                f"model {self.name} has no photo decoder; train it with "
                f"`texsynth train decoder --model {quote(self.name)} --photo --data PICTURES`"
            )
        return self.photo


def build_model(
    name: str,
    tensors: Mapping[str, Tensor],
    *,
    sha256: str = "",
    provenance: Mapping[str, str] | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Model:
    """Assemble a model from tensors `encoder.*`, `decoderL.*`, `photo.*`; the shapes decide the widths.

    Raises ModelError for another layout.
    """

    try:
        encoder = inference(Encoder.from_state(part(tensors, "encoder")), device, dtype)
        found = {level: part(tensors, f"decoder{level}") for level in LEVELS}
        decoders = {
            level: inference(Decoder.from_state(t, level), device, dtype) for level, t in found.items() if t
        }
        skips = part(tensors, "photo")
        photo = inference(PhotoDecoder.from_state(skips), device, dtype) if skips else None
    except (KeyError, RuntimeError, IndexError) as error:
        raise ModelError(
            f"{name} is not a texsynth model ({error}); give a file made by `texsynth train`"
        ) from error
    return Model(name, sha256, encoder, decoders, photo, torch.device(device), dtype, provenance or {})


def load_model(name: str, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Model:
    """Load an embedded or cached model by name, or a safetensors file by path.

    Raises ModelError when it is unknown, missing, damaged or does not match its recorded hash.
    """
    path = locate(name)
    digest = file_hash(path) if path.is_file() else ""
    if digest and path.parent in (ASSETS, cache_folder()):
        _check_hash(path, digest)
    tensors, header = read_weights(path)
    return build_model(name, tensors, sha256=digest, provenance=header, device=device, dtype=dtype)


def _check_hash(path: Path, digest: str) -> None:
    if expected_hashes(path.parent).get(path.name) == digest:
        return
    if path.parent == ASSETS:
        raise ModelError(f"the weights of {path.stem} do not match their published hash; reinstall texsynth")
    raise ModelError(
        f"model file {path} is not as it was stored (see `texsynth models verify`); fetch or import it again"
    )
