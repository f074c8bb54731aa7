"""Retrieval of crops of the same texture by descriptors, and by pooled features without training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.config.settings import RunSettings
from texsynth.errors import InputError, TexsynthError
from texsynth.evaluation.results import Evaluation, Row, Subject, present
from texsynth.evaluation.runner import OnFailure, Progress
from texsynth.images.tensors import to_image
from texsynth.jobs.files import read_input
from texsynth.jobs.inputs import Input
from texsynth.jobs.operation import resolve_run
from texsynth.models.descriptor import load_descriptor
from texsynth.ops.resample import resize
from texsynth.pipelines.describe import Describer, any_turn, describe, load_describer

DESCRIPTOR = "descriptor"  # Name of the trained method among the pooled features

GRID = 3  # Crops along each side of a picture; they do not overlap, so no two show the same pixels

LEAST_PX = 32 * GRID  # Shortest side of a picture that is used


def evaluate(
    inputs: Sequence[Input],
    run: RunSettings,
    weights: Path | None,
    k: int,
    progress: Progress,
    on_failure: OnFailure,
) -> Evaluation:
    """Look for every crop of every texture among all others.

    The measures of a row are the precision under each condition: the share of the nearest `k` crops that show
    the query's texture. weights: a descriptor to use in place of the embedded one. Unusable pictures are told
    and left out. Raises InputError when fewer than two are left, ModelError when weights cannot be loaded.
    """
    run, device, dtype = resolve_run(run)
    describer = load_describer(device, dtype, load_descriptor(weights, device))
    rngs = {c.name: torch.Generator().manual_seed(run.seed) for c in CONDITIONS}
    vectors: dict[tuple[str, str], list[Tensor]] = {}
    subjects = []
    for item in inputs:
        progress.picture(item.path.name)
        progress.advance()
        try:
            picture, _ = read_input(item, run)
            if min(picture.width, picture.height) < LEAST_PX:
                raise InputError(
                    f"{item} has {picture.width} x {picture.height} pixels; crops need at least {LEAST_PX} "
                    f"each way"
                )
        except TexsynthError as error:
            on_failure(str(item), error)
            continue
        image = to_image(picture)
        subjects.append(Subject(str(item)))
        for condition in CONDITIONS:
            for crop in crops(image, condition, rngs[condition.name]):
                for method, vector in _vectors(crop, condition, describer).items():
                    vectors.setdefault((method, condition.name), []).append(vector)
    count = len(subjects)
    if count < 2:
        raise InputError(f"{count} of {len(inputs)} textures can be used; give at least two")
    labels = torch.arange(count).repeat_interleave(GRID * GRID)
    precisions = {
        key: precision(torch.stack(rows), labels, k).view(count, -1).mean(1).tolist()
        for key, rows in vectors.items()
    }
    names = dict.fromkeys(method for method, _ in vectors)
    conditions = {c.name: c.name for c in CONDITIONS}
    evaluation = Evaluation("evaluate match", "texture", list(conditions), [], run, {"k": k})
    evaluation.subjects = subjects
    evaluation.rows = [
        Row(subject, name, {condition: precisions[name, condition][number] for condition in conditions})
        for name in names
        for number, subject in enumerate(subjects)
    ]
    evaluation.pooled = {name: {"numbers": len(vectors[name, CONDITIONS[0].name][0])} for name in names}
    evaluation.tables = [evaluation.table("precision", {"numbers": "numbers", **conditions}, "mean")]
    return evaluation


def sentences(evaluation: Evaluation) -> Iterator[str]:
    """The errors of the descriptor beside those of the best pooled features, for each condition."""
    yield f"precision at {evaluation.settings['k']} of crops of {len(evaluation.subjects)} textures"
    for condition in evaluation.measures:
        errors = {
            method: 1 - fmean(present(evaluation.good_rows(method), condition)) for method in evaluation.names
        }
        ours = errors.pop(DESCRIPTOR)
        best = min(errors, key=errors.__getitem__)
        share = ours / max(errors[best], 1e-9)
        yield f"{condition}: {share:.2f} of the errors of the best baseline, {best}"


def precision(vectors: Tensor, labels: Tensor, k: int) -> Tensor:
    """Share of a row's `k` nearest others by cosine with its label. vectors: (n, d), unit. Returns (n,)."""
    similarity = vectors @ vectors.T
    similarity.fill_diagonal_(-2)
    nearest = similarity.topk(min(k, len(vectors) - 1), 1).indices
    return (labels[nearest] == labels[:, None]).float().mean(1)


@torch.no_grad()
def _vectors(crop: Tensor, condition: Condition, describer: Describer) -> dict[str, Tensor]:
    """The descriptor and all pooled features of a crop; of its four turns, if the condition turns crops."""
    model, turns = describer.model, 4 if condition.turned else 1
    vectors = {DESCRIPTOR: any_turn(describe(crop, describer, turns=range(turns)))}
    turned = (crop.rot90(turn, (2, 3)).to(model.device, model.dtype) for turn in range(turns))
    by_turn = [pooled(model.encoder(x.contiguous(memory_format=torch.channels_last))) for x in turned]
    for name in by_turn[0]:
        vectors[name] = F.normalize(torch.stack([each[name] for each in by_turn]).mean(0), dim=0).cpu()
    return vectors


@dataclass(frozen=True)
class Condition:
    """Changes of crops, each on its own, drawn evenly up to these limits.

    octaves: of size, brightness and gamma. tint: share by which a colour channel changes. turned: by
    multiples of 90 degrees, and described for all turns at once.
    """

    name: str
    octaves: float = 0
    tint: float = 0
    turned: bool = False


CONDITIONS = (
    Condition("as is"),
    Condition("varied", 0.5, 0.1),
    Condition("turned", turned=True),
    Condition("varied, turned", 0.5, 0.1, turned=True),
)


def crops(image: Tensor, condition: Condition, rng: torch.Generator) -> list[Tensor]:
    """GRID x GRID squares of the middle of a picture (1, 3, H, W), changed as `condition` says."""
    side = min(image.shape[2:]) // GRID
    top, left = ((length - GRID * side) // 2 for length in image.shape[2:])
    places = [(top + r * side, left + c * side) for r in range(GRID) for c in range(GRID)]
    return [_changed(image[:, :, y : y + side, x : x + side], condition, rng) for y, x in places]


def _changed(crop: Tensor, condition: Condition, rng: torch.Generator) -> Tensor:
    size, gain, gamma, *tints = (2 * torch.rand(6, generator=rng) - 1).tolist()
    turns = int(torch.randint(4, (), generator=rng))
    if condition.octaves:
        side = max(1, round(crop.shape[2] * 2 ** (condition.octaves * size)))
        crop = resize(crop, side, side)
        crop = crop**2 ** (condition.octaves * gamma) * 2 ** (condition.octaves * gain)
    if condition.tint:
        crop = crop * (1 + condition.tint * torch.tensor(tints)).view(1, 3, 1, 1)
    crop = crop.clamp(0, 1)
    return crop.rot90(turns, (2, 3)) if condition.turned else crop


STATISTICS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda x: x.mean(1),
    "mean+std": lambda x: torch.cat([x.mean(1), x.std(1, correction=0)]),
    "gram": lambda x: (x @ x.T / x.shape[1]).flatten(),
    "covariance": lambda x: x.cov(correction=0).flatten(),
}
"""From the features of a level, (C, n) at all positions, to a vector."""

LEVELS = {"1-5": (1, 2, 3, 4, 5), "3-5": (3, 4, 5)}
"""Levels that are joined; without the fine ones, light and size matter less."""


def pooled(features: Sequence[Tensor]) -> dict[str, Tensor]:
    """Pooled features of one picture, by name, of unit length.

    features: levels 1 to 5, each (1, C_l, h_l, w_l). Levels are joined with equal weight after the signed
    square root, without which a few channels decide everything.
    """
    vectors = {}
    for name, statistic in STATISTICS.items():
        flat = [statistic(f[0].float().flatten(1)) for f in features]
        levels = [F.normalize(v.sign() * v.abs().sqrt(), dim=0) for v in flat]
        for title, chosen in LEVELS.items():
            joined = torch.cat([levels[level - 1] for level in chosen if level <= len(levels)])
            vectors[f"{name} {title}"] = F.normalize(joined, dim=0)
    return vectors
