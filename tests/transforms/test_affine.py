from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

from texsynth.transforms.affine import AffineMap
from texsynth.transforms.moments import Moments


def make_map(seed: int, channels: int = 5) -> AffineMap:
    """Random map."""
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(channels, channels, generator=generator, dtype=torch.float64)
    return AffineMap(matrix, torch.randn(channels, generator=generator, dtype=torch.float64))


def make_features(*shape: int) -> Tensor:
    """Random float64 features."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)


def explicit(affine: AffineMap, features: Tensor) -> Tensor:
    """The definition, in float64."""
    return torch.einsum("cd,ndhw->nchw", affine.matrix, features.double()) + affine.offset[:, None, None]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-13), (torch.float32, 2e-6), (torch.float16, 4e-3), (torch.bfloat16, 3e-2)],
)
def test_application(dtype: torch.dtype, tolerance: float, layout: torch.memory_format) -> None:
    features = make_features(2, 5, 7, 6).to(dtype).contiguous(memory_format=layout)
    out = make_map(0)(features)
    assert out.dtype == dtype
    assert out.is_contiguous(memory_format=layout)
    assert_close(out.double(), explicit(make_map(0), features), rtol=tolerance, atol=tolerance)


def test_application_to_a_crop() -> None:
    features = make_features(1, 5, 9, 9)[..., 2:6, 1:8]
    assert_close(make_map(0)(features), explicit(make_map(0), features))


def test_autocast_does_not_reach_the_product() -> None:
    features = make_features(1, 5, 7, 6).float()
    with torch.autocast("cpu", torch.bfloat16):
        out = make_map(0)(features)
    assert torch.equal(out, make_map(0)(features))


def test_identity_changes_nothing() -> None:
    features = make_features(1, 5, 7, 6).float()
    assert torch.equal(AffineMap.identity(5)(features), features)


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_strength_interpolates_features(strength: float) -> None:
    features = make_features(1, 5, 4, 4)
    expected = (1 - strength) * features + strength * make_map(0)(features)
    assert_close(make_map(0).lerp(strength)(features), expected)


def test_full_strength_is_exact() -> None:
    assert torch.equal(make_map(0).lerp(1.0).matrix, make_map(0).matrix)
    assert torch.equal(make_map(0).lerp(0.0).matrix, torch.eye(5, dtype=torch.float64))


def test_a_mix_of_maps_mixes_features() -> None:
    features = make_features(1, 5, 4, 4)
    a, b = make_map(0), make_map(1)
    assert_close(AffineMap.mix([a, b], [2, 6])(features), a(features) / 4 + 3 * b(features) / 4)


def test_means_meet() -> None:
    content, style = Moments.of(make_features(1, 5, 8, 8)), Moments.of(make_features(1, 5, 8, 8) + 2)
    for matrix in (None, make_map(0).matrix):
        affine = AffineMap.between_means(content, style, matrix)
        assert_close(affine.matrix @ content.mean + affine.offset, style.mean)
    empty = AffineMap.between_means(Moments.empty(5), style)
    assert not empty.offset.any()


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize("bias", [True, False])
def test_folding_into_a_convolution(mode: str, bias: bool) -> None:
    features = make_features(1, 5, 8, 7)
    kernel, shift = make_features(4, 5, 3, 3), make_features(4) if bias else None

    def conv(x: Tensor, weight: Tensor, b: Tensor | None) -> Tensor:
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode=mode), weight, b)

    weight, folded_bias = make_map(0).fold(kernel, shift)
    assert_close(conv(features, weight, folded_bias), conv(make_map(0)(features), kernel, shift))


def test_a_folded_convolution_keeps_its_type() -> None:
    weight, bias = make_map(0).fold(make_features(4, 5, 3, 3).half(), None)
    assert weight.dtype == bias.dtype == torch.float16
