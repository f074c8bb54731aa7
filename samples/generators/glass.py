"""A stained-glass window: a whirling sun over hills and water, leaded."""

import numpy as np

from generators.raster import Array, blur, finish, grid, light_relief, mix, noise, ramp, rgb, smoothstep

SIDE = 1024


def _draw_cells(rng: np.random.Generator) -> tuple[Array, Array]:
    """Pane number and aimed colour position of every pixel: ids (H, W) and colours (H, W, 3)."""
    y, x = grid(SIDE, SIDE)
    sway = 7 * noise((SIDE, SIDE), rng, 2.4, finest=60)
    y, x = (y + sway) / SIDE, (x - sway) / SIDE
    cy, cx = 0.36, 0.56
    radius = np.hypot(y - cy, x - cx)
    turn = np.arctan2(y - cy, x - cx) / (2 * np.pi) + 0.5
    ring = np.log(np.maximum(radius, 0.02) / 0.095) / 0.36
    whirl = turn + 0.055 * ring * np.sign(ring)
    phase = whirl * 16
    # the border between two rings waves, so that panes end like petals
    bent = np.floor(ring - 0.26 * np.cos(2 * np.pi * phase)).astype(int)
    spoke = np.floor(phase + 0.5 * (bent % 2)).astype(int) % 16
    sky = 1000 + np.clip(bent, 0, 12) * 64 + spoke
    core = radius < 0.095
    face = 10 + (1 + np.floor(turn * 6).astype(int) % 6) * (radius > 0.045)
    ids = np.where(core, face, sky)
    fire = ("#ffd93a", "#ffb01e", "#ff7a1a", "#e83a24", "#b81f4a", "#6a2a96", "#3046b8", "#1a6ad0", "#123f9a")
    table = np.stack([rgb(c) for c in fire])
    colour = np.where(core[..., None], rgb("#fff0a0"), table[np.clip(bent, 0, 8)])
    other = np.stack(
        [
            rgb(c)
            for c in (
                "#fff08a",
                "#ff9a1e",
                "#ffc21e",
                "#f0602a",
                "#e03a6a",
                "#8a3ab8",
                "#2a7ad8",
                "#35a5e0",
                "#2050b0",
            )
        ]
    )
    colour = np.where(((spoke % 4 == 1) & ~core)[..., None], other[np.clip(bent, 0, 8)], colour)

    bands = (
        (0.66 - 0.07 * np.sin(5.2 * x + 0.7), 5.0, ("#1f7a4a", "#4fae3c", "#2f9a6a"), 0.5),
        (0.75 + 0.05 * np.sin(5.0 * x - 0.6), 6.0, ("#8cc43a", "#d0d83a", "#5ca832"), -0.6),
        (0.835 - 0.03 * np.sin(7.5 * x + 2.0), 7.0, ("#14a0b8", "#1a6fc0", "#49c8d0"), 1.1),
        (0.895 + 0.022 * np.sin(10 * x), 6.0, ("#1450a8", "#2a8ad8", "#0f3a86"), -1.2),
        (0.95 + 0.018 * np.sin(12 * x + 1), 5.0, ("#0f2f78", "#1f66c0", "#123f9a"), 1.0),
    )
    for number, (edge, panes, tones, lean) in enumerate(bands):
        inside = y > edge
        bow = 0.35 * np.sin(9 * (y - edge) * np.pi)
        pane = np.floor(x * 1.5 * panes + lean * (y - edge) * panes + bow + 0.37 * number).astype(int)
        ids = np.where(inside, 5000 + 100 * number + pane, ids)
        shades = np.stack([rgb(c) for c in tones])
        colour = np.where(inside[..., None], shades[pane % 3], colour)
    return ids, colour


def mosaic(rng: np.random.Generator) -> Array:
    """The window (1024, 1024, 3), linear light."""
    shape = (SIDE, SIDE)
    ids, colour = _draw_cells(rng)
    edge = (ids != np.roll(ids, 1, 0)) | (ids != np.roll(ids, 1, 1))
    edge[0], edge[:, 0] = False, False
    near = blur(edge.astype(float), 3.6, wrap=False)
    lead = smoothstep(0.040, 0.070, near + 0.006 * noise(shape, rng, 1.0, finest=10))
    joints = blur(edge.astype(float), 9.0, wrap=False)

    pick = ids % 8192
    tone = np.exp(rng.normal(0, 0.20, 8192))[pick]
    hue = np.exp(rng.normal(0, 0.10, (8192, 3)))[pick]
    angle = rng.uniform(0, np.pi, 8192)[pick]
    level = noise(shape, rng, 1.9, finest=10, stretch=(4, 1))
    upright = noise(shape, rng, 1.9, finest=10, stretch=(1, 4))
    streak = np.cos(angle) * level + np.sin(angle) * upright
    seeds = smoothstep(2.7, 3.3, noise(shape, rng, 0.5, finest=6))
    ripple = noise(shape, rng, 1.3, finest=9)
    y, x = grid(*shape)
    sun = np.hypot(y / SIDE - 0.36, x / SIDE - 0.56)
    behind = 0.72 + 0.75 * np.exp(-((sun / 0.34) ** 2)) + 0.10 * noise(shape, rng, 2.2, finest=80)
    glass = colour * hue * (tone * behind)[..., None]
    glass = glass * np.exp(0.20 * streak + 0.07 * ripple)[..., None]
    pale = smoothstep(1.0, 2.6, streak)
    glass = mix(glass, glass**0.7, 0.5 * pale)
    glass = glass + 0.10 * seeds[..., None]
    grime = smoothstep(0.004, 0.05, joints) * (0.55 + 0.25 * ripple)
    glass = glass * (1 - 0.62 * np.clip(grime, 0, 1))[..., None]
    surface = light_relief(np.ones((*shape, 3)) * 0.5, 2.0 * ripple + 0.6 * streak, cavity=8)
    glass = glass * (0.70 + 0.45 * surface)

    came = 9.0 * np.sqrt(np.clip(near / 0.13, 0, 1)) + 0.25 * noise(shape, rng, 0.8, finest=5)
    metal = ramp(
        0.5 + 0.25 * noise(shape, rng, 1.0, finest=4), ((0, "#121315"), (0.6, "#26272a"), (1, "#3d3c3a"))
    )
    metal = light_relief(metal, came, gloss=0.22, shine=14)
    picture = mix(glass, metal, lead)
    shine = blur(np.clip(picture - 0.35, 0, 2), 14, wrap=False)
    return finish(picture * 1.06 + 0.12 * shine, rng, glow=0.05, grain=0.003)
