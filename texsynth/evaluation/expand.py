"""Methods x exemplars: expand each texture with each method and measure what comes out."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median

import torch
from torch import Tensor

from texsynth.analysis.lattice import Lattice, find_lattice
from texsynth.config.expand_rules import output_size
from texsynth.config.settings import ExpandSettings, RunSettings
from texsynth.evaluation import methods
from texsynth.evaluation.results import SECONDS, Evaluation, Row, Subject, Thumbnail, present
from texsynth.evaluation.runner import OnFailure, Progress, checked, compare, read_opaque
from texsynth.evaluation.subjects import distinct_name
from texsynth.images import Picture
from texsynth.images.tensors import to_image, to_picture
from texsynth.jobs.expand_inputs import Task, check_size
from texsynth.jobs.files import memory_guard
from texsynth.jobs.inputs import Input, file_seed
from texsynth.jobs.operation import resolve_run
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
from texsynth.models.registry import load_model
from texsynth.ops.resample import reflected_index
from texsynth.pipelines.expand import Networks, expand, load_networks
from texsynth.pipelines.method import plan_expand
from texsynth.pipelines.progress import OnStep
from texsynth.synthesis.exemplar import Exemplar
from texsynth.synthesis.quilting import quilting

CURE = "choose a smaller --crop"

TRUTH = "truth"  # The method that nothing can beat: the picture the exemplar was cut out of

QUILTING = "quilting"  # The baseline that ratios refer to

CONFIRMED = 0.05  # Displacement up to which the truth shows the lattice of its exemplar

KEPT, KEPT_HEIGHT = 0.02, 0.6
"""Displacement up to which, and height over the truth's from which on, a lattice counts as kept."""

IMPOSED = 0.2
"""Regularity above the truth's from which on a pattern shows where there was none; quilting adds 0.1-0.2."""

MEASURES = (
    "coherence", "completeness", "sharpness", "wasserstein", "spectrum", "repetition", "excess",
    "seam_vertical", "seam_horizontal", "seam_rank", "lattice", "lattice_height", "regularity", "imposed",
    "ssim",
)  # fmt: skip

COLUMNS = (
    "done", "failed", "figures.coherence_ratio", "sharpness", "figures.sharp_share",
    "figures.wasserstein_ratio", "excess", "figures.excess_irregular", "figures.lattices_kept",
    "figures.unimposed", "seam_vertical", "seam_horizontal", SECONDS,
)  # fmt: skip
"""Columns of the first table."""


@dataclass(frozen=True)
class Plan:
    """The comparison to make. size: its size, scale and tileable are those of outputs, the rest is not used.

    crop: side of the centre crop that serves as exemplar; the rest of the picture is the truth.
    """

    inputs: Sequence[Input]
    methods: Sequence[methods.Method]
    size: ExpandSettings
    run: RunSettings
    crop: int | None = None


def evaluate(plan: Plan, progress: Progress, on_failure: OnFailure) -> Evaluation:
    """Expand and measure everything, see `compare`. Raises ModelError when weights cannot be loaded."""
    run, device, dtype = resolve_run(plan.run)
    plan = replace(plan, run=run)
    # Before any work: with damaged weights there is nothing to compare.
    used = {m.settings.transposer for m in plan.methods if isinstance(m.settings, ExpandSettings)} | {None}
    model = load_model(run.model, device, dtype)
    networks = {name: load_networks(model, name) for name in used}
    size = plan.size
    settings = {
        "model": run.model,
        "crop": plan.crop,
        "scale": None if size.size else size.scale,
        "size": size.size,
        "tileable": size.tileable,
    }
    evaluation = Evaluation("evaluate expand", "exemplar", MEASURES, plan.methods, run, settings)
    compare(evaluation, _Experiment(plan, networks), plan.inputs, progress, on_failure)
    quilted = evaluation.good_rows(QUILTING)
    for name in evaluation.names:
        figures = pooled_figures(evaluation.good_rows(name), quilted)
        evaluation.pooled[name] = {f"figures.{key}": value for key, value in figures.items()}
    evaluation.tables = [
        evaluation.table("figures", {c: c.removeprefix("figures.") for c in COLUMNS}, "median"),
        evaluation.table("medians", {name: name for name in (*MEASURES, SECONDS)}, "median"),
    ]
    return evaluation


class _Experiment:
    """Expansions of one exemplar after the other."""

    def __init__(self, plan: Plan, networks: Mapping[str | None, Networks]) -> None:
        self._plan, self._networks = plan, networks

    def begin(self, item: Input) -> Subject:
        """Turn to another exemplar."""
        self._item = item
        facts: dict[str, object] = {"sha256": None, "size": None, "lattice": None}
        self._subject = Subject(distinct_name(item, self._plan.inputs), facts)
        return self._subject

    def prepare(self) -> list[Row]:
        """Read the exemplar; the truth gets a row where it is known."""
        item, run, crop, size = self._item, self._plan.run, self._plan.crop, self._plan.size
        picture, source = read_opaque(item, run, "textures")
        self._subject.facts["sha256"] = source.sha256
        image = to_image(picture)
        exemplar = image if crop is None else _centre(image, crop, crop)
        check_size(item, exemplar.shape[3], exemplar.shape[2], Task("expand", (item,)), size, run)
        height, width = output_size(size, *exemplar.shape[2:])
        is_known = crop is not None and image.shape[2] >= height and image.shape[3] >= width
        truth = _centre(image, height, width) if is_known else None
        with memory_guard(self._item, CURE):
            self._reference = refer(exemplar, truth)
        thumbnail = Thumbnail.of(to_picture(exemplar, None, 8), label="exemplar")
        if lattice := self._reference.lattice:
            facts = {"vectors": lattice.vectors.tolist(), "confidence": lattice.confidence}
            self._subject.facts["lattice"] = facts
        self._subject.facts["size"] = thumbnail.size
        self._subject.originals.append(thumbnail)
        return [] if truth is None else [self._row(TRUTH, to_picture(truth, None, 8))]

    def attempt(self, method: methods.Method, on_step: OnStep) -> Row:
        """Expand the exemplar."""
        plan, exemplar = self._plan, self._reference.exemplar
        size = output_size(plan.size, *exemplar.shape[2:])
        rng = torch.Generator().manual_seed(file_seed(plan.run.seed, self._item.key))
        with memory_guard(f"{method.name} on {self._item}", CURE):
            start = time.perf_counter()
            if isinstance(method.settings, ExpandSettings):
                work = plan_expand([Exemplar(exemplar)], method.settings)
                networks = self._networks[work.settings.transposer]
                output = expand(work, networks, rng=rng, on_step=on_step).image.cpu()
            else:
                output = BASELINES[method.name](exemplar, size, rng)
            seconds = time.perf_counter() - start
            return self._row(method.name, checked(output, (1, 3, *size)), seconds)

    def _row(self, method: str, picture: Picture, seconds: float | None = None) -> Row:
        measures = measure(to_image(picture), self._reference)
        return Row(self._subject, method, measures, seconds, Thumbnail.of(picture))


def _centre(image: Tensor, height: int, width: int) -> Tensor:
    """The middle of `image`, no larger than it is."""
    height, width = min(height, image.shape[2]), min(width, image.shape[3])
    top, left = (image.shape[2] - height) // 2, (image.shape[3] - width) // 2
    return image[:, :, top : top + height, left : left + width].contiguous()


Baseline = Callable[[Tensor, tuple[int, int], torch.Generator], Tensor]
"""(exemplar (1, 3, h, w), (H, W), rng) -> (1, 3, H, W)."""


def tile(exemplar: Tensor, size: tuple[int, int], rng: torch.Generator) -> Tensor:  # noqa: ARG001
    """Repeat the exemplar."""
    rows, cols = (torch.arange(length) % side for length, side in zip(size, exemplar.shape[2:], strict=True))
    return exemplar[:, :, rows][:, :, :, cols]


def mirror(exemplar: Tensor, size: tuple[int, int], rng: torch.Generator) -> Tensor:  # noqa: ARG001
    """Repeat the exemplar and its mirror image in turn."""
    rows, cols = map(reflected_index, exemplar.shape[2:], size)
    return exemplar[:, :, rows][:, :, :, cols]


BASELINES: dict[str, Baseline] = {"tile": tile, "mirror": mirror, "quilting": quilting}


@dataclass(frozen=True)
class Reference:
    """The exemplar and the truth with their own measures, taken once.

    exemplar: (1, 3, h, w) in [0, 1]. truth: (1, 3, H, W), the surface the exemplar was cut out of.
    lattice_heights: correlation at the lattice's peaks; 0 where it cannot be measured. repetition,
    regularity: of the truth.
    """

    exemplar: Tensor
    truth: Tensor | None
    lattice: Lattice | None
    lattice_heights: tuple[float, ...]
    repetition: float | None
    regularity: float | None


def refer(exemplar: Tensor, truth: Tensor | None) -> Reference:
    """Measure what does not depend on the output.

    A lattice that the truth does not have is none: a small exemplar may look regular by chance.
    """
    lattice = find_lattice(exemplar)
    target = exemplar if truth is None else truth
    peaks = lattice_displacements(target, lattice.vectors) if lattice else []
    if truth is not None and any(peak.relative > CONFIRMED for peak in peaks):
        lattice, peaks = None, []
    return Reference(
        exemplar,
        truth,
        lattice,
        tuple(peak.height for peak in peaks),
        None if truth is None else repetition(truth),
        None if truth is None else regularity(truth),
    )


def measure(output: Tensor, reference: Reference) -> dict[str, float | None]:
    """All measures of `output` (1, 3, H, W) in [0, 1], at places that are the same for all of one size.

    Wasserstein and spectrum are to the exemplar where no truth is known. None where a measure needs a truth,
    a lattice, or none, that is not there.
    """
    exemplar, truth, lattice = reference.exemplar, reference.truth, reference.lattice
    target = exemplar if truth is None else truth
    peaks = lattice_displacements(output, lattice.vectors) if lattice else []
    pairs = zip(peaks, reference.lattice_heights, strict=True)
    heights = [peak.height / height for peak, height in pairs if height > 0]
    seam, repeats, regular = seams(output), repetition(output), regularity(output)
    irregular = None if lattice else reference.regularity
    return {
        "coherence": coherence(output, exemplar, _rng()),
        "completeness": completeness(output, exemplar, _rng()),
        "sharpness": sharpness(output, exemplar),
        "wasserstein": pyramid_wasserstein(output, target, _rng()),
        "spectrum": spectrum_distance(output, target),
        "repetition": repeats,
        "excess": None if reference.repetition is None else repeats - reference.repetition,
        "seam_vertical": seam.vertical,
        "seam_horizontal": seam.horizontal,
        "seam_rank": min(seam_ranks(output)),
        "lattice": max((peak.relative for peak in peaks), default=None),
        "lattice_height": min(heights, default=None),
        "regularity": regular,
        "imposed": None if irregular is None else regular - irregular,
        "ssim": None if truth is None else ssim(output, truth),
    }


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
        "coherence_ratio": ratio("coherence"),
        "sharp_share": _of(fmean, [0.85 <= value <= 1.15 for value in present(rows, "sharpness")]),
        "wasserstein_ratio": ratio("wasserstein"),
        "excess_irregular": _of(median, present(irregular, "excess")),
        "lattices_kept": _of(fmean, [_keeps_lattice(row) for row in regular]),
        "unimposed": _of(fmean, [value <= IMPOSED for value in present(irregular, "imposed")]),
    }


def _of(statistic: Callable[[Sequence[float]], float], values: Sequence[float]) -> float | None:
    return statistic(values) if values else None


def _keeps_lattice(row: Row) -> bool:
    displacement, height = row.value("lattice"), row.value("lattice_height")
    return displacement is not None and displacement <= KEPT and (height is None or height >= KEPT_HEIGHT)
