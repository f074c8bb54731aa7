"""Methods x exemplars: expand each texture with each method and measure what comes out."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from texsynth import api
from texsynth.config.expand_rules import output_size
from texsynth.config.settings import ExpandSettings, RunSettings
from texsynth.evaluation import methods
from texsynth.evaluation.expand_measures import (
    COLUMNS,
    MEASURES,
    Describe,
    against,
    largest_inner_seam,
    measure,
    measure_truth,
    pooled_figures,
    refer,
)
from texsynth.evaluation.results import SECONDS, Evaluation, Row, Subject, Thumbnail, difference_table
from texsynth.evaluation.runner import OnFailure, Progress, checked, compare, read_opaque
from texsynth.evaluation.subjects import distinct_name
from texsynth.images.tensors import to_image, to_picture
from texsynth.jobs.expand_inputs import Task
from texsynth.jobs.expand_reading import check_size
from texsynth.jobs.files import memory_guard
from texsynth.jobs.inputs import Input, file_seed
from texsynth.jobs.operation import resolve_run
from texsynth.models.registry import Model, load_model
from texsynth.ops.resample import reflected_index
from texsynth.pipelines.candidates import feature_maps
from texsynth.pipelines.expand import Networks, expand, load_networks
from texsynth.pipelines.method import plan_expand
from texsynth.pipelines.progress import OnStep
from texsynth.pipelines.rasters import TensorRaster
from texsynth.pipelines.transfer import tiled_encoder
from texsynth.synthesis.exemplar import Exemplar
from texsynth.synthesis.quilting import quilting
from texsynth.transforms.moments import Moments

CURE = "choose a smaller --crop"

TRUTH = "truth"  # The method that nothing can beat: the picture the exemplar was cut out of

QUILTING = "quilting"  # The baseline that ratios refer to

AGAINST = "against quilting"  # The table of differences to it

TILED = "seamless"  # The exemplar as `texsynth tile` leaves it, repeated

JUDGE, LEVEL = "lite", 3  # The network, and its level, whose features the Frechet distance compares


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
    judge = load_model(JUDGE, device, torch.float32)
    compare(evaluation, _Experiment(plan, networks, judge), plan.inputs, progress, on_failure)
    quilted = evaluation.good_rows(QUILTING)
    for name in evaluation.names:
        figures = pooled_figures(evaluation.good_rows(name), quilted)
        evaluation.pooled[name] = {f"figures.{key}": value for key, value in figures.items()}
    evaluation.tables = [
        evaluation.table("figures", {c: c.removeprefix("figures.") for c in COLUMNS}, "median"),
        evaluation.table("medians", {name: name for name in (*MEASURES, SECONDS)}, "median"),
    ]
    compared = [name for name in evaluation.names if name not in (TRUTH, QUILTING)]
    differences = [d for name in compared for d in against(evaluation.good_rows(name), quilted, run.seed)]
    if differences:
        evaluation.tables.append(difference_table(AGAINST, differences))
    return evaluation


class _Experiment:
    """Expansions of one exemplar after the other."""

    def __init__(self, plan: Plan, networks: Mapping[str | None, Networks], judge: Model) -> None:
        self._plan, self._networks = plan, networks
        self._describe, self._maps = describer(judge), feature_maps(judge)

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
            self._reference = refer(exemplar, truth, self._describe, self._maps)
        thumbnail = Thumbnail.of(to_picture(exemplar, None, 8), label="exemplar")
        if lattice := self._reference.lattice:
            facts = {"vectors": lattice.vectors.tolist(), "confidence": lattice.confidence}
            self._subject.facts["lattice"] = facts
        self._subject.facts["size"] = thumbnail.size
        self._subject.originals.append(thumbnail)
        if truth is None:
            return []
        with memory_guard(self._item, CURE):
            picture = to_picture(truth, None, 8)
            measures = measure_truth(self._reference, to_image(picture))
        return [Row(self._subject, TRUTH, measures, None, Thumbnail.of(picture))]

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
            elif method.name == TILED:
                exemplar = self._seamless(exemplar)
                output = tile(exemplar, size, rng)
            else:
                output = BASELINES[method.name](exemplar, size, rng)
            seconds = time.perf_counter() - start
            picture = checked(output, (1, 3, *size))
            measures = measure(to_image(picture), self._reference)
            if method.name == TILED:
                measures |= {"seam_inside": largest_inner_seam(exemplar)}
        return Row(self._subject, method.name, measures, seconds, Thumbnail.of(picture))

    def _seamless(self, exemplar: Tensor) -> Tensor:
        """Make the exemplar a tile, as `texsynth tile` does by default."""
        pixels = exemplar[0].permute(1, 2, 0).numpy()
        model, seed = self._networks[None].model, self._plan.run.seed
        laid: Tensor = torch.from_numpy(api.tile(pixels, model=model, seed=seed, name=str(self._item)))
        return laid.permute(2, 0, 1)[None].float()


def describer(judge: Model) -> Describe:
    """Make the function that takes the moments of a picture's features."""
    encoder = tiled_encoder(judge, LEVEL)

    @torch.inference_mode()
    def describe(image: Tensor) -> Moments:
        return Moments.of(encoder.features(TensorRaster(image))[LEVEL].float())

    return describe


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
