"""What ComfyUI has, as texsynth takes it: pictures, progress, interruption and folders.

ComfyUI's own modules are used where they are there. Without them, as in tests and scripts, nodes work, too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count as numbers
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.errors import InputError
from texsynth.jobs.inputs import CARD_SUFFIX
from texsynth.paths import is_file, is_taken, real
from texsynth.pipelines.progress import OnStep, Step

T = TypeVar("T")

Pixels = np.ndarray[Any, Any]

BAR = 1000  # Parts of the bar of a node

ROOM = 4 * 1024**3  # Bytes on a GPU that ComfyUI is asked to free of its own models

TOLERANCE = 1e-3  # Of 1/255: what floats may be off a value of 8 bits


def pictures(batch: Tensor, role: str) -> list[Pixels]:
    """Return the pictures of an IMAGE, (B, H, W, C) or (H, W, C) floats, as (H, W, 3 or 4) arrays.

    Values of 8 bits, such as those of loaded files, come as uint8, so that results are those of the command
    line; others as float32. Values outside of [0, 1] are clipped, and grey pictures get three channels.
    role: what messages call the pictures. Raises InputError.
    """
    frames = _unit_range(batch, role)
    frames = frames[None] if frames.ndim == 3 else frames
    if frames.ndim != 4 or frames.shape[-1] not in (1, 3, 4) or 0 in frames.shape:
        raise InputError(f"the {role} has the shape {tuple(batch.shape)}; connect pictures (B, H, W, 3)")
    frames = frames.expand(-1, -1, -1, 3) if frames.shape[-1] == 1 else frames
    return [_eighth(frame) for frame in frames.numpy()]


def masks(batch: Tensor | None, like: Sequence[Pixels], role: str) -> Sequence[Any]:
    """Return an array (H, W) for each of the pictures `like` of a MASK, (B, H, W) or (H, W) floats.

    One mask goes for all; without any, None is for each. Masks of another size are scaled, as ComfyUI's own
    nodes do. Raises InputError.
    """
    if batch is None:
        return [None] * len(like)
    planes = _unit_range(batch, role)
    if planes.ndim == 4 and 1 in (planes.shape[1], planes.shape[-1]):  # From nodes that keep a channel
        planes = planes[:, 0] if planes.shape[1] == 1 else planes[..., 0]
    if planes.ndim not in (2, 3) or 0 in planes.shape:
        raise InputError(f"the {role} has the shape {tuple(batch.shape)}; connect masks (B, H, W)")
    planes = planes.reshape(-1, 1, *planes.shape[-2:])
    size = like[0].shape[:2]
    if planes.shape[-2:] != size:
        planes = F.interpolate(planes, size, mode="bilinear")
    return for_each([_eighth(plane) for plane in planes[:, 0].numpy()], len(like), role)


def for_each(items: list[T], count: int, role: str) -> list[T]:
    """Return one item for each of `count` pictures; one goes for all. Raises InputError."""
    if len(items) not in (1, count):
        raise InputError(f"the {role} has {len(items)} for {count} pictures; give one, or one for each")
    return items * (count if len(items) == 1 else 1)


def to_image(results: list[Pixels]) -> Tensor:
    """Return an IMAGE, (B, H, W, C) float32 in [0, 1], of arrays of one size."""
    return torch.from_numpy(np.stack([_unit(result) for result in results]))


def absent() -> Any:  # noqa: ANN401
    """Return what an output gives that has nothing to give: ComfyUI skips the nodes behind it."""
    graph = sys.modules.get("comfy_execution.graph")
    return graph.ExecutionBlocker(None) if graph else None


def _unit_range(batch: object, role: str) -> Tensor:
    # What a workflow states in place of a connection arrives as it is.
    if not isinstance(batch, Tensor):
        raise InputError(f"the {role} is {batch!r}; connect a node that gives one")
    if not (batch.is_floating_point() or batch.dtype == torch.bool):
        raise InputError(f"the {role} is of {batch.dtype}; connect floats in [0, 1]")
    values = batch.detach().float().cpu()
    if bool(values.isnan().any()):
        raise InputError(f"the {role} has values that are no numbers (NaN); look at the node before it")
    return values.clamp(0, 1)


def _eighth(values: Pixels) -> Pixels:
    whole = np.rint(values * 255)
    return whole.astype(np.uint8) if np.abs(values * 255 - whole).max() <= TOLERANCE else values


def _unit(values: Pixels) -> Pixels:
    return values.astype(np.float32) / np.float32(255 if values.dtype == np.uint8 else 1)


@contextmanager
def working() -> Iterator[OnStep]:
    """Lend what shows progress and ends the work where the user has interrupted it.

    ComfyUI runs nodes in inference mode, in which nothing can be optimized; it is left for the while. It
    keeps its models on the GPU, and makes room when asked.
    """
    management = sys.modules.get("comfy.model_management")
    if management and (device := management.get_torch_device()).type != "cpu":
        management.free_memory(ROOM, device)
        management.soft_empty_cache()
    with torch.inference_mode(mode=False):
        yield _progress()


def host_device() -> dict[str, Any]:
    """Return the keyword that keeps to the CPU where ComfyUI does; else texsynth takes what there is."""
    management = sys.modules.get("comfy.model_management")
    return {"device": "cpu"} if management and management.get_torch_device().type == "cpu" else {}


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


class Card(str):
    """The path of a style card that a node gave; a workflow cannot state one in place of a connection."""

    __slots__ = ()


def _folders() -> list[Path]:
    paths = sys.modules.get("folder_paths")
    return [Path(paths.get_output_directory()), Path(paths.get_input_directory())] if paths else [Path()]


def card_to_read(name: str) -> Card:
    """Return the style card in ComfyUI's output or input folder. Raises InputError."""
    for folder in _folders():
        if is_file(path := _inside(folder, name)):
            return Card(path)
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
