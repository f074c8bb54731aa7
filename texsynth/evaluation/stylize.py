"""Methods x pairs: give each content its style with each method and measure what comes out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import fmean

import torch
from torch import Tensor

from texsynth.config.settings import OTSettings, RunSettings, StylizeSettings
from texsynth.errors import UsageError
from texsynth.evaluation.baseline import LESS_IS_BETTER, Baseline, compared
from texsynth.evaluation.methods import Method
from texsynth.evaluation.results import SECONDS, Evaluation, Row, Subject, Thumbnail
from texsynth.evaluation.runner import OnFailure, Progress, checked, compare, read_opaque
from texsynth.evaluation.subjects import Pair, distinct_name
from texsynth.images.tensors import fit_within, to_image, to_picture
from texsynth.jobs.files import memory_guard
from texsynth.jobs.inputs import Input
from texsynth.jobs.memory import style_tile
from texsynth.jobs.operation import resolve_run
from texsynth.metrics.style import edge_similarity, feature_wasserstein, frechet, gram_distance, psnr
from texsynth.metrics.texture import ssim
from texsynth.models.registry import Model, load_model
from texsynth.pipelines.progress import OnStep
from texsynth.pipelines.rasters import TensorRaster
from texsynth.pipelines.region_styles import regional_style
from texsynth.pipelines.stylize import stylize
from texsynth.pipelines.transfer import check_levels, tiled_encoder
from texsynth.transforms import fit_map
from texsynth.transforms.moments import Moments

CURE = "choose a smaller --max-side"

STYLES = 16  # Number of styles whose features are kept while contents change

PAGE_PIXELS = 40_000_000
"""Pixels of all pictures on the page together, as if they were square; some 20 MB of text."""

SIDES_PX = (160, 400)  # Longer side of a picture on the page, at least and at most

LEVELS = (1, 2, 3, 4)  # Levels at which styles are compared

SAMPLES = 16384
"""Most positions of a level that the sliced Wasserstein distance sees, the same in pictures of one size."""

MEASURES = tuple(name for name in LESS_IS_BETTER if name != SECONDS)


@dataclass(frozen=True)
class Plan:
    """The comparison to make. features: model that measures. seeds: how often each method does each pair.

    run.max_side: that of contents and styles. held_out: whether no training has seen any of the pictures.
    """

    pairs: Sequence[Pair]
    methods: Sequence[Method]
    run: RunSettings
    features: str
    frechet_level: int = 3
    seeds: int = 1
    held_out: bool = False
    baseline: Baseline | None = None


def evaluate(plan: Plan, progress: Progress, on_failure: OnFailure) -> Evaluation:
    """Stylize and measure everything, see `compare`.

    Raises before any work: ModelError for weights that cannot be loaded or lack a decoder, UsageError for a
    level that a model lacks and a baseline that was measured otherwise.
    """
    run, device, dtype = resolve_run(plan.run)
    plan = replace(plan, run=run)
    models: dict[str, Model] = {}
    networks: dict[str, dict[str, str | None]] = {}
    for method in plan.methods:
        networks[method.name] = {"model": method.model, "sha256": None}
        if isinstance(method.settings, StylizeSettings) and method.model is not None:
            if method.model not in models:
                models[method.model] = load_model(method.model, device, dtype)
            check_levels(models[method.model], method.settings)
            networks[method.name]["sha256"] = models[method.model].sha256
    # Whatever computes the results, rounding must not be what tells them apart.
    network = Network(load_model(plan.features, device, torch.float32), plan.frechet_level)
    network.check()
    if plan.baseline:
        plan.baseline.check(network.model.sha256, run.max_side)
    settings = {
        "seeds": plan.seeds,
        "max_side": run.max_side,
        "held_out": plan.held_out,
        "features": {
            "model": plan.features,
            "sha256": network.model.sha256,
            "levels": [level_name(level) for level in LEVELS],
            "samples": SAMPLES,
            "frechet_level": level_name(plan.frechet_level),
        },
    }
    evaluation = Evaluation("evaluate stylize", "pair", MEASURES, plan.methods, run, settings, networks)
    experiment = _Experiment(plan, models, network)
    compare(evaluation, experiment, plan.pairs, progress, on_failure)
    for method in plan.methods:
        cloud = experiment.clouds.get(method.name)
        evaluation.pooled[method.name] = frechet_figures(*cloud) if cloud else {"frechet": None}
    means = {"done": "pairs", **{name: name for name in ("failed", *MEASURES)}}
    means |= {"frechet.distance": "frechet", SECONDS: SECONDS}
    levels = {part(name, k): f"{name}, level {k}" for name in ("gram", "wasserstein") for k in LEVELS}
    evaluation.tables = [
        evaluation.table("means", means, "estimate"),
        evaluation.table("medians", {name: name for name in LESS_IS_BETTER}, "median"),
        evaluation.table("levels", levels, "mean"),
    ]
    if plan.baseline:
        evaluation.comparison = compared(evaluation, plan.baseline)
        evaluation.tables.append(evaluation.comparison.table())
    return evaluation


@dataclass(frozen=True)
class _Loaded:
    """A picture that was read. image: (1, 3, H, W) in [0, 1], of 8 bits."""

    image: Tensor
    sha256: str
    thumbnail: Thumbnail


class _Experiment:
    """Stylizations of one pair after the other."""

    def __init__(self, plan: Plan, models: Mapping[str, Model], network: Network) -> None:
        self._plan, self._models, self._network = plan, models, network
        self.clouds: dict[str, tuple[Moments, Moments]] = {}
        """By method, features of all results and of their styles, at the level of the Frechet distance."""
        self._identities: dict[tuple[Input, str], float] = {}
        # The pairs of a content come one after the other.
        self._read_content = lru_cache(maxsize=1)(self._read)
        self._read_style = lru_cache(maxsize=STYLES)(self._measured)
        # Smaller pictures on the page, the more there are.
        low, high = SIDES_PX
        pictures = len(plan.pairs) * (len(plan.methods) + 2)
        self._side_px = max(low, min(high, math.isqrt(PAGE_PIXELS // pictures)))

    def begin(self, item: Pair) -> Subject:
        """Turn to another pair."""
        self._pair, pairs = item, self._plan.pairs
        names = {
            "content": distinct_name(item.content, [other.content for other in pairs]),
            "style": distinct_name(item.style, [other.style for other in pairs]),
        }
        facts = {side: {"name": name, "sha256": None, "size": None} for side, name in names.items()}
        self._subject = Subject(" + ".join(names.values()), dict(facts))
        return self._subject

    def prepare(self) -> Sequence[Row]:
        """Read content and style."""
        self._content = self._loaded("content", self._read_content(self._pair.content))
        style, self._features = self._read_style(self._pair.style)
        self._style = self._loaded("style", style)
        return ()

    def _loaded(self, side: str, loaded: _Loaded) -> Tensor:
        """The picture, after a note of it as content or style."""
        facts = self._subject.facts[side]
        facts |= {"sha256": loaded.sha256, "size": loaded.thumbnail.size}
        self._subject.originals.append(replace(loaded.thumbnail, label=f"{side} picture"))
        return loaded.image

    def attempt(self, method: Method, on_step: OnStep) -> Row:
        """Stylize the content, once for each seed; measures are means over seeds."""
        content, level = self._content, self._network.frechet_level
        measures, seconds, moments = [], [], []
        thumbnail = None
        with memory_guard(f"{method.name} on {self._pair}", CURE):
            # First, so that what a device does once is not in the time of the result.
            identity = self._identity(method, on_step)
            for turn in range(self._plan.seeds):
                start = time.perf_counter()
                output = self._stylized(method, self._style, turn, on_step)
                seconds.append(time.perf_counter() - start)
                picture = checked(output, content.shape)
                image = to_image(picture)
                features = self._network.of(image)
                moments.append(features.moments[level])
                measures.append(measure(image, features, content, self._features))
                thumbnail = thumbnail or Thumbnail.of(picture, self._side_px)
        cloud = sum(moments[1:], moments[0]), self._features.moments[level]
        earlier = self.clouds.get(method.name)
        self.clouds[method.name] = (earlier[0] + cloud[0], earlier[1] + cloud[1]) if earlier else cloud
        means = {name: fmean(each[name] for each in measures) for name in measures[0]}
        return Row(self._subject, method.name, {**means, "identity": identity}, fmean(seconds), thumbnail)

    def _identity(self, method: Method, on_step: OnStep) -> float:
        """PSNR of the content stylized by itself, in 8 bits; once for a content and a method."""
        key, content = (self._pair.content, method.name), self._content
        if key not in self._identities:
            output = self._stylized(method, content, 0, on_step)
            self._identities[key] = psnr(to_image(checked(output, content.shape)), content)
        return self._identities[key]

    def _stylized(self, method: Method, style: Tensor, turn: int, on_step: OnStep) -> Tensor:
        """The content in a style, (1, 3, H, W), on the CPU, so that all of the work is done."""
        settings, content = method.settings, self._content
        if not isinstance(settings, StylizeSettings) or method.model is None:
            return BASELINES[method.name](content, style)
        model = self._models[method.model]
        tile = style_tile(style.shape[2], style.shape[3])
        fitted = regional_style(TensorRaster(content), style, model, settings, tile=tile)
        seed = self._plan.run.seed + turn
        return stylize(content, fitted, model, settings, seed=seed, on_step=on_step).cpu()

    def _read(self, item: Input) -> _Loaded:
        picture, source = read_opaque(item, self._plan.run, "pictures")
        with memory_guard(item, CURE):
            # What is measured is what can be seen, on both sides.
            small = to_picture(to_image(fit_within(picture, self._plan.run.max_side)), None, 8)
            return _Loaded(to_image(small), source.sha256, Thumbnail.of(small, self._side_px))

    def _measured(self, item: Input) -> tuple[_Loaded, Features]:
        loaded = self._read(item)
        with memory_guard(item, CURE):
            return loaded, self._network.of(loaded.image)


def content(content: Tensor, style: Tensor) -> Tensor:  # noqa: ARG001
    """Return the content as it is."""
    return content


def colour(content: Tensor, style: Tensor) -> Tensor:
    """Give the content the mean and covariance of the style's RGB values, by their optimal-transport map.

    Reinhard et al. 2001 do as much channel by channel. Both (1, 3, H, W) in [0, 1], of any sizes.
    """
    return fit_map(OTSettings(), Moments.of(content), Moments.of(style))(content).clamp(0, 1)


BASELINES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"content": content, "colour": colour}
"""By the name of the method: (content, style) -> a picture like the content."""


@dataclass(frozen=True)
class Features:
    """Features of a picture by level: moments of all positions, and at most SAMPLES of them, (1, C, n)."""

    moments: Mapping[int, Moments]
    samples: Mapping[int, Tensor]


@dataclass(frozen=True)
class Network:
    """The encoder that measures, and the level of the Frechet distance."""

    model: Model
    frechet_level: int

    @property
    def levels(self) -> list[int]:
        """All levels that are measured."""
        return sorted({*LEVELS, self.frechet_level})

    def check(self) -> None:
        """UsageError when the model lacks a level."""
        count = len(self.model.encoder.widths)
        if count < self.levels[-1]:
            raise UsageError(
                f"--features {self.model.name} has levels 1 to {count}, but {self.levels[-1]} is needed; "
                f"give another model{' or a lower --frechet-level' if count >= LEVELS[-1] else ''}"
            )

    @torch.inference_mode()
    def of(self, image: Tensor) -> Features:
        """Measure (1, 3, H, W) in [0, 1]."""
        encoder = tiled_encoder(self.model, self.levels[-1])
        features = {level: f.float() for level, f in encoder.features(TensorRaster(image)).items()}
        return Features(
            {level: Moments.of(features[level]) for level in self.levels},
            {level: _sampled(features[level]) for level in LEVELS},
        )


def _sampled(features: Tensor) -> Tensor:
    """(1, C, n) of (1, C, h, w), at places that depend on h w alone."""
    flat = features.flatten(2)
    count = flat.shape[2]
    if count <= SAMPLES:
        return flat
    places = torch.randperm(count, generator=torch.Generator().manual_seed(0))[:SAMPLES]
    return flat[:, :, places.to(flat.device)]


def measure(output: Tensor, features: Features, content: Tensor, style: Features) -> dict[str, float]:
    """All measures of `output` but the identity: means over LEVELS, and each level on its own.

    output, content: (1, 3, H, W) in [0, 1]. features: of `output`.
    """
    measures = {"ssim": ssim(output, content), "edges": edge_similarity(output, content)}
    grams, distances = [], []
    for level in LEVELS:
        # Fixed: every result is measured in the same directions.
        rng = torch.Generator().manual_seed(0)
        grams.append(gram_distance(features.moments[level], style.moments[level]))
        distances.append(feature_wasserstein(features.samples[level], style.samples[level], rng))
        measures |= {part("gram", level): grams[-1], part("wasserstein", level): distances[-1]}
    return {"gram": fmean(grams), "wasserstein": fmean(distances), **measures}


def level_name(level: int) -> str:
    """The name of a level in the literature."""
    return f"relu{level}_1"


def part(name: str, level: int) -> str:
    """The name of a measure at one level."""
    return f"levels.{level_name(level)}.{name}"


def frechet_figures(results: Moments, styles: Moments) -> dict[str, float | None]:
    """The distance between the Gaussians of the features of both, and the numbers of positions."""
    distance = frechet(results, styles)
    return {
        "frechet.distance": distance,
        "frechet.results": round(results.n),
        "frechet.styles": round(styles.n),
    }
