"""The descriptor of textures: its head, its files, pictures by tiles and with masks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from nets import WIDTHS, tiny_tensors, waves

from texsynth.errors import InputError, ModelError
from texsynth.models import descriptor as module
from texsynth.models.descriptor import Descriptor, DescriptorHead, load_descriptor
from texsynth.models.registry import build_model
from texsynth.models.weights import write_weights
from texsynth.pipelines import describing
from texsynth.pipelines.describing import Describer, any_turn, describe, load_describer

LEVELS = (2, 3, 4)


def head() -> DescriptorHead:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return DescriptorHead({n: WIDTHS[n - 1] for n in LEVELS}, 4, 5, 7).eval().requires_grad_(False)


def describer() -> Describer:
    return Describer(build_model("tiny", tiny_tensors()), Descriptor(head(), "tiny", "", "", {}))


def save(path: Path, **header: str) -> Path:
    state = {f"descriptor.{key}": value for key, value in head().state_dict().items()}
    write_weights(path, state, header)
    return path


def test_a_head_is_known_from_the_shapes_of_its_weights() -> None:
    mine = head()
    again = DescriptorHead.from_state(mine.state_dict())
    assert again.levels == LEVELS
    features = [torch.rand(2, width, 6, 5) for width in WIDTHS[:4]]
    torch.testing.assert_close(again(features), mine(features), rtol=0, atol=1e-6)
    torch.testing.assert_close(mine(features).norm(dim=1), torch.ones(2))


def test_codes_of_parts_add_up() -> None:
    mine = head()
    features = [torch.rand(1, width, 6, 5) for width in WIDTHS[:4]]
    parts = [mine.codes([f[:, :, rows] for f in features]) for rows in (slice(2), slice(2, 6))]
    for whole, first, second in zip(mine.codes(features), *parts, strict=True):
        torch.testing.assert_close(first + second, whole, rtol=1e-5, atol=1e-5)


def test_what_has_no_weight_has_no_part_in_the_codes() -> None:
    mine = head()
    features = [torch.rand(1, width, 4, 4) for width in WIDTHS[:4]]
    weights = [torch.zeros(1, 1, 4, 4) for _ in features]
    for weight in weights:
        weight[..., :2] = 1
    for half, whole in zip(
        mine.codes([f[..., :2] for f in features]), mine.codes(features, weights), strict=True
    ):
        torch.testing.assert_close(whole, half, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [(96, 80), (70, 131)])
def test_tiles_change_nothing(monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]) -> None:
    mine, image = describer(), waves(*size)
    mask = torch.ones(1, 1, *size)
    mask[..., : size[1] // 3] = 0.25
    whole = [describe(image, mine), describe(image, mine, mask=mask)]
    monkeypatch.setattr(describing, "TILE", 32)
    for tiled, expected in zip([describe(image, mine), describe(image, mine, mask=mask)], whole, strict=True):
        torch.testing.assert_close(tiled, expected, rtol=0, atol=2e-6)
    assert float((whole[0] - whole[1]).abs().max()) > 1e-5


def test_turning_a_picture_permutes_its_descriptors() -> None:
    mine, image = describer(), waves(48, 64)
    straight, turned = describe(image, mine), describe(image.rot90(1, (2, 3)), mine)
    torch.testing.assert_close(turned, straight.roll(-1, 0), rtol=0, atol=1e-6)
    torch.testing.assert_close(any_turn(turned), any_turn(straight), rtol=0, atol=1e-6)
    assert float((straight[0] - straight[1]).abs().max()) > 1e-4
    torch.testing.assert_close(describe(image, mine, turns=(0,)), straight[:1])


@pytest.mark.parametrize("size", [(1, 1), (1, 37), (7, 5), (33, 65)])
def test_pictures_of_any_size_have_descriptors_of_unit_length(size: tuple[int, int]) -> None:
    found = describe(torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0)), describer())
    torch.testing.assert_close(found.norm(dim=1), torch.ones(4))


def test_large_pictures_are_reduced_first() -> None:
    mine, image = describer(), waves(60, 120)
    assert torch.equal(describe(image, mine, longest=40), describe(describing.reduced(image, None, 40)[0], mine))
    assert describing.reduced(image, None, 40)[0].shape[2:] == (20, 40)
    assert describing.reduced(image, None, 120)[0] is image
    assert describing.reduced(image, None, None)[0] is image


def test_nothing_opaque_cannot_be_described() -> None:
    with pytest.raises(InputError, match="opaque"):
        describe(waves(32, 32), describer(), mask=torch.zeros(1, 1, 32, 32))


def test_files(tmp_path: Path) -> None:
    found = load_descriptor(save(tmp_path / "a.safetensors", model="lite", model_sha256="00"))
    assert found.model == "lite"
    assert found.head.levels == LEVELS
    assert len(found.sha256) == 64
    with pytest.raises(ModelError, match="train it again"):
        load_describer(descriptor=found)
    with pytest.raises(ModelError, match="no descriptor"):
        load_descriptor(save(tmp_path / "b.safetensors"))
    write_weights(tmp_path / "c.safetensors", tiny_tensors(), {"model": "lite", "model_sha256": "00"})
    with pytest.raises(ModelError, match="no descriptor"):
        load_descriptor(tmp_path / "c.safetensors")
    with pytest.raises(ModelError, match="does not exist"):
        load_descriptor(tmp_path / "d.safetensors")


def test_the_embedded_descriptor_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "descriptor.safetensors", model="lite", model_sha256="00")
    monkeypatch.setattr(module, "ASSETS", tmp_path)
    with pytest.raises(ModelError, match="reinstall"):
        load_descriptor()


def test_the_embedded_descriptor_fits_its_encoder_and_tells_textures_apart() -> None:
    mine = load_describer()
    assert replace(mine.descriptor, provenance={}).model == "lite"
    stripes = (torch.arange(192) // 6 % 2).float().expand(1, 3, 192, 192)
    noise = torch.rand(1, 3, 192, 192, generator=torch.Generator().manual_seed(0))
    crops = [image[:, :, y : y + 96, y : y + 96] for image in (stripes, noise) for y in (0, 90)]
    a, b, c, d = (describe(crop, mine)[0] for crop in crops)
    assert min(float(a @ b), float(c @ d)) > 0.8
    assert max(float(a @ c), float(b @ d)) < 0.5
