"""What is measured of an expansion, against its exemplar and the truth, and figures of many."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, median

import torch
from torch import Tensor

from texsynth.analysis.lattice import Lattice, find_lattice
from texsynth.evaluation.results import SECONDS, Difference, Estimate, Row, present
from texsynth.metrics.broken import CutDetector, Maps, learn_cuts
from texsynth.metrics.copies import salient_copies
from texsynth.metrics.cuts import misfits, straight_cuts, usual_distance
from texsynth.metrics.recurrence import recurrence
from texsynth.metrics.structure import lattice_displacements, regularity, spectrum_distance
from texsynth.metrics.style import frechet
from texsynth.metrics.texture import (
    LEVEL,
    coherence,
    completeness,
    inner_seams,
    pyramid_wasserstein,
    seam_ranks,
    seams,
    sharpness,
    ssim,
)
from texsynth.pipelines.complete import BAND, RING
from texsynth.transforms.moments import Moments

CONFIRMED = 0.05  # Displacement up to which the truth shows the lattice of its exemplar

KEPT, KEPT_HEIGHT = 0.02, 0.6
"""Displacement up to which, and height over the truth's from which on, a lattice counts as kept."""

IMPOSED = 0.2
"""Regularity above the truth's from which on a pattern shows where there was none; quilting adds 0.1-0.2."""

AROUND_PX = 17  # Least width of what is around an exemplar for it to be a yardstick

QUERIES = 768  # Patches of which the coherence is taken

BANDS = (BAND, (1 - RING) * BAND)
"""Distances of lines inside a tile from its borders, over its shorter side: where `texsynth tile` joins."""

MEASURES = (
    "coherence", "coherence_gap", "completeness", "sharpness", "wasserstein", "frechet", "spectrum",
    "recurrence", "repetition", "excess", "copies", "cuts", "misfits", "broken", "seam_vertical",
    "seam_horizontal", "seam_rank", "seam_inside", "lattice", "lattice_height", "regularity", "imposed",
    "ssim",
)  # fmt: skip

COLUMNS = (
    "done", "failed", "coherence_gap", "sharpness", "figures.sharp_share", "figures.wasserstein_ratio",
    "frechet", "excess", "figures.excess_irregular", "copies", "figures.cuts_irregular", "misfits", "broken",
    "figures.lattices_kept", "figures.unimposed", "seam_vertical", "seam_horizontal", "seam_inside", SECONDS,
)  # fmt: skip
"""Columns of the first table."""

LESS_IS_BETTER = (
    "coherence_gap", "wasserstein", "frechet", "excess", "cuts", "misfits", "broken", SECONDS
)  # fmt: skip
"""Figures whose differences to quilting are shown."""

Describe = Callable[[Tensor], Moments]
"""(1, 3, H, W) in [0, 1] -> the moments of its features."""


@dataclass(frozen=True)
class Reference:
    """The exemplar and the truth with their own measures, taken once.

    exemplar: (1, 3, h, w) in [0, 1]. truth: (1, 3, H, W), the surface the exemplar was cut out of.
    lattice_heights: correlation at the lattice's peaks; 0 where it cannot be measured. coherence, distance:
    of what is around the exemplar in the truth, by patches of 7 and of 15 px. recurrence, regularity: of the
    truth. describe: gives the features for the Frechet distance; features: those of the truth, or of the
    exemplar where it is not known. cuts: tells cut objects from whole ones; None where it cannot be learned.
    """

    exemplar: Tensor
    truth: Tensor | None
    lattice: Lattice | None
    lattice_heights: tuple[float, ...]
    coherence: float | None
    distance: float | None
    recurrence: float | None
    regularity: float | None
    describe: Describe | None = None
    features: Moments | None = None
    cuts: CutDetector | None = None


def refer(
    exemplar: Tensor, truth: Tensor | None, describe: Describe | None = None, maps: Maps | None = None
) -> Reference:
    """Measure what does not depend on the output. maps: gives the features by which cuts are told.

    A lattice that the truth does not have is none: a small exemplar may look regular by chance.
    """
    lattice = find_lattice(exemplar)
    target = exemplar if truth is None else truth
    peaks = lattice_displacements(target, lattice.vectors) if lattice else []
    if truth is not None and any(peak.relative > CONFIRMED for peak in peaks):
        lattice, peaks = None, []
    around = [] if truth is None else _around(truth, exemplar)
    return Reference(
        exemplar,
        truth,
        lattice,
        tuple(peak.height for peak in peaks),
        _coherence_of(around, exemplar) if around else None,
        usual_distance(around, exemplar, _rng()) if around else None,
        None if truth is None else recurrence(truth).turned,
        None if truth is None else regularity(truth),
        describe,
        None if describe is None else describe(target),
        None if truth is None or maps is None else learn_cuts(maps, exemplar, truth, _rng()),
    )


def measure(output: Tensor, reference: Reference) -> dict[str, float | None]:
    """All measures of `output` (1, 3, H, W) in [0, 1], at places that are the same for all of one size.

    Wasserstein, Frechet and spectrum are to the exemplar where no truth is known. None where a measure needs
    a truth, a network, a lattice, or none, that is not there.
    """
    exemplar, truth, lattice = reference.exemplar, reference.truth, reference.lattice
    target = exemplar if truth is None else truth
    peaks = lattice_displacements(output, lattice.vectors) if lattice else []
    pairs = zip(peaks, reference.lattice_heights, strict=True)
    heights = [peak.height / height for peak, height in pairs if height > 0]
    seam, repeats, regular = seams(output), recurrence(output), regularity(output)
    irregular = None if lattice else reference.regularity
    usual = reference.distance
    near = coherence(output, exemplar, _rng(), QUERIES)
    return {
        "coherence": near,
        "coherence_gap": _gap(near, reference.coherence),
        "completeness": completeness(output, exemplar, _rng()),
        "sharpness": sharpness(output, exemplar),
        "wasserstein": pyramid_wasserstein(output, target, _rng()),
        "frechet": _relative_frechet(output, reference),
        "spectrum": spectrum_distance(output, target),
        "recurrence": repeats.turned,
        "repetition": repeats.upright,
        "excess": None if reference.recurrence is None else repeats.turned - reference.recurrence,
        "copies": salient_copies(output, exemplar),
        "cuts": straight_cuts(output, exemplar, _rng()),
        "misfits": None if usual is None else misfits(output, exemplar, usual, _rng()),
        "broken": None if reference.cuts is None else reference.cuts.broken(output),
        "seam_vertical": seam.vertical,
        "seam_horizontal": seam.horizontal,
        "seam_rank": min(seam_ranks(output)),
        "seam_inside": None,
        "lattice": max((peak.relative for peak in peaks), default=None),
        "lattice_height": min(heights, default=None),
        "regularity": regular,
        "imposed": None if irregular is None else regular - irregular,
        "ssim": None if truth is None else ssim(output, truth),
    }


def measure_truth(reference: Reference, truth: Tensor) -> dict[str, float | None]:
    """Measure the truth like an output, but for its coherence: its middle is the exemplar itself."""
    measures = measure(truth, reference)
    around = reference.coherence
    if around is not None:
        measures |= {"coherence": around, "coherence_gap": 0.0}
    return measures | {"seam_inside": largest_inner_seam(reference.exemplar)}


def largest_inner_seam(tile: Tensor) -> float:
    """The largest step across eight lines inside a tile, where `texsynth tile` joins old and new."""
    side = min(tile.shape[2:])
    return max(inner_seams(tile, [max(2, round(band * side)) for band in BANDS]))


def _around(truth: Tensor, exemplar: Tensor) -> list[Tensor]:
    """Up to four strips of the truth around the exemplar, which is its middle."""
    height, width = exemplar.shape[2:]
    top, left = (truth.shape[2] - height) // 2, (truth.shape[3] - width) // 2
    middle = truth[:, :, top : top + height]
    strips = [
        truth[:, :, :top], truth[:, :, top + height :], middle[..., :left], middle[..., left + width :]
    ]  # fmt: skip
    return [strip for strip in strips if min(strip.shape[2:]) >= AROUND_PX]


def _coherence_of(pieces: Sequence[Tensor], exemplar: Tensor) -> float:
    """Coherence of several pieces, weighted by their areas."""
    areas = [piece[0, 0].numel() for piece in pieces]
    means = [coherence(piece, exemplar, _rng(), QUERIES // len(pieces)) for piece in pieces]
    return sum(area * mean for area, mean in zip(areas, means, strict=True)) / sum(areas)


def _gap(ours: float, truth: float | None) -> float | None:
    """|log (ours / truth's)|; differences below a level count as one level: nobody sees them."""
    return None if truth is None else abs(math.log((ours + LEVEL) / (truth + LEVEL)))


def _relative_frechet(output: Tensor, reference: Reference) -> float | None:
    """Frechet distance of two single pictures (Shaham et al. 2019, section 4.2), over the variance."""
    if reference.describe is None or reference.features is None:
        return None
    variance = float(reference.features.covariance.trace())
    return frechet(reference.describe(output), reference.features) / max(variance, 1e-12)


def _rng() -> torch.Generator:
    """Fixed: every method is measured at the same places and in the same directions."""
    return torch.Generator().manual_seed(0)


def pooled_figures(rows: Sequence[Row], quilted: Sequence[Row]) -> dict[str, float | None]:
    """Figures of all results of a method from its rows. quilted: the rows of quilting.

    Ratios to quilting are of medians on the exemplars that both could do; None without any, or where
    quilting's is 0.
    """
    shared = {row.subject.name for row in rows} & {row.subject.name for row in quilted}
    both = [[row for row in side if row.subject.name in shared] for side in (rows, quilted)]
    regular = [row for row in rows if row.value("lattice") is not None]
    irregular = [row for row in rows if row.value("lattice") is None]

    def ratio(name: str) -> float | None:
        ours, theirs = (_of(median, present(side, name)) for side in both)
        return None if ours is None or not theirs else ours / theirs

    return {
        "sharp_share": _of(fmean, [0.85 <= value <= 1.15 for value in present(rows, "sharpness")]),
        "wasserstein_ratio": ratio("wasserstein"),
        "excess_irregular": _of(median, present(irregular, "excess")),
        "cuts_irregular": _of(fmean, present(irregular, "cuts")),
        "lattices_kept": _of(fmean, [_keeps_lattice(row) for row in regular]),
        "unimposed": _of(fmean, [value <= IMPOSED for value in present(irregular, "imposed")]),
    }


def against(rows: Sequence[Row], quilted: Sequence[Row], seed: int) -> list[Difference]:
    """Compare figures of a method with those of quilting, exemplar by exemplar. seed: of the bootstrap."""
    theirs = {row.subject.name: row for row in quilted}
    pairs = [(row, theirs[row.subject.name]) for row in rows if row.subject.name in theirs]
    differences = []
    for name in LESS_IS_BETTER:
        values = [(ours.value(name), theirs.value(name)) for ours, theirs in pairs]
        changes = [a - b for a, b in values if a is not None and b is not None]
        if estimate := Estimate.of(changes, seed):
            better = fmean(change < 0 for change in changes)
            differences.append(Difference(rows[0].method, name, estimate, better))
    return differences


def _of(statistic: Callable[[Sequence[float]], float], values: Sequence[float]) -> float | None:
    return statistic(values) if values else None


def _keeps_lattice(row: Row) -> bool:
    displacement, height = row.value("lattice"), row.value("lattice_height")
    return displacement is not None and displacement <= KEPT and (height is None or height >= KEPT_HEIGHT)
