"""Methods x exemplars: expand each texture with each method and measure what comes out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, ClassVar, get_args

import torch
from torch import Tensor

from texsynth.config import presets
from texsynth.config.expand_rules import output_size
from texsynth.config.settings import ExpandSettings, Method, RunSettings
from texsynth.config.validation import nearest
from texsynth.errors import InputError, UsageError
from texsynth.evaluation.expand_scores import (
    MEASURES,
    QUILTING,
    Bar,
    Reference,
    Scored,
    Scores,
    Summary,
    refer,
    score,
    summarise,
)
from texsynth.evaluation.report import SECONDS, number
from texsynth.evaluation.results import Cell, Evaluation, Layout, Marked, Original, Shown, Subject, Table
from texsynth.evaluation.runner import OnFailure, Watcher, check_result, compare, read_opaque
from texsynth.images.tensors import to_image, to_picture
from texsynth.jobs.expand_inputs import Task, check_size
from texsynth.jobs.inputs import Input, file_seed
from texsynth.jobs.operation import decided, memory_guard
from texsynth.ops.resample import reflected_index
from texsynth.pipelines.expand import Networks, expand, load_networks
from texsynth.synthesis import exemplar as source
from texsynth.synthesis.quilting import image_quilting
from texsynth.training.data import is_held_out

Loaded = Mapping[Method, Networks]
"""By method."""

CURE = "choose a smaller --crop"


def choose(inputs: Sequence[Input], *, held_out: bool, limit: int | None) -> list[Input]:
    """The exemplars to use: at most `limit`, and only those that no training has seen when `held_out`.

    Raises InputError when none is left.
    """
    chosen = [item for item in inputs if not held_out or is_held_out(item.path)][:limit]
    if not chosen:
        raise InputError(f"none of {len(inputs)} pictures is held out from training; drop --held-out")
    return chosen


def evaluate(plan: Plan, watcher: Watcher, on_failure: OnFailure) -> ExpandEvaluation:
    """Do it all, see `compare`. Raises ModelError when the weights cannot be loaded."""
    run, device, dtype = decided(plan.run)
    plan = replace(plan, run=run)
    evaluation = ExpandEvaluation(plan)
    # Before any work: with damaged weights there is nothing to compare.
    networks = {
        settings.method: load_networks(settings, run.model, device, dtype)
        for settings in (candidate.settings for candidate in plan.candidates)
        if settings is not None
    }
    compare(_Bench(plan, networks), plan.inputs, plan.candidates, evaluation, watcher, on_failure)
    return evaluation


@dataclass(frozen=True)
class _Bench:
    plan: Plan
    networks: Loaded

    def begin(self, item: Input) -> Exemplar:
        return Exemplar(_name(item, self.plan.inputs))

    def examine(self, item: Input, subject: Exemplar) -> Reference:
        exemplar, truth, subject.sha256 = self._read(item)
        with memory_guard(item, CURE):
            reference = refer(exemplar, truth)
        subject.shown, _ = _as_shown(exemplar)
        if reference.lattice:
            subject.lattice = tuple(map(tuple, reference.lattice.vectors.tolist()))
            subject.confidence = reference.lattice.confidence
        if truth is not None:
            shown, measured = _as_shown(truth)
            subject.cells.append(Cell(TRUTH, None, shown, score(measured, reference)))
        return reference

    def attempt(
        self, candidate: Candidate, item: Input, reference: Reference, watcher: Watcher
    ) -> Cell[Scores]:
        exemplar = reference.exemplar
        size = output_size(self.plan.size, *exemplar.shape[2:])
        rng = torch.Generator().manual_seed(file_seed(self.plan.run.seed, item.key))
        if candidate.settings is None:
            make = partial(BASELINES[candidate.name], exemplar, size)
        else:
            networks = self.networks[candidate.settings.method]
            make = partial(_expanded, exemplar, candidate.settings, networks, watcher)
        with memory_guard(f"{candidate.name} on {item}", CURE):
            start = time.perf_counter()
            output = make(rng).cpu()
            seconds = time.perf_counter() - start
            check_result(output, size)
            shown, measured = _as_shown(output)
            return Cell(candidate.name, seconds, shown, score(measured, reference))

    def _read(self, item: Input) -> tuple[Tensor, Tensor | None, str]:
        """Exemplar, truth where there is one, and the hash of the file."""
        picture, found = read_opaque(item, self.plan.run, "textures")
        crop, run = self.plan.crop, self.plan.run
        image = to_image(picture)
        exemplar = image if crop is None else _centre(image, crop, crop)
        check_size(item, exemplar.shape[3], exemplar.shape[2], self.plan.size, run, Task("expand", (item,)))
        height, width = output_size(self.plan.size, *exemplar.shape[2:])
        known = crop is not None and image.shape[2] >= height and image.shape[3] >= width
        return exemplar, _centre(image, height, width) if known else None, found.sha256


def _expanded(
    exemplar: Tensor, settings: ExpandSettings, networks: Networks, watcher: Watcher, rng: torch.Generator
) -> Tensor:
    return expand([source.Exemplar(exemplar)], settings, networks, rng=rng, on_step=watcher.step).image


def _centre(image: Tensor, height: int, width: int) -> Tensor:
    """The middle of `image`, no larger than it is."""
    height, width = min(height, image.shape[2]), min(width, image.shape[3])
    top, left = (image.shape[2] - height) // 2, (image.shape[3] - width) // 2
    return image[:, :, top : top + height, left : left + width].contiguous()


def _as_shown(image: Tensor) -> tuple[Shown, Tensor]:
    """The PNG of `image`, and what is left of it in 8 bits: what can be seen is what is measured."""
    picture = to_picture(image, None, 8)
    return Shown.whole(picture), to_image(picture)


def _name(item: Input, inputs: Sequence[Input]) -> str:
    """The shortest that no other input has."""
    return item.key if sum(other.key == item.key for other in inputs) == 1 else str(item.path)


PRESET = "preset:"
"""What precedes the name of a preset among methods."""

METHODS: tuple[str, ...] = get_args(Method)

Baseline = Callable[[Tensor, tuple[int, int], torch.Generator], Tensor]
"""(exemplar (1, 3, h, w), (H, W), rng) -> (1, 3, H, W)."""


def tile(exemplar: Tensor, size: tuple[int, int], rng: torch.Generator) -> Tensor:  # noqa: ARG001
    """The exemplar again and again."""
    rows, cols = (torch.arange(wanted) % side for wanted, side in zip(size, exemplar.shape[2:], strict=True))
    return exemplar[:, :, rows][:, :, :, cols]


def mirror(exemplar: Tensor, size: tuple[int, int], rng: torch.Generator) -> Tensor:  # noqa: ARG001
    """The exemplar and its mirror image in turn."""
    rows, cols = (
        reflected_index(side, wanted) for wanted, side in zip(size, exemplar.shape[2:], strict=True)
    )
    return exemplar[:, :, rows][:, :, :, cols]


def quilting(exemplar: Tensor, size: tuple[int, int], rng: torch.Generator) -> Tensor:
    """Image quilting (Efros and Freeman 2001): blocks of 0.28 of the shorter side, overlapping by a sixth."""
    block = max(4, round(0.28 * min(exemplar.shape[2:])))
    return image_quilting(exemplar, size, block, max(2, round(block / 6)), 0.1, rng)


BASELINES: dict[str, Baseline] = {"tile": tile, "mirror": mirror, "quilting": quilting}


@dataclass(frozen=True)
class Candidate:
    """Something that expands textures, by name: a baseline, or `expand` with these settings."""

    name: str
    settings: ExpandSettings | None

    @property
    def description(self) -> str:
        """A sentence for the page."""
        if self.settings is not None:
            return f"texsynth expand, method {self.settings.method}"
        return (BASELINES[self.name].__doc__ or "").rstrip(".")


def candidates(names: Sequence[str], sets: Sequence[str], size: ExpandSettings) -> list[Candidate]:
    """The methods called `names`, each once; all of them when empty.

    sets: settings of all but the baselines, as in `presets.resolve`. size: whose size, scale and tileable
    all have, whatever a preset says. Raises UsageError.
    """
    flags = {key: presets.as_tree(size)[key] for key in ("size", "scale", "tileable")}
    return [_candidate(name, sets, flags) for name in dict.fromkeys(names or default_names())]


def default_names() -> list[str]:
    """Baselines, methods, and the presets that say how to expand."""
    return [*BASELINES, *METHODS, *(f"{PRESET}{name}" for name in expand_presets())]


def expand_presets() -> list[str]:
    """Names of the presets with a section for `expand`."""
    return [name for name in presets.names() if "expand" in presets.load(name).sections]


def _candidate(name: str, sets: Sequence[str], flags: Mapping[Any, Any]) -> Candidate:
    if name in BASELINES:
        return Candidate(name, None)
    if name.startswith(PRESET):
        preset = presets.load(name.removeprefix(PRESET))
        return Candidate(name, presets.resolve(ExpandSettings, preset, sets, flags))
    if name not in METHODS:
        raise UsageError(f"unknown method {name!r}{nearest(name, default_names())}")
    return Candidate(name, presets.resolve(ExpandSettings, None, sets, {**flags, "method": name}))


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
