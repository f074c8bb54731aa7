"""How well descriptors, and what was used before them, find crops of the same texture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.batch.evaluation.match.baselines import pooled
from texsynth.batch.evaluation.match.crops import CONDITIONS, GRID, Condition, crops
from texsynth.batch.evaluation.stylize.intervals import Estimate
from texsynth.batch.files import read_input
from texsynth.batch.machine import decided
from texsynth.batch.plan import Input
from texsynth.errors import InputError, TexsynthError
from texsynth.images.tensors import to_image
from texsynth.models.descriptor import load_descriptor
from texsynth.pipelines.describing import Describer, any_turn, describe, load_describer
from texsynth.settings import RunSettings

DESCRIPTOR = "descriptor"
"""Row of the trained one."""

LEAST_PX = 32 * GRID
"""Shortest side of a picture that is used."""


@dataclass(frozen=True)
class Score:
    """One way of comparing under one condition."""

    method: str
    condition: str
    precision: Estimate
    """Share of the nearest k that show the query's texture; one value for each texture."""
    numbers: int
    """Length of the vector."""


@dataclass(frozen=True)
class Retrieval:
    """What an evaluation found."""

    scores: Sequence[Score]
    textures: int
    k: int

    def best_baseline(self, condition: str) -> Score:
        """The one that finds most."""
        rows = [s for s in self.scores if s.condition == condition and s.method != DESCRIPTOR]
        return max(rows, key=lambda score: score.precision.mean)


def evaluate(
    inputs: Sequence[Input],
    run: RunSettings,
    weights: Path | None,
    k: int,
    *,
    on_picture: Callable[[str], None],
    on_failure: Callable[[str, TexsynthError], None],
) -> Retrieval:
    """Every crop of every texture is looked for among all others.

    weights: a descriptor to use in place of the embedded one. Unusable pictures are told and left out.
    Raises InputError when fewer than two are left, ModelError when weights cannot be loaded.
    """
    run, device, dtype = decided(run)
    describer = load_describer(device, dtype, load_descriptor(weights, device))
    rngs = {c.name: torch.Generator().manual_seed(run.seed) for c in CONDITIONS}
    vectors: dict[tuple[str, str], list[Tensor]] = {}
    labels: list[int] = []
    for item in inputs:
        on_picture(item.path.name)
        try:
            image = _read(item, run)
        except TexsynthError as error:
            on_failure(str(item), error)
            continue
        for condition in CONDITIONS:
            for crop in crops(image, condition, rngs[condition.name]):
                for method, vector in _vectors(crop, condition, describer).items():
                    vectors.setdefault((method, condition.name), []).append(vector)
        labels.append(len(labels))
    if len(labels) < 2:
        raise InputError(f"{len(labels)} of {len(inputs)} textures can be used; give at least two")
    of_crops = torch.tensor(labels).repeat_interleave(GRID * GRID)
    scores = []
    for (method, name), rows in vectors.items():
        found = precision(torch.stack(rows), of_crops, k)
        each = found.view(len(labels), -1).mean(1).tolist()
        estimate = Estimate.of(each, run.seed)
        assert estimate is not None
        scores.append(Score(method, name, estimate, len(rows[0])))
    return Retrieval(scores, len(labels), k)


def precision(vectors: Tensor, labels: Tensor, k: int) -> Tensor:
    """Share of each row's `k` nearest other rows by cosine that have its label.

    vectors: (n, d) of unit length; labels: (n,). Returns (n,) float32.
    """
    similarity = vectors @ vectors.T
    similarity.fill_diagonal_(-2)
    nearest = similarity.topk(min(k, len(vectors) - 1), 1).indices
    return (labels[nearest] == labels[:, None]).float().mean(1)


def _read(item: Input, run: RunSettings) -> Tensor:
    picture, _ = read_input(item, run)
    if min(picture.width, picture.height) < LEAST_PX:
        raise InputError(
            f"{item} has {picture.width} x {picture.height} pixels; crops need at least {LEAST_PX} each way"
        )
    return to_image(picture)


@torch.no_grad()
def _vectors(crop: Tensor, condition: Condition, describer: Describer) -> dict[str, Tensor]:
    """The descriptor and every baseline of a crop; of its four turns, if the condition turns crops."""
    model, turns = describer.model, 4 if condition.turned else 1
    found = {DESCRIPTOR: any_turn(describe(crop, describer, turns=range(turns)))}
    seen = []
    for turn in range(turns):
        x = crop.rot90(turn, (2, 3)).to(model.device, model.dtype)
        seen.append(pooled(model.encoder(x.contiguous(memory_format=torch.channels_last))))
    for name in seen[0]:
        found[name] = F.normalize(torch.stack([s[name] for s in seen]).mean(0), dim=0).cpu()
    return found
