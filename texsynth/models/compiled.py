"""Networks compiled by torch.compile; what is compiled stays on disk for the runs to come."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from texsynth.errors import UsageError
from texsynth.models.registry import Model
from texsynth.models.vgg import Encoder

VARIANTS = 64
"""How many forms of one function torch may compile: one for each pair of levels, with and without tiles."""


def compile_networks(model: Model, cache: Path) -> None:
    """Have the encoders and decoders of `model` compiled, for pictures of any size, when they are first used.

    cache: folder for what the compiler makes, unless TORCHINDUCTOR_CACHE_DIR names one. Raises UsageError
    where nothing can be compiled, for want of a C++ compiler say. Decoders with skips stay as they are.
    """
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache))
    # Torch gives up after 8 forms, silently, and the pairs of levels alone are more.
    torch._dynamo.config.recompile_limit = VARIANTS
    try:
        torch.compile(_twice)(torch.zeros(8, device=model.device))
    except Exception as error:  # the compiler's errors have no common base
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UsageError(f"--compile does not work on this machine ({reason}); leave it out") from error
    for network in model.encoder.modules():
        if isinstance(network, Encoder):
            network.segment = torch.compile(network.segment, dynamic=True)  # type: ignore[method-assign]
    for decoder in model.decoders.values():
        # Not its first step: the map that is folded in there differs from picture to picture.
        decoder.rest = torch.compile(decoder.rest, dynamic=True)  # type: ignore[method-assign]


def _twice(x: torch.Tensor) -> torch.Tensor:
    return x + x
