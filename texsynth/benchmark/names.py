"""Names of what `texsynth bench` measures, known before torch is loaded."""

from __future__ import annotations

from collections.abc import Sequence

from texsynth.config.validation import nearest
from texsynth.errors import UsageError

LEVELS = (1, 2, 3, 4)
FITS = ("adain", "wct", "ot", "ift")


def by_level(stage: str) -> tuple[str, ...]:
    """The stage of every level."""
    return tuple(f"{stage}-{level}" for level in LEVELS)


PARTS = (
    "encode",
    *by_level("moments"),
    *(name for fit in FITS for name in by_level(f"fit-{fit}")),
    *by_level("decode"),
    "photo-decode",
    "edge-aware",
)
"""Of our pipelines, each alone."""

PIPELINES = ("artistic", "artistic-with-style", "photo", "photo-with-style")
"""From tensors to tensors, with the style's moments known or measured too."""

PAPER = ("paper-cascade", "paper-photo")
"""The same in the setting of the paper's table, the style measured too."""

TRANSFORMS = (*by_level("transform-ift"), *by_level("transform-wct"))
"""Moments of the content, fit, and application to the features: what the references do, our way."""

REFERENCES = (
    *by_level("reference-ift-direct"),
    *by_level("reference-ift-fused"),
    *by_level("reference-wct-svd"),
)
"""What was published for that, on features."""

PUBLISHED = ("published-wct", "published-ift")
"""The whole four-level cascade as it was published, the style encoded too."""

IN_FLOAT32 = frozenset((*REFERENCES, *PUBLISHED))
"""Stages that always compute in float32, like the code they stand for."""

NAMES = (*PARTS, *PIPELINES, *PAPER, *TRANSFORMS, *REFERENCES, *PUBLISHED)

DEFAULT = tuple(name for name in NAMES if name not in PUBLISHED)
"""What is measured of a model unless stages are named."""

FULL_WIDTH = ("artistic-with-style", *PUBLISHED)
"""What is measured of the full-width network unless stages are named."""


def chosen(wanted: Sequence[str]) -> tuple[str, ...]:
    """Stages by name; what is no name but begins some, as `fit` and `fit-ift`, stands for all of these.

    Raises UsageError for what is no stage.
    """
    found: set[str] = set()
    for name in wanted:
        these = {name} & set(NAMES) or {stage for stage in NAMES if stage.startswith(f"{name}-")}
        if not these:
            raise UsageError(f"unknown stage {name!r}{nearest(name, {*NAMES, *_beginnings()})}")
        found |= these
    return tuple(stage for stage in NAMES if stage in found)


def _beginnings() -> set[str]:
    """All that stands for several stages."""
    words = (name.split("-") for name in NAMES)
    starts = {"-".join(split[:end]) for split in words for end in range(1, len(split))}
    return starts - set(NAMES)
