"""Libraries of small textures that are easy to tell apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from helpers.cli import run_cli
from numpy.typing import NDArray
from typer.testing import Result

from texsynth.images import Picture, write

Pixels = NDArray[np.uint8]
Values = NDArray[np.floating[Any]]

SIDE = 64


def _stripes(x: NDArray[np.int64], y: NDArray[np.int64]) -> Values:
    return np.asarray(0.5 + 0.4 * np.sin(x * 0.9))


def _checks(x: NDArray[np.int64], y: NDArray[np.int64]) -> Values:
    return 0.1 + 0.8 * ((x // 16 + y // 16) % 2)


def _dots(x: NDArray[np.int64], y: NDArray[np.int64]) -> Values:
    return 0.2 + 0.7 * ((x % 12 - 6) ** 2 + (y % 12 - 6) ** 2 < 10)


def _grain(x: NDArray[np.int64], y: NDArray[np.int64]) -> Values:
    return np.random.default_rng(5).random((4 * SIDE, 4 * SIDE))


KINDS: dict[str, Callable[[NDArray[np.int64], NDArray[np.int64]], Values]] = {
    "stripes": _stripes, "checks": _checks, "dots": _dots, "grain": _grain,
}  # fmt: skip


def texture(kind: str, crop: int = 0) -> Pixels:
    """(SIDE, SIDE, 3): one of many crops of a texture, with a little noise of its own."""
    y, x = np.mgrid[: 4 * SIDE, : 4 * SIDE]
    rng = np.random.default_rng(crop)
    top, left = rng.integers(0, 3 * SIDE, 2)
    part = KINDS[kind](x, y)[top : top + SIDE, left : left + SIDE, None]
    noise = 0.04 * rng.random((SIDE, SIDE, 3))
    out: Pixels = (255 * np.clip(part * [0.9, 0.8, 0.7] + noise, 0, 1)).astype(np.uint8)
    return out


def save(pixels: Pixels, path: Path) -> Path:
    """Write `pixels` in place of what is there, into a folder that is made when missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write(Picture(np.ascontiguousarray(pixels)), path, force=True)
    return path


def make_library(folder: Path, crops: int = 2) -> Path:
    """Some crops of every kind, as KIND/NUMBER.png."""
    for kind in KINDS:
        for crop in range(crops):
            save(texture(kind, crop), folder / kind / f"{crop}.png")
    return folder


def match(*arguments: object, data: bytes | None = None) -> Result:
    """On one thread."""
    return run_cli("match", *arguments, "--threads", 1, data=data)
