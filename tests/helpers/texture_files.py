"""Small textures in files, and how the commands about them are called quickly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from helpers.cli import cut_files, names, run_cli
from numpy.typing import NDArray
from typer.testing import Result

from texsynth.config.records import Embedded, ExpandRecord
from texsynth.images import Picture, embedded_settings, write
from texsynth.strict_yaml import parse

QUICK = (
    "--method", "patch", "--set", "patch.layouts=1", "--set", "patch.iterations=[1]",
    "--set", "patch.refine=0.1", "--set", "optimize.iterations=1", "--threads", 1,
)  # fmt: skip
"""Flags of a run that takes a fraction of a second and keeps sibling maps aligned."""


def texture(height: int = 32, width: int = 40, *, seed: int = 0, top: int = 255) -> NDArray[np.uint16]:
    """Green and blue tiles with grain, (H, W, 3); the red channel stays below a third of `top`."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    tiles = ((x // 8 + y // 8) % 2)[..., None] * np.array([0.1, 0.5, 0.2])
    grain = rng.random((height, width, 1)) * np.array([0.15, 0.2, 0.3])
    out: NDArray[np.uint16] = ((tiles + grain + 0.05) * top).astype(np.uint16)
    return out


def save(
    path: Path,
    pixels: NDArray[np.generic],
    *,
    alpha: NDArray[np.generic] | None = None,
    deep: bool = False,
    grey: bool = False,
) -> Path:
    """Write `pixels` (H, W, 3), or (H, W) as grey, as 8 or 16 bits."""
    kind = np.uint16 if deep else np.uint8
    rgb = np.broadcast_to(pixels[..., None], (*pixels.shape, 3)) if pixels.ndim == 2 else pixels
    write(
        Picture(
            np.ascontiguousarray(rgb.astype(kind)),
            None if alpha is None else alpha.astype(kind),
            grey=grey or pixels.ndim == 2,
        ),
        path,
        force=True,
    )
    return path


def square(height: int, width: int, top: int, left: int, side: int) -> NDArray[np.uint8]:
    """White on black, (H, W)."""
    mask = np.zeros((height, width), np.uint8)
    mask[top : top + side, left : left + side] = 255
    return mask


def ok(*arguments: object, data: bytes | None = None) -> Result:
    """Call the program, which must succeed."""
    result = run_cli(*arguments, data=data)
    assert result.exit_code == 0, result.stderr
    return result


def redness(pixels: NDArray[np.generic]) -> float:
    """Share of pixels with more red than `texture` has anywhere."""
    return float((pixels[..., 0] > 0.5 * np.iinfo(pixels.dtype).max).mean())  # type: ignore[type-var]


def record(path: Path) -> ExpandRecord:
    """What `path` carries."""
    found = Embedded.model_validate(parse(embedded_settings(path), source=str(path))).root
    assert isinstance(found, ExpandRecord)
    return found


def make_bad_files(place: Path) -> None:
    """What the tests of bad input name, beside a good `wall.png`."""
    save(place / "small.png", texture(15, 40))
    save(place / "two.png", texture(seed=1))
    save(place / "map.png", texture(9, 9)[..., 0])
    save(place / "black.png", np.zeros((32, 40)))
    save(place / "white.png", np.full((32, 40), 255))
    save(place / "hole.png", square(32, 40, 2, 2, 12))
    save(place / "most.png", 255 - square(32, 40, 2, 2, 15))
    save(place / "clear.png", texture(), alpha=np.zeros((32, 40)))
    save(place / "lace.png", texture(), alpha=texture()[..., 1])
    save(place / "part.png", texture(), alpha=square(32, 40, 0, 0, 30))
    save(place / "wall.png", texture())
    cut_files(place)
    for name in ("text.jpg", "text.safetensors", "taken.png"):
        (place / name).write_text("I am text\n" * 9)
    (place / "folder").mkdir()


def check_refused(place: Path, command: str, arguments: list[str], code: int, message: str) -> None:
    """One sentence, the exit code, and nothing written."""
    make_bad_files(place)
    before = names(place)
    result = run_cli(command, *arguments, data=b"x")
    assert message in result.stderr
    assert result.exit_code == code
    assert "Traceback" not in result.output
    assert result.stdout == ""
    assert len([line for line in result.stderr.splitlines() if not line.startswith("try ")]) == 1
    assert names(place) == before, "nothing is left behind"
    assert (place / "taken.png").read_text().startswith("I am text")
