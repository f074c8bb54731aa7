"""Training of the descriptor: pairs of crops, the loss, exact resume, what the file says."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.cli import run_cli
from helpers.nets import tiny_tensors
from helpers.texture_files import save
from helpers.transposer_runs import make_features

from texsynth.config.training import DescriptorSettings
from texsynth.errors import InputError, UsageError
from texsynth.models.descriptor import load_descriptor
from texsynth.models.weights import read_weights, write_weights
from texsynth.training.descriptor import NETWORK, DescriptorRun, contrastive, draw_pairs, train_descriptor
from texsynth.training.loop import Session

SMALL = {
    "steps": 4, "batch": 6, "crop_px": 32, "levels": (1, 2), "codewords": 3, "channels": 4, "size": 5,
    "positions": 32, "save_every": 2, "warmup": 1,
}  # fmt: skip


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def settings(**changes: object) -> DescriptorSettings:
    return DescriptorSettings.model_validate({**SMALL, **changes})


@pytest.fixture(scope="module")
def textures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("textures")
    for k in range(24):
        rng = np.random.default_rng(k)
        save(folder / f"{k}.png", rng.integers(0, 250, 3) * rng.uniform(0.6, 1, (40, 44, 3)))
    return folder


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_features(tmp_path_factory.mktemp("model"))


def train(run: DescriptorRun, *, resume: bool = False, stop_at: int = 0) -> Path:
    def on_step(step: int, _: object) -> None:
        if step == stop_at:
            raise KeyboardInterrupt

    return train_descriptor(run, Session(torch.device("cpu"), resume, print, on_step))


def plain(count: int) -> list[np.ndarray]:
    """Pictures of one grey each, of different ones."""
    return [np.full((40, 44, 3), 20 + 20 * k, np.uint8) for k in range(count)]


def test_pairs_show_the_same_texture_and_batches_different_ones() -> None:
    crops = draw_pairs(plain(8), settings(same_view=1.0, light=0, tint=0), rng())
    assert crops.shape == (12, 3, 32, 32)
    greys = crops.mean((1, 2, 3))
    torch.testing.assert_close(greys[:6], greys[6:])
    assert len(set(greys[:6].mul(255).round().tolist())) == 6


def test_pairs_of_one_view_share_their_light_and_others_do_not() -> None:
    for share, same in ((1.0, True), (0.0, False)):
        first, second = draw_pairs(plain(4), settings(same_view=share), rng(1)).chunk(2)
        close = [
            torch.allclose(a.mean((1, 2)), b.mean((1, 2)), atol=1e-3)
            for a, b in zip(first, second, strict=True)
        ]
        assert all(close) if same else not any(close)


def test_few_pictures_make_a_small_batch() -> None:
    assert len(draw_pairs(plain(3), settings(), rng())) == 6


def test_turned_crops_are_quarter_turns() -> None:
    ramp = np.broadcast_to(np.arange(44, dtype=np.uint8)[:, None, None] * 4, (44, 44, 3)).copy()
    crops = draw_pairs([ramp], settings(rotate=True, light=0, tint=0, batch=2), rng(2))
    for seed in range(3, 12):
        crops = torch.cat([crops, draw_pairs([ramp], settings(rotate=True, light=0, tint=0), rng(seed))])
    edges = ((crops[:, 0, -1, 16] - crops[:, 0, 0, 16]), (crops[:, 0, 16, -1] - crops[:, 0, 16, 0]))
    down, right = ((5 * edge).round().sign().int().tolist() for edge in edges)
    assert set(zip(down, right, strict=True)) == {(1, 0), (-1, 0), (0, 1), (0, -1)}


def test_the_loss_of_perfect_and_of_equal_descriptors() -> None:
    perfect = torch.eye(2).repeat(2, 1)
    expected = math.log(math.exp(1 / 0.5) + 2) - 1 / 0.5
    assert float(contrastive(perfect, 0.5)) == pytest.approx(expected, rel=1e-6)
    equal = torch.ones(6, 1)
    assert float(contrastive(equal, 0.1)) == pytest.approx(math.log(5), rel=1e-6)


def test_training_lowers_the_loss_and_says_where_the_file_is_from(
    textures: Path, features: Path, tmp_path: Path
) -> None:
    run = DescriptorRun(
        textures,
        tmp_path,
        settings(steps=60, rate=0.005, same_view=1.0, warmup=5),
        1,
        str(features),
        {"licence": "MIT"},
    )
    out = train(run)
    rows = (tmp_path / "descriptor.csv").read_text().splitlines()
    losses = [float(row.split(",")[1]) for row in rows[1:]]
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:3])
    header = read_weights(out)[1]
    assert header["licence"] == "MIT"
    assert header["model"] == "tiny"
    assert header["steps"] == "60"
    assert load_descriptor(out).head.levels == (1, 2)


def test_a_killed_training_goes_on_exactly(textures: Path, features: Path, tmp_path: Path) -> None:
    whole = DescriptorRun(textures, tmp_path / "whole", settings(), 2, str(features))
    expected, header = read_weights(train(whole))
    broken = replace(whole, folder=tmp_path / "broken")
    with pytest.raises(KeyboardInterrupt):
        train(broken, stop_at=3)
    assert not (broken.folder / NETWORK).exists()
    with pytest.raises(UsageError, match="rate"):
        train(replace(broken, settings=settings(rate=0.5)), resume=True)
    again, its_header = read_weights(train(broken, resume=True))
    assert its_header == header
    assert again.keys() == expected.keys()
    assert all(torch.equal(again[key], expected[key]) for key in expected)


def test_the_command(textures: Path, features: Path, tmp_path: Path) -> None:
    flags = [f"--set={key}={list(v) if isinstance(v, tuple) else v}" for key, v in SMALL.items()]
    command = ["train", "descriptor", tmp_path / "run", "--data", textures, "--model", features, *flags]
    result = run_cli(*command)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "run" / NETWORK).stat().st_size < 100_000
    assert run_cli(*command).exit_code == 2
    for flag, what in (
        ("crop_px=40", "multiple of 16"),
        ("levels=[6]", "levels"),
        ("nonsense=1", "nonsense"),
    ):
        refused = run_cli(*command[:3], "--data", textures, "--set", flag)
        assert refused.exit_code == 2
        assert what in refused.stderr
    assert run_cli("train", "descriptor", tmp_path / "other", "--data", tmp_path / "none").exit_code == 4


def test_one_texture_cannot_be_told_from_others(textures: Path, features: Path, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    texture = next(p for p in sorted(textures.iterdir()) if p.name != "0.png")
    (tmp_path / "one" / "a.png").write_bytes(texture.read_bytes())
    with pytest.raises(InputError, match="at least two"):
        train(DescriptorRun(tmp_path / "one", tmp_path / "run", settings(), 0, str(features)))


def test_levels_that_the_encoder_lacks_are_refused(textures: Path, tmp_path: Path) -> None:
    kept = ("encoder.conv1", "encoder.conv2_1")
    shallow = {key: value for key, value in tiny_tensors().items() if key.startswith(kept)}
    model = tmp_path / "shallow.safetensors"
    write_weights(model, shallow, {})
    with pytest.raises(UsageError, match="ends at level 2"):
        train(DescriptorRun(textures, tmp_path / "run", settings(levels=[3]), 0, str(model)))
