"""Names of the models, known before torch is loaded."""

from __future__ import annotations


def model_names() -> list[str]:
    """Models that `--model` accepts besides the path of a weight file."""
    return ["lite"]
