"""Checks of the program's transforms: its maps of moments, against features moved as they are written."""

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from texsynth.config.settings import AdaINSettings, IFTSettings, OTSettings, TransformSettings, WCTSettings
from texsynth.metrics.style import frechet
from texsynth.models.autoencoder import convolve
from texsynth.reference import convolution, ift, transfer
from texsynth.reference.comparison import Check, Comparison, Problem, exact
from texsynth.reference.formula_checks import UPDATES, first, last
from texsynth.transforms import AffineMap, Moments, fit_map, fit_mix
from texsynth.transforms.optimal_transport import barycentre

RIDGE = 0.05  # Far above rounding, or what is wrong with it would not show

CHANNELS = 5

SHARES = (0.25, 0.75)  # Of two styles

PULL = 0.4


def features(problem: Problem, n: int, spread: float = 1.0) -> Tensor:
    """Draw correlated features (C, n) with a mean of their own."""
    mixing = torch.eye(CHANNELS).to(problem.put(torch.ones(1))) + 0.3 * problem.normal(CHANNELS, CHANNELS)
    return spread * (mixing @ problem.normal(CHANNELS, n) + problem.normal(CHANNELS, 1))


def moments(*sets: Tensor) -> list[Moments]:
    """Measure features (C, n)."""
    return [Moments.of(f[None, :, None]) for f in sets]


def mapped(affine: AffineMap, x: Tensor) -> Tensor:
    """Map features (C, n)."""
    return affine(x[None, :, None])[0, :, 0]


def _fitted(
    settings: TransformSettings, formula: transfer.Transform, problem: Problem
) -> Iterator[Comparison]:
    # Fewer pixels than channels shrink a covariance first.
    for name, n, m in (("n > C", 80, 60), ("n < C", 4, 60), ("m < C", 80, 4)):
        content, style = features(problem, n), features(problem, m, 2)
        got = mapped(fit_map(settings, *moments(content, style)), content)
        f, s = exact(content, style)
        yield Comparison(name, got, formula(f, s, RIDGE))


def _mixed_maps(problem: Problem) -> Iterator[Comparison]:
    content, styles = features(problem, 80), (features(problem, 60, 2), features(problem, 40))
    own, *goals = moments(content, *styles)
    f, *plain = exact(content, *styles)
    for settings, formula in (
        (AdaINSettings(ridge=RIDGE), transfer.adain),
        (WCTSettings(ridge=RIDGE), transfer.wct),
    ):
        got = mapped(fit_mix(settings, own, goals, (1, 3)), content)
        expected = sum(share * formula(f, s, RIDGE) for share, s in zip(SHARES, plain, strict=True))
        yield Comparison(settings.name, got, torch.as_tensor(expected))


def _barycentre(problem: Problem) -> Iterator[Comparison]:
    """Its mean displacement to the styles is zero: the Monge maps to them average to the identity."""
    styles = (features(problem, 60, 2), features(problem, 40))
    between = barycentre(moments(*styles), (1, 3))
    plain = [transfer.centred(s) for s in exact(*styles)]
    root = transfer.power(between.covariance.cpu(), 0.5)
    moved = [
        share * transfer.power(root @ covariance @ root, 0.5)
        for share, (_, _, covariance) in zip(SHARES, plain, strict=True)
    ]
    yield Comparison("covariance", torch.stack(moved).sum(0), between.covariance)
    means = [share * mean[:, 0] for share, (_, mean, _) in zip(SHARES, plain, strict=True)]
    yield Comparison("mean", between.mean, torch.stack(means).sum(0))
    content = features(problem, 80)
    (own,) = moments(content)
    got = fit_mix(OTSettings(ridge=RIDGE), own, moments(*styles), (1, 3))
    expected = fit_map(OTSettings(ridge=RIDGE), own, between)
    yield Comparison("fit", mapped(got, content), mapped(expected, content))


def _goal(styles: Sequence[Tensor], *, centred: bool) -> tuple[Tensor, Tensor]:
    """Average means (C, 1) and second moments, about the means where `centred`, of two styles by SHARES."""
    shares = SHARES if len(styles) > 1 else (1.0,)
    parts = [transfer.centred(s) for s in styles]
    seconds = [part[2] if centred else ift.second_moment(s) for part, s in zip(parts, styles, strict=True)]
    mean = torch.stack([share * part[1] for share, part in zip(shares, parts, strict=True)]).sum(0)
    return mean, torch.stack([share * s for share, s in zip(shares, seconds, strict=True)]).sum(0)


def _ift(settings: IFTSettings, count: int, problem: Problem) -> Iterator[Comparison]:
    """Compare the features of IFT with the descent on features. count: of the styles."""
    content = features(problem, 80)
    styles = [features(problem, n, spread) for n, spread in ((60, 1.5), (40, 1.0))[:count]]
    own, *goals = moments(content, *styles)
    got = mapped(fit_mix(settings, own, goals, (1, 3)[:count]), content)
    away, mean, _ = transfer.centred(*exact(content))
    goal, second = _goal(exact(*styles), centred=settings.centred)
    anchor = away if settings.centred else away + mean
    descend = ift.searched if settings.step == "line" else partial(ift.direct, rate=settings.rate)
    weight, end = PULL * CHANNELS / float(second.trace()), anchor
    for _ in range(settings.n_iter):
        end = descend(end, second, weight=weight, n_upd=UPDATES)
    expected = end + goal if settings.centred else end
    yield Comparison("moved", got - content, expected - away - mean)


def _safe_step(problem: Problem) -> Iterator[Comparison]:
    content, style = features(problem, 80), features(problem, 60, 1.5)
    settings = IFTSettings(pull=PULL, n_upd=1, step="safe", centred=False)
    got = mapped(fit_map(settings, *moments(content, style)), content)
    anchor, plain = exact(content, style)
    second = ift.second_moment(plain)
    weight = PULL * CHANNELS / float(second.trace())
    rate = ift.stable_bound(anchor, second, weight=weight) / 2
    end = ift.direct(anchor, second, weight=weight, rate=rate, n_upd=1)
    yield Comparison("moved", got - content, end - anchor)


def random_map(problem: Problem) -> AffineMap:
    """Draw a map in float64."""
    matrix, offset = exact(problem.normal(CHANNELS, CHANNELS), problem.normal(CHANNELS))
    return AffineMap(matrix, offset)


def _folded(problem: Problem) -> Iterator[Comparison]:
    x, affine = problem.normal(6, 4, CHANNELS), random_map(problem)
    for name, side, bias in (("3 x 3", 3, True), ("1 x 1", 1, False)):
        conv = torch.nn.Conv2d(CHANNELS, 4, side, bias=bias, device=problem.device, dtype=problem.dtype)
        weight, shift = problem.normal(4, CHANNELS, side, side), problem.normal(4)
        with torch.no_grad():
            conv.weight.copy_(weight)
            if conv.bias is not None:
                conv.bias.copy_(shift)
            got = last(convolve(conv, first(x), affine))
        moved, f, b = exact(x, weight.permute(2, 3, 1, 0), shift)
        moved = moved @ affine.matrix.T + affine.offset
        padded = convolution.pad_reflect(moved) if side > 1 else moved
        yield Comparison(name, got, convolution.convolve(padded, f, b if bias else None))


def _lerp(problem: Problem) -> Iterator[Comparison]:
    x, affine, other = problem.normal(6, 4, CHANNELS), random_map(problem), random_map(problem)
    plain = exact(x)[0]
    moved, second = (plain @ a.matrix.T + a.offset for a in (affine, other))
    images = {"last": first(x), "first": first(x).contiguous()}  # The place of the channels in memory
    for name, image in images.items():
        yield Comparison(name, last(affine.lerp(0.3)(image)), 0.3 * moved + 0.7 * plain)
    got = AffineMap.mix((affine, other), (1, 3))(images["last"])
    yield Comparison("mix", last(got), 0.25 * moved + 0.75 * second)


def _moments(problem: Problem) -> Iterator[Comparison]:
    # More pixels than a block of sums has, a mean far from zero, and pixels that do not count.
    x = problem.normal(2, CHANNELS, 30, 20) + problem.put(torch.tensor([0, 0, 1, 2, 4])).view(-1, 1, 1)
    weight = problem.uniform(2, 1, 30, 20)
    weight = weight * (weight > 0.2)
    for name, given in (("weighted", weight), ("plain", None)):
        got = Moments.of(x, given)
        f = exact(x)[0].transpose(0, 1).flatten(1)
        w = torch.ones_like(f[0]) if given is None else exact(weight)[0].flatten()
        yield Comparison(f"{name} n", torch.tensor(got.n, dtype=torch.float64), w.sum())
        _, mean, covariance = transfer.centred(f, w)
        yield Comparison(f"{name} mean", got.mean, mean[:, 0])
        yield Comparison(f"{name} second", got.second, (w / w.sum() * f) @ f.T)
        yield Comparison(f"{name} spread", got.covariance, covariance)


def _frechet(problem: Problem) -> Iterator[Comparison]:
    a, b = features(problem, 80), features(problem, 60, 2)
    yield Comparison(
        "distance", torch.tensor(frechet(*moments(a, b)), dtype=torch.float64), transfer.frechet(*exact(a, b))
    )


SEARCHED = IFTSettings(pull=PULL, n_upd=15)
FIXED = IFTSettings(pull=PULL, n_upd=15, step="fixed", rate=0.02, centred=False)


def _fit(name: str, source: str, settings: TransformSettings, formula: transfer.Transform) -> Check:
    return Check(f"program: {name}", source, lambda p: _fitted(settings, formula, p))


def _of_ift(name: str, settings: IFTSettings, count: int = 1) -> Check:
    return Check(
        f"program: {name}", "paper 002, eq. 27 and 29", lambda p: _ift(settings, count, p),
        roundings=UPDATES * 64,
    )  # fmt: skip


TRANSFER_CHECKS = (
    _fit("AdaIN", "Huang and Belongie 2017, eq. 8", AdaINSettings(ridge=RIDGE), transfer.adain),
    _fit("WCT", "Li et al. 2017, eq. 2 and 3", WCTSettings(ridge=RIDGE), transfer.wct),
    _fit("optimal transport", "Lu et al. 2019", OTSettings(ridge=RIDGE), transfer.ot),
    Check("program: maps of several styles", "Li et al. 2017", _mixed_maps),
    Check("program: barycentre", "Alvarez-Esteban et al. 2016", _barycentre, roundings=UPDATES * 64),
    _of_ift("IFT by default", SEARCHED),
    _of_ift("IFT with moving anchors", FIXED.model_copy(update={"n_iter": 2})),
    _of_ift("IFT to several styles", FIXED, 2),
    _of_ift("IFT by default to several", SEARCHED, 2),
    Check("program: IFT's stable bound", "paper 002, eq. 1", _safe_step),
    Check("program: folding into a decoder", "ours", _folded),
    Check("program: strength and mixing", "ours", _lerp),
    Check("program: weighted moments", "ours", _moments),
    Check("program: Frechet distance", "Heusel et al. 2017", _frechet),
)
"""Of style transfer; what is returned is in the type of the features, moments and maps are float64."""
