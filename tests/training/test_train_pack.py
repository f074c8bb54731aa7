"""Packing a run into a weight file: with and without its encoder, and what the header says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from helpers.decoder_runs import command, run_of, train
from helpers.nets import tiny_tensors, waves
from PIL import Image
from safetensors.torch import load_file

from texsynth.images import read_rgb8
from texsynth.models.hub.cache import file_hash
from texsynth.models.registry import load_model
from texsynth.models.weights import read_weights, write_exact
from texsynth.training.data import find_pictures


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Large enough for the held-out figures."""
    folder = tmp_path_factory.mktemp("pictures")
    for k in range(24):
        image = waves(256, 260, phase=0.9 * k)[0].permute(1, 2, 0).numpy()
        Image.fromarray((255 * image).astype("u1")).save(folder / f"{k}.png")
    return folder


@pytest.fixture(scope="module")
def trained(model: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run begun from a model, with a decoder of level 1 and one for photographs."""
    folder = tmp_path_factory.mktemp("run")
    for level in (1, 0):
        train(run_of(model, pictures, folder, level, steps=2))
    return folder


def test_decoders_only_with_their_history(trained: Path, model: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "decoders.safetensors"
    command("pack", trained, "--data", pictures, "-o", out, "--decoders-only", "--note", "licence=none")
    tensors, header = read_weights(out)
    assert {key.split(".")[0] for key in tensors} == {"decoder1", "photo"}
    given = load_file(trained / "decoder1.safetensors")
    assert all(torch.equal(tensors[key], value.half()) for key, value in given.items())
    assert (header["encoder_model"], header["encoder_sha256"]) == ("tiny", file_hash(model))
    assert header["licence"] == "none"
    assert json.loads(header["training"])["photo"]["steps"] == "2"


def test_the_encoder_of_a_model_keeps_its_unit(
    trained: Path, model: Path, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "whole.safetensors"
    command("pack", trained, "--data", pictures, "-o", out)
    tensors = load_file(out)
    for key, value in load_model(str(model)).encoder.state_dict().items():
        assert torch.equal(tensors[f"encoder.{key}"], value.half())
    assert load_model(str(out)).photo is not None


def test_an_encoder_of_its_own_is_rescaled_unless_it_is_to_be_kept(pictures: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    write_exact(run / "encoder.safetensors", tiny_tensors(), {"teacher": "x"})
    image = (
        torch.from_numpy(read_rgb8(find_pictures(pictures, held_out=False)[0]).copy()).permute(2, 0, 1)[None]
        / 255
    )
    means = {}
    for name, flags in {"rescaled": (), "kept": ("--keep-encoder",)}.items():
        command("pack", run, "--data", pictures, "-o", tmp_path / f"{name}.safetensors", *flags)
        model = load_model(str(tmp_path / f"{name}.safetensors"))
        f = model.encoder(image, 1)[0].mean((0, 2, 3))
        means[name] = f[f > 1e-3].mean().item()
        assert json.loads(model.provenance["training"])["encoder"] == {"teacher": "x"}
    assert means["rescaled"] == pytest.approx(1, rel=0.2)
    assert means["kept"] < 0.7
    one, two = (load_model(str(tmp_path / f"{name}.safetensors")) for name in means)
    images = [m.decoder(2)(m.encoder(image, 2)[1]) for m in (one, two)]
    torch.testing.assert_close(*images, atol=2e-3, rtol=1e-2)


def test_held_out_figures_need_no_teacher(trained: Path, pictures: Path, tmp_path: Path) -> None:
    whole, decoders = tmp_path / "whole.safetensors", tmp_path / "decoders.safetensors"
    command("pack", trained, "--data", pictures, "-o", whole, "--measure")
    command("pack", trained, "--data", pictures, "-o", decoders, "--measure", "--decoders-only")
    one, two = (json.loads(read_weights(path)[1]["held_out"]) for path in (whole, decoders))
    assert one.keys() == {"pictures", "PSNR dB", "cycle error / variance", "cycle error / energy"}
    assert one["PSNR dB"].keys() == {"1", "photo"}
    assert one["pictures"]["held out"] == len(find_pictures(pictures, held_out=True))
    assert two["PSNR dB"] == pytest.approx(one["PSNR dB"], rel=0.01), "they differ in the encoder's float16"
    assert "held_out" not in read_weights(whole)[1]["training"]


def test_a_run_without_decoders_has_nothing_to_pack(pictures: Path, tmp_path: Path) -> None:
    encoder = {key: value for key, value in tiny_tensors().items() if key.startswith("encoder.")}
    write_exact(tmp_path / "encoder.safetensors", encoder, {})
    out = tmp_path / "out.safetensors"
    assert "no decoders yet" in command(
        "pack", tmp_path, "--data", pictures, "-o", out, "--decoders-only", code=6
    )
    assert not out.exists()
