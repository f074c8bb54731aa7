"""The methods that an evaluation compares: classical baselines, every method of `expand`, and presets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import Tensor

from texsynth import presets
from texsynth.errors import UsageError
from texsynth.explain import nearest
from texsynth.ops.resample import reflected_index
from texsynth.settings import ExpandSettings, Method
from texsynth.texture.quilting import image_quilting

PRESET = "preset:"
"""What precedes the name of a preset among methods."""

METHODS: tuple[str, ...] = get_args(Method)

Baseline = Callable[[Tensor, tuple[int, int], torch.Generator], Tensor]
"""(exemplar (1, 3, h, w), (H, W), rng) -> (1, 3, H, W)."""


def tile(exemplar: Tensor, size: tuple[int, int], rng: torch.Generator) -> Tensor:  # noqa: ARG001
    """The exemplar again and again."""
    rows, cols = (torch.arange(wanted) % side for wanted, side in zip(size, exemplar.shape[2:], strict=True))
    return exemplar[:, :, rows][:, :, :, cols]


def mirror(exemplar: Tensor, size: tuple[int, int], rng: torch.Generator) -> Tensor:  # noqa: ARG001
    """The exemplar and its mirror image in turn."""
    rows, cols = (
        reflected_index(side, wanted) for wanted, side in zip(size, exemplar.shape[2:], strict=True)
    )
    return exemplar[:, :, rows][:, :, :, cols]


def quilting(exemplar: Tensor, size: tuple[int, int], rng: torch.Generator) -> Tensor:
    """Image quilting (Efros and Freeman 2001): blocks of 0.28 of the shorter side, overlapping by a sixth."""
    block = max(4, round(0.28 * min(exemplar.shape[2:])))
    return image_quilting(exemplar, size, block, max(2, round(block / 6)), 0.1, rng)


BASELINES: dict[str, Baseline] = {"tile": tile, "mirror": mirror, "quilting": quilting}


@dataclass(frozen=True)
class Candidate:
    """Something that expands textures, by name: a baseline, or `expand` with these settings."""

    name: str
    settings: ExpandSettings | None

    @property
    def description(self) -> str:
        """A sentence for the page."""
        if self.settings is not None:
            return f"texsynth expand, method {self.settings.method}"
        return (BASELINES[self.name].__doc__ or "").rstrip(".")


def candidates(names: Sequence[str], sets: Sequence[str], size: ExpandSettings) -> list[Candidate]:
    """The methods called `names`, each once; all of them when empty.

    sets: settings of all but the baselines, as in `presets.resolve`. size: whose size, scale and tileable
    all have, whatever a preset says. Raises UsageError.
    """
    flags = {key: presets.as_tree(size)[key] for key in ("size", "scale", "tileable")}
    return [_candidate(name, sets, flags) for name in dict.fromkeys(names or default_names())]


def default_names() -> list[str]:
    """Baselines, methods, and the presets that say how to expand."""
    return [*BASELINES, *METHODS, *(f"{PRESET}{name}" for name in expand_presets())]


def expand_presets() -> list[str]:
    """Names of the presets with a section for `expand`."""
    return [name for name in presets.names() if "expand" in presets.load(name).sections]


def _candidate(name: str, sets: Sequence[str], flags: Mapping[Any, Any]) -> Candidate:
    if name in BASELINES:
        return Candidate(name, None)
    if name.startswith(PRESET):
        preset = presets.load(name.removeprefix(PRESET))
        return Candidate(name, presets.resolve(ExpandSettings, preset, sets, flags))
    if name not in METHODS:
        raise UsageError(f"unknown method {name!r}{nearest(name, default_names())}")
    return Candidate(name, presets.resolve(ExpandSettings, None, sets, {**flags, "method": name}))
