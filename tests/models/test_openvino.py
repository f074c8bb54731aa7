"""--backend openvino: the pictures of torch, in records too, and plain words where it cannot be."""

from __future__ import annotations

import copy
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from helpers.cli import make_model, make_picture, run_cli
from helpers.nets import bottleneck_tensors, level_tensors, tiny_model, waves

from texsynth import images
from texsynth.config.settings import StylizeSettings
from texsynth.images.tensors import to_image
from texsynth.jobs.files import record_in
from texsynth.models import openvino
from texsynth.models.openvino import through_openvino
from texsynth.models.registry import build_model
from texsynth.pipelines.stylize import fit_style, stylize

installed = pytest.mark.skipif(
    find_spec("openvino") is None or find_spec("onnx") is None, reason="openvino is not installed"
)


@installed
@pytest.mark.parametrize("size", [(32, 48), (37, 53)])
def test_features_and_pictures_are_those_of_torch(size: tuple[int, int]) -> None:
    kinds = [build_model(make.__name__, make()) for make in (level_tensors, bottleneck_tensors)]
    for torchs in (tiny_model(), *kinds):
        ours, image = through_openvino(torchs), waves(*size)
        with torch.inference_mode():
            for level in (1, 3, 5):
                features = torchs.encoder.segment(image, 0, level)
                torch.testing.assert_close(ours.encoder.segment(image, 0, level), features, atol=1e-5, rtol=0)
                decoded = torchs.decoder(level)(features)
                torch.testing.assert_close(ours.decoder(level)(features), decoded, atol=1e-5, rtol=0)


@installed
def test_results_outlive_the_next_call() -> None:
    encoder = through_openvino(tiny_model()).encoder
    with torch.inference_mode():
        first = encoder.segment(waves(32, 32), 0, 3)
        kept = first.clone()
        encoder.segment(1 - waves(32, 32), 0, 3)
    assert torch.equal(first, kept)


@installed
def test_tiles_are_exact() -> None:
    model, settings = through_openvino(tiny_model()), StylizeSettings(mode="artistic")
    style = fit_style(waves(48, 40, 1.0), model, settings)
    whole, tiled = (stylize(waves(96, 80), style, model, settings, tile=tile) for tile in (None, 32))
    torch.testing.assert_close(whole, tiled, atol=1e-4, rtol=0)


@installed
def test_gradients_are_those_of_torch() -> None:
    torchs = tiny_model()
    ours = through_openvino(torchs)
    gradients = []
    for encoder in (torchs.encoder, ours.encoder, copy.deepcopy(ours.encoder)):
        image = waves(32, 32).requires_grad_()
        encoder.segment(image, 0, 3).square().sum().backward()
        gradients.append(image.grad)
    assert gradients[0] is not None
    for other in gradients[1:]:
        torch.testing.assert_close(other, gradients[0])


@installed
def test_records_name_the_backend_and_replay_takes_either(tmp_path: Path) -> None:
    model = make_model(tmp_path / "tiny.safetensors")
    content, style = make_picture(tmp_path / "c.png", seed=1), make_picture(tmp_path / "s.png", seed=2)
    asked = ["stylize", content, style, "--model", model, "--dtype", "float32", "--artistic"]
    for backend in ("torch", "openvino"):
        done = run_cli(*asked, "--backend", backend, "-o", tmp_path / f"{backend}.png")
        assert done.exit_code == 0, done.output
    assert record_in(images.embedded_settings(tmp_path / "openvino.png"), "").run.backend == "openvino"
    for name, more in (("same", []), ("other", ["--backend", "torch"])):
        done = run_cli("replay", tmp_path / "openvino.png", *more, "-o", tmp_path / f"{name}.png")
        assert done.exit_code == 0, done.output
    pictures = {p.stem: to_image(images.read(p)) for p in tmp_path.glob("*.png")}
    assert torch.equal(pictures["same"], pictures["openvino"])
    assert torch.equal(pictures["other"], pictures["torch"])
    assert (pictures["torch"] - pictures["openvino"]).abs().max() <= 1.01 / 255


@installed
@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--photo"], "photo mode gains nothing"),
        (["--artistic", "--set", "finish.steps=1"], "only torch has gradients"),
    ],
)
def test_what_torch_does_is_told(tmp_path: Path, more: list[str], words: str) -> None:
    model = make_model(tmp_path / "tiny.safetensors")
    content, style = make_picture(tmp_path / "c.png", seed=1), make_picture(tmp_path / "s.png", seed=2)
    done = run_cli(
        "stylize", content, style, "--model", model, "--backend", "openvino", *more, "-o", tmp_path / "o.png"
    )
    assert done.exit_code == 0, done.output
    assert words in " ".join(done.output.split())


@installed
def test_bench_shows_both(tmp_path: Path) -> None:
    model = make_model(tmp_path / "tiny.safetensors")
    done = run_cli("bench", "--model", model, "--size", 32, "--repeat", 1, "--stage", "decode-3")
    assert done.exit_code == 0, done.output
    assert "tiny.safetensors openvino" in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("missing", "more", "words"),
    [
        (["openvino"], [], 'pip install "texsynth[openvino]"'),
        ([], ["--dtype", "float16"], "has no float16"),
        ([], ["--compile"], "leave one of the two out"),
        ([], ["--backend", "onnx"], "onnx"),
    ],
)
def test_what_cannot_be_is_refused_before_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: list[str], more: list[str], words: str
) -> None:
    monkeypatch.setattr(openvino, "missing_libraries", lambda: missing)
    model = make_model(tmp_path / "tiny.safetensors")
    content, style = make_picture(tmp_path / "c.png", seed=1), make_picture(tmp_path / "s.png", seed=2)
    asked = ["stylize", content, style, "--model", model, "--backend", "openvino"]
    done = run_cli(*asked, *more, "-o", tmp_path / "o.png")
    assert done.exit_code == 2
    assert words in " ".join(done.output.split())
    assert not (tmp_path / "o.png").exists()
