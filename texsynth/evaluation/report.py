"""The page of an evaluation: one HTML file with every picture inside, that loads nothing from elsewhere."""

from __future__ import annotations

import math

import torch

import texsynth
from texsynth.device import cpu_name, gpu_name
from texsynth.evaluation.results import Evaluation
from texsynth.html.page import render


def page(evaluation: Evaluation) -> str:
    """Return the whole page."""
    processor = gpu_name(evaluation.run.device) or cpu_name()
    return render(
        "evaluation",
        title=f"texsynth {evaluation.command}",
        evaluation=evaluation,
        summaries=[summary.as_dict() for summary in evaluation.summaries()],
        machine={"processor": processor, "texsynth": texsynth.__version__, "torch": torch.__version__},
        number=number,
    )


def number(value: float) -> str:
    """Three digits that count, all of a whole number."""
    if math.isinf(value):
        return "none"
    return str(value) if isinstance(value, int) else f"{value:.3g}"
