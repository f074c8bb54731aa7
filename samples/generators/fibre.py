"""Grown and made textures: wood, cloth, grass and rusted paint."""

import numpy as np
from PIL import Image, ImageDraw

from generators.raster import Array, blur, grid, light_relief, mix, noise, ramp, rgb, sample, smoothstep

SIDE = 768  # textures are drawn at three times their size


def wood(rng: np.random.Generator) -> Array:
    """One oiled pine board, sawn tangentially: arching rings, two knots, pores."""
    shape = (SIDE, SIDE)
    y, x = grid(*shape)
    bend = 26 * noise(shape, rng, 2.0, finest=60, stretch=(3.5, 1.0)) + 2.2 * noise(
        shape, rng, 1.5, finest=8, stretch=(10, 1)
    )
    depth = (y - 250 + 60 * noise(shape, rng, 2.2, finest=90)) / 11.0
    across = x - 400 + bend
    knots = ((205.0, 210.0, 24.0), (590.0, 585.0, 17.0))
    lift = np.zeros(shape)
    core = np.zeros(shape)
    for ky, kx, size in knots:
        near = np.hypot((y - ky) / 1.6, x - kx) / size * np.exp(0.10 * noise(shape, rng, 1.8, finest=12))
        lift += 7.0 * np.exp(-((near / 1.25) ** 2)) + 2.2 * np.exp(-((near / 2.6) ** 2))
        core = np.maximum(core, smoothstep(1.02, 0.80, near))
    radius = np.hypot(across, depth * 4.2) / 21.0
    radius = (
        radius + 0.35 * noise(shape, rng, 1.8, finest=30, stretch=(6, 1)) + 0.5 * np.sin(0.9 * radius) + lift
    )
    phase = radius % 1.0
    late = phase**2.6 * smoothstep(1.0, 0.93, phase)
    year = np.floor(radius).astype(int) % 64
    late = late * rng.uniform(0.55, 1.1, 64)[year]
    fibre = noise(shape, rng, 0.45, finest=2.5, stretch=(26, 1))
    fine = noise(shape, rng, 0.2, finest=2.5, stretch=(9, 1))
    pores = smoothstep(1.5, 2.6, noise(shape, rng, 0.25, finest=3, stretch=(16, 1))) * (1 - core)
    tone = 0.30 + 0.62 * late + 0.055 * fibre + 0.03 * fine + 0.07 * noise(shape, rng, 2.0, finest=40)
    colour = ramp(
        tone, ((0, "#e0b27a"), (0.3, "#d09a5e"), (0.6, "#b0723c"), (0.85, "#87491f"), (1.1, "#643012"))
    )
    colour = mix(colour, colour * (0.46, 0.34, 0.30), core)
    ring = np.clip(4 * core * (1 - core), 0, 1)
    colour = mix(colour, rgb("#2e150a"), 0.7 * ring)
    colour = mix(colour, rgb("#5a3116"), 0.6 * pores)
    relief = -0.5 * late - 1.3 * pores + 0.10 * fibre - 0.5 * ring
    sheen = 0.05 * (1 + 0.3 * fibre)
    return 0.98 * light_relief(colour, blur(relief, 0.8), (-0.5, -0.25, 0.85), gloss=sheen, shine=16)


def weave(rng: np.random.Generator) -> Array:
    """Hand-loomed cloth: indigo weft over a cream warp, 16 x 16 yarns."""
    shape = (SIDE, SIDE)
    pitch = 48.0
    y, x = grid(*shape)
    y = y + 3.0 * noise(shape, rng, 2.0, finest=40)
    x = x + 3.0 * noise(shape, rng, 2.0, finest=40)
    row, column = np.floor(y / pitch).astype(int), np.floor(x / pitch).astype(int)
    v, u = y / pitch - row - 0.5, x / pitch - column - 0.5
    over = (row + column) % 2 == 0  # the weft lies on top

    def yarn(along: Array, across: Array, lane: Array, top: Array) -> tuple[Array, Array]:
        """Height in pixels and twist pattern of one set of yarns."""
        girth = rng.uniform(0.88, 1.04, 16)[lane % 16] * (0.43 + 0.035 * noise(shape, rng, 1.6, finest=10))
        swell = np.cos(np.pi * along) * np.where(top, 1.0, -1.0)
        body = np.sqrt(np.clip(1 - (across / girth) ** 2, 0, 1))
        ply = np.sin(2 * np.pi * (along * 1.6 + across * 1.7 + 0.25 * lane))
        return 15.0 * body + 9.0 * swell + 1.3 * ply * body - 14.0 * (np.abs(across) > girth), ply

    weft, weft_ply = yarn(u, v, row, over)
    warp, warp_ply = yarn(v, u, column, ~over)
    top = weft > warp
    hair_x = noise(shape, rng, 0.5, finest=3, stretch=(1, 7))
    hair_y = noise(shape, rng, 0.5, finest=3, stretch=(7, 1))
    relief = np.where(top, weft + 0.9 * hair_x, warp + 0.9 * hair_y)

    blues = ((0, "#1d2f57"), (0.5, "#34548c"), (1, "#6b8fc0"))
    creams = ((0, "#a98d68"), (0.5, "#d8c4a0"), (1, "#f0e4cc"))
    tint_row, tint_column = rng.uniform(-0.16, 0.16, 16)[row % 16], rng.uniform(-0.16, 0.16, 16)[column % 16]
    stripe = row % 16 == 5
    blue = ramp(0.46 + tint_row + 0.12 * hair_x + 0.10 * weft_ply, blues)
    red = ramp(
        0.46 + tint_row + 0.12 * hair_x + 0.10 * weft_ply, ((0, "#6d231c"), (0.5, "#ad4433"), (1, "#d9836b"))
    )
    cream = ramp(0.5 + tint_column + 0.12 * hair_y + 0.10 * warp_ply, creams)
    colour = np.where(top[..., None], np.where(stripe[..., None], red, blue), cream)
    colour = colour * (1 + 0.07 * noise(shape, rng, 1.5))[..., None]
    gap = smoothstep(2.0, -6.0, np.maximum(weft, warp))
    colour = mix(colour, rgb("#20180f"), gap)
    return 1.12 * light_relief(colour, blur(relief, 1.1), gloss=0.03, shine=8, cavity=12)


def grass(rng: np.random.Generator) -> Array:
    """A meadow seen from above: thousands of bent blades, the lowest in shade, a few dry ones."""
    sheet = Image.new("RGB", (SIDE, SIDE), (24, 30, 12))
    draw = ImageDraw.Draw(sheet)
    count = 5200
    place = rng.uniform(-60, SIDE + 60, (count, 2))
    tufts = noise((SIDE, SIDE), rng, 2.0, finest=60)
    t = np.linspace(0, 1, 9)
    for i, (px, py) in enumerate(place):
        level = i / count
        lean = 0.7 * tufts[int(py) % SIDE, int(px) % SIDE]
        angle = -np.pi / 2 + lean + rng.normal(0, 0.55)
        curl = rng.normal(0, 0.9)
        length, width = rng.uniform(70, 190) * (0.75 + 0.4 * level), rng.uniform(2.6, 6.5)
        heading = angle + curl * t
        xs = px + np.cumsum(np.cos(heading)) * length / 9
        ys = py + np.cumsum(np.sin(heading)) * length / 9
        girth = width * (1 - t) ** 0.7 * (0.6 + 0.4 * np.minimum(1, 4 * t))
        nx, ny = -np.sin(heading) * girth, np.cos(heading) * girth
        dry = rng.uniform() < 0.07
        hue = (
            np.array([176, 164, 92])
            if dry
            else np.array([88, 132, 38]) + rng.uniform(-26, 30) * np.array([1, 0.75, 0.3])
        )
        base = hue * (0.30 + 0.80 * level**0.8) * rng.uniform(0.8, 1.15)
        sides = ((1.0, 1.12 + 0.2 * np.cos(angle)), (-1.0, 0.84 - 0.2 * np.cos(angle)))
        for k in range(8):
            fade = 0.72 + 0.42 * t[k]
            for sign, lit in sides:
                tone = tuple(int(c) for c in np.clip(base * lit * fade, 0, 255))
                quad = [
                    (xs[k], ys[k]),
                    (xs[k + 1], ys[k + 1]),
                    (xs[k + 1] + sign * nx[k + 1], ys[k + 1] + sign * ny[k + 1]),
                    (xs[k] + sign * nx[k], ys[k] + sign * ny[k]),
                ]
                draw.polygon(quad, fill=tone)
    srgb = np.asarray(sheet) / 255
    light = srgb**2.2
    shade = 1 + 0.10 * noise((SIDE, SIDE), rng, 0.4, finest=4) + 0.10 * tufts
    return 1.15 * light * shade[..., None]


def rust(rng: np.random.Generator) -> Array:
    """Old sea-green paint that flakes off rusting steel."""
    shape = (SIDE, SIDE)
    y, x = grid(*shape)
    warp = 16 * noise(shape, rng, 1.7, finest=6)
    field = noise(shape, rng, 1.45, finest=5)
    ragged = sample(field, y + warp, x - warp) + 0.22 * noise(shape, rng, 0.8, finest=5)
    edge = ragged + 0.28
    paint = smoothstep(-0.02, 0.05, edge)
    curl = np.exp(-((np.clip(edge, 0, None) / 0.14) ** 2)) * paint
    crack = np.exp(
        -np.abs(sample(noise(shape, rng, 1.5, finest=8), y - warp, x + warp)) / 0.018
    ) * smoothstep(1.3, 0.1, edge)
    crack = crack * paint

    mottled = noise(shape, rng, 1.2, finest=5)
    crumbs = noise(shape, rng, 0.5, finest=4)
    scale = noise(shape, rng, 0.9, finest=9)
    iron = ramp(
        0.5 + 0.2 * mottled + 0.07 * crumbs,
        (
            (0, "#2c1a16"),
            (0.25, "#4f2718"),
            (0.5, "#83401d"),
            (0.72, "#a85d29"),
            (0.9, "#c98443"),
            (1, "#8a6a55"),
        ),
    )
    coat = ramp(0.5 + 0.18 * noise(shape, rng, 1.5), ((0, "#4d7f79"), (0.5, "#6fa39a"), (1, "#9cc3b6")))
    coat = coat * (1 + 0.03 * crumbs)[..., None]
    streak = noise(shape, rng, 1.2, finest=6, stretch=(7, 1))
    below = np.zeros(shape)  # stains run down from every bare spot
    for step in range(6, 150, 6):
        np.maximum(below, np.roll(1 - paint, step, 0) * np.exp(-step / 60), out=below)
    stain = np.clip(blur(below, 3) * (0.55 + 0.4 * streak), 0, 1) + 0.5 * np.exp(
        -np.clip(edge, 0, None) / 0.12
    )
    coat = mix(coat, rgb("#8f5a34"), np.clip(0.62 * stain, 0, 0.8))
    colour = mix(iron, coat, paint)
    colour = mix(colour, rgb("#3a2015"), 0.75 * crack)
    relief = (
        mix(1.5 * scale + 0.8 * crumbs, 7.0 + 4.5 * curl + 0.5 * mottled + 0.15 * crumbs, paint) - 3.0 * crack
    )
    return 1.12 * light_relief(colour, blur(relief, 0.9), gloss=0.05 * paint, shine=14, cavity=8)
