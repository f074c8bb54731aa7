"""Small trainings of Transposers for tests: pictures, features, settings, runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from helpers.nets import tiny_tensors, waves
from PIL import Image

from texsynth.config.training import TransposerSettings
from texsynth.models.weights import write_weights
from texsynth.training.loop import Session
from texsynth.training.transposer import TransposerRun, train_transposer

SMALL = {"crop_px": 16, "batch": 2, "directions": 4, "samples": 64, "width": 0.05}

SMALL_BORDERS = {
    "layouts": 4, "crop_px": 32, "output_px": 48, "window_px": 32, "patches": 8, "batch": 2, "save_every": 1,
    "warmup": 1,
}  # fmt: skip


def make_textures(folder: Path) -> Path:
    """Write small pictures, some held out."""
    for k in range(24):
        image = waves(72, 80, phase=0.9 * k)[0].permute(1, 2, 0).numpy()
        noisy = np.clip(image + np.random.default_rng(k).normal(0, 0.05, image.shape), 0, 1)
        Image.fromarray((255 * noisy).astype("u1")).save(folder / f"{k}.png")
    return folder


def make_features(folder: Path) -> Path:
    """Write a random model in place of `lite`."""
    write_weights(folder / "tiny.safetensors", tiny_tensors(), {})
    return folder / "tiny.safetensors"


def run_of(
    textures: Path, features: Path, folder: Path, steps: int = 3, **changes: float | str
) -> TransposerRun:
    """Plan a small run of a network with an encoder of its own."""
    settings = TransposerSettings.model_validate({**SMALL, "encoder": "own", **changes})
    return TransposerRun(textures, folder, settings, steps=steps, features=str(features), save_every=1)


def train(run: TransposerRun, *, resume: bool = False, stop_at: int = 0) -> list[str]:
    """Train, interrupted before step `stop_at` is done. Returns the remarks."""
    said: list[str] = []

    def on_step(step: int, _: object) -> None:
        if step == stop_at:
            raise KeyboardInterrupt

    train_transposer(run, Session(torch.device("cpu"), resume, said.append, on_step))
    return said
