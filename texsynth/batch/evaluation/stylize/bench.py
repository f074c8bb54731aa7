"""Methods x pairs: give each content its style with each method and measure what comes out."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import torch
from torch import Tensor

from texsynth.batch.evaluation.comparison import OnFailure, Watcher, check_result, compare, read_opaque
from texsynth.batch.evaluation.findings import Cell, Shown
from texsynth.batch.evaluation.stylize.baselines import MAKERS
from texsynth.batch.evaluation.stylize.candidates import Candidate
from texsynth.batch.evaluation.stylize.findings import Cloud, Plan, Side, StyledPair, StylizeEvaluation
from texsynth.batch.evaluation.stylize.measuring import Features, Network, total
from texsynth.batch.evaluation.stylize.pairs import Pair
from texsynth.batch.evaluation.stylize.scores import Scores, mean_scores, score
from texsynth.batch.files import memory_guard
from texsynth.batch.machine import decided
from texsynth.batch.plan import Input, file_seed
from texsynth.batch.tiles import style_tile
from texsynth.images.tensors import fit_within, to_image, to_picture
from texsynth.models.registry import Model, load_model
from texsynth.pipelines.stylize import check_levels, fit_style, stylize
from texsynth.settings import StylizeSettings
from texsynth.texture.style_measures import psnr

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
