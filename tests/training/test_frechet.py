"""What the Frechet distance of trainings looks at: Inception from the cache of torch.hub, or our features."""

from __future__ import annotations

import json
import sys
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers.cli import run_cli
from helpers.transposer_runs import make_features, make_textures, run_of, train
from torch import nn

from texsynth.errors import ModelError, UsageError
from texsynth.models.hub.cache import file_hash
from texsynth.models.weights import read_weights
from texsynth.training.frechet import INCEPTION, STEM, Inception, find_inception
from texsynth.training.transposer import NETWORK


def tiny_inception(**_: object) -> nn.Module:
    """The names of the layers, and channels that differ."""
    first = nn.Conv2d(3, Inception.channels, 3, stride=4)
    return nn.Sequential(OrderedDict((name, nn.Identity() if k else first) for k, name in enumerate(STEM)))


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in an empty cache of torch.hub, not written yet, beside a torchvision with a tiny network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setitem(sys.modules, "torchvision", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "torchvision.models", SimpleNamespace(inception_v3=tiny_inception))
    path = tmp_path / "torch/hub/checkpoints" / INCEPTION
    path.parent.mkdir(parents=True)
    return path


def save_random(net: nn.Module, path: Path) -> str:
    """Save a network. Returns what its features are called."""
    torch.save(net.state_dict(), path)
    return f"{STEM[-1]} of inception_v3 {file_hash(path)[:8]}"


def test_trainings_name_what_they_look_at(weights: Path, tmp_path: Path) -> None:
    """In remarks, headers, tables, and in the origin of checkpoints, which are not resumed with another."""
    textures, features = make_textures(tmp_path), make_features(tmp_path)
    runs = [run_of(textures, features, tmp_path / name, frechet=0.5) for name in ("own", "inception")]
    names = ["relu4_1 of tiny"]
    said = [train(runs[0])]
    names.append(save_random(tiny_inception(), weights))
    said.append(train(runs[1]))
    for run, name, remarks in zip(runs, names, said, strict=True):
        assert f"Frechet distance of {name}" in remarks
        assert read_weights(run.folder / NETWORK)[1]["frechet_features"] == name
    with pytest.raises(UsageError, match="made with frechet_features relu4_1 of tiny, not maxpool1"):
        train(runs[0], resume=True)
    arguments = ("train", "compare", runs[1].folder, "--data", textures, "--side", 32, "-q")
    row = json.loads(run_cli(*arguments, "--json").stdout.splitlines()[-1])
    assert (row["layer"], row["positions"]) == (names[1], row["pictures"] * 16**2)
    assert f"Frechet distance of {names[1]} at" in run_cli(*arguments).stdout
    weights.unlink()
    row = json.loads(run_cli(*arguments, "--json").stdout.splitlines()[-1])
    assert row["layer"] == "relu3_1 of lite"


def test_without_a_frechet_loss_nothing_is_named(weights: Path, tmp_path: Path) -> None:
    weights.write_bytes(b"nonsense")
    run = run_of(make_textures(tmp_path), make_features(tmp_path), tmp_path / "run", 1)
    train(run)
    assert "frechet_features" not in read_weights(run.folder / NETWORK)[1]


def test_a_file_that_torchvision_cannot_use(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_inception() is None
    for content in (b"nonsense", b""):
        weights.write_bytes(content)
        with pytest.raises(ModelError, match="does not hold the weights of torchvision's inception_v3; put"):
            find_inception()
    torch.save({"weight": torch.zeros(1)}, weights)
    with pytest.raises(ModelError):
        find_inception()
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    assert find_inception() is None


def test_features_are_those_of_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own way takes pictures normalised as for ImageNet and turns them back."""
    try:
        from torchvision.models import Inception_V3_Weights, inception_v3
    except Exception as error:  # also of a torchvision for another torch
        pytest.skip(f"torchvision cannot be imported: {error}")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert Path(Inception_V3_Weights.IMAGENET1K_V1.url).name == INCEPTION
    torch.manual_seed(0)
    whole = inception_v3(weights=None, init_weights=False, transform_input=True).eval()
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    name = save_random(whole, tmp_path / "hub/checkpoints" / INCEPTION)
    inception = find_inception()
    assert inception is not None
    assert inception.name == name
    image, seen = torch.rand(1, 3, 96, 80), list[torch.Tensor]()
    whole.get_submodule(STEM[-1]).register_forward_hook(lambda *call: seen.append(call[2]))
    mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    whole((image - mean) / deviation)
    features = inception(image)
    assert features.shape == (1, Inception.channels, 22, 18)
    torch.testing.assert_close(features, seen[0], atol=1e-5, rtol=1e-4)
