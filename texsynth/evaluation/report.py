"""The page of an evaluation: one HTML file with every picture inside, that loads nothing from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

import texsynth
from texsynth.device import cpu_name, gpu_name
from texsynth.evaluation.results import Evaluation
from texsynth.html.page import render


def page(evaluation: Evaluation) -> str:
    """Return the whole page."""
    title = f"texsynth {evaluation.command}"
    return render("evaluation", title=title, evaluation=evaluation, facts=_facts(evaluation), number=number)


def number(value: float) -> str:
    """Three digits that count, all of a whole number."""
    if math.isinf(value):
        return "none"
    return str(value) if isinstance(value, int) else f"{value:.3g}"


def _facts(evaluation: Evaluation) -> Iterator[str]:
    """The lines at the top."""
    run = evaluation.run
    yield from evaluation.facts
    processor = gpu_name(run.device) or cpu_name()
    yield f"seed {run.seed}, {run.device}, {run.dtype}, threads: {run.threads}, {processor}"
    yield f"texsynth {texsynth.__version__}, torch {torch.__version__}"
    if evaluation.interrupted:
        yield "interrupted: not everything was compared"
    for method in evaluation.methods:
        yield f"{method.name}: {method.description}"
