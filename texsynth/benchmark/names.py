"""Names of what `texsynth bench` measures, known before torch is loaded."""

from collections.abc import Sequence

from texsynth.config.validation import nearest
from texsynth.errors import UsageError

LEVELS = (1, 2, 3, 4)
FITS = ("adain", "wct", "ot", "ift")


def by_level(stage: str) -> tuple[str, ...]:
    """Return the names of `stage` at every level."""
    return tuple(f"{stage}-{level}" for level in LEVELS)


PARTS = (
    "encode",
    *by_level("moments"),
    *(name for fit in FITS for name in by_level(f"fit-{fit}")),
    *by_level("decode"),
    "photo-decode",
    "edge-aware",
)
"""Parts of the pipelines, each alone."""

PIPELINES = ("artistic", "artistic-with-style", "photo", "photo-with-style")
"""From tensors to tensors, with the style's moments known or measured too."""

PAPER = ("paper-cascade", "paper-photo")
"""Pipelines in the setting of the paper's table, the style measured too."""

REFERENCES = {
    "reference-ift-direct": "transform-ift",
    "reference-ift-fused": "transform-ift",
    "reference-wct-svd": "transform-wct",
}
"""Published transforms of features, and the stages of ours that do the same: moments, fit, application."""

PUBLISHED = ("published-wct", "published-ift")
"""The whole four-level cascade as it was published, the style encoded too."""

IN_FLOAT32 = frozenset((*PUBLISHED, *(name for stage in REFERENCES for name in by_level(stage))))
"""Stages that always compute in float32, like the code they stand for."""

DEFAULT = (
    *PARTS,
    *PIPELINES,
    *PAPER,
    *(name for stage in dict.fromkeys((*REFERENCES.values(), *REFERENCES)) for name in by_level(stage)),
)
"""Stages of a model unless some are named."""

NETWORKS = (*by_level("decode"), "artistic", "artistic-with-style", "paper-cascade")
"""Stages that another backend than torch is measured at."""

FULL_WIDTH = ("artistic-with-style", *PUBLISHED)
"""Stages of the full-width network unless some are named."""

NAMES = (*DEFAULT, *PUBLISHED)


def choose_stages(choices: Sequence[str]) -> tuple[str, ...]:
    """Return the stages that are called or begin so, like `fit`, in the order of NAMES. Raises UsageError."""
    stages: set[str] = set()
    for choice in choices:
        matches = {choice} & set(NAMES) or {name for name in NAMES if name.startswith(f"{choice}-")}
        if not matches:
            words = [name.split("-") for name in NAMES]
            known = {"-".join(split[:end]) for split in words for end in range(1, len(split) + 1)}
            raise UsageError(f"unknown stage {choice!r}{nearest(choice, known)}")
        stages |= matches
    return tuple(name for name in NAMES if name in stages)
