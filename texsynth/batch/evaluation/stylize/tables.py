"""What the page of an evaluation of stylizations says above its pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from texsynth.batch.evaluation.layout import Spread, Table, Value
from texsynth.batch.evaluation.stylize.baseline import Baseline, Compared, Difference
from texsynth.batch.evaluation.stylize.intervals import Estimate
from texsynth.batch.evaluation.stylize.measuring import LEVELS, SAMPLES, level_name
from texsynth.batch.evaluation.stylize.scores import LESS_IS_BETTER, Summary
from texsynth.texture.style_measures import MOST_DB

if TYPE_CHECKING:
    from texsynth.batch.evaluation.stylize.findings import StylizeEvaluation

HINTS = {
    "gram": "squared distance of Gram matrices to the style's over their square; 0 is best",
    "wasserstein": "sliced Wasserstein distance of features to the style's over their deviation; 0 is best",
    "ssim": "structural similarity of luma to the content's; 1 keeps everything",
    "edges": "structural similarity of Sobel edges to the content's; 1 keeps everything",
    "identity": f"PSNR in dB of the content stylized by itself, {MOST_DB:g} at most; high is best",
    "frechet": "Frechet distance of the features of all results to those of all their styles; 0 is best",
    "seconds": "to measure the style and stylize, without loading files or the network",
    "better": "share of the pairs where the figure is better now",
}
"""What each column means and which way is better."""

MEANS = (
    "Means over pairs, with the 95% interval of a bootstrap over pairs. Figures are of the 8-bit results in "
    "their own size, not of the reduced pictures below. No method is best at all of them: to leave the "
    "content as it is keeps everything and takes no style. Edges are Sobel gradients of luma; papers compare "
    "those of a learnt detector (HED), so their figures are others. The Frechet distance is one figure for "
    "all pairs, too high where they are few. None of these figures replaces looking at the pictures."
)

LEVELS_NOTE = "Means over pairs of the distances to the style at each level of the measuring network."


def facts(evaluation: StylizeEvaluation) -> list[str]:
    """The lines at the top of the page."""
    plan = evaluation.plan
    good = sum(bool(subject.originals()) for subject in evaluation.subjects)
    kind = "held-out " if plan.held_out else ""
    seeds = f", means of {plan.seeds} seeds" if plan.seeds > 1 else ""
    levels = f"{level_name(LEVELS[0])} to {level_name(LEVELS[-1])}"
    lines = [
        f"{good} {kind}pairs, longer sides of at most {plan.run.max_side} px{seeds}",
        f"measured with features of {plan.features}, {levels}; wasserstein at {SAMPLES} positions at most",
        _positions(evaluation),
    ]
    if plan.baseline:
        lines.append(f"compared with {plan.baseline.path}, made by texsynth {plan.baseline.version}")
    return [line for line in lines if line]


def tables(evaluation: StylizeEvaluation) -> list[Table]:
    """All of them."""
    summaries = evaluation.summaries()
    figures = list(LESS_IS_BETTER)
    found = [
        Table(
            "means",
            "Means",
            MEANS,
            ["pairs", "failed", *figures[:-1], "frechet", figures[-1]],
            [(s.method, _means(s)) for s in summaries],
        ),
        Table(
            "medians",
            "Medians",
            "",
            figures,
            [(s.method, [_median(e) for e in s.estimates.values()]) for s in summaries],
        ),
        Table(
            "levels",
            "Levels",
            LEVELS_NOTE,
            [f"{name}, level {level}" for name in ("gram", "wasserstein") for level in LEVELS],
            [(s.method, _levels(s)) for s in summaries],
        ),
    ]
    result, baseline = evaluation.compared(), evaluation.plan.baseline
    return found if result is None or baseline is None else [*found, _baseline(baseline, result)]


def _positions(evaluation: StylizeEvaluation) -> str:
    found = [cloud.frechet for cloud in evaluation.clouds.values()]
    if not found:
        return ""
    least, styles = min(f.results for f in found), min(f.styles for f in found)
    return (
        f"Frechet distance at {level_name(evaluation.plan.frechet_level)}, of {least} positions in results "
        f"and {styles} in styles, or more"
    )


def _means(summary: Summary) -> list[Value]:
    *figures, seconds = map(_spread, summary.estimates.values())
    distance = summary.frechet.distance if summary.frechet else None
    return [summary.done, summary.failed, *figures, distance, seconds]


def _levels(summary: Summary) -> list[Value]:
    return [
        summary.levels[level_name(level)][name] if summary.levels else None
        for name in ("gram", "wasserstein")
        for level in LEVELS
    ]


def _baseline(baseline: Baseline, result: Compared) -> Table:
    note = (
        f"Mean differences to {baseline.path}, now minus then, with the 95% interval of a bootstrap over "
        f"pairs. {result.matched} results are in both tables; {result.only_here} of this one and "
        f"{result.only_there} of the earlier one have no partner of the same content, style and method."
    )
    rows = [(d.method, _difference(d)) for d in result.differences]
    return Table("baseline", "Differences", note, ["figure", "pairs", "difference", "better"], rows)


def _difference(difference: Difference) -> list[Value]:
    estimate = difference.estimate
    return [difference.measure, estimate.count, _spread(estimate), difference.better]


def _spread(estimate: Estimate | None) -> Spread | None:
    return Spread(estimate.mean, estimate.low, estimate.high) if estimate else None


def _median(estimate: Estimate | None) -> float | None:
    return estimate.median if estimate else None
