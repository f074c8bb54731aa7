"""Small pictures and manifests, made by integer arithmetic, that the golden cases work on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyvips
from PIL import Image

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


def blobs(seed: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    """Make smooth colour noise, (H, W, 3): random cells of 12 pixels, blurred by a box of 7."""
    cells = np.random.RandomState(seed).randint(0, 256, (height // 12 + 2, width // 12 + 2, 3))
    noise = cells.repeat(12, 0).repeat(12, 1)
    rows = np.sum([noise[k : k + height] for k in range(7)], 0)
    return np.asarray(np.sum([rows[:, k : k + width] for k in range(7)], 0) // 49, np.uint8)


def bricks(seed: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    """Make a wall, (H, W, 3): grainy bricks of 16 x 8 pixels, every other row shifted, with grey joints."""
    random = np.random.RandomState(seed)
    y, x = np.mgrid[:height, :width]
    shifted = x + 8 * (y // 8 % 2)
    joint = (y % 8 == 0) | (shifted % 16 == 0)
    tone = random.randint(120, 200, (height // 8 + 1, width // 16 + 2))[y // 8, shifted // 16]
    wall = np.stack([tone, tone * 5 // 9, tone * 4 // 9], -1)
    wall[joint] = 170
    return np.asarray(np.clip(wall + random.randint(-9, 10, (height, width, 1)), 0, 255), np.uint8)


def stripes(height: int, width: int) -> npt.NDArray[np.uint8]:
    """Make slanted stripes in two strong colours, (H, W, 3)."""
    y, x = np.mgrid[:height, :width]
    inside = ((3 * x + 5 * y) % 40 < 20)[..., None]
    return np.where(inside, [200, 60, 30], [20, 70, 160]).astype(np.uint8)


def left_half(height: int, width: int) -> npt.NDArray[np.uint8]:
    """Make a mask, (H, W), white on the left, black on the right, with a ramp of 16 pixels between."""
    ramp = np.clip((width // 2 + 8 - np.arange(width)) * 16, 0, 255)
    return np.broadcast_to(ramp, (height, width)).astype(np.uint8)


def hole(height: int, width: int) -> npt.NDArray[np.uint8]:
    """Make a mask, (H, W), white in a rectangle in the middle."""
    mask = np.zeros((height, width), np.uint8)
    mask[height // 3 : height // 2, width // 3 : width * 2 // 3] = 255
    return mask


def labels(height: int, width: int) -> npt.NDArray[np.uint8]:
    """Make a label map, (H, W, 3), of two colours: the upper part and the lower part."""
    below = (np.arange(height) > height * 2 // 5)[:, None, None]
    return np.broadcast_to(np.where(below, [255, 0, 0], [0, 0, 255]), (height, width, 3)).astype(np.uint8)


def deep(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
    """Give 8-bit pixels 16 bits, with lower bits that 8 bits cannot hold."""
    low = np.arange(pixels.size).reshape(pixels.shape) * 37 % 251
    return (pixels.astype(np.uint16) * 257 // 256 * 256 + low).astype(np.uint16)


def with_alpha(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Add a fourth channel that is transparent in one corner."""
    height, width = pixels.shape[:2]
    y, x = np.mgrid[:height, :width]
    return np.dstack([pixels, np.clip((x + y - 12) * 10, 0, 255).astype(np.uint8)])


PICTURES: dict[str, Callable[[], Pixels]] = {
    "content.png": lambda: blobs(1, 61, 70),
    "other.png": lambda: blobs(2, 64, 64),
    "style.png": lambda: stripes(48, 56),
    "ink.png": lambda: bricks(3, 56, 64),
    "moss.png": lambda: blobs(4, 64, 64),
    "wall.png": lambda: bricks(5, 64, 64),
    "normal.png": lambda: blobs(6, 64, 64),
    "height.png": lambda: deep(blobs(7, 64, 64)[..., 0]),
    "grey.png": lambda: blobs(8, 64, 64)[..., 0],
    "clear.png": lambda: with_alpha(blobs(9, 64, 64)),
    "deep.png": lambda: deep(blobs(10, 64, 64)),
    "half.png": lambda: left_half(61, 70),
    "left.png": lambda: left_half(64, 64),
    "hole.png": lambda: hole(64, 64),
    "guide.png": lambda: left_half(80, 80),
    "content_labels.png": lambda: labels(61, 70),
    "style_labels.png": lambda: labels(48, 56),
    "ink_labels.png": lambda: labels(56, 64),
}
"""Names of pictures and their pixels: (H, W) or (H, W, 3 or 4), 8 or 16 bits."""

TEXTS = {
    "broken.png": "this is no picture",
    "weights.safetensors": "these are no weights",
    "rows.csv": "content,style,preset\ncontent.png,style.png,artistic\nother.png,ink.png,photo\n",
    "rows.jsonl": '{"content": "content.png", "style": "style.png", "output": "one.png"}\n'
    '{"content": "missing.png", "style": "style.png", "output": "two.png"}\n',
    "jobs.yaml": 'output: out/\nname: "{index}-{content}.{style}.{preset}.png"\njobs:\n'
    "  - contents: [content.png, other.png]\n    styles: [style.png]\n    presets: [photo, bold]\n"
    "    set: {strength: 0.5}\n",
    "own.yaml": "extends: artistic\nstylize:\n  transform: {name: adain}\n  levels: [3, 2]\n  grain: 0.2\n",
    "misspelt.yaml": "extends: artistic\nstylize: {strenght: 0.5}\n",
}
"""Names of other files and what is in them."""


def make_input(name: str, folder: Path) -> None:
    """Write the input `name` below `folder`; it may have a folder of its own, like `photos/content.png`."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name in TEXTS:
        path.write_text(TEXTS[path.name])
        return
    pixels = PICTURES[path.name]()
    if pixels.dtype == np.uint16:
        pyvips.Image.new_from_array(pixels).write_to_file(str(path), bitdepth=16)
    else:
        Image.fromarray(pixels).save(path)
