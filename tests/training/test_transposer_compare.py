"""Comparison and packing of trained Transposers of both layouts, and the training commands' mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from helpers.cli import names, run_cli
from helpers.transposer_runs import SMALL_BORDERS, make_features, make_textures, run_of, train
from torch import Tensor

from texsynth.config.training import BorderSettings, TransposerSettings
from texsynth.errors import InputError
from texsynth.metrics.style import frechet
from texsynth.models.hub.cache import file_hash
from texsynth.models.transposers import load_network
from texsynth.models.weights import read_weights
from texsynth.training import transposer_compare
from texsynth.training.borders import BorderRun, train_borders
from texsynth.training.data import find_pictures
from texsynth.training.loop import Session
from texsynth.training.transposer_compare import UNTRAINED, compare
from texsynth.transforms.moments import Moments


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def textures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_textures(tmp_path_factory.mktemp("textures"))


@pytest.fixture(scope="module")
def runs(textures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs `paper` and `copies`."""
    folder = tmp_path_factory.mktemp("runs")
    features = make_features(folder)
    train(run_of(textures, features, folder / "paper", 2, critic=0, perceptual=0.1))
    settings = BorderSettings.model_validate({**SMALL_BORDERS, "steps": 1})
    train_borders(BorderRun(textures, folder / "copies", settings), Session(torch.device("cpu")))
    return folder


def gaussian(covariance: Tensor, mean: tuple[float, ...] = (0.0, 0.0, 0.0)) -> Moments:
    return Moments.of_gaussian(9, torch.tensor(mean).double(), covariance.double())


def test_the_frechet_distance_of_gaussians() -> None:
    eye = torch.eye(3)
    assert frechet(gaussian(4 * eye), gaussian(eye, (1.0, 2.0, 2.0))) == pytest.approx(12)
    assert frechet(gaussian(eye), gaussian(eye)) == pytest.approx(0, abs=1e-9)
    flat = torch.diag(torch.tensor([1.0, 0, 0]))
    assert frechet(gaussian(flat), gaussian(4 * flat)) == pytest.approx(1), "singular covariances"
    a, b = (torch.randn(3, 3, generator=rng(k), dtype=torch.float64) for k in (0, 1))
    forth, back = (frechet(gaussian(x @ x.T), gaussian(y @ y.T)) for x, y in ((a, b), (b, a)))
    assert forth == pytest.approx(back)


def test_networks_of_both_layouts_are_compared(textures: Path, runs: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.json"
    common = ("--data", textures, "--side", 32, "--threads", 1)
    arguments = ("train", "compare", runs / "paper", runs / "copies", *common, "-o", table)
    result = run_cli(*arguments, "-q", "--json")
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert rows == json.loads(table.read_text())
    told = [(row["name"], row["encoder"], row["loss"], row["steps"]) for row in rows]
    assert told == [
        ("quilting", "none", "none", 0), ("copies", "none", "none", 0),
        (UNTRAINED, "own", "none", 0), ("paper", "own", "wasserstein", 2), ("copies", "none", "patch", 1)
    ]  # fmt: skip
    held_out = len(find_pictures(textures, held_out=True))
    for row in rows:
        assert row["pictures"] == held_out
        assert row["positions"] == held_out * 16 * 16, "relu3_1 of 64 x 64 pictures"
        assert row["layer"] == "relu3_1 of lite"
        assert row["frechet"] >= 0
        assert held_out > 1 or row["frechet_single"] == pytest.approx(row["frechet"]), "one picture is all"
        assert max(row["ssim"], row["ssim_outside"]) <= 1
    assert run_cli(*arguments).exit_code == 5, "nothing is overwritten"
    text = run_cli(*arguments, "--force").stdout
    assert f"{held_out} held-out textures" in text
    assert "relu3_1" in text


@pytest.mark.parametrize("layout", ["paper", "copies"])
def test_packed_weights_tell_where_they_come_from(
    layout: str, textures: Path, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "packed.safetensors"
    arguments = ("train", "pack-transposer", runs / layout, "--data", textures, "-o", out, "--threads", 1)
    result = run_cli(*arguments)
    assert result.exit_code == 4, "held-out pictures are smaller than 256 pixels"
    assert names(tmp_path) == [], "nothing is left behind"
    monkeypatch.setattr(transposer_compare, "SIDE", 32)
    result = run_cli(*arguments, "--note", "licence=MIT")
    assert result.exit_code == 0, result.output
    tensors, header = read_weights(out)
    assert all(value.dtype == torch.float16 for value in tensors.values() if value.is_floating_point())
    assert (header["licence"], header["layout"], header["model"]) == ("MIT", layout, "packed")
    assert header["steps"] == ("2" if layout == "paper" else "1")
    assert json.loads(header["held_out"])[-1]["name"] == "packed"
    assert file_hash(out) in (tmp_path / "SHA256SUMS").read_text()
    network, _ = load_network(str(out))
    assert type(network) is type(load_network(str(transposer_compare.network_file(runs / layout)))[0])
    assert run_cli(*arguments).exit_code == 5


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("transposer", "run", "--data", "nowhere"), 4, "nowhere"),
        (("transposer", "run", "--data", ".", "--resume"), 4, "no checkpoint"),
        (("transposer", "run", "--data", ".", "-p", "photo"), 2, "transposer-paper-own-gram"),
        (("transposer", "run", "--data", ".", "--set", "gramm=1"), 2, "gram"),
        (("transposer", "run", "--data", ".", "--set", "crop_px=8"), 2, "crop_px"),
        (("transposer", "run", "--data", ".", "--set", "layout=copies"), 2, "layout"),
        (("compare", "nowhere", "--data", "."), 4, "nowhere"),
        (("compare", "empty", "--data", "."), 4, "no network"),
        (("compare", "bad.safetensors", "--data", "."), 6, "damaged"),
        (("pack-transposer", "bad.safetensors", "--data", ".", "-o", "x.safetensors"), 6, "damaged"),
        (("pack-transposer", "empty", "--data", ".", "-o", "x.safetensors"), 4, "no network"),
    ],
)
def test_mistakes_are_one_sentence(
    arguments: tuple[str, ...], code: int, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.safetensors").write_bytes(b"nonsense")
    (tmp_path / "empty").mkdir()
    result = run_cli("train", *arguments)
    assert result.exit_code == code, result.output
    assert word in result.stderr
    assert "Traceback" not in result.output


def test_no_loss_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        TransposerSettings(gram=0, wasserstein=0, perceptual=0, critic=0)


def test_comparison_needs_held_out_pictures(textures: Path) -> None:
    with pytest.raises(InputError):
        compare([], textures, side=500)
