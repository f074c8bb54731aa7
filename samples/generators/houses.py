"""What stands in the street: rows of houses with their signs, and people."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from generators.raster import Array, blur, rgb

HALF = 6.6  # half the street's width in metres


@dataclass(frozen=True)
class Fronts:
    """One row of houses along z; arrays hold one value per house."""

    edges: Array  # (K + 1,) where houses begin and end
    top: Array
    colour: Array  # (K, 3)
    bay: Array  # window pitch in metres
    storey: Array
    lit: Array  # (K, 16, 64) brightness behind each window
    warmth: Array  # (K, 16, 64)
    signs: dict[int, Array]  # house -> sign picture (h, w, 3)


def sign(text: str, ink: str, board: str) -> Array:
    """A lettered board, 64 pixels high, linear light."""
    font = ImageFont.load_default(size=46)
    width = int(font.getlength(text)) + 56
    sheet = Image.new("RGB", (width, 64), board)
    ImageDraw.Draw(sheet).text((width / 2, 32), text, font=font, fill=ink, anchor="mm")
    return (np.asarray(sheet) / 255.0) ** 2.2


def fronts(rng: np.random.Generator, texts: dict[int, tuple[str, str, str]]) -> Fronts:
    """A random row of houses with the given signs."""
    edges = np.cumsum(np.concatenate([[-12.0], rng.uniform(7.5, 12.5, 14)]))
    count = len(edges) - 1
    tones = np.stack(
        [rgb(c) for c in ("#8c4a38", "#b59a78", "#6f7f8a", "#a8653f", "#c2b59b", "#7d5a4c", "#8f8a5f")]
    )
    return Fronts(
        edges=edges,
        top=rng.uniform(10.5, 17.5, count),
        colour=tones[(np.arange(count) * 3 + rng.integers(0, 7)) % 7] * rng.uniform(0.8, 1.15, (count, 1)),
        bay=rng.uniform(2.0, 2.6, count),
        storey=rng.uniform(3.1, 3.5, count),
        lit=(rng.uniform(size=(count, 16, 64)) < 0.75) * rng.uniform(0.35, 1.5, (count, 16, 64)),
        warmth=rng.uniform(0, 1, (count, 16, 64)),
        signs={house: sign(*text) for house, text in texts.items()},
    )


def people() -> Array:
    """Silhouettes (h, w) in 0..1 of three walkers, two under umbrellas; 100 pixels to the metre."""
    width, height = int(2 * HALF * 100), 240
    sheet = Image.new("L", (width, height))
    draw = ImageDraw.Draw(sheet)
    for x, size, stride, umbrella in ((860, 1.0, 15, True), (915, 0.95, -12, False), (545, 0.97, 18, True)):
        foot, head = height, height - 172 * size
        for leg in (-1, 1):
            hip, toe = (x + leg * 5, foot - 88 * size), (x + leg * stride, foot - 2)
            draw.line(
                [hip, (x + leg * stride * 0.45 + 3, foot - 44 * size), toe], fill=255, width=13, joint="curve"
            )
            draw.line([toe, (toe[0] + 9, foot - 2)], fill=255, width=8)
        coat = [
            (x - 15, head + 30),
            (x + 15, head + 30),
            (x + 23, foot - 62 * size),
            (x - 23, foot - 62 * size),
        ]
        draw.polygon(coat, fill=255)
        draw.ellipse([x - 19, head + 20, x + 19, head + 62], fill=255)
        draw.ellipse([x - 10, head - 2, x + 10, head + 23], fill=255)
        draw.line([(x + 15, head + 36), (x + 27, head + 66), (x + 20, head + 48)], fill=255, width=9)
        if umbrella:
            draw.chord([x - 52, head - 42, x + 64, head + 46], 180, 360, fill=255)
            draw.line([(x + 6, head - 46), (x + 16, head + 52)], fill=255, width=3)
    return blur(np.asarray(sheet) / 255.0, 0.8, wrap=False)
