"""The descriptor of textures: its head and its files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.nets import WIDTHS, tiny_tensors

from texsynth.errors import ModelError
from texsynth.models import descriptor as module
from texsynth.models import weights
from texsynth.models.descriptor import DescriptorHead, load_descriptor
from texsynth.models.hub import cache
from texsynth.models.weights import write_weights
from texsynth.pipelines.describe import describe, load_describer

LEVELS = (2, 3, 4)


def head() -> DescriptorHead:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return DescriptorHead({n: WIDTHS[n - 1] for n in LEVELS}, 4, 5, 7).eval().requires_grad_(False)


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
    for user in (module, weights, cache):
        monkeypatch.setattr(user, "ASSETS", tmp_path)
    with pytest.raises(ModelError, match="reinstall"):
        load_descriptor()


def test_the_embedded_descriptor_fits_its_encoder_and_tells_textures_apart() -> None:
    mine = load_describer()
    stripes = (torch.arange(192) // 6 % 2).float().expand(1, 3, 192, 192)
    noise = torch.rand(1, 3, 192, 192, generator=torch.Generator().manual_seed(0))
    crops = [image[:, :, y : y + 96, y : y + 96] for image in (stripes, noise) for y in (0, 90)]
    a, b, c, d = (describe(crop, mine)[0] for crop in crops)
    assert min(float(a @ b), float(c @ d)) > 0.8
    assert max(float(a @ c), float(b @ d)) < 0.5
