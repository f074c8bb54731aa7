"""Conifer silhouettes and the bank they stand on."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from generators.raster import Array, blur, grid, mix, noise, rgb, smoothstep


def _spray(
    draw: ImageDraw.ImageDraw, x: float, y: float, reach: float, side: float, rng: np.random.Generator
) -> None:
    """One drooping branch with hanging twigs."""
    droop, lift = rng.uniform(0.16, 0.42), rng.uniform(0.0, 0.12)
    t = np.linspace(0, 1, max(4, int(reach / 1.8)))
    bx = x + side * reach * t
    by = y + reach * (droop * t - lift * np.sin(np.pi * t) + 0.5 * lift * t**3)
    draw.line(list(zip(bx, by, strict=True)), fill=255, width=max(1, int(reach / 26)))
    for px, py, s in zip(bx, by, t, strict=True):
        twig = (1.5 + reach * rng.uniform(0.12, 0.30)) * (1.2 - s)
        swing = side * twig * rng.uniform(0.1, 0.9)
        draw.line([(px, py), (px + swing, py + twig)], fill=255, width=max(1, int(reach / 40)))
        draw.line([(px, py), (px + 0.9 * swing, py - 0.3 * twig)], fill=255, width=1)


def conifer(
    draw: ImageDraw.ImageDraw, x: float, foot: float, height: float, rng: np.random.Generator
) -> None:
    """Draw one tree standing at (x, foot)."""
    lean = rng.normal(0, 0.01) * height
    draw.polygon(
        [(x - height * 0.012, foot), (x + height * 0.012, foot), (x + lean, foot - height)], fill=255
    )
    spread = height * rng.uniform(0.15, 0.20)
    at = 0.02
    while at < 0.93:
        reach = spread * (at**0.85) * rng.uniform(0.55, 1.12) + 0.008 * height
        for side in (-1.0, 1.0):
            if rng.uniform() < 0.93:
                jitter = height * rng.uniform(-0.006, 0.006)
                _spray(
                    draw,
                    x + lean * (1 - at),
                    foot - height * (1 - at) + jitter,
                    reach * rng.uniform(0.7, 1.1),
                    side,
                    rng,
                )
        at += rng.uniform(0.006, 0.012) * (0.6 + at)


Places = Sequence[tuple[float, float]]
BOTH_SIDES = (
    (0.045, 0.86),
    (0.125, 0.62),
    (0.19, 0.40),
    (0.262, 0.23),
    (0.90, 0.50),
    (0.965, 0.74),
    (0.835, 0.27),
)


def plant(
    picture: Array,
    rng: np.random.Generator,
    places: Places = BOTH_SIDES,
    rim_light: str = "#e8b070",
    tones: tuple[str, str] = ("#0b1410", "#1c2614"),
) -> Array:
    """Put a dark bank and conifers in front of a picture (H, W, 3).

    places: position across and height of every tree, as fractions of the picture;
    tones: trees and grass.
    """
    height, width = picture.shape[:2]
    sheet = Image.new("L", (width, height))
    draw = ImageDraw.Draw(sheet)
    bank = 0.955 + 0.05 * np.cos(np.linspace(0, 1, width) * 2 * np.pi * 0.9 + 2.6)
    bank = bank * height + 3 * np.cumsum(rng.normal(0, 0.25, width))
    draw.polygon([(0, height), *zip(range(width), bank, strict=True), (width, height)], fill=255)
    for x in rng.uniform(0, width, 2600):
        top = bank[int(x)]
        blade = rng.uniform(3, 15)
        draw.line([(x, top + 3), (x + rng.normal(0, 4), top - blade)], fill=255, width=1)
    for at, size in places:
        conifer(draw, at * width, bank[int(at * width)] + 10, size * height, rng)
    mask = np.asarray(sheet) / 255.0
    # the rim that faces the sun: silhouette minus itself moved towards the lamp
    rim = np.clip(mask - np.roll(blur(mask, 1.2), (2, 2), (0, 1)), 0, 1)
    y, _ = grid(height, width)
    body = mix(rgb(tones[0]), rgb(tones[1]), smoothstep(0.5, 1.0, y / height))
    body = body * (1 + 0.35 * np.clip(noise((height, width), rng, 0.8, finest=3), -2, 2))[..., None]
    body = body + 0.16 * rim[..., None] * rgb(rim_light)
    return mix(picture, body, mask)
