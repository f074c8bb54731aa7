"""Methods x pairs: give each content its style with each method and measure what comes out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from texsynth.config import presets
from texsynth.config.settings import OTSettings, RunSettings, StylizeSettings
from texsynth.config.validation import nearest
from texsynth.errors import InputError, UsageError
from texsynth.evaluation import results as findings
from texsynth.evaluation.baseline import Baseline, Compared, Difference, Key, compared
from texsynth.evaluation.bootstrap import Estimate
from texsynth.evaluation.results import (
    Cell,
    Evaluation,
    Layout,
    Original,
    Shown,
    Spread,
    Subject,
    Table,
    Value,
)
from texsynth.evaluation.runner import OnFailure, Watcher, check_result, compare, read_opaque
from texsynth.evaluation.stylize_scores import (
    LESS_IS_BETTER,
    LEVELS,
    MEASURES,
    SAMPLES,
    Features,
    Frechet,
    Network,
    Scored,
    Scores,
    Summary,
    level_name,
    mean_scores,
    score,
    summarise,
    total,
)
from texsynth.images.tensors import fit_within, to_image, to_picture
from texsynth.jobs.inputs import Input, file_seed
from texsynth.jobs.manifest import Entry, comma_separated, json_lines, text_of
from texsynth.jobs.memory import style_tile
from texsynth.jobs.operation import decided, memory_guard
from texsynth.metrics.frechet import frechet
from texsynth.metrics.style import MOST_DB, psnr
from texsynth.models.registry import Model, load_model
from texsynth.pipelines.stylize import check_levels, fit_style, stylize
from texsynth.transforms import fit_map
from texsynth.transforms.moments import Moments

CURE = "choose a smaller --max-side"

STYLES = 16
"""Styles whose features are kept while contents change."""

PAGE_PIXELS = 40_000_000
"""Of all pictures on the page together, as if they were square; some 20 MB of text."""

SIDES_PX = (160, 400)
"""Longer side of a picture on the page, at least and at most."""


def evaluate(plan: Plan, watcher: Watcher, on_failure: OnFailure) -> StylizeEvaluation:
    """Do it all, see `compare`.

    Raises before any work: ModelError for weights that cannot be loaded or lack a decoder, UsageError for a
    level that a model lacks and a baseline that was measured otherwise.
    """
    run, device, dtype = decided(plan.run)
    plan = replace(plan, run=run)
    models: dict[str, Model] = {}
    for candidate in plan.candidates:
        if candidate.settings is not None and candidate.model is not None:
            if candidate.model not in models:
                models[candidate.model] = load_model(candidate.model, device, dtype)
            check_levels(models[candidate.model], candidate.settings)
    # Whatever computes the results, rounding must not be what tells them apart.
    network = Network(load_model(plan.features, device, torch.float32), plan.frechet_level)
    network.check()
    if plan.baseline:
        plan.baseline.check(network.model.sha256, run.max_side)
    evaluation = StylizeEvaluation(plan, {n: m.sha256 for n, m in models.items()}, network.model.sha256)
    bench = _Bench(plan, models, network, evaluation.clouds)
    compare(bench, plan.pairs, plan.candidates, evaluation, watcher, on_failure)
    return evaluation


@dataclass(frozen=True)
class _Known:
    """A picture that was read."""

    image: Tensor
    """(1, 3, H, W) in [0, 1], of 8 bits."""
    side: Side


@dataclass(frozen=True)
class _Reference:
    content: _Known
    style: _Known
    features: Features
    """Of the style."""


@dataclass
class _Bench:
    plan: Plan
    models: Mapping[str, Model]
    network: Network
    clouds: dict[str, Cloud]
    identities: dict[tuple[Input, str], float] = field(default_factory=dict)
    """By content and method."""

    def __post_init__(self) -> None:
        # The pairs of a content come one after the other.
        self._content = lru_cache(maxsize=1)(self._read)
        self._style = lru_cache(maxsize=STYLES)(self._seen)

    def begin(self, item: Pair) -> StyledPair:
        content = _name(item.content, [pair.content for pair in self.plan.pairs])
        style = _name(item.style, [pair.style for pair in self.plan.pairs])
        return StyledPair(f"{content} + {style}", content=Side(content), style=Side(style))

    def examine(self, item: Pair, subject: StyledPair) -> _Reference:
        content = self._content(item.content)
        subject.content = replace(content.side, name=subject.content.name)
        style, features = self._style(item.style)
        subject.style = replace(style.side, name=subject.style.name)
        return _Reference(content, style, features)

    def attempt(
        self, candidate: Candidate, item: Pair, reference: _Reference, watcher: Watcher
    ) -> Cell[Scores]:
        content, style = reference.content.image, reference.style.image
        scores: list[Scores] = []
        seconds: list[float] = []
        moments, shown = [], None
        with memory_guard(f"{candidate.name} on {item}", CURE):
            # First, so that what a device does once is not in the time of the result.
            identity = self._identity(candidate, item.content, content, watcher)
            for turn in range(self.plan.seeds):
                start = time.perf_counter()
                output = self._made(candidate, item.content, content, style, turn, watcher)
                seconds.append(time.perf_counter() - start)
                check_result(output, (content.shape[2], content.shape[3]))
                picture = to_picture(output, None, 8)
                image = to_image(picture)
                seen = self.network.of(image)
                moments.append(seen.moments[self.plan.frechet_level])
                scores.append(score(image, seen, content, reference.features, identity))
                shown = shown or Shown.reduced(picture, self._side_px)
        wanted = reference.features.moments[self.plan.frechet_level]
        cloud = Cloud(total(moments), wanted)
        known = self.clouds.get(candidate.name)
        self.clouds[candidate.name] = cloud if known is None else known + cloud
        mean = sum(seconds) / len(seconds)
        return Cell(candidate.name, mean, shown, mean_scores(scores))

    def _identity(self, candidate: Candidate, item: Input, content: Tensor, watcher: Watcher) -> float:
        """PSNR of the content stylized by itself, in 8 bits."""
        key = (item, candidate.name)
        if key not in self.identities:
            output = self._made(candidate, item, content, content, 0, watcher)
            check_result(output, (content.shape[2], content.shape[3]))
            self.identities[key] = psnr(to_image(to_picture(output, None, 8)), content)
        return self.identities[key]

    def _made(
        self,
        candidate: Candidate,
        item: Input,
        content: Tensor,
        style: Tensor,
        turn: int,
        watcher: Watcher,
    ) -> Tensor:
        """On the CPU, so that all of the work is done."""
        if candidate.settings is None or candidate.model is None:
            return MAKERS[candidate.name](content, style)
        seed = file_seed(self.plan.run.seed + turn, item.key)
        model = self.models[candidate.model]
        return _stylized(content, style, candidate.settings, model, seed, watcher).cpu()

    def _read(self, item: Input) -> _Known:
        picture, source = read_opaque(item, self.plan.run, "pictures")
        with memory_guard(item, CURE):
            small = fit_within(picture, self.plan.run.max_side)
            # What is measured is what can be seen, on both sides.
            small = to_picture(to_image(small), None, 8)
            side = Side(item.key, source.sha256, Shown.reduced(small, self._side_px))
            return _Known(to_image(small), side)

    def _seen(self, item: Input) -> tuple[_Known, Features]:
        known = self._read(item)
        with memory_guard(item, CURE):
            return known, self.network.of(known.image)

    @property
    def _side_px(self) -> int:
        """Of pictures on the page, smaller the more there are."""
        pictures = len(self.plan.pairs) * (len(self.plan.candidates) + 2)
        low, high = SIDES_PX
        return max(low, min(high, math.isqrt(PAGE_PIXELS // pictures)))


def _stylized(
    content: Tensor, style: Tensor, settings: StylizeSettings, model: Model, seed: int, watcher: Watcher
) -> Tensor:
    tile = style_tile(style.shape[2], style.shape[3], settings.style_scale)
    fitted = fit_style(style, model, settings, tile=tile)
    return stylize(content, fitted, model, settings, seed=seed, on_step=watcher.step)


def _name(item: Input, others: Sequence[Input]) -> str:
    """The shortest that no other file has."""
    shared = any(other.key == item.key and other.path != item.path for other in others)
    return str(item.path) if shared else item.key


PRESET, PHOTO, AT = "preset:", "photo:", "@"
"""What precedes the name of a preset, a transform in photo mode, and the model of a single method."""

TRANSFORMS = ("ift", "wct", "ot", "adain")
"""In both modes; `optimize` only paints."""

BASELINES = {
    "content": "the content as it is",
    "colour": "the content with the mean and covariance of the style's RGB values",
}
"""What needs no network, and a sentence for the page."""


@dataclass(frozen=True)
class Candidate:
    """Something that stylizes: a baseline, or `stylize` with these settings and this model."""

    name: str
    settings: StylizeSettings | None
    model: str | None
    """Name or weight file; None for a baseline."""

    @property
    def description(self) -> str:
        """A sentence for the page."""
        if self.settings is None:
            return BASELINES[self.name]
        return f"texsynth stylize, {self.settings.mode}, {self.settings.transform.name}, model {self.model}"


def candidates(names: Sequence[str], sets: Sequence[str], models: Sequence[str]) -> list[Candidate]:
    """The methods called `names`, each once; all of `default_names` when empty.

    A name may end with @MODEL; the others are tried with each of `models`, at least one, and named after it
    when there are several. sets: settings of all but the baselines, as in `presets.resolve`. Raises
    UsageError.
    """
    wanted = list(names or default_names())
    used = [*models, *(model for name in wanted for _, sign, model in [name.partition(AT)] if sign)]
    found: dict[str, Candidate] = {}
    for name in wanted:
        for candidate in _named(name, sets, models, used):
            found.setdefault(candidate.name, candidate)
    return list(found.values())


def default_names() -> list[str]:
    """Baselines and the presets that say how to stylize."""
    return [*BASELINES, *(f"{PRESET}{name}" for name in stylize_presets())]


def stylize_presets() -> list[str]:
    """Names of the presets with a section for `stylize`."""
    return [name for name in presets.names() if "stylize" in presets.load(name).sections]


def _named(name: str, sets: Sequence[str], models: Sequence[str], used: Sequence[str]) -> Iterator[Candidate]:
    """The candidates of one name. used: all models of the evaluation."""
    method, sign, model = name.partition(AT)
    if sign and not model:
        raise UsageError(f"method {name!r} names no model after {AT}; write it like {method}{AT}lite")
    if method in BASELINES:
        if sign:
            raise UsageError(f"method {name!r}: {method} uses no model; leave out {AT}{model}")
        yield Candidate(name, None, None)
        return
    settings = _settings(method, sets)
    for each in [model] if sign else models:
        full = f"{method}{AT}{_label(each, used)}" if sign or len(models) > 1 else method
        yield Candidate(full, settings, each)


def _settings(method: str, sets: Sequence[str]) -> StylizeSettings:
    if method.startswith(PRESET):
        name = method.removeprefix(PRESET)
        preset = presets.load(name)
        if "stylize" not in preset.sections:
            raise UsageError(f"preset {name!r} has no settings for stylize{nearest(name, stylize_presets())}")
        return presets.resolve(StylizeSettings, preset, sets, {})
    transform = method.removeprefix(PHOTO)
    if transform not in (*TRANSFORMS, "optimize"):
        known = [*default_names(), *TRANSFORMS, "optimize", *(PHOTO + t for t in TRANSFORMS)]
        raise UsageError(f"unknown method {method!r}{nearest(method, known)}")
    mode = {"mode": "photo"} if method.startswith(PHOTO) else {}
    return presets.resolve(StylizeSettings, None, sets, {**mode, "transform": {"name": transform}})


def _label(model: str, used: Sequence[str]) -> str:
    """The name of a weight file without folder and ending, unless another model would be called the same."""
    others = {Path(other).stem for other in used if other != model}
    return model if Path(model).stem in others else Path(model).stem


READERS = {".csv": comma_separated, ".jsonl": json_lines}


@dataclass(frozen=True)
class Pair:
    """A content and the style it gets."""

    content: Input
    style: Input

    def __str__(self) -> str:
        """What messages call it."""
        return f"{self.content} with {self.style}"


def crossed(contents: Sequence[Input], styles: Sequence[Input]) -> list[Pair]:
    """Every content with every style, ordered so that the first of them use as many of both as there are."""
    return [
        Pair(content, styles[(number + turn) % len(styles)])
        for turn in range(len(styles))
        for number, content in enumerate(contents)
    ]


def zipped(contents: Sequence[Input], styles: Sequence[Input]) -> list[Pair]:
    """The first content with the first style, and so on. UsageError for unequal numbers."""
    if len(contents) != len(styles):
        raise UsageError(
            f"--zip needs as many styles as contents, but there are {len(contents)} contents and "
            f"{len(styles)} styles, each file counted once; list the pairs with --pairs FILE"
        )
    return [Pair(content, style) for content, style in zip(contents, styles, strict=True)]


def listed(path: Path) -> list[Pair]:
    """The pairs in a CSV or JSON-lines file with the columns content and style.

    Files count from its folder. Raises UsageError, and InputError when it cannot be read.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise UsageError(f"the file of pairs {path} must end with {' or '.join(READERS)}")
    _, entries = reader(path, text_of(path))
    if not entries:
        raise UsageError(f"{path} has no pairs; list at least one")
    return [_pair(entry) for entry in entries]


def choose(pairs: Sequence[Pair], *, held_out: bool, limit: int | None) -> list[Pair]:
    """At most `limit` pairs, each once, and only of files that no training has seen when `held_out`.

    Those of one content come together. Raises InputError when none is left.
    """
    distinct = list(dict.fromkeys(pairs))
    chosen = [pair for pair in distinct if not held_out or _is_held_out(pair)][:limit]
    if not chosen:
        raise InputError(f"none of {len(distinct)} pairs is held out from training; drop --held-out")
    contents = list(dict.fromkeys(pair.content for pair in pairs))
    styles = list(dict.fromkeys(pair.style for pair in pairs))
    return sorted(chosen, key=lambda pair: (contents.index(pair.content), styles.index(pair.style)))


def check_files(pairs: Sequence[Pair]) -> None:
    """InputError for what is not there, or is no picture that can be read again: a card, standard input."""
    for item in dict.fromkeys(item for pair in pairs for item in (pair.content, pair.style)):
        if item.piped is not None:
            raise InputError("standard input cannot be compared; give the name of a file")
        if item.is_card:
            raise InputError(f"{item} is a card, which results cannot be compared with; give the picture")
        if not item.path.is_file():
            raise InputError(f"{item} does not exist or is no file; correct its name")


def _is_held_out(pair: Pair) -> bool:
    # Not before it is needed: what is wrong with the pairs is said without torch.
    from texsynth.training.data import is_held_out

    return is_held_out(pair.content.path) and is_held_out(pair.style.path)


def _pair(entry: Entry) -> Pair:
    for column, value in (("preset", entry.preset), ("output", entry.output)):
        if value is not None:
            raise UsageError(f"{entry.where}: pairs have no {column}; give content and style alone")
    return Pair(entry.content, entry.style)


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
        distance = frechet(a, b)
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


def content(content: Tensor, style: Tensor) -> Tensor:  # noqa: ARG001
    """The content as it is."""
    return content


def colour(content: Tensor, style: Tensor) -> Tensor:
    """The content with the mean and covariance of the style's RGB values, by their optimal-transport map.

    Reinhard et al. 2001 do as much channel by channel. Both (1, 3, H, W) in [0, 1], of any sizes.
    """
    return fit_map(OTSettings(), Moments.of(content), Moments.of(style))(content).clamp(0, 1)


MAKERS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"content": content, "colour": colour}
"""By the name of the method: (content, style) -> a picture like the content."""
