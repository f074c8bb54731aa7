"""Figures of one expanded picture, their medians over many, and the bars they are held against."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from statistics import median

import torch
from torch import Tensor

from texsynth.analysis.lattice import Lattice, find_lattice
from texsynth.metrics.structure import lattice_displacements, regularity, repetition, spectrum_distance
from texsynth.metrics.texture import (
    coherence,
    completeness,
    pyramid_wasserstein,
    seam_ranks,
    seams,
    sharpness,
    ssim,
)

QUILTING = "quilting"
"""The baseline that the bars refer to."""


CONFIRMED = 0.05
"""Displacement up to which the truth shows the lattice of its exemplar."""

IMPOSED = 0.2
"""Regularity above the truth's from which on a pattern shows where there was none; quilting adds 0.1-0.2."""


@dataclass(frozen=True)
class Scores:
    """The measures of one output; None where they need a truth or a lattice that is not there."""

    coherence: float
    completeness: float
    sharpness: float
    wasserstein: float
    """To the truth, or to the exemplar where no truth is known; so is `spectrum`."""
    spectrum: float
    repetition: float
    excess: float | None
    """Repetition above the truth's."""
    seam_vertical: float
    seam_horizontal: float
    seam_rank: float
    """The lower one of the two borders."""
    lattice: float | None
    """Largest displacement of the two lattice vectors, relative to their lengths."""
    lattice_height: float | None
    """Correlation at the two peaks over the truth's, or the exemplar's; the lower one. 1 keeps the order."""
    regularity: float
    imposed: float | None
    """Regularity above the truth's, on textures without a lattice."""
    ssim: float | None


MEASURES = tuple(field.name for field in fields(Scores))


@dataclass(frozen=True)
class Reference:
    """What outputs are compared with, measured once."""

    exemplar: Tensor
    """(1, 3, h, w) in [0, 1]."""
    truth: Tensor | None
    """(1, 3, H, W), the surface the exemplar was cut out of."""
    lattice: Lattice | None
    lattice_heights: tuple[float, ...]
    """Correlation at the lattice's peaks; 0 where it cannot be measured."""
    repetition: float | None
    """Of the truth; so is `regularity`."""
    regularity: float | None


def refer(exemplar: Tensor, truth: Tensor | None) -> Reference:
    """Measure what does not depend on the output.

    A lattice that the truth does not have is none: a small exemplar may look regular by chance.
    """
    lattice = find_lattice(exemplar)
    found = lattice_displacements(exemplar if truth is None else truth, lattice.vectors) if lattice else []
    if truth is not None and any(d.relative > CONFIRMED for d in found):
        lattice, found = None, []
    return Reference(
        exemplar,
        truth,
        lattice,
        tuple(d.height for d in found),
        None if truth is None else repetition(truth),
        None if truth is None else regularity(truth),
    )


def score(output: Tensor, reference: Reference) -> Scores:
    """All measures of `output` (1, 3, H, W) in [0, 1], at places that are the same for all of one size."""
    exemplar, truth, lattice = reference.exemplar, reference.truth, reference.lattice
    target = exemplar if truth is None else truth
    found = lattice_displacements(output, lattice.vectors) if lattice else []
    pairs = zip(found, reference.lattice_heights, strict=True)
    heights = [d.height / height for d, height in pairs if height > 0]
    seam, repeats, regular = seams(output), repetition(output), regularity(output)
    irregular = None if lattice else reference.regularity
    return Scores(
        coherence=coherence(output, exemplar, _rng()),
        completeness=completeness(output, exemplar, _rng()),
        sharpness=sharpness(output, exemplar),
        wasserstein=pyramid_wasserstein(output, target, _rng()),
        spectrum=spectrum_distance(output, target),
        repetition=repeats,
        excess=None if reference.repetition is None else repeats - reference.repetition,
        seam_vertical=seam.vertical,
        seam_horizontal=seam.horizontal,
        seam_rank=min(seam_ranks(output)),
        lattice=max((d.relative for d in found), default=None),
        lattice_height=min(heights, default=None),
        regularity=regular,
        imposed=None if irregular is None else regular - irregular,
        ssim=None if truth is None else ssim(output, truth),
    )


@dataclass(frozen=True)
class Scored:
    """One output's figures. exemplar: its name. seconds: to make it, None for the truth."""

    exemplar: str
    regular: bool
    scores: Scores
    seconds: float | None


@dataclass(frozen=True)
class Bar:
    """A figure of a method and the limits it is held against."""

    name: str
    label: str
    value: float | None
    at_least: float | None
    at_most: float | None

    @property
    def passed(self) -> bool | None:
        """None where there is nothing to compare."""
        if self.value is None or (self.at_least is None and self.at_most is None):
            return None
        low = -math.inf if self.at_least is None else self.at_least
        high = math.inf if self.at_most is None else self.at_most
        return low <= self.value <= high


@dataclass(frozen=True)
class Summary:
    """A method over all exemplars."""

    method: str
    done: int
    failed: int
    medians: Mapping[str, float | None]
    """Of every measure and of the seconds."""
    bars: tuple[Bar, ...]


def summarise(
    method: str,
    results: Sequence[Scored],
    quilting: Sequence[Scored],
    failed: int,
    *,
    tileable: bool,
    judged: bool = True,
) -> Summary:
    """Medians, and the bars, those against quilting on the exemplars that both could do.

    tileable: whether seams were to be avoided, for which a lattice has to give a little. judged: False for
    what has no bars to meet.
    """
    names = {r.exemplar for r in results} & {r.exemplar for r in quilting}
    ours, theirs = ([r for r in side if r.exemplar in names] for side in (results, quilting))
    irregular = [r for r in results if not r.regular]
    seam = (0.9, 1.1) if tileable else (None, None)
    bars: tuple[Bar, ...] = (
        Bar("coherence", "coherence / quilting's", _ratio(ours, theirs, "coherence"), None, 0.85),
        Bar("sharpness", "sharpness", _median(results, "sharpness"), 0.95, 1.05),
        Bar(
            "sharp_share",
            "share with sharpness .85-1.15",
            _share(results, "sharpness", 0.85, 1.15),
            0.9,
            None,
        ),
        Bar("wasserstein", "Wasserstein / quilting's", _ratio(ours, theirs, "wasserstein"), None, 1.0),
        Bar("excess", "excess repetition", _median(ours, "excess"), None, _median(theirs, "excess")),
        Bar("irregular", "excess repetition, irregular", _median(irregular, "excess"), None, 0.25),
        Bar("lattices", "share of lattices kept", _kept(results), None if tileable else 1.0, None),
        Bar(
            "unimposed", "share without imposed lattice", _share(irregular, "imposed", -2, IMPOSED), 1.0, None
        ),
        Bar("seam_v", "seam, vertical", _median(results, "seam_vertical"), *seam),
        Bar("seam_h", "seam, horizontal", _median(results, "seam_horizontal"), *seam),
    )
    if not judged:
        bars = tuple(replace(bar, at_least=None, at_most=None) for bar in bars)
    medians = {name: _median(results, name) for name in MEASURES}
    seconds = [r.seconds for r in results if r.seconds is not None]
    medians["seconds"] = median(seconds) if seconds else None
    return Summary(method, len(results), failed, medians, bars)


def _values(results: Sequence[Scored], name: str) -> list[float]:
    values = (getattr(r.scores, name) for r in results)
    return [value for value in values if value is not None]


def _median(results: Sequence[Scored], name: str) -> float | None:
    values = _values(results, name)
    return median(values) if values else None


def _share(results: Sequence[Scored], name: str, low: float, high: float) -> float | None:
    values = _values(results, name)
    return sum(low <= value <= high for value in values) / len(values) if values else None


def _kept(results: Sequence[Scored]) -> float | None:
    """Share of lattices whose peaks are within 2% and not much lower than they should be."""
    regular = [r.scores for r in results if r.scores.lattice is not None]
    kept = [
        s.lattice <= 0.02 and (s.lattice_height is None or s.lattice_height >= 0.6)
        for s in regular
        if s.lattice is not None
    ]
    return sum(kept) / len(kept) if kept else None


def _ratio(ours: Sequence[Scored], theirs: Sequence[Scored], name: str) -> float | None:
    """Of the medians, as the bars are stated; None where quilting's is 0."""
    a, b = _median(ours, name), _median(theirs, name)
    return None if a is None or not b else a / b


def _rng() -> torch.Generator:
    """Fixed: every method is measured at the same places and in the same directions."""
    return torch.Generator().manual_seed(0)
