from __future__ import annotations

import math
import warnings

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from texsynth.config.settings import AdaINSettings, IFTSettings, OTSettings, TransformSettings, WCTSettings
from texsynth.errors import UsageError
from texsynth.ops.linalg import psd_powers, symmetric_eigh
from texsynth.transforms import TRANSFORMS, AffineMap, Moments, fit_map, fit_mix
from texsynth.transforms.optimal_transport import barycentre

ALL: list[TransformSettings] = [
    AdaINSettings(),
    WCTSettings(),
    OTSettings(),
    IFTSettings(),
    IFTSettings(centred=False, step="safe"),
    IFTSettings(centred=False, step="fixed", rate=1e-3),
    IFTSettings(centred=False),
    IFTSettings(centred=False, pull=1000.0, n_upd=40, n_iter=2),
]
CENTRED = [s for s in ALL if s.name != "ift" or s.centred]
each = pytest.mark.parametrize("settings", ALL, ids=str)


def make_features(seed: int, channels: int = 8, *size: int, offset: float = 0.5) -> Tensor:
    """Correlated, skewed float64 features behind a ReLU (1, C, h, w)."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(channels, channels, generator=generator, dtype=torch.float64) / channels**0.5
    noise = torch.randn(channels, math.prod(size or (24, 20)), generator=generator, dtype=torch.float64)
    features: Tensor = (mixing @ noise + offset).relu()
    return features.reshape(1, channels, *(size or (24, 20)))


def degenerate() -> dict[str, Tensor]:
    """Inputs that break naive covariances, with 8 channels."""
    full = make_features(0)
    dead, same = full.clone(), full.clone()
    dead[:, :3] = 0
    same[:, 1:] = same[:, :1]
    return {
        "full": full,
        "dead channels": dead,
        "rank one": same,
        "one pixel": full[..., :1, :1],
        "two pixels": full[..., :1, :2],
        "fewer pixels than channels": full[..., :1, :5],
        "constant": torch.full_like(full, 0.7),
        "black": torch.zeros_like(full),
        "one bright pixel": torch.where(full == full.max(), 1000.0, 0.0).double(),
        "faint": 1e-12 * full,
        "huge": 1e12 * full,
    }


def test_the_table_knows_every_transform() -> None:
    assert set(TRANSFORMS) == {s.name for s in ALL}


@each
@pytest.mark.parametrize("name", degenerate())
def test_content_as_style_is_left_alone(settings: TransformSettings, name: str) -> None:
    features = degenerate()[name]
    moments = Moments.of(features)
    affine = fit_map(settings, moments, moments)
    scale = float(features.abs().max()) or 1.0
    assert_close(affine.matrix, torch.eye(8, dtype=torch.float64), rtol=0, atol=1e-8)
    assert_close(affine(features), features, rtol=0, atol=1e-8 * scale)


@each
@pytest.mark.parametrize("content", degenerate())
def test_degenerate_features_stay_bounded(settings: TransformSettings, content: str) -> None:
    c = degenerate()[content].float()
    for style in degenerate().values():
        affine = fit_map(settings, Moments.of(c), Moments.of(style.float()))
        assert affine.matrix.isfinite().all()
        # What reaches the decoder has at most the order of energy of the two pictures.
        energy, *energies = (float(f.double().square().sum(1).mean()) for f in (affine(c), c, style))
        assert energy <= 4 * sum(energies)


@each
@pytest.mark.parametrize("style", ["full", "one pixel"])
def test_one_pixel_shifts_the_mean(settings: TransformSettings, style: str) -> None:
    content, target = Moments.of(degenerate()["one pixel"] + 1), Moments.of(degenerate()[style])
    affine = fit_map(settings, content, target)
    assert torch.equal(affine.matrix, torch.eye(8, dtype=torch.float64))
    assert_close(affine.offset, target.mean - content.mean)


@each
def test_no_pixels_change_nothing(settings: TransformSettings) -> None:
    moments = Moments.of(make_features(0))
    for pair in ((Moments.empty(8), moments), (moments, Moments.empty(8))):
        affine = fit_map(settings, *pair)
        assert torch.equal(affine.matrix, torch.eye(8, dtype=torch.float64))
        assert not affine.offset.any()


@each
@pytest.mark.parametrize("what", ["content", "style"])
def test_overflowed_features_are_refused(settings: TransformSettings, what: str) -> None:
    good = make_features(0)
    bad = Moments.of(good * torch.nan)
    pair = (bad, Moments.of(good)) if what == "content" else (Moments.of(good), bad)
    for dtype, cure in ((torch.float16, "--dtype float32"), (torch.float32, "another model")):
        with pytest.raises(UsageError, match=f"{what} have overflowed in .*; use .*{cure}"):
            fit_map(settings, *pair, dtype=dtype)


@pytest.mark.parametrize("settings", CENTRED, ids=str)
def test_the_mean_becomes_the_style_mean(settings: TransformSettings) -> None:
    content, style = make_features(1), make_features(2)
    out = fit_map(settings, Moments.of(content), Moments.of(style))(content)
    assert_close(out.mean((2, 3)), style.mean((2, 3)))


@each
def test_all_transforms_ignore_the_scale_of_features(settings: TransformSettings) -> None:
    content, style = make_features(1), make_features(2)
    affine = fit_map(settings, Moments.of(content), Moments.of(style))
    scaled = fit_map(settings, Moments.of(1e3 * content), Moments.of(1e3 * style))
    assert_close(scaled.matrix, affine.matrix, rtol=1e-6, atol=1e-8)


def test_adain_matches_deviations() -> None:
    content, style = make_features(1), make_features(2)
    out = fit_map(AdaINSettings(ridge=1e-9), Moments.of(content), Moments.of(style))(content)
    assert_close(out.std((2, 3)), style.std((2, 3)), rtol=1e-6, atol=0)


@pytest.mark.parametrize("settings", [WCTSettings(ridge=1e-12), OTSettings(ridge=1e-12)], ids=str)
@pytest.mark.parametrize("offset", [0.5, 100.0])
def test_the_covariance_becomes_the_style_covariance(settings: TransformSettings, offset: float) -> None:
    content, style = make_features(1, offset=offset), make_features(2, offset=offset)
    out = fit_map(settings, Moments.of(content), Moments.of(style))(content)
    assert_close(Moments.of(out).covariance, Moments.of(style).covariance, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("ridge", [1e-6, 1e-3, 1.0])
def test_the_stated_bound_of_the_norm(ridge: float) -> None:
    content, style = make_features(1), 50 * make_features(2)
    content[:, 0] *= 1e-5
    c, s = Moments.of(content), Moments.of(style)
    ratio = float((s.covariance.trace() / c.covariance.trace()).sqrt())
    for settings in (AdaINSettings(ridge=ridge), WCTSettings(ridge=ridge), OTSettings(ridge=ridge)):
        norm = float(torch.linalg.matrix_norm(fit_map(settings, c, s).matrix, 2))
        assert norm <= ((8 + ridge) / ridge) ** 0.5 * ratio


def test_the_transport_map_is_symmetric_and_positive() -> None:
    matrix = fit_map(OTSettings(), Moments.of(make_features(1)), Moments.of(make_features(2))).matrix
    assert torch.equal(matrix, matrix.T)
    assert torch.linalg.eigvalsh(matrix)[0] > 0


def test_transport_moves_features_least() -> None:
    content, style = make_features(1), make_features(2)
    pair = Moments.of(content), Moments.of(style)
    ot, wct = (fit_map(s, *pair)(content) for s in (OTSettings(ridge=1e-12), WCTSettings(ridge=1e-12)))
    assert (ot - content).square().mean() < (wct - content).square().mean()


def test_commuting_covariances_scale_along_their_axes() -> None:
    content, style = torch.tensor([4.0, 1.0]).double(), torch.tensor([1.0, 9.0]).double()
    pair = [Moments(100.0, torch.zeros(2).double(), 100 * v.diag()) for v in (content, style)]
    for settings in (WCTSettings(ridge=1e-12), OTSettings(ridge=1e-12)):
        assert_close(
            fit_map(settings, *pair).matrix, torch.tensor([0.5, 3.0]).double().diag(), rtol=1e-9, atol=1e-9
        )


def test_the_barycentre_of_one_style_is_the_style() -> None:
    style = Moments.of(make_features(1))
    between = barycentre([style, Moments.of(make_features(2)), Moments.empty(8)], [1, 0, 3])
    assert_close(between.covariance, style.covariance)
    assert_close(between.mean, style.mean)


def test_the_barycentre_averages_deviations() -> None:
    variances = [torch.tensor(v).double() for v in ([4.0, 1.0], [16.0, 9.0])]
    styles = [
        Moments(n, torch.zeros(2).double(), n * v.diag())
        for n, v in zip((10.0, 30.0), variances, strict=True)
    ]
    between = barycentre(styles, [1, 3])
    assert_close(between.covariance, torch.tensor([3.5**2, 2.5**2]).double().diag())
    assert between.n == 25


def test_the_barycentre_has_zero_mean_displacement() -> None:
    styles, weights = [Moments.of(make_features(i)) for i in range(3)], [0.5, 0.3, 0.2]
    between = barycentre(styles, weights)
    maps = [fit_map(OTSettings(ridge=1e-12), between, style) for style in styles]
    assert_close(AffineMap.mix(maps, weights).matrix, torch.eye(8).double(), rtol=0, atol=1e-6)


def test_the_barycentre_of_narrow_covariances_moves_no_more() -> None:
    """Each style lies along directions of its own."""
    narrow = torch.logspace(0, -4, 8, dtype=torch.float64).diag()
    turns = [torch.linalg.qr(make_features(i, 8, 8, 1)[0, :, :, 0])[0] for i in range(4)]
    weights = [0.1, 0.9, 0.3, 0.4]
    styles = [Moments(100.0, torch.zeros(8).double(), 100.0 * turn @ narrow @ turn.T) for turn in turns]
    between = barycentre(styles, weights).covariance
    root, inverse = psd_powers(between, 0.5, -0.5)
    moved = [w * psd_powers(root @ s.covariance @ root, 0.5)[0] for w, s in zip(weights, styles, strict=True)]
    half = inverse @ torch.stack(moved).sum(0) / sum(weights)
    assert float((half @ half.T - between).norm()) < 1e-9 * float(between.norm())


@pytest.mark.parametrize("rank", [1, 4, 8])
def test_powers_of_any_rank(rank: int) -> None:
    factor = make_features(3, 8, 1, rank)[0, :, 0] + 1e-3 * torch.eye(8, rank).double()
    matrix = 1e-7 * factor @ factor.T
    root, inverse = psd_powers(matrix, 0.5, -0.5)
    (projector,) = psd_powers(matrix, 0)
    assert_close(root @ root, matrix, rtol=1e-10, atol=1e-18)
    assert_close(inverse @ root, projector, rtol=0, atol=1e-6)
    assert_close(projector @ matrix, matrix, rtol=1e-10, atol=1e-18)
    assert float(projector.trace()) == pytest.approx(rank)


def test_eigh_tries_again_with_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix, eigh, calls = torch.diag(torch.tensor([3.0, 1.0])).double(), torch.linalg.eigh, []

    def stubborn(m: Tensor) -> tuple[Tensor, Tensor]:
        calls.append(m)
        if len(calls) < 4:
            raise RuntimeError("the algorithm failed to converge")
        return tuple(eigh(m))

    monkeypatch.setattr(torch.linalg, "eigh", stubborn)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_close(symmetric_eigh(matrix).values, torch.tensor([1.0, 3.0]).double(), rtol=1e-9, atol=0)


def test_eigh_ends_in_the_diagonal(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(m: Tensor) -> tuple[Tensor, Tensor]:
        raise RuntimeError("the algorithm failed to converge")

    monkeypatch.setattr(torch.linalg, "eigh", broken)
    content, style = Moments.of(make_features(1)), Moments.of(make_features(2))
    with pytest.warns(RuntimeWarning, match="uncorrelated"):
        matrix = fit_map(WCTSettings(ridge=1e-5), content, style).matrix
    assert_close(matrix, fit_map(AdaINSettings(ridge=1e-5), content, style).matrix, rtol=1e-6, atol=1e-9)


@each
def test_maps_are_made_where_the_moments_are(settings: TransformSettings) -> None:
    """Whatever forgets to say where it wants a tensor gets one without values, and the fit fails."""
    content, styles = Moments.of(make_features(0)), [Moments.of(make_features(k)) for k in (1, 2)]
    expected = fit_mix(settings, content, styles, [0.3, 0.7])
    single = fit_map(settings, content, styles[0])
    flat = fit_map(settings, Moments.of(torch.full((1, 8, 3, 3), 0.5)), styles[0])
    with torch.device("meta"):
        for wanted, found in (
            (expected, fit_mix(settings, content, styles, [0.3, 0.7])),
            (single, fit_map(settings, content, styles[0])),
            (flat, fit_map(settings, Moments.of(torch.full((1, 8, 3, 3), 0.5, device="cpu")), styles[0])),
        ):
            assert_close(found.lerp(0.5).matrix, wanted.lerp(0.5).matrix)
            assert_close(found.offset, wanted.offset)
