"""Fruit-like balls, a mirror ball and a wooden box on a table by a window."""

import numpy as np

from generators.raster import Array, filmic, finish, grid, mix, noise, ramp, rgb, sample, smoothstep
from generators.tracer import Block, Bump, Paint, Skin, Sphere, Stage, Table, studio, trace, unit


def _plain(code: str) -> Paint:
    return lambda p: np.broadcast_to(rgb(code), p.shape)


def _wood(rng: np.random.Generator, dark: str, light: str, along: int, scale: float) -> Paint:
    """Grain that runs along one axis (0, 1, 2)."""
    rings = noise((512, 512), rng, 1.5, finest=3, stretch=(9, 1))
    fibre = noise((512, 512), rng, 0.5, finest=2, stretch=(24, 1))

    def paint(p: Array) -> Array:
        q, across = p[:, along] * scale, (p.sum(1) - p[:, along]) * scale
        tone = (
            0.5
            + 0.20 * np.sin(9 * sample(rings, 60 * q, 60 * across))
            + 0.10 * sample(fibre, 150 * q, 150 * across)
        )
        return ramp(tone, ((0, dark), (1, light)))

    return paint


def _boards(rng: np.random.Generator) -> Paint:
    """Table boards along x with dark joints."""
    grain = _wood(rng, "#5a3218", "#c08a50", 0, 1.0)
    tint = rng.uniform(0.72, 1.15, 64)

    def paint(p: Array) -> Array:
        lane = np.floor(p[:, 2] / 0.8)
        inside = np.abs(p[:, 2] / 0.8 - lane - 0.5)
        moved = p + np.stack([5.3 * lane, 0 * lane, 1.7 * lane], axis=-1)
        colour = grain(moved) * tint[lane.astype(int) % 64][:, None]
        return mix(colour, rgb("#140a05"), 0.85 * smoothstep(0.483, 0.494, inside))

    return paint


def _stripes(centre: tuple[float, float, float], radius: float) -> Paint:
    """A glazed ball with bands around a tilted axis."""
    axis = np.array([0.42, 0.86, -0.28])

    def paint(p: Array) -> Array:
        at = (p - np.array(centre)) @ (axis / np.linalg.norm(axis)) / radius
        band = smoothstep(-0.06, 0.06, np.cos(at * 11.5))
        colour = mix(rgb("#f3ead6"), rgb("#1d5fa8"), band)
        return mix(colour, rgb("#e2a72e"), smoothstep(0.075, 0.055, np.abs(at)))

    return paint


def _pores(rng: np.random.Generator, depth: float, density: float) -> Bump:
    """Orange peel."""
    field = noise((512, 512), rng, 0.7, finest=9)
    fy, fx = np.gradient(np.minimum(field, 0.3))

    def bump(p: Array, n: Array) -> Array:
        u, v = p[:, 0] * density + p[:, 2] * 0.6 * density, p[:, 1] * density + p[:, 2] * 0.5 * density
        return unit(n + depth * np.stack([sample(fx, v, u), sample(fy, v, u), 0 * u], axis=-1))

    return bump


def _peel(rng: np.random.Generator, stops: tuple[tuple[float, str], ...], density: float) -> Paint:
    field = noise((512, 512), rng, 1.1, finest=3)

    def paint(p: Array) -> Array:
        return ramp(0.5 + 0.2 * sample(field, p[:, 1] * density + p[:, 2] * 40, p[:, 0] * density), stops)

    return paint


def _plaster(rng: np.random.Generator) -> Paint:
    field = noise((512, 512), rng, 1.5, finest=3)

    def paint(p: Array) -> Array:
        tone = 0.5 + 0.16 * sample(field, 60 * p[:, 1], 60 * p[:, 0])
        return ramp(tone, ((0, "#3f5b66"), (0.5, "#5d7f88"), (1, "#7d9ca0")))

    return paint


def stage(rng: np.random.Generator) -> Stage:
    """The table and everything on it."""
    ball = (-0.20, 0.62, 0.35)
    orange_skin = ((0, "#d9660c"), (0.5, "#ee8a16"), (1, "#f6a63a"))
    orange = Skin(_peel(rng, orange_skin, 220), 0.04, 0.16, bump=_pores(rng, 0.55, 420))
    lemon = Skin(_peel(rng, ((0, "#d9b512"), (1, "#f6dc4c")), 200), 0.04, 0.14, bump=_pores(rng, 0.45, 480))
    apple = Skin(
        _peel(rng, ((0, "#7d0d12"), (0.5, "#b31a1c"), (0.9, "#d8622c"), (1, "#dba04a")), 26), 0.05, 0.03
    )
    box = Block(
        (1.18, 0.62, 0.95),
        (0.58, 0.62, 0.58),
        0.52,
        Skin(_wood(rng, "#8a5a2c", "#dcb27a", 1, 0.8), 0.03, 0.22),
    )
    solids = (
        Table(Skin(_boards(rng), 0.05, 0.09)),
        Sphere(ball, 0.62, Skin(_stripes(ball, 0.62), 0.06, 0.012)),
        Sphere((1.12, 1.70, 0.92), 0.46, Skin(_plain("#e9e4da"), 0.9, 0.004, metal=True)),
        box,
        Sphere((-1.32, 0.42, -0.18), 0.42, orange),
        Sphere((-1.62, 0.40, 0.72), 0.40, orange),
        Sphere((0.52, 0.33, -0.72), 0.33, apple),
        Sphere((-0.60, 0.27, -0.98), 0.27, lemon),
        Sphere((1.38, 0.24, -0.55), 0.24, Skin(_plain("#e0b25a"), 0.9, 0.07, metal=True)),
        Sphere((-0.98, 0.36, 1.55), 0.36, Skin(_plain("#2f7a4f"), 0.05, 0.02)),
        Block((0.0, 2.0, 4.4), (9.0, 4.0, 0.3), 0.0, Skin(_plaster(rng), 0.02, 0.3)),
    )
    corner, sides = np.array([-5.2, 2.2, -2.2]), (np.array([0.7, 0.0, 3.0]), np.array([0.6, 2.6, -0.3]))
    return Stage(solids, corner, sides, np.array([17.0, 15.0, 12.2]), studio)


def still_life(rng: np.random.Generator, height: int = 480, width: int = 640, paths: int = 81) -> Array:
    """The photograph (H, W, 3), linear light, with a shallow depth of field."""
    scene = stage(rng)
    eye, target = np.array([-0.15, 2.15, -5.6]), np.array([0.05, 0.62, 0.35])
    ahead = unit(target - eye)
    right = unit(np.cross(np.array([0.0, 1.0, 0.0]), ahead))
    up = np.cross(ahead, right)
    focus, aperture, focal = 5.75, 0.035, 2.35
    y, x = grid(height, width)
    picture = np.zeros((height * width, 3))
    side = round(paths**0.5)
    order = rng.permutation(side * side)
    for band in np.array_split(np.arange(height * width), max(1, height * width // 12000)):
        for k in range(side * side):
            jitter = rng.uniform(size=(2, len(band)))
            py = (height / 2 - (y.flat[band] - 0.5 + (k // side + jitter[0]) / side)) / width * 2
            px = ((x.flat[band] - 0.5 + (k % side + jitter[1]) / side) - width / 2) / width * 2
            direction = focal * ahead + px[:, None] * right + py[:, None] * up
            disc = rng.standard_normal((2, len(band))) * aperture * 0.5
            lens = disc[0][:, None] * right + disc[1][:, None] * up
            ray = unit(direction / focal * focus - lens)
            cell = order[k]
            part = (cell // side / side, cell % side / side, 1 / side)
            picture[band] += np.minimum(trace(scene, eye + lens, ray, part, rng), 8.0)
    picture = (picture / side**2).reshape(height, width, 3)
    return finish(filmic(picture**1.1, 2.0), rng, grain=0.003)
