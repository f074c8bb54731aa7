"""Training of the photo decoder on stylised photographs: the loss, resuming, and the command."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.cli import run_cli
from helpers.decoder_runs import same_weights
from helpers.nets import WIDTHS, waves
from helpers.stylised_runs import (
    SMALL,
    command,
    lively,
    random_teacher,
    run_of,
    train,
)

from texsynth.config.settings import StylizeSettings
from texsynth.config.training import StylisedSettings
from texsynth.models.autoencoder import PhotoDecoder
from texsynth.models.registry import load_model
from texsynth.models.vgg import Encoder
from texsynth.models.weights import read_weights, write_exact
from texsynth.pipelines.photo import transferred
from texsynth.pipelines.stylize import fit_style, stylize
from texsynth.training.style_judge import Judge
from texsynth.training.stylised import held_out_pairs
from texsynth.training.stylised_photo import TRANSFORMS, mapped_features, photo_losses


@pytest.mark.parametrize("name", TRANSFORMS)
def test_what_is_trained_is_photo_mode(name: str) -> None:
    """With a field fitted to a smaller picture, too."""
    model, content, style = lively(), waves(64, 224), waves(64, 64, phase=2.0).flip(2)
    look = StylizeSettings(mode="photo", transform=TRANSFORMS[name], strength=0.7)
    expected = stylize(content, fit_style(style, model, look), model, look)
    decoder = model.photo
    assert isinstance(decoder, PhotoDecoder)
    with torch.no_grad():
        features, maps = mapped_features(model.vgg(), 4, content, style, look)
        result = transferred(content, decoder(features, maps), decoder(features)).clamp(0, 1)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-4)
    assert float((result - content).abs().mean()) > 0.01


def test_the_loss_falls() -> None:
    """On one batch, over and over."""
    net, settings = lively(), StylisedSettings.model_validate(SMALL)
    decoder = net.photo
    assert isinstance(decoder, PhotoDecoder)
    decoder.requires_grad_()
    judge = Judge(random_teacher(), settings)
    content, style = (torch.cat([waves(32, 32, k + p) for k in range(4)]) for p in (0.0, 0.5))
    descent, totals = torch.optim.Adam(decoder.parameters(), 2e-3), []
    for _ in range(8):
        rng = torch.Generator().manual_seed(1)
        terms = photo_losses(net.vgg(), decoder, judge, content, style, settings, rng)
        assert set(terms) == {"gram", "covariance", "content", "edges", "reconstruction"}
        total = torch.stack(list(terms.values())).sum()
        descent.zero_grad()
        total.backward()
        descent.step()
        totals.append(float(total.detach()))
    assert totals[-1] < 0.95 * totals[0]


def test_a_stopped_run_goes_on_bit_for_bit(
    model: Path, pictures: Path, teacher: Path, tmp_path: Path
) -> None:
    whole, broken = (
        run_of(model, pictures, teacher, tmp_path / name, photo=True) for name in ("whole", "broken")
    )
    train(whole)
    with pytest.raises(KeyboardInterrupt):
        train(broken, stop_at=5)
    train(run_of(model, pictures, teacher, tmp_path / "broken", photo=True), resume=True)
    assert same_weights(*(run.folder / "photo.safetensors" for run in (whole, broken)))
    assert whole.curve.read_text() == broken.curve.read_text()
    with whole.curve.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["0", "2", "4", "6"]
    assert all(float(row["gram_photo"]) > 0 and float(row["gram_soft"]) > 0 for row in rows)


def test_the_command_from_a_model_to_a_packed_file(
    model: Path, pictures: Path, teacher: Path, tmp_path: Path
) -> None:
    folder, packed = tmp_path / "run", tmp_path / "mine.safetensors"
    common = ("--photo", "--model", model, "--data", pictures, "--teacher", teacher, "--steps", 2)
    command(folder, *common)
    assert "is finished already" in command(folder, *common, "--resume")
    assert "was made with edges 1.0, not 3.0" in command(folder, *common, "--resume", "--set=edges=3", code=2)
    header = read_weights(folder / "photo.safetensors")[1]
    assert (header["rate"], header["trained"]) == ("4e-05", "2 steps on stylised pictures")
    command(folder, "--data", pictures, "--teacher", teacher, "--steps", 1)  # The other decoders, beside it
    assert run_cli("train", "pack", folder, "--data", pictures, "-o", packed).exit_code == 0
    before, after = load_model(str(model)), load_model(str(packed))
    assert before.photo is not None
    assert after.photo is not None
    states = [net.photo_decoder().state_dict() for net in (before, after)]
    assert any(not torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_held_out_contents_have_the_styles_of_others(
    model: Path, pictures: Path, teacher: Path, tmp_path: Path
) -> None:
    run = run_of(model, pictures, teacher, tmp_path, photo=True)
    paths = tuple(pictures / f"{k}.png" for k in range(4))
    pairs = held_out_pairs(replace(run, held_out=(paths, paths)))
    assert len(pairs) == 4
    assert not any(torch.equal(content, style) for content, style in pairs)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--level", 3), "--level does not go with --stylised --photo"),
        (("--cycle", 1.0), "--cycle does not go with --stylised --photo"),
        (("--teacher", "TEACHER"), "has no decoder for photographs to start from"),
    ],
)
def test_mistakes_are_found_before_the_work(
    pictures: Path, teacher: Path, tmp_path: Path, arguments: tuple[object, ...], word: str
) -> None:
    folder = tmp_path / "run"
    state = {f"encoder.{key}": value for key, value in Encoder(WIDTHS).state_dict().items()}
    write_exact(folder / "encoder.safetensors", state, {})
    line = [teacher if argument == "TEACHER" else argument for argument in arguments]
    assert word in command(folder, "--photo", "--data", pictures, *line, code=2)
    assert [path.name for path in folder.iterdir()] == ["encoder.safetensors"]
