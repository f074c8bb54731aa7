"""Shared picture arithmetic: noise, filters, relief shading, colour and files.

Every picture is a linear-light float array (H, W, 3) until `save` turns it into sRGB bytes.
Noise fields are periodic in both directions, (H, W), mean 0 and standard deviation 1.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[Any]
Stops = Sequence[tuple[float, str]]


def rgb(code: str) -> Array:
    """Linear-light colour (3,) of an sRGB hex code such as '#c04020'."""
    values = np.array([int(code[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def ramp(t: Array, stops: Stops) -> Array:
    """Colours (..., 3) along a gradient. t: (...) positions, stops: (position, hex code) in order."""
    at = [position for position, _ in stops]
    table = np.stack([rgb(code) for _, code in stops])
    return np.stack([np.interp(t, at, table[:, c]) for c in range(3)], axis=-1)


def mix(a: Array | float, b: Array | float, t: Array | float) -> Array:
    """Blend a to b; when either is a colour (..., 3), a weight field (H, W) spreads over the colour axis."""
    weight = np.asarray(t)
    colour = np.shape(a)[-1:] == (3,) or np.shape(b)[-1:] == (3,)
    if colour and weight.ndim and weight.shape[-1] not in (1, 3):
        weight = weight[..., None]
    return a + (b - a) * weight


def smoothstep(low: float, high: float, x: Array) -> Array:
    """Smooth rise from 0 at low to 1 at high (falls when low > high)."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def grid(height: int, width: int) -> tuple[Array, Array]:
    """Pixel centres (y, x), both (H, W)."""
    y, x = np.mgrid[0:height, 0:width]
    return y + 0.5, x + 0.5


def _frequencies(height: int, width: int) -> tuple[Array, Array]:
    return np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]


def _unit(field: Array) -> Array:
    return (field - field.mean()) / field.std()


def noise(
    shape: tuple[int, int],
    rng: np.random.Generator,
    slope: float = 1.6,
    finest: float = 0.0,
    coarsest: float = 1e9,
    stretch: tuple[float, float] = (1.0, 1.0),
) -> Array:
    """Periodic fractal noise (H, W): amplitude falls as frequency ** -slope.

    finest, coarsest: band of wavelengths in pixels; stretch: elongation along (y, x).
    """
    fy, fx = _frequencies(*shape)
    radius = np.hypot(fy * stretch[0], fx * stretch[1])
    radius[0, 0] = 1.0
    gain = radius**-slope * np.exp(-((radius * finest) ** 2)) * (1 - np.exp(-((radius * coarsest) ** 2)))
    gain[0, 0] = 0.0
    return _unit(np.fft.irfft2(np.fft.rfft2(rng.standard_normal(shape)) * gain, shape))


def blur(field: Array, sigma: float, wrap: bool = True) -> Array:
    """Gaussian blur of (H, W) or (H, W, C); without wrap the border is reflected."""
    if field.ndim == 3:
        return np.stack([blur(field[..., c], sigma, wrap) for c in range(field.shape[2])], axis=-1)
    pad = 0 if wrap else min(int(3 * sigma) + 1, min(field.shape) - 1)
    padded = np.pad(field, pad, mode="reflect")
    fy, fx = _frequencies(*padded.shape)
    kernel = np.exp(-2 * (np.pi * sigma) ** 2 * (fy**2 + fx**2))
    smooth = np.fft.irfft2(np.fft.rfft2(padded) * kernel, padded.shape)
    return smooth[pad : pad + field.shape[0], pad : pad + field.shape[1]]


def sample(field: Array, y: Array, x: Array) -> Array:
    """Bilinear look-up of (H, W[, C]) at pixel positions y, x, wrapping around."""
    height, width = field.shape[:2]
    y0, x0 = np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)
    ty, tx = y - y0, x - x0
    if field.ndim == 3:
        ty, tx = ty[..., None], tx[..., None]
    ya, yb, xa, xb = y0 % height, (y0 + 1) % height, x0 % width, (x0 + 1) % width
    top = field[ya, xa] * (1 - tx) + field[ya, xb] * tx
    return top * (1 - ty) + (field[yb, xa] * (1 - tx) + field[yb, xb] * tx) * ty


def normals(height: Array) -> Array:
    """Unit normals (H, W, 3) as (x, y, up) of a periodic heightfield measured in pixels."""
    dy = (np.roll(height, -1, 0) - np.roll(height, 1, 0)) / 2
    dx = (np.roll(height, -1, 1) - np.roll(height, 1, 1)) / 2
    raw = np.stack([-dx, -dy, np.ones_like(height)], axis=-1)
    return raw / np.linalg.norm(raw, axis=-1, keepdims=True)


def cast_shadow(height: Array, light: Array, reach: int, softness: float = 2.0) -> Array:
    """Sun visibility (H, W) in 0..1 of a periodic heightfield. light: direction to the lamp (x, y, up)."""
    flat = float(np.hypot(light[0], light[1]))
    blocked = np.zeros_like(height)
    for step in range(1, reach + 1):
        shift = (-round(light[1] / flat * step), -round(light[0] / flat * step))
        rise = np.roll(height, shift, (0, 1)) - height - step * light[2] / flat
        np.maximum(blocked, rise / (softness + 0.12 * step), out=blocked)
    return 1 - np.clip(blocked, 0, 1)


def light_relief(
    albedo: Array,
    height: Array,
    light: tuple[float, float, float] = (-0.55, -0.6, 0.6),
    gloss: Array | float = 0.0,
    shine: float = 30.0,
    cavity: float = 6.0,
) -> Array:
    """Photograph of a surface lit from one side: sun, sky, cast shadow, crevices, highlight.

    albedo: (H, W, 3), height: (H, W) in pixels, gloss: highlight strength, cavity: crevice width in pixels.
    """
    lamp = np.array(light) / np.linalg.norm(light)
    normal = normals(height)
    sun = np.clip(normal @ lamp, 0, None) * cast_shadow(height, lamp, 24)
    half = lamp + np.array([0.0, 0.0, 1.0])
    spark = np.clip(normal @ (half / np.linalg.norm(half)), 0, None) ** shine * sun * gloss
    sky = (0.55 + 0.45 * normal[..., 2]) * np.clip(1 + (height - blur(height, cavity)) / cavity, 0.25, 1.25)
    warm, cool = np.array([1.0, 0.95, 0.86]), np.array([0.80, 0.90, 1.0])
    lit = albedo * (1.05 * sun[..., None] * warm + 0.38 * sky[..., None] * cool)
    return lit + spark[..., None] * warm


def downscale(picture: Array, factor: int) -> Array:
    """Mean over factor x factor blocks."""
    height, width = picture.shape[0] // factor, picture.shape[1] // factor
    return picture.reshape(height, factor, width, factor, -1).mean(axis=(1, 3))


def filmic(picture: Array, exposure: float = 1.0) -> Array:
    """Highlights roll off instead of clipping; mid-tones keep their place."""
    x = np.clip(picture, 0, None) * exposure
    return x * (1 + x / 4.0**2) / (0.82 + x)


def finish(picture: Array, rng: np.random.Generator, glow: float = 0.1, grain: float = 0.006) -> Array:
    """Lens and film: bloom around lights, a little vignette, fine grain."""
    height, width = picture.shape[:2]
    bright = np.clip(picture - 0.8, 0, 6)
    bloom = blur(bright, width / 160, wrap=False) + blur(bright, width / 32, wrap=False)
    y, x = grid(height, width)
    edge = 1 - 0.32 * (((y / height - 0.5) ** 2 + (x / width - 0.5) ** 2) / 0.5) ** 1.3
    speck = blur(rng.standard_normal((height, width)), 0.6)[..., None]
    lit = (picture + glow * bloom) * edge[..., None]
    return lit * (1 + 6 * grain * speck) + grain * 0.2 * speck


def to_image(picture: Array) -> Image.Image:
    """8-bit sRGB picture of linear light (H, W, 3)."""
    x = np.clip(picture, 0, 1)
    srgb = np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)
    return Image.fromarray(np.round(srgb * 255).astype(np.uint8), "RGB")


def save(picture: Array, path: Path, quality: int = 92) -> None:
    """Write linear light (H, W, 3) as PNG or JPEG, by the ending of path."""
    options = {"quality": quality, "optimize": True} if path.suffix == ".jpg" else {"optimize": True}
    to_image(picture).save(path, **options)
