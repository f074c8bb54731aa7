"""Stone-like textures: bricks, pebbles and marble."""

import numpy as np

from generators.raster import Array, blur, grid, light_relief, mix, noise, ramp, rgb, sample, smoothstep

SIDE = 768  # textures are drawn at three times their size

BRICK_TONES = (
    (0.0, "#5b2a20"),
    (0.12, "#7c3526"),
    (0.45, "#9a4a33"),
    (0.75, "#b0603f"),
    (0.92, "#c07a55"),
    (1.0, "#8a5a4a"),
)


def bricks(rng: np.random.Generator) -> Array:
    """A wall in running bond: one brick and its joint are 56 x 30 pixels of the finished texture."""
    shape = (SIDE, SIDE)
    width, height, joint = 168.0, 90.0, 7.0
    y, x = grid(*shape)
    y = y + 1.3 * noise(shape, rng, 1.4, finest=12)
    x = x + 1.3 * noise(shape, rng, 1.4, finest=12)
    row = np.floor(y / height).astype(int)
    x = x + (row % 2) * width / 2
    column = np.floor(x / width).astype(int)
    pick = (row % 32, column % 32)
    tone, tilt_x, tilt_y, raised = (rng.uniform(-1, 1, (32, 32))[pick] for _ in range(4))
    v, u = y - (row + 0.5) * height, x - (column + 0.5) * width

    radius = 8.0
    over_y = np.abs(v) - (height / 2 - joint - radius)
    over_x = np.abs(u) - (width / 2 - joint - radius)
    outside = np.hypot(np.clip(over_y, 0, None), np.clip(over_x, 0, None))
    inside = radius - outside - np.clip(np.maximum(over_y, over_x), None, 0)
    inside = inside + 1.4 * noise(shape, rng, 0.8, finest=5) + 1.2 * noise(shape, rng, 1.5)
    face = smoothstep(-2.0, 3.0, inside)

    grit = noise(shape, rng, 0.35, finest=3.0)
    dents = np.clip(noise(shape, rng, 1.0, finest=7) - 1.1, 0, None)
    body = 7.0 + 1.6 * raised + 0.016 * (tilt_x * u + 0.8 * tilt_y * v) + 0.6 * noise(shape, rng, 1.7)
    body = body - 1.6 * dents + 0.34 * grit - 2.4 * (1 - smoothstep(0, 9, inside)) ** 2
    mortar = 0.7 * noise(shape, rng, 0.5, finest=4) + 0.9 * noise(shape, rng, 1.6)
    relief = mix(mortar, body, face)

    cloud = noise(shape, rng, 1.3, finest=4)
    colour = ramp(0.5 + 0.44 * tone + 0.085 * cloud, BRICK_TONES)
    colour = colour * (1 + 0.10 * grit + 0.10 * noise(shape, rng, 0.9, finest=6) * (tone > 0))[..., None]
    burnt = smoothstep(0.5, 2.2, noise(shape, rng, 1.5, finest=10) - 0.9 * tone)
    colour = mix(colour, colour * rgb("#8d8285"), 0.8 * burnt)
    bloom = smoothstep(1.0, 2.6, noise(shape, rng, 1.4, finest=5) + 0.3 * grit)
    colour = mix(colour, rgb("#cdbdae"), 0.38 * bloom)
    sand = ramp(
        0.5 + 0.22 * noise(shape, rng, 0.3, finest=3.5), ((0, "#7d766b"), (0.5, "#a89f90"), (1, "#cfc6b6"))
    )
    sand = sand * (1 + 0.10 * noise(shape, rng, 1.5))[..., None]
    return 1.05 * light_relief(mix(sand, colour, face), relief, cavity=9)


def _scatter(count: int, rng: np.random.Generator) -> Array:
    """Well spread points (count, 2) on the torus: each the farthest of a few random candidates."""
    points = rng.uniform(0, SIDE, (1, 2))
    while len(points) < count:
        trial = rng.uniform(0, SIDE, (24, 2))
        gap = np.abs(trial[:, None] - points[None])
        gap = np.minimum(gap, SIDE - gap)
        points = np.vstack([points, trial[np.argmax((gap**2).sum(-1).min(1))]])
    return points


def _stones(points: Array, rng: np.random.Generator, warp: float, rounding: float) -> tuple[Array, Array]:
    """Stone of every pixel: index, and distance in pixels to its rounded border (negative between stones)."""
    y, x = grid(SIDE, SIDE)
    y = y + warp * noise((SIDE, SIDE), rng, 2.0, finest=30)
    x = x + warp * noise((SIDE, SIDE), rng, 2.0, finest=30)

    def offset(point: Array) -> Array:
        gap = np.stack([y - point[0], x - point[1]])
        return (gap + SIDE / 2) % SIDE - SIDE / 2

    nearest = np.full((SIDE, SIDE), np.inf)
    index = np.zeros((SIDE, SIDE), int)
    centre = np.zeros((2, SIDE, SIDE))
    for i, point in enumerate(points):
        gap = offset(point)
        square = (gap**2).sum(0)
        closer = square < nearest
        nearest = np.where(closer, square, nearest)
        centre = np.where(closer, gap, centre)
        index[closer] = i
    # a soft minimum over all walls of the cell rounds its corners
    crowd = np.full((SIDE, SIDE), 1e-12)
    for i, point in enumerate(points):
        gap = offset(point)
        span = np.sqrt(((gap - centre) ** 2).sum(0)) + 1e-6
        wall = ((gap**2).sum(0) - nearest) / (2 * span)
        crowd += np.where(index == i, 0.0, np.exp(-wall / rounding))
    return index, -rounding * np.log(crowd)


def pebbles(rng: np.random.Generator) -> Array:
    """River stones packed side by side, each with its own mineral."""
    shape = (SIDE, SIDE)
    points = _scatter(105, rng)
    index, border = _stones(points, rng, 7.0, 9.0)
    count = len(points)
    swell = 30.0 * rng.uniform(0.75, 1.25, count)[index]
    t = np.clip((border + 1.0) / swell, 0, 1)
    dome = np.sqrt(np.clip(1 - (1 - t) ** 2.2, 0, 1))
    dome = blur(dome, 2.2) * rng.uniform(22, 36, count)[index]
    tilt = rng.uniform(-0.09, 0.09, (2, count))
    y, x = grid(*shape)
    lean = [
        ((a - points[index, k] + SIDE / 2) % SIDE - SIDE / 2) * tilt[k][index] for k, a in ((0, y), (1, x))
    ]
    stone = smoothstep(-3.0, 1.5, border)
    grit = noise(shape, rng, 0.4, finest=3)
    relief = dome + (lean[0] + lean[1]) * stone + 0.22 * grit * stone
    relief = blur(relief, 1.0) + (1 - stone) * (1.5 * noise(shape, rng, 0.3, finest=4) - 3)

    tones = (
        "#8d8a86",
        "#b9ae9c",
        "#6c6a6c",
        "#9c7f68",
        "#c9c3b6",
        "#565a5f",
        "#a3978c",
        "#7d8488",
        "#7b5346",
    )
    base = np.stack([rgb(c) for c in tones])[rng.integers(0, len(tones), count)]
    base = base * rng.uniform(0.75, 1.2, (count, 1))
    colour = base[index]
    speckle = rng.uniform(0.05, 0.28, count)[index]
    colour = (
        colour
        * np.exp(speckle * noise(shape, rng, 0.45, finest=4) + 0.13 * noise(shape, rng, 1.5))[..., None]
    )
    angle = rng.uniform(0, np.pi, count)[index]
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) / 9 + 2.0 * noise(shape, rng, 2.0, finest=20))
    veined = (rng.uniform(size=count) < 0.3)[index] * smoothstep(0.86, 1.0, wave)
    colour = mix(colour, rgb("#d9d2c6"), 0.55 * veined)
    soil = rgb("#3a3128") * np.exp(0.5 * noise(shape, rng, 0.3, finest=4))[..., None]
    wet = rng.uniform(0.02, 0.16, count)[index] * stone
    return 1.1 * light_relief(mix(soil, colour, stone), relief, gloss=wet, shine=24, cavity=16)


def marble(rng: np.random.Generator) -> Array:
    """Polished white marble: long grey veins, faint gold, milky depth."""
    shape = (SIDE, SIDE)
    y, x = grid(*shape)
    drift_y = 46 * noise(shape, rng, 2.2, finest=8) + 9 * noise(shape, rng, 1.7, finest=4)
    drift_x = 46 * noise(shape, rng, 2.2, finest=8) + 9 * noise(shape, rng, 1.7, finest=4)

    def veins(slope: float, width: float, shift: float) -> Array:
        field = noise(shape, rng, slope, finest=14, stretch=(2.2, 0.9))
        line = np.abs(sample(field, y + 0.8 * x + drift_y, x + drift_x + shift))
        return np.exp(-line / width)

    shade = 0.30 * noise(shape, rng, 2.0, finest=10) + 0.12 * noise(shape, rng, 1.3, finest=4)
    presence = smoothstep(-0.6, 1.2, noise(shape, rng, 2.2, finest=20))
    bold = veins(2.0, 0.10, 0.0) * presence
    fine = veins(1.6, 0.05, 211.0) * (0.25 + 0.75 * smoothstep(-0.4, 1.3, noise(shape, rng, 2.0, finest=20)))
    halo = veins(2.1, 0.35, 97.0)
    colour = ramp(
        0.62 + 0.30 * shade - 0.55 * halo,
        ((0, "#858c95"), (0.4, "#bfc3c6"), (0.7, "#e6e4e0"), (1, "#f4f1ec")),
    )
    colour = mix(colour, rgb("#6d747d"), 0.62 * fine)
    colour = mix(colour, rgb("#4a5058"), 0.88 * bold)
    gold = veins(1.9, 0.03, 333.0) * smoothstep(0.4, 1.6, noise(shape, rng, 2.2, finest=20))
    colour = mix(colour, rgb("#a9834f"), 0.6 * gold)
    crystal = noise(shape, rng, 0.5, finest=4)
    return colour * (0.97 + 0.022 * crystal)[..., None]
