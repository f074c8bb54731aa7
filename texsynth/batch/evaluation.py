"""What an evaluation is asked and what it finds, and the table that is left of it."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

import texsynth
from texsynth import presets
from texsynth.batch.candidates import Candidate
from texsynth.batch.files import as_text
from texsynth.batch.plan import Input
from texsynth.batch.run import ALL_FAILED, INTERRUPTED, PARTLY_FAILED
from texsynth.batch.scores import QUILTING, Scored, Scores, Summary, summarise
from texsynth.settings import ExpandSettings, RunSettings

TRUTH = "truth"
"""The method that nothing can beat: the picture the exemplar was cut out of."""


@dataclass(frozen=True)
class Plan:
    """What is to be compared."""

    inputs: Sequence[Input]
    candidates: Sequence[Candidate]
    size: ExpandSettings
    """How large outputs are, and whether periodic; the rest does not count."""
    run: RunSettings
    """With every `auto` decided."""
    crop: int | None = None
    """Side of the centre crop that serves as exemplar; the rest of the picture is the truth."""


@dataclass(frozen=True)
class Shown:
    """A picture as the page shows it, and as it was measured: 8 bits."""

    png: bytes
    width: int
    height: int


@dataclass(frozen=True)
class Cell:
    """What one method made of one exemplar: picture and scores, or an error."""

    method: str
    seconds: float | None = None
    shown: Shown | None = None
    scores: Scores | None = None
    error: str = ""
    exit_code: int = 0


@dataclass
class Subject:
    """An exemplar and what the methods made of it."""

    name: str
    sha256: str = ""
    shown: Shown | None = None
    lattice: tuple[tuple[float, ...], ...] = ()
    """Two vectors (dy, dx) in pixels where the texture is regular."""
    confidence: float = 0.0
    cells: list[Cell] = field(default_factory=list)
    """The truth first where it is known."""
    error: str = ""
    """Why the picture could not be used."""
    exit_code: int = 0


@dataclass
class Evaluation:
    """Everything an evaluation found."""

    plan: Plan
    subjects: list[Subject] = field(default_factory=list)
    interrupted: bool = False

    @property
    def methods(self) -> list[str]:
        """Names in order, the truth first where any is known."""
        known = any(cell.method == TRUTH for subject in self.subjects for cell in subject.cells)
        return [*([TRUTH] if known else []), *(candidate.name for candidate in self.plan.candidates)]

    @property
    def exit_code(self) -> int:
        """As of a batch: 3 when something failed, the reason's own code when everything did."""
        if self.interrupted:
            return INTERRUPTED
        codes = [cell.exit_code for s in self.subjects for cell in s.cells if cell.method != TRUTH]
        codes += [s.exit_code for s in self.subjects if s.error]
        if not any(codes):
            return 0
        if not all(codes):
            return PARTLY_FAILED
        return codes[0] if len(set(codes)) == 1 else ALL_FAILED

    def summaries(self) -> list[Summary]:
        """One for each method."""
        quilting = self._scored(QUILTING)
        tileable = self.plan.size.tileable
        return [
            summarise(
                name,
                self._scored(name),
                quilting,
                self._failures(name),
                tileable=tileable,
                judged=name != TRUTH,
            )
            for name in self.methods
        ]

    def _scored(self, method: str) -> list[Scored]:
        return [
            Scored(subject.name, bool(subject.lattice), cell.scores, cell.seconds)
            for subject in self.subjects
            for cell in subject.cells
            if cell.method == method and cell.scores
        ]

    def _failures(self, method: str) -> int:
        return sum(cell.method == method and bool(cell.error) for s in self.subjects for cell in s.cells)


def table(evaluation: Evaluation) -> str:
    """Everything but the pictures, as JSON; what is unknown or infinite is null."""
    plan = evaluation.plan
    facts = {
        "command": "evaluate expand",
        "versions": {
            "texsynth": texsynth.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "machine": {"system": platform.platform(), "cores": os.cpu_count(), **_chosen(plan.run)},
        "seed": plan.run.seed,
        "model": plan.run.model,
        "crop": plan.crop,
        "scale": None if plan.size.size else plan.size.scale,
        "size": plan.size.size,
        "tileable": plan.size.tileable,
        "interrupted": evaluation.interrupted,
        "methods": {
            c.name: {"description": c.description, "settings": c.settings and presets.as_tree(c.settings)}
            for c in plan.candidates
        },
        "summary": [_summary(s) for s in evaluation.summaries()],
        "exemplars": [_subject(s) for s in evaluation.subjects],
    }
    return json.dumps(_finite(facts), ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def _chosen(run: RunSettings) -> dict[str, object]:
    return {"device": run.device, "dtype": run.dtype, "threads": run.threads}


def _summary(summary: Summary) -> dict[str, object]:
    bars = [{**asdict(bar), "passed": bar.passed} for bar in summary.bars]
    return {**asdict(summary), "bars": bars}


def _subject(subject: Subject) -> dict[str, object]:
    size = subject.shown and [subject.shown.width, subject.shown.height]
    lattice = {"vectors": subject.lattice, "confidence": subject.confidence} if subject.lattice else None
    return {
        "name": as_text(subject.name),
        "sha256": subject.sha256 or None,
        "size": size,
        "lattice": lattice,
        "error": subject.error or None,
        "results": [_cell(cell) for cell in subject.cells],
    }


def _cell(cell: Cell) -> dict[str, object]:
    return {
        "method": cell.method,
        "size": cell.shown and [cell.shown.width, cell.shown.height],
        "seconds": cell.seconds,
        "error": cell.error or None,
        "measures": cell.scores and asdict(cell.scores),
    }


def _finite(value: Any) -> Any:  # noqa: ANN401 (JSON of any kind)
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
