"""The network that repairs borders between copies: what it leaves alone, any size, tiles, and its file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.nets import tiny_borders, waves
from torch import Tensor

from texsynth.errors import ModelError
from texsynth.models import border_network
from texsynth.models.border_network import REACH, BorderNetwork, blend, sample
from texsynth.models.hub.cache import file_hash
from texsynth.models.transposers import load_network
from texsynth.models.vgg import inference
from texsynth.models.weights import prefixed, write_weights
from texsynth.synthesis.borders import find_borders, pixel_grid
from texsynth.synthesis.copy_choice import lay_copies

Pair = tuple[int, int]


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=rng(seed))


def expand(
    net: BorderNetwork, exemplar: Tensor, size: Pair, *, circular: bool = False, variation: float = 0.0
) -> Tensor:
    return net.expand(exemplar, size, circular=circular, rng=rng(), variation=variation)[0]


def halves(height: int, width: int) -> Tensor:
    """Two copies beside each other, (2, H, W); a border goes down the middle."""
    layout = pixel_grid(height, width)
    layout[:, :, width // 2 :] += torch.tensor([9, -25]).view(2, 1, 1)
    return layout


@pytest.mark.parametrize(
    ("exemplar", "size"),
    [((16, 16), (32, 32)), ((17, 30), (41, 99)), ((48, 33), (20, 70)), ((40, 40), (40, 40)),
     ((16, 20), (16, 150))],
)  # fmt: skip
@pytest.mark.parametrize("circular", [False, True])
def test_any_size(exemplar: Pair, size: Pair, circular: bool) -> None:
    out = expand(tiny_borders(), noise(1, 3, *exemplar), size, circular=circular)
    assert out.shape == (1, 3, *size)
    assert 0 <= out.min() <= out.max() <= 1


def test_the_seed_decides() -> None:
    net, exemplar = tiny_borders(), noise(1, 3, 32, 32)
    one = expand(net, exemplar, (64, 64))
    assert torch.equal(one, expand(net, exemplar, (64, 64)))
    assert not torch.equal(one, net.expand(exemplar, (64, 64), circular=False, rng=rng(1))[0])
    assert not torch.equal(one, expand(net, exemplar, (64, 64), variation=0.8))


def test_nothing_changes_far_from_a_border() -> None:
    exemplar, layout = noise(1, 3, 96, 120), halves(80, 112)
    image, _ = tiny_borders().repair(exemplar, layout)
    changed = (image - sample(exemplar, layout[None])).abs().amax((0, 1, 2)) > 1e-5
    far = (torch.arange(112) - 55.5).abs() > REACH + 2
    assert not changed[far].any()
    assert changed[~far].float().mean() > 0.5


def test_one_copy_alone_is_left_as_it_is() -> None:
    exemplar = noise(1, 3, 64, 72)
    image, maps = tiny_borders().repair(exemplar, pixel_grid(64, 72), siblings=exemplar[:, :1])
    torch.testing.assert_close(image, exemplar, atol=1e-5, rtol=0)
    assert maps is not None
    torch.testing.assert_close(maps, exemplar[:, :1], atol=1e-5, rtol=0)


def test_a_new_network_mixes_little_and_paints_nothing() -> None:
    """Before training the picture is a mixture of the two copies, and near its own."""
    exemplar, layout = noise(1, 3, 96, 120), halves(80, 112)
    borders = find_borders(layout[None], REACH)
    image, repair = inference(BorderNetwork((4, 4, 4)))(exemplar, layout[None], borders)
    assert repair.bend.abs().max() == repair.paint.abs().max() == 0
    assert 0 < repair.share.max() < 0.05
    own, other = sample(exemplar, layout[None]), sample(exemplar, borders.other)
    torch.testing.assert_close(image, blend(own, other, repair.share))
    assert (image - own).abs().max() < 0.1


def test_a_mixture_keeps_the_strength_of_detail() -> None:
    """Halves of unrelated noise have 1 / sqrt(2) of its deviation, their blend nearly all of it."""
    own, other = noise(2, 3, 64, 64)
    own, other = own[None], other[None]
    half = torch.full((1, 1, 64, 64), 0.5)
    kept = blend(own, other, half)[..., 8:-8, 8:-8].std() / own.std()
    assert (0.5 * (own + other)).std() / own.std() < 0.75
    assert 0.93 < kept < 1.05
    assert torch.equal(blend(own, other, 0 * half), own)
    torch.testing.assert_close(blend(own, other, 2 * half), other)
    torch.testing.assert_close(blend(own, own, half), own)


@pytest.mark.parametrize("circular", [False, True])
def test_siblings_follow_the_pixels(circular: bool) -> None:
    exemplar, size = noise(1, 3, 64, 64), (150, 140)
    where = pixel_grid(64, 64)[None].float()
    layout = lay_copies(exemplar, size, rng(), wrap=circular)
    plain, none = tiny_borders().expand(exemplar, size, circular=circular, rng=rng())
    extras = torch.cat([exemplar, where], 1)
    image, maps = tiny_borders().expand(exemplar, size, circular=circular, rng=rng(), extras=extras)
    assert none is None
    assert maps is not None
    assert torch.equal(plain, image)
    kept = find_borders(layout[None], REACH, wrap=circular).distance[0, 0] >= REACH
    assert 0 < kept.sum() < kept.numel()
    assert torch.equal(maps[0, 3:, kept], layout[:, kept].float())
    torch.testing.assert_close(image[0, :, kept], exemplar[0][:, *layout[:, kept]], atol=1e-4, rtol=0)
    # Near borders, too, every pixel of all siblings is copied from one place.
    at = maps[0, 3:].long()
    assert torch.equal(maps[0, 3:], at.float())
    assert torch.equal(maps[0, :3], exemplar[0][:, at[0], at[1]])


@pytest.mark.parametrize("circular", [False, True])
def test_a_plain_exemplar_stays_plain(circular: bool) -> None:
    colour = torch.tensor([0.2, 0.5, 0.7]).view(1, 3, 1, 1)
    out = expand(tiny_borders(), colour.expand(1, 3, 20, 20), (45, 50), circular=circular)
    torch.testing.assert_close(out, colour.expand_as(out), atol=1e-5, rtol=0)


@pytest.mark.parametrize("circular", [False, True])
def test_an_exact_pattern_is_continued_exactly(circular: bool) -> None:
    pattern = noise(1, 3, 12, 12, seed=5).repeat(1, 1, 11, 11)
    net = inference(BorderNetwork((4, 4, 4)))
    out = expand(net, pattern[..., 34:98, 34:98], (132, 132), circular=circular)
    torch.testing.assert_close(out, pattern, atol=1e-4, rtol=0)


def test_a_circular_output_is_periodic() -> None:
    """A layout moved around the torus gives the output moved around it: no place of it is special."""
    exemplar, step = noise(1, 3, 32, 32), (8, 16)
    layout = lay_copies(exemplar, (64, 80), rng(), wrap=True)
    out, _ = tiny_borders().repair(exemplar, layout, wrap=True)
    moved, _ = tiny_borders().repair(exemplar, layout.roll(step, (1, 2)), wrap=True)
    torch.testing.assert_close(moved, out.roll(step, (2, 3)), atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [(80, 96), (81, 97)])
def test_a_circular_output_has_no_seam(size: Pair) -> None:
    out = expand(inference(BorderNetwork((4, 4, 4))), waves(48, 48), size, circular=True)[0]
    for dim in (1, 2):
        inside = out.diff(dim=dim).abs().mean()
        across = (out.narrow(dim, 0, 1) - out.narrow(dim, out.shape[dim] - 1, 1)).abs().mean()
        assert across < 2 * inside


@pytest.mark.parametrize("circular", [False, True])
def test_tiles_change_nothing(circular: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    exemplar, net = noise(1, 3, 40, 44), tiny_borders()
    layout = lay_copies(exemplar, (150, 173), rng(), wrap=circular)
    whole = net.repair(exemplar, layout, wrap=circular, siblings=exemplar)
    monkeypatch.setattr(border_network, "TILE", 64)
    tiled = net.repair(exemplar, layout, wrap=circular, siblings=exemplar)
    for one, other in zip(whole, tiled, strict=True):
        assert one is not None
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)


def test_reduced_precision_changes_little() -> None:
    net = tiny_borders()
    full = expand(net, waves(32, 32), (64, 64))
    net.dtype = torch.bfloat16
    assert (expand(net, waves(32, 32), (64, 64)) - full).abs().mean() < 0.05


def test_weights_decide_the_shapes(tmp_path: Path) -> None:
    net, path = tiny_borders(), tmp_path / "tiny.safetensors"
    write_weights(path, prefixed("borders", net.state_dict()), {})
    again, digest = load_network(str(path))
    assert isinstance(again, BorderNetwork)
    assert digest == file_hash(path)
    exemplar = waves(24, 24)
    assert (expand(again, exemplar, (48, 48)) - expand(net, exemplar, (48, 48))).abs().mean() < 5e-3


def test_bad_weights_are_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "bad.safetensors"
    with pytest.raises(ModelError, match="does not exist"):
        load_network(str(path))
    path.write_bytes(b"nonsense")
    with pytest.raises(ModelError, match="damaged"):
        load_network(str(path))
    state = prefixed("borders", tiny_borders().state_dict())
    write_weights(path, {key: value for key, value in state.items() if "down1" not in key}, {})
    with pytest.raises(ModelError, match=r"no whole Transposer of layout copies.*train borders"):
        load_network(str(path))
