"""What ComfyUI has, as texsynth takes it: pictures, progress, interruption and folders.

ComfyUI's own modules are used where they are there. Without them, as in tests and scripts, nodes work, too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count as numbers
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from texsynth.errors import InputError
from texsynth.jobs.inputs import CARD_SUFFIX
from texsynth.paths import is_file, is_taken, real
from texsynth.pipelines.progress import OnStep, Step

Pixels = np.ndarray[Any, Any]

BAR = 1000  # Parts of the bar of a node

TOLERANCE = 1e-3  # Of 1/255: what floats may be off a value of 8 bits


def pictures(batch: Tensor) -> list[Pixels]:
    """Return the pictures of an IMAGE, (B, H, W, 3 or 4) or (H, W, 3 or 4) floats, as (H, W, 3 or 4) arrays.

    Values of 8 bits, such as those of loaded files, come as uint8, so that results are those of the command
    line; others as float32. Values outside of [0, 1] are clipped.
    """
    frames = batch.detach().float().cpu().clamp(0, 1).numpy()
    return [_eighth(frame) for frame in (frames if frames.ndim == 4 else frames[None])]


def masks(batch: Tensor, count: int) -> list[Pixels]:
    """Return `count` arrays (H, W) of a MASK, (B, H, W) or (H, W); one mask goes for all.

    Raises InputError.
    """
    frames = batch.detach().float().cpu().clamp(0, 1).numpy()
    frames = frames if frames.ndim == 3 else frames[None]
    if len(frames) not in (1, count):
        raise InputError(f"{count} pictures have {len(frames)} masks; give one, or one for each")
    return [_eighth(frame) for frame in frames] * (count if len(frames) == 1 else 1)


def to_image(results: list[Pixels]) -> Tensor:
    """Return an IMAGE, (B, H, W, C) float32 in [0, 1], of arrays of one size."""
    return torch.from_numpy(np.stack([_unit(result) for result in results]))


def _eighth(values: Pixels) -> Pixels:
    whole = np.rint(values * 255)
    return whole.astype(np.uint8) if np.abs(values * 255 - whole).max(initial=0) <= TOLERANCE else values


def _unit(values: Pixels) -> Pixels:
    return values.astype(np.float32) / np.float32(255 if values.dtype == np.uint8 else 1)


@contextmanager
def working() -> Iterator[OnStep]:
    """Lend what shows progress and ends the work where the user has interrupted it.

    ComfyUI runs nodes in inference mode, in which nothing can be optimized; it is left for the while.
    """
    with torch.inference_mode(mode=False):
        yield _progress()


def _progress() -> OnStep:
    # Modules of ComfyUI are there before any node runs; importing them would fail outside of it.
    utils, management = sys.modules.get("comfy.utils"), sys.modules.get("comfy.model_management")
    bar = utils.ProgressBar(BAR) if utils else None
    check: Callable[[], None] = getattr(management, "throw_exception_if_processing_interrupted", lambda: None)

    def on_step(step: Step) -> None:
        check()
        if bar:
            bar.update_absolute(round(BAR * step.share), BAR)

    return on_step


def _folders() -> list[Path]:
    paths = sys.modules.get("folder_paths")
    return [Path(paths.get_output_directory()), Path(paths.get_input_directory())] if paths else [Path()]


def card_to_read(name: str) -> str:
    """Return the path of a style card in ComfyUI's output or input folder. Raises InputError."""
    for folder in _folders():
        if is_file(path := _inside(folder, name)):
            return str(path)
    raise InputError(f"no style card {name!r} in the folders {' and '.join(map(str, _folders()))}")


def card_to_write(name: str) -> Path:
    """Return the path of a new style card in ComfyUI's output folder, numbered where the name is taken.

    Raises InputError.
    """
    folder, stem = _folders()[0], name.strip().removesuffix(CARD_SUFFIX)
    return next(
        path
        for number in numbers(1)
        if not is_taken(path := _inside(folder, stem if number == 1 else f"{stem}-{number}"))
    )


def _inside(folder: Path, name: str) -> Path:
    """Workflows come from strangers, so that their names must not lead out of a folder."""
    path = Path(real(folder / f"{name.strip().removesuffix(CARD_SUFFIX)}{CARD_SUFFIX}"))
    if path.stem.startswith(".") or not path.is_relative_to(real(folder)):
        raise InputError(f"the style card {name!r} is outside of {folder}; give a name inside of it")
    return path
