"""Load a model by name or by file: an encoder, its decoders, and what they were made from."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Literal

import torch
from torch import Tensor

from texsynth.errors import ModelError, UsageError, is_exhaustion
from texsynth.models.autoencoder import Decoder, PhotoDecoder
from texsynth.models.hub.catalog import SOURCES, locate
from texsynth.models.vgg import LEVELS, Encoder, LevelEncoders, inference
from texsynth.models.wavelets import WaveDecoder
from texsynth.models.weights import MISFITS, decoder_part, part, read_checked, transposer_layout


@dataclass(frozen=True)
class Model:
    """An encoder, or one per level, with one decoder per level and, for photographs, one with skips."""

    name: str
    sha256: str
    encoder: Encoder | LevelEncoders
    decoders: Mapping[int, Decoder]
    photo: PhotoDecoder | WaveDecoder | None
    device: torch.device
    dtype: torch.dtype
    provenance: Mapping[str, str]
    backend: Literal["torch", "openvino"] = "torch"  # What computes the encoder and the decoders

    def vgg(self) -> Encoder:
        """Return the encoder of all levels, to train on. Raises ModelError when it is of another kind."""
        if isinstance(self.encoder, LevelEncoders) or self.encoder.pooling != "max":
            raise ModelError(
                f"model {self.name} has no encoder like VGG-19 to train on; use another, like lite"
            )
        return self.encoder

    def decoder(self, level: int) -> Decoder:
        """Return the decoder of `level`. Raises ModelError naming the command that trains a missing one."""
        if isinstance(self.photo, WaveDecoder):
            raise ModelError(f"model {self.name} is for photographs alone; use it with --photo")
        if level not in self.decoders:
            raise ModelError(self._lacks(f"decoder for level {level}", f"--level {level}"))
        return self.decoders[level]

    def photo_decoder(self) -> PhotoDecoder | WaveDecoder:
        """Return the decoder with skips. Raises ModelError when the model has none."""
        if self.photo is None:
            raise ModelError(self._lacks("photo decoder", "--photo"))
        return self.photo

    def _lacks(self, what: str, option: str) -> str:
        if isinstance(self.encoder, LevelEncoders):
            return f"model {self.name} has no {what}, and none can be trained for it; use another model"
        if "joined" in self.provenance:
            # Decoders were joined to it by an earlier version that had fewer.
            again = f"fetch {self.name}" if self.name in SOURCES else "import"
            return f"model {self.name} has no {what}; get it with `texsynth models {again} --force`"
        return (
            f"model {self.name} has no {what}; train it with "
            f"`texsynth train decoder --model {quote(self.name)} {option} --data PICTURES`"
        )


def build_model(
    name: str,
    tensors: Mapping[str, Tensor],
    *,
    sha256: str = "",
    provenance: Mapping[str, str] | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Model:
    """Assemble a model by names and shapes from `encoder.*` or `encoderL.*`, `decoderL.*`, `photo.*`.

    Raises ModelError for another format.
    """
    if transposer_layout(tensors):
        raise ModelError(
            f"{name} is a Transposer, not a model of features; use it with `expand --transposer`"
        )
    try:
        own = {level: state for level in LEVELS if (state := part(tensors, f"encoder{level}"))}
        encoders = {level: Encoder.from_state(state) for level, state in own.items()}
        encoder = LevelEncoders(encoders) if own else Encoder.from_state(part(tensors, "encoder"))
        decoders = {
            level: inference(Decoder.from_state(state, level), device, dtype)
            for level in LEVELS
            if (state := decoder_part(tensors, level))
        }
        skips = part(tensors, "photo")
        kind = WaveDecoder if any(key.startswith("inv") for key in skips) else PhotoDecoder
        photo = inference(kind.from_state(skips), device, dtype) if skips else None
    except MISFITS as error:
        if is_exhaustion(error):
            raise
        # Of torch's long lists of what does not fit, the first line says nothing.
        missing = isinstance(error, KeyError)
        reason = f"{error.args[0]} is missing" if missing else "shapes do not fit each other"
        raise ModelError(
            f"{name} is not a texsynth model ({reason}); give a file made by `texsynth train`"
        ) from error
    device = torch.device(device)
    inference(encoder, device, dtype)
    return Model(name, sha256, encoder, decoders, photo, device, dtype, provenance or {})


def load_model(name: str, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Model:
    """Load a model by name or by file. Raises ModelError when it is unknown, missing, damaged or changed."""
    tensors, header, digest = read_checked(locate(name))
    return build_model(name, tensors, sha256=digest, provenance=header, device=device, dtype=dtype)


VARIANTS = 64
"""Limit of forms of one function that torch compiles: one for each pair of levels, with and without tiles."""


def compile_networks(model: Model, cache: Path) -> None:
    """Have the encoders and decoders of `model` compiled, for pictures of any size, when they are first used.

    cache: folder for what the compiler makes, unless TORCHINDUCTOR_CACHE_DIR names one. Decoders with skips
    stay as they are. Raises UsageError where nothing can be compiled, for want of a C++ compiler say.
    """
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache))
    # Torch gives up after 8 forms, silently, and the pairs of levels alone are more.
    torch._dynamo.config.recompile_limit = VARIANTS
    try:
        torch.compile(lambda x: x + x)(torch.zeros(8, device=model.device))
    except Exception as error:  # the compiler's errors have no common base
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UsageError(f"--compile does not work on this machine ({reason}); leave it out") from error
    for network in model.encoder.modules():
        if isinstance(network, Encoder):
            network.segment = torch.compile(network.segment, dynamic=True)  # type: ignore[method-assign]
    for decoder in model.decoders.values():
        # Not its first step: the map that is folded in there differs from picture to picture.
        decoder.rest = torch.compile(decoder.rest, dynamic=True)  # type: ignore[method-assign]
