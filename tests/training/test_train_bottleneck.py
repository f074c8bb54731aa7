"""Decoders with a bottleneck, which end at the next finer level: start, terms, resuming, command, files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.cli import run_cli
from helpers.decoder_runs import SMALL, command, make_pictures, same_weights, train
from helpers.nets import WIDTHS, bottleneck_tensors, tiny_model, tiny_tensors, waves
from safetensors.torch import load_file
from torch import Tensor

from texsynth.config.presets import load, resolve
from texsynth.config.training import DecoderSettings
from texsynth.errors import ModelError
from texsynth.models.autoencoder import Decoder
from texsynth.models.registry import build_model, load_model
from texsynth.models.weights import write_weights
from texsynth.training.checkpoint import begin_from_model
from texsynth.training.closed_form import regress, start_bottleneck
from texsynth.training.decoder import DecoderRun, losses, map_to_others, plan

OWN = {f"inv{name}.{kind}" for name in ("5_1", "4_4", "4_3", "4_2") for kind in ("weight", "bias")}

LOUD = 2.5  # Features of small default weights hardly vary at deep levels

TERMS = {"bottleneck": 6, "decoded": 1, "finer": 1.0, "mapped": 0.5}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(tmp_path_factory.mktemp("pictures"))


def loud(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: LOUD * value if value.ndim > 1 else value for key, value in tensors.items()}


def run_of(model: Path, pictures: Path, folder: Path, **changes: object) -> DecoderRun:
    """Plan a run begun from the encoder and the decoders of a model."""
    begin_from_model(folder, str(model), decoders=True)
    settings = DecoderSettings.model_validate({**SMALL, **TERMS, **changes})
    return plan(folder, pictures, [5], settings, 0)[0]


@pytest.fixture
def shallow(tmp_path: Path) -> Path:
    """A model without a decoder of level 5."""
    path = tmp_path / "shallow.safetensors"
    write_weights(path, {k: v for k, v in loud(tiny_tensors()).items() if not k.startswith("decoder5.")}, {})
    return path


def test_it_goes_on_with_the_decoder_of_the_next_finer_level() -> None:
    model = build_model("narrow", loud(bottleneck_tensors()))
    five, four = model.decoder(5), model.decoder(4)
    features = model.encoder(waves(64, 96), 5)[-1]
    finer = five.through(features, five.to_finer)
    assert finer.shape == (1, WIDTHS[3], 8, 12)
    assert torch.equal(five(features), four(finer))
    assert set(five.own_state()) == OWN
    whole = tiny_model().decoder(5)
    assert set(whole.own_state()) == set(whole.state_dict())
    alone = {key: value for key, value in bottleneck_tensors().items() if "decoder4" not in key}
    with pytest.raises(ModelError, match="is missing"):
        build_model("alone", alone)


def test_it_begins_as_the_best_linear_map() -> None:
    """Of full rank, and lifted above the ReLUs, it is least squares."""
    encoder, rng = build_model("loud", loud(tiny_tensors())).vgg(), torch.Generator().manual_seed(0)
    crops = torch.randint(256, (8, 3, 64, 64), generator=rng, dtype=torch.uint8)
    decoder = Decoder(encoder.widths, 5, "nearest", bottleneck=WIDTHS[3])
    start_bottleneck(decoder, encoder, crops, torch.Generator().manual_seed(1))
    state = decoder.state_dict()
    state["inv5_1.bias"] += 20
    state["inv4_2.bias"] -= 20 * state["inv4_2.weight"].sum((1, 2, 3))
    decoder.load_state_dict(state)
    finer = encoder(crops / 255, 4)[-1]
    features = encoder.segment(finer, 4, 5)
    x, y = (f.permute(0, 2, 3, 1).flatten(0, 2) for f in (_doubled(features), finer))
    weight, bias = regress(x, y, 1e-3)
    linear = torch.einsum("nchw,co->nohw", _doubled(features), weight) + bias[:, None, None]
    ours = decoder.through(features, decoder.to_finer)
    torch.testing.assert_close(ours, linear.relu(), atol=1e-4, rtol=1e-3)


def _doubled(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def test_its_terms_look_at_the_finer_level_and_at_mapped_features() -> None:
    model = build_model("narrow", loud(bottleneck_tensors()))
    encoder, decoder = model.vgg(), model.decoder(5)
    image = torch.cat([waves(64, 64), waves(64, 64, 1.0), waves(64, 64, 2.0)])
    settings = DecoderSettings(finer=2.0, mapped=3.0, decoded=2)
    terms = losses(encoder, decoder, 5, image, settings, torch.Generator().manual_seed(0))
    assert set(terms) == {"finer", "reconstruction", "cycle", "mapped"}
    finer, features = encoder(image)[3:]
    error = (decoder.through(features, decoder.to_finer) - finer).square().mean()
    torch.testing.assert_close(terms["finer"], 2 * error / finer.var((0, 2, 3)).mean())
    # What has the moments already stays as it is, whatever the strength.
    twice = torch.cat([features[:1], features[:1]])
    kept = map_to_others(twice, 1, torch.Generator().manual_seed(0))
    torch.testing.assert_close(kept, features[:1], atol=1e-3, rtol=1e-3)
    assert not torch.allclose(map_to_others(features, 1, None), features[:1], atol=1e-2)


def test_a_stopped_run_goes_on_bit_for_bit(shallow: Path, pictures: Path, tmp_path: Path) -> None:
    whole, broken = (run_of(shallow, pictures, tmp_path / name, steps=3) for name in ("whole", "broken"))
    train(whole)
    with pytest.raises(KeyboardInterrupt):
        train(broken, stop_at=2)
    train(broken, resume=True)
    assert same_weights(whole.out, broken.out)
    assert set(load_file(whole.out)) == {f"decoder5.{key}" for key in OWN}
    # The finished one is what another training begins with.
    again = run_of(shallow, pictures, tmp_path / "broken", steps=1, bottleneck=None, finer=0.0, mapped=0.0)
    again.checkpoint.unlink()
    train(again)
    assert {k: v.shape for k, v in load_file(again.out).items()} == {
        k: v.shape for k, v in load_file(whole.out).items()
    }


def test_the_command_and_the_file_that_it_leads_to(shallow: Path, pictures: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "run", tmp_path / "packed.safetensors"
    common = ("decoder", folder, "--model", shallow, "--data", pictures, "-p", "decoder-bottleneck")
    small = ("--level", 5, "--steps", 1, "--set", "bottleneck=6")
    command(*common, *small)
    # Of the decoders of the model, the others alone: this one begins anew.
    assert (folder / "decoder4.safetensors").exists()
    command("pack", folder, "--data", pictures, "-o", out)
    model = load_model(str(out))
    assert sorted(model.decoders) == [1, 2, 3, 4, 5]
    assert model.decoder(5).bottleneck == 6
    assert not any(key.startswith("decoder5.inv4_1") for key in load_file(out))
    assert "levels 1 2 3 4 5" in run_cli("models", "show", out).stdout
    assert "a bottleneck is for the decoders of levels 4 and 5, not for level 1" in command(*common, code=2)
    assert "has a decoder of level 4 already" in command("decoder", folder, *common[4:], "--level", 4, code=2)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--photo",), "not for photographs"),
        (("--level", 5, "--set", "bottleneck=11"), "bottleneck 11 is wider than level 4; take at most 10"),
        (("--level", 5, "--set", "bottleneck=8"), "level 4, which has no decoder in the run"),
    ],
)
def test_mistakes_are_found_before_the_work(
    pictures: Path, tmp_path: Path, arguments: tuple[object, ...], word: str
) -> None:
    alone = tmp_path / "alone.safetensors"
    write_weights(alone, {k: v for k, v in tiny_tensors().items() if k.startswith("encoder.")}, {})
    common = ("decoder", tmp_path / "run", "--model", alone, "--data", pictures, "-p", "decoder-bottleneck")
    assert word in command(*common, *arguments, code=2)


def test_a_checkpoint_that_knows_none_of_its_settings_is_resumed(pictures: Path, tmp_path: Path) -> None:
    """As they are written only where they are not the defaults."""
    settings = resolve(DecoderSettings, load("decoder"), [], {})
    begin_from_model(tmp_path, "lite")
    origin = plan(tmp_path, pictures, [1], settings, 0)[0].origin
    assert not {"bottleneck", "decoded", "finer", "mapped"} & set(origin)
    changed = plan(tmp_path, pictures, [1], settings.model_copy(update={"finer": 1.0}), 0)[0].origin
    assert changed["finer"] == "1.0"
