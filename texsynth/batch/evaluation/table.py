"""Everything an evaluation found but the pictures, as JSON."""

from __future__ import annotations

import json
import math
import os
import platform
from dataclasses import asdict
from typing import Any

import torch

import texsynth
from texsynth.batch.evaluation.findings import Cell, Evaluation, Subject
from texsynth.batch.files import as_text
from texsynth.batch.hardware import cpu_name, gpu_name


def table(evaluation: Evaluation[Any]) -> str:
    """The whole table as text; what is unknown or infinite is null."""
    run = evaluation.run
    chosen = {"device": run.device, "dtype": run.dtype, "threads": run.threads}
    facts = {
        "command": evaluation.command,
        "versions": {
            "texsynth": texsynth.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "machine": {
            "system": platform.platform(),
            "cores": os.cpu_count(),
            "cpu": cpu_name(),
            "gpu": gpu_name(run.device),
            **chosen,
        },
        "seed": run.seed,
        **evaluation.asked(),
        "interrupted": evaluation.interrupted,
        "methods": {c.name: evaluation.described(c) for c in evaluation.candidates},
        "summary": list(evaluation.summary()),
        **evaluation.found(),
        f"{evaluation.word}s": [_subject(subject) for subject in evaluation.subjects],
    }
    return json.dumps(_writable(facts), ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def _subject(subject: Subject[Any]) -> dict[str, object]:
    return {
        "name": subject.name,
        **subject.facts(),
        "error": subject.error or None,
        "results": [_cell(cell) for cell in subject.cells],
    }


def _cell(cell: Cell[Any]) -> dict[str, object]:
    return {
        "method": cell.method,
        "size": cell.shown and list(cell.shown.size),
        "seconds": cell.seconds,
        "error": cell.error or None,
        "measures": cell.scores and asdict(cell.scores),
    }


def _writable(value: Any) -> Any:  # noqa: ANN401 (JSON of any kind)
    # Names of files, methods too, need not be text.
    if isinstance(value, dict):
        return {_writable(key): _writable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_writable(item) for item in value]
    if isinstance(value, str):
        return as_text(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value
