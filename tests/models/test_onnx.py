"""Networks as ONNX: what other runtimes compute is what torch does, and files come whole or not at all."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from helpers.cli import make_model, make_picture, names, run_cli
from helpers.nets import bottleneck_tensors, level_tensors, tiny_model, tiny_tensors, wave_tensors
from torch import Tensor, nn

from texsynth.errors import ModelError
from texsynth.models import onnx_export
from texsynth.models.onnx_export import networks
from texsynth.models.registry import build_model
from texsynth.models.vgg import exported
from texsynth.transforms.affine import AffineMap


def libraries() -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")


@pytest.mark.parametrize(
    "tensors",
    [
        tiny_tensors, lambda: tiny_tensors(upsampling="nearest"), bottleneck_tensors, level_tensors,
        lambda: wave_tensors(concatenated=True), lambda: wave_tensors(concatenated=False),
    ],
)  # fmt: skip
def test_every_kind_of_network_can_be_written(tensors: Callable[[], dict[str, Tensor]]) -> None:
    libraries()
    for network in networks(build_model("tiny", tensors())):
        assert network.export()  # which compares it with torch


def test_decoders_map_as_the_pipelines_do() -> None:
    model, rng = tiny_model(), torch.Generator().manual_seed(1)
    by_name = {network.name: network for network in networks(model)}
    features = model.encoder(torch.rand(1, 3, 32, 48, generator=rng), 4)
    maps = {
        level: AffineMap(torch.randn(c, c, generator=rng).double(), torch.randn(c, generator=rng).double())
        for level, c in enumerate(model.encoder.widths[:4], 1)
    }
    given = [(f, maps[n].matrix.float(), maps[n].offset.float()) for n, f in enumerate(features, 1)]
    with torch.no_grad():
        for level in maps:
            ours = by_name[f"decoder_{level}"].module(*given[level - 1])
            torch.testing.assert_close(ours, model.decoder(level)(features[level - 1], maps[level]))
        ours = by_name["photo"].module(*(x for level in given for x in level))
        torch.testing.assert_close(ours, model.photo_decoder()(features, maps))


def test_networks_that_differ_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    libraries()

    class Odd(nn.Module):
        def forward(self, *given: Tensor) -> Tensor:
            return given[0] + float(exported())

    network = next(networks(tiny_model()))
    monkeypatch.setattr(network.module, "forward", Odd().forward)
    with pytest.raises(ModelError, match="something else in onnxruntime"):
        onnx_export.Network(
            "odd", Odd(), {"image": (1, 3, "h", "w")}, {"out": (1, 3, "h", "w")}, network.examples, True
        ).export()


def test_the_command_writes_whole_folders_once(tmp_path: Path) -> None:
    libraries()
    model, folder = make_model(tmp_path / "tiny.safetensors"), tmp_path / "new" / "onnx"
    done = run_cli("models", "export", model, "-o", folder)
    assert done.exit_code == 0, done.output
    parts = ["encoder", *(f"decoder_{level}" for level in (1, 2, 3, 4, 5)), "photo"]
    assert names(folder) == sorted([*(f"{part}.onnx" for part in parts), "model.json"])
    index = json.loads((folder / "model.json").read_text())
    assert index["networks"]["decoder_2.onnx"]["inputs"]["matrix_2"] == [6, 6]
    assert "licence" in index
    (folder / "model.json").unlink()
    (folder / "photo.onnx").write_bytes(b"mine")
    assert run_cli("models", "export", model, "-o", folder).exit_code == 5
    assert (folder / "photo.onnx").read_bytes() == b"mine"
    assert run_cli("models", "export", model, "-o", folder, "--force").exit_code == 0
    assert (folder / "photo.onnx").read_bytes() != b"mine"


def test_without_the_libraries_the_cure_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_export, "find_spec", lambda name: None)
    done = run_cli("models", "export", "lite", "-o", tmp_path / "onnx")
    assert done.exit_code == 2
    assert 'pip install "texsynth[onnx]"' in done.output
    assert not (tmp_path / "onnx").exists()


def test_the_example_of_the_docs_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    libraries()
    page = (files("texsynth") / "docs" / "models.md").read_text()
    (code,) = re.findall(r"```python\n(import numpy.*?)```", page, re.DOTALL)
    assert "texsynth" not in code
    make_picture(tmp_path / "content.png", seed=1)
    make_picture(tmp_path / "style.png", seed=2, height=50)
    monkeypatch.chdir(tmp_path)
    assert run_cli("models", "export", "lite", "-o", "lite-onnx").exit_code == 0
    exec(compile(code, "models.md", "exec"), {})
    assert (tmp_path / "stylized.png").exists()
