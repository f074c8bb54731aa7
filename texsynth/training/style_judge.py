"""What a full VGG-19 says of stylised pictures, as terms of a loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from statistics import fmean, median

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.config.settings import StylizeSettings
from texsynth.config.training import StylisedSettings
from texsynth.device import pick_dtype
from texsynth.errors import UsageError
from texsynth.metrics.style import edge_similarity, gram_distance
from texsynth.models.registry import Model
from texsynth.models.vgg import Encoder
from texsynth.ops.color import luma
from texsynth.pipelines.stylize import fit_style, stylize
from texsynth.training.teacher import load_teacher
from texsynth.transforms.moments import Moments

JUDGED = 4
"""Levels of the teacher that judge styles, relu1_1 to relu4_1; contents are judged at the last."""

FLOOR = 0.01
"""Added to squared relative distances before the root, so that its slope stays finite, and as a share of the
Gram matrix to covariances, so that flat styles do not count without bound."""


def load_judge(path: Path) -> Encoder:
    """Load a full VGG-19. Raises ModelError for any other file, UsageError for one that ends too early."""
    teacher = load_teacher(path)
    if len(teacher.widths) < JUDGED:
        raise UsageError(f"the teacher {path} ends before relu{JUDGED}_1; give a whole VGG-19")
    return teacher


class Judge:
    """What a full VGG-19 says of stylised pictures."""

    def __init__(self, teacher: Encoder, settings: StylisedSettings) -> None:
        """teacher: of at least four levels, frozen."""
        self.teacher, self.settings = teacher, settings
        self._dtype = pick_dtype(settings.precision, next(teacher.parameters()).device)
        self._features = teacher if self._dtype == torch.float32 else deepcopy(teacher).to(self._dtype)
        """The teacher in the number type of the training, so that it is not converted at every step."""

    def __call__(self, result: Tensor, content: Tensor, style: Tensor, strength: Tensor) -> dict[str, Tensor]:
        """Compare stylised pictures with contents and styles, (N, 3, S, S) each. strength: (N,) in [0, 1].

        Distances are roots of squares over those of the target, means over pictures and levels. What a
        strength below 1 should give lies between content and style. Returns the weighted terms, all scalar.
        """
        settings = self.settings
        with torch.no_grad():
            both = self._features(torch.cat([content, style]).to(self._dtype), JUDGED)
        grams, covariances = [], []
        share = strength.to(result)[:, None, None]
        ours = self._features(result.to(self._dtype), JUDGED)
        for f, references in zip(ours, both, strict=True):
            second, mean = _second(f)
            with torch.no_grad():
                seconds, means = (torch.stack(x.chunk(2)) for x in _second(references))
                target = torch.lerp(seconds[0], seconds[1], share)
                spread = seconds - means[..., :, None] * means[..., None, :]
                spread = torch.lerp(spread[0], spread[1], share)
                size = target.square().sum((1, 2))
            grams.append(_relative(second - target, size))
            own = second - mean[:, :, None] * mean[:, None, :]
            flat = FLOOR * size
            covariances.append(_relative(own - spread, spread.square().sum((1, 2)) + flat))
        kept = both[-1][: len(content)]
        return {
            "gram": settings.gram * torch.stack(grams).mean(),
            "covariance": settings.covariance * torch.stack(covariances).mean(),
            "content": settings.content * F.mse_loss(_standardised(ours[-1]), _standardised(kept)),
            "edges": settings.edges * (1 - _edge_similarity(result, content)),
        }


def _second(features: Tensor) -> tuple[Tensor, Tensor]:
    """Second moments (N, C, C) and means (N, C), float32, of features (N, C, h, w) of any floating type."""
    rows = features.permute(0, 2, 3, 1).flatten(1, 2)
    # Products of bfloat16 are added up in float32 and rounded once.
    second, total = rows.mT @ rows, rows.new_ones(len(rows), 1, rows.shape[1]) @ rows
    return second.float() / rows.shape[1], total[:, 0].float() / rows.shape[1]


def _relative(gap: Tensor, size: Tensor) -> Tensor:
    """Root of squared matrices (N, C, C) over `size` (N,), (N,)."""
    return (gap.square().sum((1, 2)) / size.clamp_min(1e-12) + FLOOR).sqrt()


def _standardised(features: Tensor) -> Tensor:
    return F.instance_norm(features.float(), eps=1e-3)


def _edge_similarity(result: Tensor, content: Tensor) -> Tensor:
    """Mean structural similarity of edges (N, 3, H, W), as `edge_similarity` measures it, differentiable."""
    with torch.autocast(result.device.type, enabled=False):
        x, y = (_edges(luma(image.float())) for image in (result, content))
        across, down = (_window(side, x.device) for side in (x.shape[3], x.shape[2]))
        maps = down @ torch.cat([x, y, x * x, y * y, x * y]) @ across.T
    mean_x, mean_y, xx, yy, xy = maps.chunk(5)
    c1, c2 = 0.01**2, 0.03**2
    likeness = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * (xy - mean_x * mean_y) + c2) / (xx - mean_x**2 + yy - mean_y**2 + c2)
    return (likeness * structure).mean()


def _window(side: int, device: torch.device) -> Tensor:
    """Matrix (side - 10, side) that weighs eleven neighbours as SSIM does.

    Convolutions with one channel are slow.
    """
    place = torch.arange(side, device=device)
    away = (place - place[: side - 10, None] - 5).float()
    weight = torch.exp(-away.square() / (2 * 1.5**2)) * (away.abs() <= 5)
    return weight / weight.sum(1, keepdim=True)


def _edges(grey: Tensor) -> Tensor:
    """Magnitude of the Sobel gradient of (N, 1, H, W); the root is softened where there is none."""
    x = F.pad(grey, (1, 1, 1, 1), mode="replicate")
    tall = x[:, :, :-2] + 2 * x[:, :, 1:-1] + x[:, :, 2:]
    wide = x[..., :-2] + 2 * x[..., 1:-1] + x[..., 2:]
    across, down = tall[..., 2:] - tall[..., :-2], wide[:, :, 2:] - wide[:, :, :-2]
    return ((across.square() + down.square()) / 16 + 1e-6).sqrt()


def grid_strength(image: Tensor) -> Tensor:
    """Measure what recurs every eight pixels in the details of pictures (N, 3, S, S), S a multiple of 16.

    Decoders leave such traces, as level 4 has one feature vector for 8 x 8 pixels. Details are averaged over
    all such squares of each quarter; the mean square of these means, times the number of squares, is compared
    with that of the details. Returns the mean over pictures, about 1 where nothing recurs.
    """
    with torch.autocast(image.device.type, enabled=False):
        details = image - F.avg_pool2d(F.pad(image, (1, 1, 1, 1), mode="replicate"), 3, 1)
        count = image.shape[3] // 16
        folded = details.reshape(len(image), 3, 2, count, 8, 2, count, 8).mean((3, 6))
        energy = details.detach().square().mean((1, 2, 3)) + 1e-5
        return (folded.square().flatten(1).mean(1) * count**2 / energy).mean()


def measure_pairs(
    model: Model,
    ways: Mapping[str, StylizeSettings],
    teacher: Encoder,
    pairs: Sequence[tuple[Tensor, Tensor]],
    measure: Callable[[Tensor], Mapping[str, float]],
    *,
    grid: bool = False,
) -> dict[str, float]:
    """Stylize pairs of content and style, (1, 3, S, S) each, and return medians of what is measured.

    ways: settings by the ending of their figures, `gram_`, the Gram distance to the style, `edges_`, the SSIM
    of edges, and with `grid` `grid_`, as `grid_strength`. measure: further figures of each content.
    """
    figures: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        figures.setdefault(name, []).append(value)

    def moments(image: Tensor) -> list[Moments]:
        with torch.no_grad():
            return [Moments.of(f) for f in teacher(image.to(model.device), JUDGED)]

    for content, style in pairs:
        target = moments(style)
        for name, settings in ways.items():
            result = stylize(content, fit_style(style, model, settings), model, settings).float().cpu()
            note(f"gram_{name}", fmean(map(gram_distance, moments(result), target)))
            note(f"edges_{name}", edge_similarity(result, content))
            if grid:
                note(f"grid_{name}", float(grid_strength(result)))
        for name, value in measure(content).items():
            note(name, value)
    return {name: median(values) for name, values in figures.items()}
