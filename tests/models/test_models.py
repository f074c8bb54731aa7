"""Encoders, decoders and weight files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from helpers.nets import WIDTHS, tiny_model, tiny_tensors, waves
from safetensors.torch import save_file
from torch import nn

from texsynth.errors import ModelError
from texsynth.models.autoencoder import Decoder, PhotoDecoder
from texsynth.models.hub.cache import file_hash, verified
from texsynth.models.registry import build_model, load_model
from texsynth.models.vgg import LEVELS, Encoder, conv_names, conv_reflect, input_widths
from texsynth.models.wavelets import WaveDecoder
from texsynth.models.weights import read_weights, write_weights
from texsynth.transforms.affine import AffineMap


def test_layers_are_those_of_vgg19() -> None:
    names = [f"conv{b}_{i}" for b, i in conv_names(5)]
    assert names == [
        *("conv1_1", "conv1_2", "conv2_1", "conv2_2"),
        *("conv3_1", "conv3_2", "conv3_3", "conv3_4"),
        *("conv4_1", "conv4_2", "conv4_3", "conv4_4", "conv5_1"),
    ]
    assert input_widths((64, 128, 256, 512, 512))[4, 1] == 256


def test_encoder_equals_a_plain_sequential_network() -> None:
    encoder = Encoder((4, 6))
    plain = nn.Sequential(
        *(nn.ReflectionPad2d(1), encoder.conv(1, 1), nn.ReLU()),
        *(nn.ReflectionPad2d(1), encoder.conv(1, 2), nn.ReLU(), nn.MaxPool2d(2, 2, ceil_mode=True)),
        *(nn.ReflectionPad2d(1), encoder.conv(2, 1), nn.ReLU()),
    )
    image = waves(18, 22)
    torch.testing.assert_close(encoder(image, 2)[1], plain(image))


def test_inference_on_large_pictures_reflects_like_training() -> None:
    encoder, image = Encoder(WIDTHS), waves(150, 170)
    with torch.no_grad():
        fast = encoder(image, 3)
    for a, b in zip(fast, encoder(image, 3), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("size", [(32, 32), (48, 80)])
def test_features_shrink_by_two_per_level_and_decoders_undo_it(size: tuple[int, int]) -> None:
    model = tiny_model()
    features = model.encoder(waves(*size), 5)
    for level, f in zip(LEVELS, features, strict=True):
        cells = tuple(side // 2 ** (level - 1) for side in size)
        assert f.shape == (1, WIDTHS[level - 1], *cells)
        assert (f >= 0).all()
        assert model.decoder(level)(f).shape == (1, 3, *size)
    assert model.photo_decoder()(features[:4]).shape == (1, 3, *size)


def test_a_segment_continues_where_another_stopped() -> None:
    encoder, image = Encoder(WIDTHS), waves(32, 32)
    torch.testing.assert_close(encoder.segment(encoder(image, 2)[1], 2, 4), encoder(image, 4)[3])


@pytest.mark.parametrize("size", [(2, 2), (6, 10), (5, 8), (7, 3)])
@pytest.mark.parametrize("outputs", [1, 3, 4])
def test_convolutions_to_an_image_are_convolutions(size: tuple[int, int], outputs: int) -> None:
    conv = nn.Conv2d(5, outputs, 3, padding=1, padding_mode="reflect").double()
    x = torch.randn(2, 5, *size, dtype=torch.float64)
    torch.testing.assert_close(conv_reflect(x, conv.weight, conv.bias), conv(x))


def test_maps_fold_into_the_photo_decoder() -> None:
    rng = torch.Generator().manual_seed(0)
    decoder = PhotoDecoder((4, 5, 6, 7)).double()
    shapes = [(4, 32), (5, 16), (6, 8), (7, 4)]
    features = [torch.randn(1, c, s, s, generator=rng, dtype=torch.float64) for c, s in shapes]
    maps = {
        level: AffineMap(
            torch.randn(c, c, generator=rng, dtype=torch.float64),
            torch.randn(c, generator=rng, dtype=torch.float64),
        )
        for level, (c, _) in enumerate(shapes, 1)
        if level != 3
    }
    mapped = [maps[k](f) if k in maps else f for k, f in enumerate(features, 1)]
    torch.testing.assert_close(decoder(features, maps), decoder(mapped))


def test_the_photo_decoder_takes_no_light_or_colour_from_the_fine_levels() -> None:
    decoder = PhotoDecoder((4, 5, 6, 7)).double()
    shapes = [(4, 32), (5, 16), (6, 8), (7, 4)]
    features = [torch.rand(1, c, s, s, dtype=torch.float64) for c, s in shapes]
    lifted = [f + (k < 2) for k, f in enumerate(features)]
    torch.testing.assert_close(decoder(features), decoder(lifted))


def test_shapes_alone_rebuild_every_network() -> None:
    for net, again in [
        (Encoder(WIDTHS), Encoder.from_state),
        (Decoder(WIDTHS[:3], 3), lambda state: Decoder.from_state(state, 3)),
        (PhotoDecoder(WIDTHS[:4]), PhotoDecoder.from_state),
        (Encoder(WIDTHS[:4], "haar"), Encoder.from_state),
        (Decoder(WIDTHS[:3], 3, "nearest"), lambda state: Decoder.from_state(state, 3)),
        (WaveDecoder(WIDTHS[:4], concatenated=True), WaveDecoder.from_state),
        (WaveDecoder(WIDTHS[:4], concatenated=False), WaveDecoder.from_state),
    ]:
        rebuilt = again(net.state_dict())
        assert rebuilt.state_dict().keys() == net.state_dict().keys()
        for key, value in net.state_dict().items():
            assert torch.equal(rebuilt.state_dict()[key], value)


def test_a_weight_file_comes_back_as_half_precision_with_its_header(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    write_weights(path, tiny_tensors(), {"teacher": "VGG-19"})
    tensors, header = read_weights(path)
    assert header["teacher"] == "VGG-19"
    assert all(value.dtype == torch.float16 for value in tensors.values())
    model = load_model(str(path))
    assert model.sha256 == file_hash(path)
    assert model.encoder.widths == WIDTHS


def test_overflow_in_half_precision_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="float16"):
        write_weights(tmp_path / "x.safetensors", {"w": torch.tensor([1e6])}, {})


def test_bad_weight_files_give_one_sentence(tmp_path: Path) -> None:
    text = tmp_path / "text.safetensors"
    text.write_text("not weights")
    other = tmp_path / "other.safetensors"
    save_file({"conv.weight": torch.zeros(1)}, other)
    for path, word in [
        (text, "damaged"),
        (other, "not a texsynth model"),
        (tmp_path / "no.safetensors", "exist"),
    ]:
        with pytest.raises(ModelError, match=word):
            load_model(str(path))
    with pytest.raises(ModelError, match="unknown model"):
        load_model("litle")


def test_a_missing_decoder_names_the_command_that_trains_it() -> None:
    tensors = {k: v for k, v in tiny_tensors().items() if not k.startswith(("decoder3", "photo"))}
    model = build_model("tiny", tensors)
    with pytest.raises(ModelError, match="texsynth train decoder --model tiny --level 3 --data"):
        model.decoder(3)
    with pytest.raises(ModelError, match="texsynth train decoder --model tiny --photo --data"):
        model.photo_decoder()


def test_the_embedded_weights_are_intact_and_small() -> None:
    assert verified()
    assert all(sound for _, sound in verified())
    model = load_model("lite")
    assert sorted(model.decoders) == [1, 2, 3, 4, 5]
    assert model.photo is not None
    assert {"command", "data", "teacher"} <= set(model.provenance)


def test_lite_rebuilds_a_picture_and_its_features_have_unit_mean() -> None:
    model, image = load_model("lite"), waves(128, 128)
    f = model.encoder(image, 5)
    for level in LEVELS[:4]:
        mse = F.mse_loss(model.decoder(level)(f[level - 1]).clamp(0, 1), image)
        assert -10 * torch.log10(mse) > 17, level
        assert 0.1 < f[level - 1].mean() < 5
