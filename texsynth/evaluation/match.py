"""How well descriptors, and what was used before them, find crops of the same texture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.config.settings import RunSettings
from texsynth.errors import InputError, TexsynthError
from texsynth.evaluation.bootstrap import Estimate
from texsynth.images.tensors import to_image
from texsynth.jobs.files import read_input
from texsynth.jobs.inputs import Input
from texsynth.jobs.operation import resolve_run
from texsynth.models.descriptor import load_descriptor
from texsynth.ops.resample import resize
from texsynth.pipelines.describe import Describer, any_turn, describe, load_describer

DESCRIPTOR = "descriptor"
"""Row of the trained one."""

GRID = 3
"""Crops along each side of a picture; they do not overlap, so no two show the same pixels."""

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
    run, device, dtype = resolve_run(run)
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


@dataclass(frozen=True)
class Condition:
    """What is done to crops, each on its own. Changes are drawn evenly up to these."""

    name: str
    octaves: float = 0
    """Of size, brightness and gamma."""
    tint: float = 0
    """Share by which a colour channel changes."""
    turned: bool = False
    """Turned by multiples of 90 degrees, and described for all turns at once."""


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
"""Of the features of a level, (C, n) at all positions, to a vector."""

LEVELS = {"1-5": (1, 2, 3, 4, 5), "3-5": (3, 4, 5)}
"""Which levels are joined; without the fine ones, light and size matter less."""


def pooled(features: Sequence[Tensor]) -> dict[str, Tensor]:
    """Every baseline of one picture, by name, of unit length.

    features: levels 1 to 5, each (1, C_l, h_l, w_l). Levels are joined with equal weight after the signed
    square root, without which a few channels decide everything.
    """
    found = {}
    for name, statistic in STATISTICS.items():
        levels = [_flattened(statistic(f[0].float().flatten(1))) for f in features]
        for title, chosen in LEVELS.items():
            joined = torch.cat([levels[level - 1] for level in chosen if level <= len(levels)])
            found[f"{name} {title}"] = F.normalize(joined, dim=0)
    return found


def _flattened(vector: Tensor) -> Tensor:
    return F.normalize(vector.sign() * vector.abs().sqrt(), dim=0)
