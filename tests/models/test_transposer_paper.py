"""The network of paper 004: its map, its transposed convolution, its sizes, and its weight file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from helpers.nets import WIDTHS, waves
from torch import Tensor

from texsynth.errors import ModelError
from texsynth.models.transposer_paper import BatchNorm, MapScale, PaperTransposer, self_similarity
from texsynth.models.transposers import load_network
from texsynth.models.vgg import Encoder, inference
from texsynth.models.weights import write_exact, write_weights

WIDTH = 1 / 16


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=rng(seed))


def tiny(kind: str = "own") -> PaperTransposer:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return inference(PaperTransposer.of_width(WIDTH, None if kind == "own" else Encoder(WIDTHS)))


def expand(net: PaperTransposer, exemplar: Tensor, size: tuple[int, int], **more: float) -> Tensor:
    return net.expand(exemplar, size, circular=False, rng=rng(), **more)[0]  # type: ignore[arg-type]


def test_the_map_is_equation_1_over_the_overlap() -> None:
    """Closed form for the features [[1, 2], [3, 4]] and shifts by up to one."""
    difference = torch.tensor([[9.0, 8, 1], [2, 0, 2], [1, 8, 9]])
    energy = torch.tensor([[1.0, 5, 4], [10, 30, 20], [9, 25, 16]])
    similarity = self_similarity(torch.tensor([[[[1.0, 2], [3, 4]]]]))
    torch.testing.assert_close(similarity[0, 0], -difference / energy)


def test_the_map_peaks_at_the_periods_of_a_texture() -> None:
    tile = noise(1, 3, 4, 6)
    similarity = self_similarity(tile.repeat(1, 1, 5, 4))[0, 0]
    assert similarity.shape == (21, 25)
    torch.testing.assert_close(similarity[2::4, ::6], torch.zeros(5, 5), atol=1e-5, rtol=0)
    assert (similarity < -0.01).sum() == similarity.numel() - 25


def test_features_are_laid_as_by_a_transposed_convolution_of_torch() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        scale = MapScale(6, 25).double().eval()
    features = noise(2, 6, 8, 6, seed=1).double()
    weights, filters = scale.map(self_similarity(features)), scale.filter(features)
    laid = [F.conv_transpose2d(w[None], f[None]) for w, f in zip(weights, filters, strict=True)]
    bias = scale.bias(filters.mean((2, 3)))[:, :, None, None]
    expected = scale.output(torch.cat(laid) * 5 / (9 * 7) + bias)
    assert expected.shape == (2, 6, 16, 12)
    torch.testing.assert_close(scale(features), expected)


@pytest.mark.parametrize("kind", ["own", "pretrained"])
@pytest.mark.parametrize("size", [(16, 16), (32, 64), (17, 45)])
def test_a_pass_doubles_any_exemplar(kind: str, size: tuple[int, int]) -> None:
    out = tiny(kind)(noise(2, 3, *size))
    assert out.shape == (2, 3, 2 * size[0], 2 * size[1])
    assert 0 < out.min() < out.max() < 1


def test_other_sizes_are_cut_from_the_middle_of_as_many_passes_as_they_need() -> None:
    net, exemplar = tiny(), noise(1, 3, 32, 32)
    twice = net(exemplar)
    torch.testing.assert_close(expand(net, exemplar, (64, 64)), twice)
    torch.testing.assert_close(expand(net, exemplar, (40, 62)), twice[..., 12:52, 1:63])
    torch.testing.assert_close(expand(net, exemplar, (65, 20)), net(twice)[..., 31:96, 54:74])
    with pytest.raises(ValueError, match="periodic"):
        net.expand(exemplar, (64, 64), circular=True, rng=rng())


def test_noise_in_the_maps_makes_variations() -> None:
    net, exemplar = tiny(), waves(32, 32)
    plain, varied = expand(net, exemplar, (64, 64)), expand(net, exemplar, (64, 64), variation=0.5)
    assert torch.equal(expand(net, exemplar, (64, 64)), plain)
    assert torch.equal(expand(net, exemplar, (64, 64), variation=0.5), varied)
    assert not torch.equal(plain, varied)


def test_nothing_is_copied() -> None:
    """Where the features see no exemplar, its pixels are not in the output either."""
    net = tiny()
    with torch.no_grad():
        net.pixels.weight.zero_()
        assert net.pixels.bias is not None
        net.pixels.bias.fill_(0.5)
        assert expand(net, noise(1, 3, 32, 32), (64, 64)).std() < 1e-6


def test_every_parameter_but_those_of_a_frozen_encoder_learns() -> None:
    for kind in ("own", "pretrained"):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            net = PaperTransposer.of_width(WIDTH, None if kind == "own" else Encoder(WIDTHS))
        target = noise(3, 3, 64, 64, seed=2)
        (net(noise(3, 3, 32, 32)) - target).abs().mean().backward()
        for name, p in net.named_parameters():
            assert ("encoder.pretrained" in name) == (p.grad is None), name
            assert p.grad is None or bool(p.grad.abs().sum() > 0), name


def test_running_statistics_are_plain_averages_at_first() -> None:
    norm, batches = BatchNorm(3), [noise(4, 3, 8, 8, seed=k) + k for k in range(3)]
    for batch in batches:
        norm(batch)
    assert norm.running_mean is not None
    torch.testing.assert_close(norm.running_mean, torch.cat(batches).mean((0, 2, 3)))
    for _ in range(20):
        norm(batches[0])
    assert norm.momentum == 0.1


@pytest.mark.parametrize("kind", ["own", "pretrained"])
def test_weights_decide_the_shapes(kind: str, tmp_path: Path) -> None:
    net, path, exemplar = tiny(kind), tmp_path / "net.safetensors", noise(1, 3, 32, 32)
    write_weights(path, net.state_dict(), {})
    again, digest = load_network(str(path))
    assert isinstance(again, PaperTransposer)
    assert (again.own, len(digest)) == (kind == "own", 64)
    assert (expand(again, exemplar, (64, 64)) - expand(net, exemplar, (64, 64))).abs().mean() < 2e-3
    again.dtype = torch.bfloat16
    assert (expand(again, exemplar, (64, 64)) - expand(net, exemplar, (64, 64))).abs().mean() < 0.03


def test_bad_weights_are_one_sentence(tmp_path: Path) -> None:
    path, state = tmp_path / "net.safetensors", tiny().state_dict()
    write_exact(path, state, {"taps": "2 4 8"})
    with pytest.raises(ModelError, match=r"at 1/2, 1/4, 1/8 of the sides, not at 1/4, 1/8, 1/16"):
        load_network(str(path))
    write_exact(path, {key: value for key, value in state.items() if "scale8" not in key}, {})
    with pytest.raises(ModelError, match="no whole Transposer of layout paper"):
        load_network(str(path))
    write_exact(path, {"encoder.conv1_1.weight": torch.zeros(4, 3, 3, 3)}, {})
    with pytest.raises(ModelError, match="not a Transposer"):
        load_network(str(path))


def test_equal_weights_are_equal_files(tmp_path: Path) -> None:
    state = tiny().state_dict()
    header = {"b": "2", "a": "1", "c": "3", "layout": "paper"}
    for name, h in (("one", header), ("two", dict(reversed(header.items())))):
        write_exact(tmp_path / name, dict(reversed(state.items())) if name == "two" else state, h)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    (tmp_path / "plain").touch()
    assert (tmp_path / "one").stat().st_mode == (tmp_path / "plain").stat().st_mode
