"""An oil painting: loaded brush strokes that follow a whirling flow."""

import numpy as np

from generators.raster import Array, blur, finish, grid, mix, noise, normals, ramp, rgb, smoothstep

SIDE = 1024
# centre (y, x), radius and turning sense, as fractions of the picture
VORTICES = (
    (0.27, 0.60, 0.19, 1.0),
    (0.42, 0.20, 0.13, -1.0),
    (0.14, 0.17, 0.085, 1.0),
    (0.47, 0.88, 0.085, -1.0),
)
MOON = (0.15, 0.86, 0.070)
STARS = ((0.07, 0.42), (0.21, 0.33), (0.34, 0.38), (0.055, 0.66), (0.30, 0.93), (0.52, 0.55), (0.30, 0.05))


def _hill(x: Array) -> tuple[Array, Array, Array]:
    """Heights (rows as fractions) of the far hill, the near hill and the field."""
    far = 0.63 - 0.06 * np.sin(5.0 * x + 0.6) - 0.03 * np.sin(11 * x)
    near = 0.70 + 0.05 * np.sin(4.2 * x + 2.4)
    field = 0.77 - 0.035 * np.sin(3.4 * x + 0.2)
    return far, near, field


def flow(y: Array, x: Array, rng: np.random.Generator) -> Array:
    """Stroke direction (H, W, 2) as unit (dy, dx). y, x: fractions of the picture."""
    wander = noise(y.shape, rng, 2.4, finest=90)
    dy, dx = np.gradient(wander)
    scale = np.hypot(dy, dx).mean()
    field = np.stack([0.45 * -dx / scale + 0.25 * np.sin(7 * x + 3 * y), 1.0 + 0.45 * dy / scale], axis=-1)
    lights = [(*MOON, 1.0), *((sy, sx, 0.028, 1.0) for sy, sx in STARS)]
    for cy, cx, radius, sense in (*VORTICES, *lights):
        ry, rx = y - cy, x - cx
        distance = np.hypot(ry, rx)
        pull = 5.0 * np.exp(-((distance / (1.25 * radius)) ** 2))
        spin = np.stack([rx, -ry], axis=-1) * -sense + 0.22 * np.stack([ry, rx], axis=-1)
        field = field + pull[..., None] * spin / (distance[..., None] + 0.01)
    far, _, field_edge = _hill(x)
    step = 1 / y.shape[1]
    for edge, low, high in ((far, 0.0, 0.02), (field_edge, 0.0, 0.02)):
        below = smoothstep(low, high, y - edge)
        along = np.stack([np.gradient(edge, axis=1) / step, np.ones_like(x)], axis=-1)
        field = mix(field, along, below[..., None])
    furrow = smoothstep(0.02, 0.08, y - field_edge)
    rows = np.stack([(y - 0.60) * 1.0, (x - 0.42) * 0.9], axis=-1)
    rows = rows * np.where(rows[..., :1] < 0, -1, 1)
    field = mix(field, rows / np.linalg.norm(rows, axis=-1, keepdims=True), furrow[..., None])
    return field / (np.linalg.norm(field, axis=-1, keepdims=True) + 1e-9)


def motif(y: Array, x: Array, rng: np.random.Generator) -> Array:
    """The colours the brush aims for (H, W, 3)."""
    drift = noise(y.shape, rng, 2.0, finest=30)
    tone = 0.40 + 0.30 * y + 0.13 * drift
    blues = ((0, "#0b1d55"), (0.3, "#173f9a"), (0.55, "#2c6fc0"), (0.8, "#6fb0d8"), (1, "#bfe0df"))
    for cy, cx, radius, sense in VORTICES:
        distance = np.hypot(y - cy, x - cx)
        turn = np.arctan2(y - cy, x - cx)
        arms = np.cos(2 * sense * turn + 15 * distance / radius**0.5 / 1.6)
        tone = tone + (0.34 * arms + 0.06) * np.exp(-((distance / (1.15 * radius)) ** 4))
    sky = ramp(tone, blues)
    for cy, cx, radius in (MOON, *((sy, sx, 0.017) for sy, sx in STARS)):
        distance = np.hypot(y - cy, x - cx) / radius
        halo = np.exp(-((distance / 2.1) ** 2)) * (0.78 + 0.22 * np.cos(5.2 * distance))
        sky = mix(sky, rgb("#f2c93a"), 0.85 * halo)
        sky = mix(sky, rgb("#fff3b4"), smoothstep(1.1, 0.7, distance))
        sky = mix(sky, rgb("#ee9a20"), 0.5 * np.exp(-(((distance - 0.9) / 0.28) ** 2)))
    far, near, field = _hill(x)
    body = 0.5 + 0.25 * drift
    colour = mix(
        sky,
        ramp(body + 0.2 * np.sin(60 * (y - far)), ((0, "#0f2350"), (0.6, "#27508e"), (1, "#4d86b4"))),
        y > far,
    )
    hill = ramp(body + 0.2 * np.sin(45 * (y - near)), ((0, "#0c2a3a"), (0.5, "#1c5a58"), (1, "#5a9a5a")))
    colour = mix(colour, hill, y > near)
    rows = np.sin(46 * np.arctan2(x - 0.42, np.abs(y - 0.60) + 0.02))
    wheat = ramp(
        0.55 + 0.3 * rows + 0.2 * drift, ((0, "#8a5a12"), (0.35, "#d09a1c"), (0.7, "#f2cc3c"), (1, "#fff0a0"))
    )
    return mix(colour, wheat, y > field)


def _path(field: Array, y: float, x: float, length: float, count: int) -> Array:
    """Points (count, 2) along the flow through (y, x)."""
    half = []
    for sense in (-1.0, 1.0):
        py, px = y, x
        points = []
        for _ in range(count // 2):
            iy, ix = min(max(int(py), 0), SIDE - 1), min(max(int(px), 0), SIDE - 1)
            py += sense * field[iy, ix, 0] * length / count
            px += sense * field[iy, ix, 1] * length / count
            points.append((py, px))
        half.append(points)
    return np.array([*half[0][::-1], (y, x), *half[1]])


def lay(
    canvas: Array, paint: Array, path: Array, width: float, colour: Array, rng: np.random.Generator
) -> None:
    """Drag one loaded brush along a path. canvas: (H, W, 3) colours, paint: (H, W) thickness; both change."""
    margin = int(width) + 3
    top, left = np.maximum(np.floor(path.min(0)).astype(int) - margin, 0)
    bottom, right = np.minimum(np.ceil(path.max(0)).astype(int) + margin, SIDE)
    if bottom <= top or right <= left:
        return
    y, x = np.mgrid[top:bottom, left:right] + 0.5
    start, step = path[:-1], np.diff(path, axis=0)
    square = (step**2).sum(1) + 1e-9
    ry, rx = y[..., None] - start[:, 0], x[..., None] - start[:, 1]
    t = np.clip((ry * step[:, 0] + rx * step[:, 1]) / square, 0, 1)
    gap = (ry - t * step[:, 0]) ** 2 + (rx - t * step[:, 1]) ** 2
    k = gap.argmin(-1)[..., None]
    pick = [np.take_along_axis(a, k, -1)[..., 0] for a in (gap, t, rx, ry)]
    k = k[..., 0]
    side = np.sign(step[k, 0] * pick[2] - step[k, 1] * pick[3])
    across = side * np.sqrt(pick[0]) / width
    along = (k + pick[1]) / len(start)

    hairs = np.convolve(rng.standard_normal(40), (0.25, 0.5, 0.25), "same")
    lane = np.clip((across + 1) * 19.5, 0, 38.99)
    wobble = np.clip(lane + 0.9 * np.sin(5 * along + rng.uniform(0, 6)), 0, 38.99)
    low = wobble.astype(int)
    hair = hairs[low] + (hairs[low + 1] - hairs[low]) * (wobble - low)
    lift = 0.88 + 0.10 * hairs[::-1][low]  # every hair leaves the canvas at its own moment
    edge = smoothstep(1.0, 0.84, np.abs(across) + 0.07 * hair)
    body = edge * smoothstep(lift, lift - 0.10, along) * smoothstep(0.0, 0.05, along + 0.02 * hair)
    dry = smoothstep(-1.5, -0.5, hair + 1.3 * (1.1 - along))
    cover = 0.95 * body * (0.35 + 0.65 * dry)
    pile = (
        0.62
        + 0.34 * hair
        + 0.55 * np.exp(-(((np.abs(across) - 0.8) / 0.16) ** 2))
        + 0.5 * smoothstep(0.7, 0.9, along)
    )
    part = np.s_[top:bottom, left:right]
    canvas[part] = mix(canvas[part], colour * (1 + 0.13 * hair)[..., None], cover)
    paint[part] = mix(paint[part], 0.45 * paint[part] + 0.30 * width**0.75 * pile, cover)


def swirl(rng: np.random.Generator) -> Array:
    """The painting (1024, 1024, 3), linear light."""
    y, x = grid(SIDE, SIDE)
    field = flow(y / SIDE, x / SIDE, rng)
    aim = motif(y / SIDE, x / SIDE, rng)
    canvas = np.broadcast_to(rgb("#23386b"), aim.shape).copy()
    paint = np.zeros((SIDE, SIDE))
    # spacing, width and length in pixels; the last layers only go where there is detail to keep
    for spacing, width, length, keen in (
        (34, 19, 170, 0.0),
        (21, 11.5, 120, 0.0),
        (14, 7.0, 80, 0.25),
        (10, 4.4, 46, 0.55),
    ):
        soft = blur(aim, spacing / 5, wrap=False)
        detail = blur(np.abs(aim - blur(aim, 16, wrap=False)).sum(-1), 6, wrap=False)
        wanted = detail > np.quantile(detail, keen)
        spots = np.stack(np.mgrid[0:SIDE:spacing, 0:SIDE:spacing], axis=-1).reshape(-1, 2)
        spots = spots + rng.uniform(0, spacing, spots.shape)
        for py, px in rng.permutation(spots):
            iy, ix = min(int(py), SIDE - 1), min(int(px), SIDE - 1)
            if not wanted[iy, ix]:
                continue
            jitter = np.exp(rng.normal(0, 0.13) + rng.normal(0, 0.09, 3))
            reach = length * rng.uniform(0.6, 1.25)
            lay(
                canvas,
                paint,
                _path(field, py, px, reach, 10 if width > 9 else 6),
                width * rng.uniform(0.7, 1.2),
                soft[iy, ix] * jitter,
                rng,
            )
    weave = np.sin(x * 1.05) * np.sin(y * 1.05)
    relief = blur(paint, 0.9) + 0.05 * weave
    normal = normals(relief * 1.25)
    lamp = np.array([-0.5, -0.62, 0.60]) / np.linalg.norm([-0.5, -0.62, 0.60])
    shade = np.clip(normal @ lamp, 0, 1) / lamp[2]
    half = lamp + np.array([0, 0, 1.0])
    spark = np.clip(normal @ (half / np.linalg.norm(half)), 0, 1) ** 42
    lit = canvas * (0.36 + 0.66 * shade)[..., None] + 0.055 * spark[..., None]
    return finish(1.10 * lit, rng, glow=0.0, grain=0.002)
