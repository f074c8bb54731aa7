"""The statistics stage: gradient descent on pixels until their feature statistics are the exemplar's."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.config.settings import OptimizeSettings
from texsynth.errors import GRADIENT_BYTES, check_room
from texsynth.metrics.losses import gram, random_directions, sliced_wasserstein
from texsynth.models.registry import Model
from texsynth.ops.adam import Adam
from texsynth.ops.resample import resize
from texsynth.pipelines.progress import OnStep, Step, parts, silent, sub_progress
from texsynth.synthesis.exemplar import Exemplar

SAMPLES = 4096  # Positions compared for each level and step; more changes nothing visible

DIRECTIONS = 16  # Random directions for each level and step

PATCH = 7  # Side in pixels of the Laplacian-pyramid patches

TILE, HALO = 768, 64
"""Larger outputs are worked on in squares of this many pixels, which overlap by the halo."""

FLAT = 1e-3  # Deviation of colours below which a texture has no statistics but its colour

CONTRAST = 0.1
"""Deviation of colours from which on steps are as long as the settings say; below, they go by it.

A step of the same length would be grain on what has little contrast."""

LEVELS = {False: 3, True: 4}
"""Deepest feature level, for a start that has its large shapes already and for noise."""

MIN_ROWS = 16  # Least pixels that an encoder can make features of at all levels


@dataclass(frozen=True)
class Statistics:
    """The exemplar's features and patches, one entry for each level or band."""

    features: tuple[Tensor, ...]  # (1, C, n) float32 at the positions that may be sampled
    grams: tuple[Tensor, ...]  # (1, C, C)
    scales: tuple[float, ...]  # Mean variance of each level
    bands: tuple[Tensor, ...]  # (1, 3 * 49, n) patches of the Laplacian pyramid


def optimize(
    image: Tensor,
    exemplars: Sequence[Exemplar],
    model: Model,
    settings: OptimizeSettings,
    rng: torch.Generator,
    *,
    wrap: bool,
    fixed: Tensor | None = None,
    on_step: OnStep = silent,
) -> tuple[Tensor, tuple[str, ...]]:
    """Optimize the result of another stage until its statistics are the exemplar's.

    image: (1, 3, H, W). fixed: (H, W) bool, pixels that stay. Returns (1, 3, H, W) and notes for the user.
    """
    if all(float(e.image.flatten(2).std(2).amax()) < FLAT for e in exemplars):
        return image, ()
    statistics = _measure(exemplars, model, LEVELS[False], rng)
    rate = settings.rate * _relative_contrast(exemplars)
    tiles = _tiles(image.shape[2], image.shape[3], wrap=wrap)
    notes: list[str] = []
    result = image.clone()
    whole = len(tiles) == 1
    for number, (rows, columns) in enumerate(tiles):
        part = result[:, :, rows][:, :, :, columns]
        descent = _Descent(model, settings, statistics, rng, wrap=wrap and whole)
        keep = None if fixed is None else fixed[rows][:, columns]
        report = sub_progress(on_step, number, len(tiles))
        changed = descent.run(part, settings.iterations, rate, LEVELS[False], keep, report)
        notes += descent.notes
        weight = torch.ones(1, 1, len(rows), len(columns)) if whole else _ramp(len(rows), len(columns))
        blended = part + weight * (changed - part)
        result[:, :, rows[:, None], columns[None]] = blended
    return result, tuple(dict.fromkeys(notes))


def synthesize(
    size: tuple[int, int],
    exemplars: Sequence[Exemplar],
    model: Model,
    settings: OptimizeSettings,
    rng: torch.Generator,
    *,
    wrap: bool,
    on_step: OnStep = silent,
) -> tuple[Tensor, tuple[str, ...]]:
    """Make a texture from noise, coarse to fine (Heitz et al. 2021; Gatys et al. 2015 with Gram matrices).

    size: rows and columns. Returns (1, 3, *size) and notes for the user.
    """
    smallest = min(min(e.image.shape[2:]) for e in exemplars)
    contrast = _relative_contrast(exemplars)
    levels = max(1, min(4, int(math.log2(min(smallest, *size) / 16)) + 1))
    reports = parts(on_step, *(4.0**-level for level in reversed(range(levels))))
    notes: list[str] = []
    image = None
    for level in reversed(range(levels)):
        at_level = [_downsample(e, level) for e in exemplars]
        rows, columns = (max(MIN_ROWS, -(-n // 2**level)) for n in size)
        if image is None:
            first = at_level[0]
            colours = _allowed(first.image.flatten(2), first.mask, first.image.shape[2:])[0]
            pick = torch.randint(colours.shape[1], (rows * columns,), generator=rng)
            image = colours[:, pick].view(1, 3, rows, columns)
        image = resize(image, rows, columns)
        deep = LEVELS[True] if min(rows, columns, smallest >> level) >= 32 else 2
        statistics = _measure(at_level, model, deep, rng)
        descent = _Descent(model, settings, statistics, rng, wrap=wrap)
        report = reports[levels - 1 - level]
        rate = settings.noise_rate * contrast * (0.5 + 0.5 * level / max(levels - 1, 1))
        image = descent.run(image, settings.noise_iterations, rate, deep, None, report)
        notes += descent.notes
    assert image is not None
    return resize(image, *size), tuple(dict.fromkeys(notes))


@dataclass
class _Descent:
    """Adam on pixels with a falling rate; goes back when the loss stops being a number."""

    model: Model
    settings: OptimizeSettings
    statistics: Statistics
    rng: torch.Generator
    wrap: bool
    notes: list[str] = field(default_factory=list)  # Remarks for the user

    @torch.enable_grad()
    def run(
        self, start: Tensor, iterations: int, rate: float, deep: int, fixed: Tensor | None, report: OnStep
    ) -> Tensor:
        """Descend from `start` (1, 3, H, W). deep: deepest level of the loss. Returns the same shape."""
        check_room(GRADIENT_BYTES)
        # A clone made here is no inference tensor, whatever mode the caller is in.
        image = start.detach().clone().to(self.model.device).requires_grad_(True)
        keep = None if fixed is None else fixed.to(image.device)
        good, optimizer = image.detach().clone(), Adam(image)
        report(Step("statistics", 0, iterations))
        for done in range(iterations):
            cosine = 0.5 * (1 + math.cos(math.pi * done / iterations))
            rolled = image
            if self.wrap:
                # So that the border of a torus is somewhere else at every step.
                shift = [int(torch.randint(n, (), generator=self.rng)) for n in image.shape[2:]]
                rolled = image.roll((shift[0], shift[1]), (2, 3))
            loss = self._loss(rolled, deep)
            (gradient,) = torch.autograd.grad(loss, image)
            if not (bool(loss.isfinite()) and bool(gradient.isfinite().all())):
                with torch.no_grad():
                    image.copy_(good)
                rate *= 0.25
                optimizer = Adam(image)
                self.notes.append("the statistics stage met a loss that is no number and went back a step")
                continue
            with torch.no_grad():
                good.copy_(image)
                if keep is not None:
                    gradient.masked_fill_(keep, 0)
                optimizer.step(gradient, rate * (0.1 + 0.9 * cosine))
                image.clamp_(0, 1)
            report(Step("statistics", done + 1, iterations))
        with torch.no_grad():
            return (image if bool(image.isfinite().all()) else good).detach().cpu()

    def _loss(self, image: Tensor, deep: int) -> Tensor:
        """Sum the distances of features and of patches, each relative to its own variance or norm."""
        total = image.new_zeros(())
        features, goal = _features(image, self.model, deep), self.statistics
        for f, target, second, scale in zip(features, goal.features, goal.grams, goal.scales, strict=True):
            if self.settings.loss == "gram":
                total = total + (gram(f) - second).square().sum() / second.square().sum()
                continue
            flat = f.flatten(2)
            count = min(SAMPLES, flat.shape[2])
            directions = random_directions(DIRECTIONS, flat.shape[1], self.rng, flat)
            ours, theirs = _sample(flat, count, self.rng), _sample(target, count, self.rng)
            total = total + sliced_wasserstein(ours, theirs, directions) / scale
        for band, target in zip(_bands(image), goal.bands, strict=False):
            if self.settings.patches:
                total = total + self.settings.patches * self._band_distance(band, target)
        return total

    def _band_distance(self, band: Tensor, target: Tensor) -> Tensor:
        """Project first, then sample: projecting all patches is one convolution."""
        directions = random_directions(DIRECTIONS, target.shape[1], self.rng, band)
        kernels = directions.view(DIRECTIONS, 3, PATCH, PATCH)
        values = F.conv2d(band, kernels).flatten(2)
        count = min(SAMPLES, values.shape[2])
        goal = directions @ _sample(target, count, self.rng)
        identity = torch.eye(DIRECTIONS, device=band.device)
        distance = sliced_wasserstein(_sample(values, count, self.rng), goal, identity)
        return distance / (target.var() + 1e-6)


def _relative_contrast(exemplars: Sequence[Exemplar]) -> float:
    """Return the deviation of colours over CONTRAST, at most 1: that of the exemplar that has most of it."""
    visible = (_allowed(e.image.flatten(2), e.mask, e.image.shape[2:]) for e in exemplars if e.weight)
    return min(1.0, max(float(v.std(2).square().mean().sqrt()) for v in visible) / CONTRAST)


def _sample(values: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """Draw `count` columns of values (1, C, n), each at most once while there are enough."""
    n = values.shape[2]
    pick = torch.randperm(n, generator=rng) if count <= n else torch.randint(n, (count,), generator=rng)
    return values[:, :, pick[:count].to(values.device)]


def _features(image: Tensor, model: Model, deep: int) -> list[Tensor]:
    x = image.to(model.dtype).contiguous(memory_format=torch.channels_last)
    # Imported encoders may end sooner.
    return [f.float() for f in model.encoder(x, min(deep, len(model.encoder.widths)))]


def _bands(image: Tensor) -> list[Tensor]:
    """Split an image into three bands of a Laplacian pyramid, each (1, 3, h, w), fine to coarse."""
    bands = []
    for _ in range(3):
        if min(image.shape[2:]) < 2 * PATCH:
            break
        coarse = F.avg_pool2d(image, 2)
        bands.append(image - F.interpolate(coarse, image.shape[2:], mode="bilinear", align_corners=False))
        image = coarse
    return bands


@torch.no_grad()
def _measure(exemplars: Sequence[Exemplar], model: Model, deep: int, rng: torch.Generator) -> Statistics:
    """Measure the statistics of all exemplars, each with its weight, where its mask allows."""
    weights = [e.weight for e in exemplars]
    features: list[list[Tensor]] = []
    bands: list[list[Tensor]] = []
    for e in exemplars:
        image = e.image.to(model.device)
        mask = None if e.mask is None else e.mask.to(model.device)
        maps = _features(image, model, deep)
        features.append([_allowed(f.flatten(2), mask, f.shape[2:]) for f in maps])
        bands.append(
            [
                _allowed(F.unfold(b, PATCH), mask, (b.shape[2] - PATCH + 1, b.shape[3] - PATCH + 1))
                for b in _bands(image)
            ]
        )
    joined = [_mix(list(level), weights, rng) for level in zip(*features, strict=True)]
    return Statistics(
        tuple(joined),
        tuple((f @ f.mT) / (f.shape[1] * f.shape[2]) for f in joined),
        tuple(float(f.var(2).mean()) + 1e-8 for f in joined),
        tuple(_mix(list(band), weights, rng) for band in zip(*bands, strict=False)),
    )


def _allowed(values: Tensor, mask: Tensor | None, size: tuple[int, ...] | torch.Size) -> Tensor:
    """Keep the columns of values (1, C, h * w) that the mask lets through, all if it would leave none."""
    if mask is None:
        return values
    good = F.interpolate(mask.float(), tuple(size), mode="area").flatten() > 0.99
    return values[:, :, good] if bool(good.any()) else values


def _mix(parts: list[Tensor], weights: Sequence[float], rng: torch.Generator) -> Tensor:
    if len(parts) == 1:
        return parts[0]
    counts = [max(1, round(4 * SAMPLES * w / sum(weights))) for w in weights]
    return torch.cat([_sample(part, n, rng) for part, n in zip(parts, counts, strict=True)], 2)


def _downsample(exemplar: Exemplar, level: int) -> Exemplar:
    if not level:
        return exemplar
    size = [max(MIN_ROWS, n >> level) for n in exemplar.image.shape[2:]]
    mask = None if exemplar.mask is None else F.interpolate(exemplar.mask.float(), size, mode="area")
    return Exemplar(resize(exemplar.image, size[0], size[1]), mask=mask, weight=exemplar.weight)


def _tiles(height: int, width: int, *, wrap: bool) -> list[tuple[Tensor, Tensor]]:
    """List rows and columns of each tile; one when the picture is not much larger than a tile."""
    if height * width <= 1.5 * TILE**2:
        return [(torch.arange(height), torch.arange(width))]
    sides = []
    for length in (height, width):
        count = 1 if length <= TILE else -(-length // (TILE - HALO))
        step = length / count
        spans = []
        for i in range(count):
            start, end = round(i * step) - HALO // 2, round((i + 1) * step) + HALO // 2
            index = torch.arange(start, end)
            spans.append(index % length if wrap and count > 1 else index[(index >= 0) & (index < length)])
        sides.append(spans)
    return [(rows, columns) for rows in sides[0] for columns in sides[1]]


def _ramp(height: int, width: int) -> Tensor:
    """Make a weight (1, 1, height, width) that falls from 1 to 0 at the border over half a halo."""
    sides = []
    for length in (height, width):
        place = torch.arange(length) + 0.5
        sides.append((torch.minimum(place, length - place) / (HALO / 2)).clamp(max=1))
    return (sides[0][:, None] * sides[1][None])[None, None]
