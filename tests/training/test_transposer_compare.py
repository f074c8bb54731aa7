"""Comparison and packing of trained Transposers, and the training commands from end to end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from helpers.cli import run_cli
from helpers.transposer_runs import OWN_WIDTHS, SMALL, make_features, make_textures, run_of, train
from texsynth.models.transposer import Transposer, load_transposer
from torch import Tensor

from texsynth.config.settings import TransposerSettings
from texsynth.errors import InputError
from texsynth.metrics.style import frechet
from texsynth.models.hub.cache import file_hash
from texsynth.models.weights import read_weights
from texsynth.training import transposer as module
from texsynth.training import transposer_compare
from texsynth.training.data import find_pictures
from texsynth.training.transposer_compare import UNTRAINED, compare
from texsynth.transforms.moments import Moments


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Narrow networks of their own, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(module, "OWN_WIDTHS", OWN_WIDTHS)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def textures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_textures(tmp_path_factory.mktemp("textures"))


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_features(tmp_path_factory.mktemp("model"))


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


def test_train_compare_and_pack_from_the_command_line(textures: Path, features: Path, tmp_path: Path) -> None:
    common = ("--data", textures, "--threads", 1, "-q", "--device", "cpu", "--model", features, "--steps", 2)
    small = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    for variant in ("own-gram", "lite-wasserstein"):
        result = run_cli(
            "train", "transposer", tmp_path / variant, *common, *small, "-p", f"transposer-{variant}"
        )
        assert result.exit_code == 0, result.output
    table = tmp_path / "table.json"
    runs = (tmp_path / "own-gram", tmp_path / "lite-wasserstein")
    result = run_cli("train", "compare", *runs, "--data", textures, "--side", 32, "-o", table, "-q", "--json")
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert rows == json.loads(table.read_text())
    assert [row["name"] for row in rows] == [UNTRAINED, "own-gram", "lite-wasserstein"]
    assert [(row["encoder"], row["loss"]) for row in rows[1:]] == [("own", "gram"), ("lite", "wasserstein")]
    held_out = len(find_pictures(textures, held_out=True))
    for row in rows:
        assert row["pictures"] == held_out
        assert row["positions"] == held_out * 16 * 16, "relu3_1 of 64 x 64 pictures"
        assert row["layer"] == "relu3_1 of lite"
        assert row["frechet"] >= 0
        assert held_out > 1 or row["frechet_single"] == pytest.approx(row["frechet"]), "one picture is all"
        assert row["ssim_outside"] < row["ssim"] <= 1
    text = run_cli("train", "compare", runs[0], "--data", textures, "--side", 32)
    assert f"{held_out} held-out textures" in text.stdout
    assert "relu3_1" in text.stdout

    again = run_cli("train", "compare", *runs, "--data", textures, "--side", 32, "-o", table)
    assert again.exit_code == 5, "nothing is overwritten"
    packed = tmp_path / "packed.safetensors"
    result = run_cli(
        "train", "pack-transposer", runs[1], "--data", textures, "-o", packed, "--note", "licence=MIT"
    )
    assert result.exit_code == 4, "held-out pictures are smaller than 256 pixels"


def test_packed_weights_tell_where_they_come_from(
    textures: Path, features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(textures, features, tmp_path / "run", steps=1)
    train(run)
    monkeypatch.setattr(transposer_compare, "SIDE", 32)
    out = tmp_path / "packed.safetensors"
    result = run_cli(
        "train", "pack-transposer", run.folder, "--data", textures, "-o", out, "--note", "licence=MIT"
    )
    assert result.exit_code == 0, result.output
    tensors, header = read_weights(out)
    assert all(value.dtype == torch.float16 for value in tensors.values())
    assert header["licence"] == "MIT"
    assert json.loads(header["settings"])["encoder"] == "own"
    assert json.loads(header["held_out"])[1]["name"] == "packed"
    assert file_hash(out) in (tmp_path / "SHA256SUMS").read_text()
    assert isinstance(load_transposer(str(out)), Transposer)
    assert run_cli("train", "pack-transposer", run.folder, "--data", textures, "-o", out).exit_code == 5


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("transposer", "run", "--data", "nowhere"), 4, "nowhere"),
        (("transposer", "run", "--data", ".", "--resume"), 4, "no checkpoint"),
        (("transposer", "run", "--data", ".", "-p", "photo"), 2, "transposer-lite-gram"),
        (("transposer", "run", "--data", ".", "--set", "gramm=1"), 2, "gram"),
        (("transposer", "run", "--data", ".", "--set", "crop_px=8"), 2, "crop_px"),
        (("compare", "nowhere", "--data", "."), 4, "nowhere"),
        (("compare", "bad.safetensors", "--data", "."), 6, "damaged"),
        (("pack-transposer", "bad.safetensors", "--data", ".", "-o", "x.safetensors"), 6, "damaged"),
    ],
)
def test_mistakes_are_one_sentence(
    arguments: tuple[str, ...], code: int, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.safetensors").write_bytes(b"nonsense")
    result = run_cli("train", *arguments)
    assert result.exit_code == code, result.output
    assert word in result.stderr
    assert "Traceback" not in result.output


def test_no_loss_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        TransposerSettings(gram=0, wasserstein=0, perceptual=0, critic=0)


def test_going_on_from_another_kind_of_encoder_is_refused(
    textures: Path, features: Path, tmp_path: Path
) -> None:
    run = run_of(textures, features, tmp_path / "run", steps=1)
    train(run)
    result = run_cli("train", "transposer", tmp_path / "next", "--data", textures, "--set", "encoder=lite",
                     "--init", run.folder / module.NETWORK, "-q", "--set", "crop_px=16")  # fmt: skip
    assert result.exit_code == 6
    assert "its own encoder" in result.stderr


def test_comparison_needs_held_out_pictures(textures: Path) -> None:
    with pytest.raises(InputError):
        compare([], textures, side=500)
