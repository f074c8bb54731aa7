"""An endless, seeded supply of textures: regular, nearly regular and irregular ones, none like another.

A field of the texture (heights 0..1, and a number for each brick, stone or thread) becomes a picture by a
random palette, a light from the side and some grain. Scales are in pixels: a crop shows a few periods.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.training.data import random_index


class Field(NamedTuple):
    """A pattern before it is coloured."""

    height: Tensor  # (s, s), about 0..1; becomes light and dark and part of the colour
    piece: Tensor  # (s, s) in 0..1, the same all over a brick, stone, thread; chooses its colour


Pattern = Callable[[int, torch.Generator], Field]


def texture(size: int, rng: torch.Generator, kind: str | None = None) -> Tensor:
    """Draw a random texture (3, size, size) in [0, 1]. kind: one of PATTERNS, None draws it."""
    kind = kind or list(PATTERNS)[random_index(len(PATTERNS), rng)]
    return _render(PATTERNS[kind](size, rng), rng)


def bricks(size: int, rng: torch.Generator) -> Field:
    """Draw rows of bricks or tiles with mortar, each row moved against the last."""
    x, y = _plane(size, rng)
    tall = uniform(rng, 8, 26)
    wide = tall * uniform(rng, 1, 3)
    row = torch.floor(y / tall)
    u = x / wide + row * (0.0, 0.5, 1 / 3)[random_index(3, rng)]
    column = torch.floor(u)
    gap = uniform(rng, 0.8, 2.5)
    inside = torch.minimum(_to_edge(u - column) * wide, _to_edge(y / tall - row) * tall)
    height = ((inside - gap / 2) / uniform(rng, 0.8, 3)).clamp(0, 1)
    return Field(height * uniform(rng, 0.5, 1), _hash(row, column, rng) * height)


def weave(size: int, rng: torch.Generator) -> Field:
    """Draw threads over and under each other: plain weave and twills."""
    x, y = _plane(size, rng)
    pitch, jump = uniform(rng, 5, 14), 2 + random_index(3, rng)
    u, v = x / pitch, y / pitch
    over = (torch.floor(u) + torch.floor(v)) % jump < max(1, jump // 2)
    across, along = (4 * t * (1 - t) for t in (u % 1, v % 1))
    height = torch.where(over, across.sqrt() * (0.6 + 0.4 * along), along.sqrt() * (0.6 + 0.4 * across))
    warp, weft = _hash(torch.floor(u), 0 * u, rng), _hash(0 * v, torch.floor(v), rng)
    return Field(height, torch.where(over, 0.3 + 0.2 * warp, 0.7 + 0.2 * weft))


def stones(size: int, rng: torch.Generator) -> Field:
    """Draw Voronoi cells of jittered points, with joints: cobbles, cracked earth, cells."""
    x, y = _plane(size, rng)
    pitch = uniform(rng, 10, 32)
    jitter = uniform(rng, 0.3, 1)
    column, row = torch.floor(x / pitch), torch.floor(y / pitch)
    tables = [torch.rand(64, 64, generator=rng) for _ in range(3)]
    cells = []
    for c, r in ((column + i, row + j) for i in (-1, 0, 1) for j in (-1, 0, 1)):
        across, down, number = (_of_cell(table, r, c) for table in tables)
        dx, dy = x / pitch - c - 0.5 - jitter * (across - 0.5), y / pitch - r - 0.5 - jitter * (down - 0.5)
        cells.append(torch.stack([dx.square() + dy.square(), number]))
    distances, numbers = torch.stack(cells).unbind(1)
    nearest = distances.topk(2, dim=0, largest=False)
    gap = (nearest.values[1].sqrt() - nearest.values[0].sqrt()) * pitch
    edge = uniform(rng, 0.5, 3)
    height = ((gap - edge) / uniform(rng, 1, 6)).clamp(0, 1)
    return Field(height, numbers.gather(0, nearest.indices[:1])[0] * (gap > edge))


def wood(size: int, rng: torch.Generator) -> Field:
    """Draw year rings cut along the trunk, with fine grain; sometimes planks."""
    x, y = _plane(size, rng)
    bend = fractal(size, rng, 2.4, stretch=uniform(rng, 3, 8))
    rings = (x / uniform(rng, 5, 18) + uniform(rng, 0.5, 3) * bend) % 1
    fine = fractal(size, rng, 1.2, stretch=uniform(rng, 6, 12))
    height = 0.6 * rings + 0.4 * fine
    if uniform(rng, 0, 1) < 0.4:
        wide = uniform(rng, 16, 40)
        plank = torch.floor(x / wide)
        joint = (_to_edge(x / wide - plank) * wide / 1.5).clamp(0, 1)
        return Field(height * joint, 0.5 * _hash(plank, torch.zeros_like(y), rng) + 0.3 * rings)
    return Field(height, rings)


def noise(size: int, rng: torch.Generator) -> Field:
    """Draw fractal noise from cloud to grain, sometimes ridged, sometimes streaked."""
    first = fractal(size, rng, uniform(rng, 0.4, 2.2), stretch=uniform(rng, 1, 3))
    if uniform(rng, 0, 1) < 0.4:
        first = 1 - (2 * first - 1).abs()
    return Field(first, fractal(size, rng, uniform(rng, 1.2, 2.4)))


def spots(size: int, rng: torch.Generator) -> Field:
    """Draw labyrinths and spots of an activator u whose inhibitor is so fast that it is always in balance.

    du/dt = u + bias u^2 - u^3 - damping * u, which damps all but waves of one length (Swift and Hohenberg
    1977), by semi-implicit steps in frequency space.
    """
    wavelength, bias = uniform(rng, 7, 20), uniform(rng, -0.35, 0.35)
    fy, fx = _frequencies(size)
    damping = 1.6 * (1 - (torch.hypot(fy, fx) * wavelength).square()).square()
    u, dt = 0.1 * torch.randn(size, size, generator=rng), 0.5
    for _ in range(60):
        spectrum = torch.fft.rfft2(u + dt * (u - u**3 + bias * u.square()))
        u = torch.fft.irfft2(spectrum / (1 + dt * damping), s=(size, size)).clamp(-2, 2)
    u = 0.5 + 0.5 * torch.tanh(2 * u / u.std().clamp_min(1e-6))
    return Field(u, (u > 0.5).float() * 0.8 + 0.1)


def tiling(size: int, rng: torch.Generator) -> Field:
    """Draw a motif on a square or hexagonal lattice, with jitter in place, size and colour."""
    x, y = _plane(size, rng)
    pitch = uniform(rng, 9, 28)
    hexagonal = uniform(rng, 0, 1) < 0.5
    row = torch.floor(y / pitch)
    u = x / pitch + (0.5 * (row % 2) if hexagonal else 0)
    column = torch.floor(u)
    jitter = uniform(rng, 0, 0.25)
    dx = u - column - 0.5 + jitter * (_hash(row, column, rng) - 0.5)
    dy = y / pitch - row - 0.5 + jitter * (_hash(row, column, rng) - 0.5)
    radius = uniform(rng, 0.25, 0.42) * (1 + jitter * (_hash(row, column, rng) - 0.5))
    power = uniform(rng, 0.8, 5)  # diamond, disc, rounded square
    petals = random_index(6, rng)
    distance = (dx.abs() ** power + dy.abs() ** power + 1e-9) ** (1 / power)
    if petals > 2:
        distance = distance * (1 + 0.3 * torch.cos(petals * torch.atan2(dy, dx)))
    height = ((radius - distance) * pitch / uniform(rng, 1, 4)).clamp(0, 1)
    if uniform(rng, 0, 1) < 0.3:  # rings
        height = 4 * height * (1 - height)
    return Field(height, height * (0.3 + 0.7 * _hash(row, column, rng)))


PATTERNS: dict[str, Pattern] = {
    "bricks": bricks,
    "weave": weave,
    "stones": stones,
    "wood": wood,
    "noise": noise,
    "reaction-diffusion": spots,
    "tiling": tiling,
}


def _plane(size: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Lay out pixel coordinates, often turned, and bent a little as hand-made things are."""
    axis = torch.arange(size, dtype=torch.float32)
    angle = uniform(rng, -math.pi, math.pi) if uniform(rng, 0, 1) < 0.3 else 0.0
    y, x = axis[:, None].expand(size, size), axis[None].expand(size, size)
    bend = uniform(rng, 0, 6) * max(0.0, uniform(rng, -0.5, 1))
    u = x * math.cos(angle) - y * math.sin(angle) + uniform(rng, 0, 100)
    v = x * math.sin(angle) + y * math.cos(angle) + uniform(rng, 0, 100)
    return (u + bend * (fractal(size, rng, 2.5) - 0.5), v + bend * (fractal(size, rng, 2.5) - 0.5))


def _to_edge(t: Tensor) -> Tensor:
    """Distance from `t` in 0..1 to the nearer end."""
    return torch.minimum(t, 1 - t)


def _hash(row: Tensor, column: Tensor, rng: torch.Generator) -> Tensor:
    """Draw a number in [0, 1) for every lattice cell, others at every call."""
    return _of_cell(torch.rand(64, 64, generator=rng), row, column)


def _of_cell(table: Tensor, row: Tensor, column: Tensor) -> Tensor:
    return table[row.long() % 64, column.long() % 64]


def _render(field: Field, rng: torch.Generator) -> Tensor:
    """Colour a field by a palette, side light and grain. Returns (3, size, size) in [0, 1]."""
    steps = 3 + random_index(3, rng)
    grey = uniform(rng, 0.1, 0.9)
    base = torch.lerp(torch.full((3,), grey), torch.rand(3, generator=rng), uniform(rng, 0, 0.8))
    spread = uniform(rng, 0.2, 0.9) * (torch.rand(steps, 1, generator=rng) - 0.5)
    tint = uniform(rng, 0, 0.4) * (torch.rand(steps, 3, generator=rng) - 0.5)
    palette = (base + spread + tint).clamp(0, 1)
    height, piece = field
    at = (uniform(rng, 0.2, 1) * piece + uniform(rng, 0.2, 1) * height).clamp(0, 1) * (steps - 1)
    low = at.floor().clamp(max=steps - 2)
    colour = torch.lerp(palette[low.long()], palette[low.long() + 1], (at - low)[..., None])
    slope = height.diff(dim=0, append=height[-1:]) + height.diff(dim=1, append=height[:, -1:])
    light = 1 + uniform(rng, 0, 0.6) * slope + uniform(rng, 0, 0.5) * (height - 0.5)
    grain = uniform(rng, 0, 0.12) * (fractal(len(height), rng, uniform(rng, 0, 1.2)) - 0.5)
    image = (colour * light[..., None] + grain[..., None]).clamp(0, 1).permute(2, 0, 1)
    # Camera pictures are not perfectly sharp.
    soft = F.avg_pool2d(F.pad(image[None], (1, 1, 1, 1), mode="replicate"), 3, 1)[0]
    return torch.lerp(image, soft, uniform(rng, 0, 0.7))


def uniform(rng: torch.Generator, low: float, high: float) -> float:
    """Draw a number between `low` and `high`."""
    return low + (high - low) * float(torch.rand((), generator=rng))


def fractal(size: int, rng: torch.Generator, slope: float, stretch: float = 1.0) -> Tensor:
    """Draw noise whose amplitude falls as 1 / frequency ** slope, (size, size) in [0, 1].

    slope: 0 is white, 1 is rough, 2.5 is a cloud. stretch: how many times longer features are along y.
    """
    spectrum = torch.fft.rfft2(torch.randn(size, size, generator=rng))
    fy, fx = _frequencies(size)
    radius = torch.hypot(fy * stretch, fx).clamp_min(1 / size)
    field: Tensor = torch.fft.irfft2(spectrum * radius**-slope, s=(size, size))
    return (0.5 + 0.22 * (field - field.mean()) / field.std().clamp_min(1e-9)).clamp(0, 1)


def _frequencies(size: int) -> tuple[Tensor, Tensor]:
    """Return cycles per pixel along y and x, for rfft2."""
    return torch.fft.fftfreq(size)[:, None], torch.fft.rfftfreq(size)[None]
