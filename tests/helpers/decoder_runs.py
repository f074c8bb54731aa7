"""Small trainings of decoders for tests: pictures, settings, runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from helpers.cli import run_cli
from helpers.nets import waves
from PIL import Image
from safetensors.torch import load_file

from texsynth.config.training import DecoderSettings
from texsynth.training.checkpoint import begin_from_model
from texsynth.training.decoder import DecoderRun, plan, train_decoder
from texsynth.training.loop import Session

SMALL = {"crop_px": 32, "batch": 2, "save_every": 1, "validate_every": 2, "steps": 6}
FLAGS = [f"--set={key}={value}" for key, value in SMALL.items() if key != "steps"]


def make_pictures(folder: Path, *, broken: bool = False) -> Path:
    """Write small pictures, some held out; one that cannot be read, if `broken`."""
    folder.mkdir(exist_ok=True)
    for k in range(24):
        image = waves(48, 56, phase=0.9 * k)[0].permute(1, 2, 0).numpy()
        noisy = np.clip(image + np.random.default_rng(k).normal(0, 0.05, image.shape), 0, 1)
        Image.fromarray((255 * noisy).astype("u1")).save(folder / f"{k}.png")
    if broken:
        (folder / "broken.png").write_bytes((folder / "0.png").read_bytes()[:300])
    return folder


def run_of(model: Path, pictures: Path, folder: Path, level: int = 2, **changes: object) -> DecoderRun:
    """Plan a run begun from a model file."""
    begin_from_model(folder, str(model))
    settings = DecoderSettings.model_validate({**SMALL, **changes})
    return plan(folder, pictures, [level], settings, 0)[0]


def train(run: DecoderRun, *, resume: bool = False, stop_at: int = 0) -> list[str]:
    """Train, interrupted before step `stop_at` is saved. Returns the remarks."""
    said: list[str] = []

    def on_step(step: int, _: object) -> None:
        if step == stop_at:
            raise KeyboardInterrupt

    train_decoder(run, Session(torch.device("cpu"), resume, said.append, on_step))
    return said


def command(*arguments: object, code: int = 0) -> str:
    """Run `texsynth train ...` with small settings for decoders. Returns its standard error."""
    small = [*FLAGS, "--threads", 1, "--device", "cpu"] if arguments[0] == "decoder" else []
    result = run_cli("train", *arguments, *small)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.stderr


def same_weights(one: Path, two: Path) -> bool:
    """Tell whether two files hold the same tensors, bit for bit."""
    a, b = load_file(one), load_file(two)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
