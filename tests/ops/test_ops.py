"""Resampling, colour and edge-aware finishing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.nets import waves

from texsynth.ops.bilateral_grid import local_affine
from texsynth.ops.color import luma, with_chroma_of
from texsynth.ops.noise import soft_noise
from texsynth.ops.resample import pad_to_multiple, reflected_index, resize


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (7, 16), (33, 2)])
def test_padding_reflects_any_size_and_keeps_the_picture(size: tuple[int, int]) -> None:
    image = torch.rand(1, 3, *size)
    padded = pad_to_multiple(image, 8, at_least=16)
    assert all(side % 8 == 0 and side >= 16 for side in padded.shape[2:])
    assert torch.equal(padded[:, :, : size[0], : size[1]], image)


@pytest.mark.parametrize("size", [2, 3, 10])
def test_reflection_is_numpys(size: int) -> None:
    expected = np.pad(np.arange(size), (0, 23 - size), mode="reflect")
    assert reflected_index(size, 23).tolist() == expected.tolist()


def test_resize_keeps_range_and_flat_pictures() -> None:
    assert torch.equal(resize(waves(9, 9), 9, 9), waves(9, 9))
    out = resize((waves(40, 40) > 0.5).float(), 13, 17)
    assert out.shape == (1, 3, 13, 17)
    assert 0 <= out.min() <= out.max() <= 1
    torch.testing.assert_close(resize(torch.full((1, 3, 8, 8), 0.3), 20, 5), torch.full((1, 3, 20, 5), 0.3))


def test_chroma_comes_from_one_picture_and_luma_from_the_other() -> None:
    colours, lightness = waves(16, 16), waves(16, 16, phase=2.0)
    out = with_chroma_of(colours, lightness)
    torch.testing.assert_close(luma(out), luma(lightness), atol=1e-5, rtol=0)
    torch.testing.assert_close(with_chroma_of(colours, colours), colours, atol=1e-5, rtol=0)
    grey = torch.full((1, 3, 4, 4), 0.4)
    torch.testing.assert_close(
        with_chroma_of(grey, waves(4, 4))[:, 0:1], luma(waves(4, 4)), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("size", [(64, 64), (300, 40), (1, 1), (2, 600)])
def test_edge_aware_finishing_keeps_the_content_and_global_colour_maps(size: tuple[int, int]) -> None:
    content = waves(*size)
    torch.testing.assert_close(local_affine(content, content), content, atol=1e-4, rtol=0)
    mixed = torch.einsum(
        "ij,njhw->nihw", torch.tensor([[0.6, 0.1, 0], [0, 0.5, 0.2], [0.1, 0, 0.7]]), content
    )
    torch.testing.assert_close(local_affine(content, mixed + 0.05), mixed + 0.05, atol=2e-3, rtol=0)


def test_edge_aware_finishing_removes_a_halo_and_keeps_the_edge() -> None:
    content = torch.full((1, 3, 128, 128), 0.8)
    content[:, :, 64:] = 0.2
    halo = content.clone()
    halo[:, :, 60:64] += 0.15
    out = local_affine(content, halo)
    slope = out[:, :, 40:64].diff(dim=2).abs()
    assert float(slope.max()) < 0.01
    assert float(out[:, :, 63].mean() - out[:, :, 64].mean()) > 0.5


def test_edge_aware_finishing_does_not_amplify_noise_of_a_flat_picture() -> None:
    # What a colourful style does to the chroma blocks of a JPEG sky.
    rng = torch.Generator().manual_seed(0)
    noise = 0.01 * torch.randn(1, 3, 16, 16, generator=rng).repeat_interleave(8, 2).repeat_interleave(8, 3)
    loud = local_affine(0.6 + noise, 0.5 + 6 * noise)
    assert float(loud.std()) < 3 * float(noise.std())
    assert abs(float(loud.mean()) - 0.5) < 0.02


def test_soft_noise_has_unit_deviation_and_the_same_values_wherever_it_is_cut() -> None:
    one = soft_noise((0, 0), (300, 280), 5)
    assert one.shape == (1, 3, 300, 280)
    assert torch.equal(one[:, :, 200:290, 17:279], soft_noise((200, 17), (90, 262), 5))
    assert not torch.equal(one[:, :, :40, :40], soft_noise((0, 0), (40, 40), 6))
    assert abs(float(one.mean())) < 0.05
    assert float(one.std()) == pytest.approx(1, abs=0.05)
    assert float(one[..., 0].std()) == pytest.approx(1, abs=0.2)
    # Blocks with generators of their own do not show.
    assert float((one[..., 256:257] * one[..., 255:256]).mean()) == pytest.approx(16 / 19, abs=0.15)
    # Neighbours of the kernel (1, 2, 3, 2, 1) share 16 of 19.
    assert float((one[..., 1:] * one[..., :-1]).mean()) == pytest.approx(16 / 19, abs=0.05)
