"""What an evaluation of stylizations is asked and what it finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import ClassVar

from texsynth.batch.evaluation import findings
from texsynth.batch.evaluation.findings import Evaluation, Original, Shown, Subject
from texsynth.batch.evaluation.layout import Layout
from texsynth.batch.evaluation.stylize.baseline import Baseline, Compared, Key, compared
from texsynth.batch.evaluation.stylize.candidates import Candidate
from texsynth.batch.evaluation.stylize.measuring import LEVELS, level_name
from texsynth.batch.evaluation.stylize.pairs import Pair
from texsynth.batch.evaluation.stylize.scores import (
    MEASURES,
    Frechet,
    Scored,
    Scores,
    Summary,
    summarise,
)
from texsynth.batch.evaluation.stylize.tables import HINTS, facts, tables
from texsynth.settings import RunSettings
from texsynth.training.frechet import frechet
from texsynth.transforms.moments import Moments


@dataclass(frozen=True)
class Plan:
    """What is to be compared."""

    pairs: Sequence[Pair]
    candidates: Sequence[Candidate]
    run: RunSettings
    """With every `auto` decided; max_side is that of contents and styles."""
    features: str
    """Model that measures."""
    frechet_level: int = 3
    seeds: int = 1
    """How often each method does each pair."""
    held_out: bool = False
    """Whether only pictures were taken that no training has seen."""
    baseline: Baseline | None = None


@dataclass(frozen=True)
class Side:
    """The content or the style of a pair."""

    name: str
    sha256: str = ""
    shown: Shown | None = None

    def facts(self) -> dict[str, object]:
        """For the table."""
        return {
            "name": self.name,
            "sha256": self.sha256 or None,
            "size": self.shown and list(self.shown.size),
        }


@dataclass
class StyledPair(Subject[Scores]):
    """A pair and what the methods made of it."""

    content: Side = field(default_factory=lambda: Side(""))
    style: Side = field(default_factory=lambda: Side(""))

    def originals(self) -> Sequence[Original]:
        """Content and style."""
        if self.content.shown is None or self.style.shown is None:
            return ()
        return (Original("content picture", self.content.shown), Original("style picture", self.style.shown))

    def facts(self) -> dict[str, object]:
        """Of both files."""
        return {"content": self.content.facts(), "style": self.style.facts()}


@dataclass(frozen=True)
class Cloud:
    """Features of the results of one method, and of their styles, at the level of the Frechet distance."""

    results: Moments
    styles: Moments

    def __add__(self, other: Cloud) -> Cloud:
        """Both together."""
        return Cloud(self.results + other.results, self.styles + other.styles)

    @property
    def frechet(self) -> Frechet:
        """Between the Gaussians of both."""
        a, b = self.results, self.styles
        distance = frechet(a.mean, a.covariance, b.mean, b.covariance)
        return Frechet(distance, round(a.n), round(b.n))


@dataclass
class StylizeEvaluation(Evaluation[StyledPair]):
    """Everything an evaluation of stylizations found."""

    plan: Plan
    weights: Mapping[str, str]
    """Hash of the weights of each model."""
    features: str
    """Hash of the weights that measure."""
    clouds: dict[str, Cloud] = field(default_factory=dict)
    """By method."""

    command: ClassVar[str] = "evaluate stylize"
    word: ClassVar[str] = "pair"

    @property
    def candidates(self) -> Sequence[Candidate]:
        """Those of the plan."""
        return self.plan.candidates

    @property
    def run(self) -> RunSettings:
        """That of the plan."""
        return self.plan.run

    def summaries(self) -> list[Summary]:
        """One for each method."""
        return [
            summarise(
                name,
                self._scored(name),
                self.failures(name),
                self.clouds[name].frechet if name in self.clouds else None,
                self.run.seed,
            )
            for name in self.methods
        ]

    def compared(self) -> Compared | None:
        """With the baseline; None without one."""
        if self.plan.baseline is None:
            return None
        now = {
            self._key(subject, cell.method): {
                **{name: getattr(cell.scores, name) for name in MEASURES},
                "seconds": cell.seconds,
            }
            for subject in self.subjects
            for cell in subject.cells
            if cell.scores and cell.seconds is not None
        }
        return compared(now, self.plan.baseline.figures, self.run.seed)

    def described(self, candidate: findings.Candidate) -> dict[str, object]:
        """With the model and the hash of its weights."""
        models = {c.name: c.model for c in self.candidates}
        model = models[candidate.name]
        own = {"model": model, "sha256": model and self.weights[model]}
        return {**super().described(candidate), **own}

    def asked(self) -> Mapping[str, object]:
        """What measures, and on what."""
        plan = self.plan
        return {
            "seeds": plan.seeds,
            "max_side": plan.run.max_side,
            "held_out": plan.held_out,
            "features": {
                "model": plan.features,
                "sha256": self.features,
                "levels": [level_name(level) for level in LEVELS],
                "frechet_level": level_name(plan.frechet_level),
            },
        }

    def summary(self) -> Sequence[Mapping[str, object]]:
        """Means with intervals, medians, and Frechet distances."""
        return [asdict(summary) for summary in self.summaries()]

    def found(self) -> Mapping[str, object]:
        """The comparison with the baseline."""
        baseline, result = self.plan.baseline, self.compared()
        if baseline is None or result is None:
            return {}
        source = {"path": str(baseline.path), "texsynth": baseline.version}
        return {"baseline": {**source, **asdict(result)}}

    def layout(self) -> Layout:
        """Means, medians, levels, and the comparison with the baseline."""
        return Layout(facts(self), tables(self), MEASURES, HINTS)

    def _scored(self, method: str) -> list[Scored]:
        return [
            Scored(cell.scores, cell.seconds)
            for subject in self.subjects
            for cell in subject.cells
            if cell.method == method and cell.scores and cell.seconds is not None
        ]

    def _key(self, subject: StyledPair, method: str) -> Key:
        return subject.content.sha256, subject.style.sha256, method
