"""Small trainings on stylised pictures for tests: networks, settings, runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.cli import run_cli
from helpers.decoder_runs import make_pictures
from helpers.nets import tiny_tensors

from texsynth.config.training import StylisedSettings
from texsynth.models.registry import Model, build_model
from texsynth.models.vgg import Encoder
from texsynth.models.weights import write_exact
from texsynth.training.checkpoint import begin_from_model
from texsynth.training.loop import Session
from texsynth.training.stylised import StylisedRun, plan_stylised, train_stylised

SMALL: dict[str, Any] = {
    "steps": 6,
    "batch": 4,
    "crop_px": 32,
    "judged_px": 48,
    "save_every": 2,
    "anchors": 1,
    "precision": "float32",
}


def random_teacher() -> Encoder:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return Encoder((8, 8, 8, 8)).requires_grad_(False)


def lively(seed: int = 0) -> Model:
    """A random model whose features vary at all levels, which those of small default weights do not."""
    tensors = tiny_tensors(seed)
    return build_model("lively", {k: 2.5 * v if v.ndim > 1 else v for k, v in tensors.items()})


def run_of(
    model: Path, pictures: Path, teacher: Path, folder: Path, *, photo: bool = False, **changes: object
) -> StylisedRun:
    begin_from_model(folder, str(model), decoders=True)
    settings = StylisedSettings.model_validate({**SMALL, **changes})
    return plan_stylised(folder, pictures, pictures, teacher, settings, 0, photo=photo)


def train(run: StylisedRun, *, resume: bool = False, stop_at: int = 0) -> list[dict[str, float]]:
    """Train, interrupted before step `stop_at` is saved. Returns the terms of each step."""
    terms: list[dict[str, float]] = []

    def on_step(step: int, values: Any) -> None:  # noqa: ANN401
        terms.append(dict(values))
        if step == stop_at:
            raise KeyboardInterrupt

    train_stylised(run, Session(torch.device("cpu"), resume, on_step=on_step))
    return terms


def command(folder: Path, *arguments: object, code: int = 0) -> str:
    """Run `texsynth train decoder --stylised` with small settings. Returns its standard error."""
    small = [f"--set={key}={value}" for key, value in SMALL.items() if key != "steps"]
    line = ("train", "decoder", folder, "--stylised", *arguments, *small, "--threads", 1, "--device", "cpu")
    result = run_cli(*line)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.stderr


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random network in place of VGG-19."""
    path = tmp_path_factory.mktemp("teacher") / "vgg.safetensors"
    write_exact(path, random_teacher().state_dict(), {})
    return path
