"""What an evaluation of expansions is asked and what it finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar

from texsynth.batch.evaluation.expand.candidates import Candidate
from texsynth.batch.evaluation.expand.scores import (
    MEASURES,
    QUILTING,
    Bar,
    Scored,
    Scores,
    Summary,
    summarise,
)
from texsynth.batch.evaluation.findings import Evaluation, Original, Shown, Subject
from texsynth.batch.evaluation.layout import Layout, Marked, Table
from texsynth.batch.evaluation.report import SECONDS, number
from texsynth.batch.plan import Input
from texsynth.settings import ExpandSettings, RunSettings

TRUTH = "truth"
"""The method that nothing can beat: the picture the exemplar was cut out of."""

HINTS = {
    "coherence": "distance of its patches to the exemplar's; 0 is best, but copies get 0 too",
    "completeness": "distance of the exemplar's patches to its own; 0 is best",
    "sharpness": "gradient energy over the exemplar's; 1 is best",
    "wasserstein": "sliced Wasserstein distance to the truth; 0 is best, but tiling comes close",
    "spectrum": "difference of power spectra in powers of ten; 0 is best",
    "repetition": "share of 31 x 31 blocks that recur",
    "excess": "the same above the truth's; 0 is best",
    "seam_vertical": "gradient across the left and right border over the inside's; 1 is seamless",
    "seam_horizontal": "gradient across the top and bottom border over the inside's; 1 is seamless",
    "seam_rank": "share of lines inside that are as steep as the border; near 0 a seam stands out",
    "lattice": "displacement of the lattice, relative; at most 0.02 keeps it, none is left without a peak",
    "lattice_height": "correlation at the lattice's peaks over the truth's; 1 keeps the order",
    "regularity": "highest peak of the autocorrelation",
    "imposed": "the same above the truth's, where there should be no lattice",
    "ssim": "structural similarity to the truth, for the record",
    "seconds": "to compute it, without loading the network",
}
"""What each column means and which way is better."""

BARS = (
    "Medians over all exemplars. A mark says whether the bar is met; the bar itself is in its tooltip. "
    "Ratios are of medians, on the exemplars that both methods could do. A lattice is kept when both its "
    "peaks in the autocorrelation are within 2% of their place and at least 0.6 as high as in the truth. "
    "None of these figures replaces looking at the pictures."
)


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


@dataclass
class Exemplar(Subject[Scores]):
    """An exemplar and what the methods made of it, the truth first where it is known."""

    sha256: str = ""
    shown: Shown | None = None
    lattice: tuple[tuple[float, ...], ...] = ()
    """Two vectors (dy, dx) in pixels where the texture is regular."""
    confidence: float = 0.0

    def originals(self) -> Sequence[Original]:
        """The exemplar."""
        if self.shown is None:
            return ()
        lattice = "no lattice"
        if self.lattice:
            vectors = " and ".join(f"({dy:.1f}, {dx:.1f})" for dy, dx in self.lattice)
            lattice = f"lattice {vectors} px, confidence {self.confidence:.2f}"
        return (Original("exemplar", self.shown, (lattice,)),)

    def facts(self) -> dict[str, object]:
        """File, size and lattice."""
        return {
            "sha256": self.sha256 or None,
            "size": self.shown and list(self.shown.size),
            "lattice": {"vectors": self.lattice, "confidence": self.confidence} if self.lattice else None,
        }


@dataclass
class ExpandEvaluation(Evaluation[Exemplar]):
    """Everything an evaluation of expansions found."""

    plan: Plan

    command: ClassVar[str] = "evaluate expand"
    word: ClassVar[str] = "exemplar"

    @property
    def candidates(self) -> Sequence[Candidate]:
        """Those of the plan."""
        return self.plan.candidates

    @property
    def run(self) -> RunSettings:
        """That of the plan."""
        return self.plan.run

    @property
    def methods(self) -> list[str]:
        """Names in order, the truth first where any is known."""
        known = any(cell.method == TRUTH for subject in self.subjects for cell in subject.cells)
        return [*([TRUTH] if known else []), *super().methods]

    def summaries(self) -> list[Summary]:
        """One for each method."""
        quilting = self._scored(QUILTING)
        return [
            summarise(
                name,
                self._scored(name),
                quilting,
                self.failures(name),
                tileable=self.plan.size.tileable,
                judged=name != TRUTH,
            )
            for name in self.methods
        ]

    def asked(self) -> Mapping[str, object]:
        """Model and sizes."""
        size = self.plan.size
        return {
            "model": self.run.model,
            "crop": self.plan.crop,
            "scale": None if size.size else size.scale,
            "size": size.size,
            "tileable": size.tileable,
        }

    def summary(self) -> Sequence[Mapping[str, object]]:
        """Medians and bars."""
        return [_plain(summary) for summary in self.summaries()]

    def layout(self) -> Layout:
        """Bars and medians."""
        summaries = self.summaries()
        head = [bar.label for bar in summaries[0].bars] if summaries else []
        return Layout(
            facts=self._facts(),
            tables=[
                Table(
                    "bars",
                    "Bars",
                    BARS,
                    ["done", "failed", *head, SECONDS],
                    [
                        (s.method, [s.done, s.failed, *map(_marked, s.bars), s.medians[SECONDS]])
                        for s in summaries
                    ],
                ),
                Table(
                    "medians",
                    "Medians",
                    "",
                    [*MEASURES, SECONDS],
                    [(s.method, [s.medians[name] for name in (*MEASURES, SECONDS)]) for s in summaries],
                ),
            ],
            columns=MEASURES,
            hints=HINTS,
        )

    def _facts(self) -> list[str]:
        plan = self.plan
        good = sum(subject.shown is not None for subject in self.subjects)
        crop = f"centre crops of {plan.crop} px" if plan.crop else "whole pictures"
        wanted = plan.size.size
        size = f"{wanted[0]} x {wanted[1]} px" if wanted else f"{number(plan.size.scale)} times the size"
        tileable = ", tileable" if plan.size.tileable else ""
        return [f"{good} exemplars, {crop}, to {size}{tileable}", f"model {plan.run.model}"]

    def _scored(self, method: str) -> list[Scored]:
        return [
            Scored(subject.name, bool(subject.lattice), cell.scores, cell.seconds)
            for subject in self.subjects
            for cell in subject.cells
            if cell.method == method and cell.scores
        ]


def _plain(summary: Summary) -> dict[str, object]:
    bars = [{**asdict(bar), "passed": bar.passed} for bar in summary.bars]
    return {**asdict(summary), "bars": bars}


def _marked(bar: Bar) -> Marked:
    low = "" if bar.at_least is None else f"at least {number(bar.at_least)}"
    high = "" if bar.at_most is None else f"at most {number(bar.at_most)}"
    return Marked(bar.value, bar.passed, " and ".join(filter(None, (low, high))))
