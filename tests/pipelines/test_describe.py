"""Descriptors of pictures: of unit length, the same by tiles, blind to what is transparent and to turns."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers.nets import waves
from torch import Tensor

from texsynth.errors import InputError, ModelError
from texsynth.models.descriptor import load_descriptor
from texsynth.models.registry import load_model
from texsynth.pipelines.describe import Describer, any_turn, describe, limit_size, load_describer, nearest
from texsynth.pipelines.tiling import encoder_reach


@pytest.fixture(scope="module")
def describer() -> Describer:
    """The embedded one: to random networks all textures look the same."""
    return load_describer()


def noisy(height: int, width: int, seed: int = 0) -> Tensor:
    noise = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))
    return 0.6 * waves(height, width) + 0.4 * noise


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (3, 2), (17, 16), (33, 50)])
def test_any_size_has_descriptors_of_unit_length(describer: Describer, size: tuple[int, int]) -> None:
    found = describe(noisy(*size), describer)
    assert (len(found), found.dtype) == (4, torch.float32)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(4))


@pytest.mark.parametrize("tile", [48, 100])
@pytest.mark.parametrize("masked", [False, True])
def test_tiles_change_nothing(
    describer: Describer, monkeypatch: pytest.MonkeyPatch, tile: int, masked: bool
) -> None:
    image = noisy(110, 141)
    mask = (waves(110, 141)[:, :1] > 0.4).float() if masked else None
    whole = describe(image, describer, mask=mask)
    monkeypatch.setattr("texsynth.pipelines.describe.TILE", tile)
    assert 0 < float((describe(image, describer, mask=mask) - whole).abs().max()) < 1e-5


def test_turning_the_picture_turns_the_descriptors(describer: Describer) -> None:
    image = noisy(41, 62)
    found = describe(image, describer)
    turned = describe(image.rot90(1, (2, 3)), describer)
    torch.testing.assert_close(turned, found.roll(-1, 0), atol=1e-5, rtol=0)
    assert float((turned[0] - found[0]).abs().max()) > 1e-3, "the plain one sees the turn"
    torch.testing.assert_close(any_turn(turned), any_turn(found), atol=1e-5, rtol=0)
    torch.testing.assert_close(any_turn(found).norm(), torch.tensor(1.0))


def test_what_is_transparent_does_not_count(describer: Describer) -> None:
    """Networks look over the border of the mask, but no further than their reach."""
    reach = encoder_reach(describer.model.encoder, 5) + 16
    image, mask = noisy(40, 96 + reach + 64), torch.zeros(1, 1, 40, 96 + reach + 64)
    mask[..., :96] = 1
    other = image.clone()
    other[..., 96 + reach :] = noisy(40, 64, seed=8)
    found = describe(image, describer, mask=mask)
    torch.testing.assert_close(describe(other, describer, mask=mask), found, atol=1e-6, rtol=0)
    other[..., :96] = 1 - other[..., :96]
    assert float((describe(other, describer, mask=mask) - found).abs().max()) > 1e-3
    assert float((describe(image, describer) - found).abs().max()) > 1e-3


def test_a_mask_of_ones_is_no_mask(describer: Describer) -> None:
    image = noisy(37, 30)
    found = describe(image, describer, mask=torch.ones(1, 1, 37, 30))
    torch.testing.assert_close(found, describe(image, describer), atol=1e-5, rtol=0)


def test_nothing_that_counts(describer: Describer) -> None:
    with pytest.raises(InputError, match="nothing of the picture is opaque"):
        describe(noisy(20, 20), describer, mask=torch.zeros(1, 1, 20, 20))


def test_large_pictures_are_reduced_first(describer: Describer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("texsynth.pipelines.describe.LONGEST", 100)
    image, mask = waves(90, 300), torch.ones(1, 1, 90, 300)
    mask[..., 200:] = 0
    small, less = limit_size(image, mask)
    assert less is not None
    assert (small.shape, less.shape) == ((1, 3, 30, 100), (1, 1, 30, 100))
    assert limit_size(small, less) == (small, less)
    assert torch.equal(describe(image, describer, mask=mask), describe(small, describer, mask=less))


def test_an_encoder_with_other_weights() -> None:
    with pytest.raises(ModelError, match="other weights of lite"):
        load_describer(descriptor=replace(load_descriptor(), model_sha256="0" * 64))


def test_the_embedded_descriptor_is_for_the_embedded_model() -> None:
    descriptor = load_descriptor()
    assert descriptor.model_sha256 == load_model(descriptor.model).sha256
    assert set(descriptor.head.levels) <= {1, 2, 3, 4, 5}


def test_nearest() -> None:
    rows = torch.nn.functional.normalize(torch.tensor([[1.0, 0], [0, 1], [1, 1], [-1, 0], [1, 0]]), dim=1)
    query = torch.tensor([1.0, 0])
    assert [row for row, _ in nearest(query, rows, 9)] == [0, 4, 2, 1, 3], "ties keep their order"
    found = nearest(query, rows.half(), 2, without=[0])
    assert [row for row, _ in found] == [4, 2]
    assert [cosine for _, cosine in found] == pytest.approx([1, 2**-0.5], abs=1e-3)
    assert nearest(query, rows, 3, without=range(5)) == []
