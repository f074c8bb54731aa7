"""A woodcut: cut lines that follow the fall of the mountains, one red block for the sun."""

import numpy as np
from PIL import Image, ImageDraw

from generators.mountains import alps
from generators.raster import Array, blur, finish, grid, mix, noise, rgb, smoothstep
from generators.terrain import Camera

SIDE = 1536
SUN = (0.235, 0.66, 0.115)


def subject(rng: np.random.Generator) -> tuple[Array, Array]:
    """What is to be cut: tone (H, W), 0 black to 1 paper, and line direction (H, W, 2) as (dy, dx)."""
    world = alps(rng, size=1024)
    camera = Camera((SIDE, SIDE), 1.02 * SIDE, 0.66 * SIDE, 40.0)
    up, right = camera.rays()
    depth = camera.depth(world)
    land = np.isfinite(depth)
    ahead = np.where(land, depth, 1.0)
    normal = blur(world.normals(), 2.6)
    shade = 0.7 * blur(world.sunlight(np.array([0.72, -0.35, 0.60])), 1.2)
    seen = world.look_up(normal, ahead, ahead * right)
    tone = world.look_up(shade, ahead, ahead * right) * 1.15 + 0.02
    tone = mix(tone, 0.85, 1 - np.exp(-ahead / 30000))
    low = world.look_up(world.height, ahead, ahead * right)
    tone = tone - 0.35 * smoothstep(260, 40, low)
    # the way a stone would roll, projected on the picture
    down = seen[..., 0] ** 2 + seen[..., 1] ** 2
    direction = np.stack([down + 0.02, (seen[..., 0] - right * seen[..., 1]) * seen[..., 2]], axis=-1)

    y, x = grid(SIDE, SIDE)
    y, x = y / SIDE, x / SIDE
    sun = np.hypot(y - SUN[0], x - SUN[1])
    drift = noise((SIDE, SIDE), rng, 2.3, finest=60, stretch=(0.8, 2.6))
    gy, gx = np.gradient(drift)
    scale = np.abs(gy).mean() * 2.2
    clouds = smoothstep(0.1, 1.1, drift)
    halo = smoothstep(0.34, 0.12, sun)
    sky = 0.40 + 0.52 * halo + 0.50 * clouds * (1 - 0.5 * halo) - 0.20 * smoothstep(0.2, -0.9, drift)
    wind = np.stack([-gx / scale, 1.0 + gy / scale], axis=-1)
    tone = np.where(land, tone, sky)
    direction = np.where(land[..., None], direction, wind)

    distance = camera.height / np.maximum(-up, 1e-4)
    wet = (up < 0) & (distance < np.where(land, depth, 1e9) + 1e-6)
    mirror = np.clip(2 * camera.horizon - np.mgrid[0:SIDE, 0:SIDE][0], 0, SIDE - 1).astype(int)
    wave = noise((SIDE, SIDE), rng, 1.3, finest=14, stretch=(1, 7))
    column = np.clip(np.mgrid[0:SIDE, 0:SIDE][1] + 9 * wave, 0, SIDE - 1).astype(int)
    water = 0.16 + 0.62 * blur(tone, 7, wrap=False)[mirror, column] + 0.26 * wave
    water = water + 0.6 * np.exp(-(((x - SUN[1]) / 0.05) ** 2)) * smoothstep(-0.4, 0.8, wave)
    tone = np.where(wet, water, tone)
    direction = np.where(wet[..., None], np.stack([0.05 * wave, np.ones_like(wave)], axis=-1), direction)
    direction = blur(direction, 2.5, wrap=False)
    direction = direction / (np.linalg.norm(direction, axis=-1, keepdims=True) + 1e-9)
    return np.clip(blur(tone, 1.5, wrap=False), 0, 1), direction


def _follow(
    tone: Array,
    direction: Array,
    taken: Array,
    start: tuple[float, float],
    gap: float,
    turn: float,
    pale: float,
) -> list[tuple[float, float]]:
    """A line both ways from start until it meets another line, the light, or its longest length."""
    cos, sin = np.cos(turn), np.sin(turn)
    halves = []
    for sense in (-1.0, 1.0):
        y, x = start
        py, px = 0.0, 0.0
        points: list[tuple[float, float]] = []
        for _ in range(70):
            dy, dx = direction[int(y), int(x)]
            dy, dx = dy * cos + dx * sin, dx * cos - dy * sin
            flip = sense if not points else (1.0 if dy * py + dx * px > 0 else -1.0)
            py, px = dy * flip, dx * flip
            y, x = y + 5.0 * py, x + 5.0 * px
            if not (2 <= y < SIDE - 2 and 2 <= x < SIDE - 2) or tone[int(y), int(x)] > pale:
                break
            reach = max(1, int(gap * (0.35 + 0.9 * tone[int(y), int(x)]) / 3))
            cy, cx = int(y) // 3, int(x) // 3
            if taken[max(cy - reach, 0) : cy + reach + 1, max(cx - reach, 0) : cx + reach + 1].any():
                break
            points.append((y, x))
        halves.append(points)
    return [*halves[0][::-1], start, *halves[1]]


def hatch(
    draw: ImageDraw.ImageDraw,
    tone: Array,
    direction: Array,
    rng: np.random.Generator,
    gap: float,
    turn: float = 0.0,
    pale: float = 0.94,
) -> None:
    """Cut one set of lines. gap: distance between lines in dark places, pale: tone left untouched."""
    taken = np.zeros((SIDE // 3 + 1, SIDE // 3 + 1), bool)
    spots = np.stack(np.mgrid[4 : SIDE - 4 : gap * 0.8, 4 : SIDE - 4 : gap * 0.8], axis=-1).reshape(-1, 2)
    spots = np.clip(spots + rng.uniform(-gap, gap, spots.shape), 3, SIDE - 4)
    for y, x in rng.permutation(spots):
        here = tone[int(y), int(x)]
        reach = max(1, int(gap * (0.45 + 1.1 * here) / 3))
        cy, cx = int(y) // 3, int(x) // 3
        if (
            here > pale
            or taken[max(cy - reach, 0) : cy + reach + 1, max(cx - reach, 0) : cx + reach + 1].any()
        ):
            continue
        line = np.array(_follow(tone, direction, taken, (float(y), float(x)), gap, turn, pale))
        if len(line) < 4:
            continue
        for py, px in line:
            taken[int(py) // 3, int(px) // 3] = True
        rows, columns = line.astype(int).T
        dark = 1 - tone[rows, columns] / pale
        t = np.linspace(0, 1, len(line))
        taper = np.minimum(1, 4.5 * np.minimum(t + 0.03, 1.03 - t))
        girth = gap * (0.10 + 0.52 * dark) * taper * np.exp(rng.normal(0, 0.10, len(line)))
        step = np.gradient(line, axis=0)
        across = np.stack([step[:, 1], -step[:, 0]], axis=-1) / (np.hypot(*step.T)[:, None] + 1e-9)
        outline = np.vstack([line + across * girth[:, None], (line - across * girth[:, None])[::-1]])
        draw.polygon([(px, py) for py, px in outline], fill=255)


def ink(rng: np.random.Generator) -> Array:
    """The print (1536, 1536, 3), linear light."""
    tone, direction = subject(rng)
    sheet = Image.new("L", (SIDE, SIDE))
    draw = ImageDraw.Draw(sheet)
    hatch(draw, tone, direction, rng, 11.0)
    hatch(draw, tone, direction, rng, 13.0, turn=0.95, pale=0.34)
    hatch(draw, tone, direction, rng, 11.0, turn=-0.5, pale=0.16)
    shape = (SIDE, SIDE)
    lines = blur(np.asarray(sheet) / 255.0, 1.3, wrap=False)
    tooth = noise(shape, rng, 0.7, finest=5)
    printed = smoothstep(0.34, 0.60, lines + 0.05 * tooth)
    printed = printed * (1 - 0.5 * smoothstep(1.9, 2.8, tooth + 0.5 * noise(shape, rng, 1.6)))
    fibres = noise(shape, rng, 0.6, finest=4, stretch=(1, 9)) + noise(
        shape, rng, 0.6, finest=4, stretch=(9, 1)
    )
    paper = rgb("#f4ead2") * np.exp(0.010 * fibres + 0.035 * noise(shape, rng, 2.0, finest=20))[..., None]
    y, x = grid(*shape)
    disc = np.hypot(y / SIDE - SUN[0], x / SIDE - SUN[1]) + 0.0012 * noise(shape, rng, 1.2, finest=8)
    block = smoothstep(SUN[2] + 0.0012, SUN[2] - 0.0012, disc) * np.clip(0.92 + 0.05 * tooth, 0, 1)
    paper = paper * mix(np.ones(3), rgb("#e2452c"), block)
    return finish(
        mix(paper, rgb("#1b1a22") * (1 + 0.2 * tooth)[..., None], 0.95 * printed), rng, glow=0.0, grain=0.002
    )
