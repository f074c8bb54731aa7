"""Hot-air balloons over misty farmland at sunrise."""

from dataclasses import dataclass

import numpy as np

from generators.mountains import view
from generators.raster import Array, blur, filmic, finish, grid, mix, noise, ramp, rgb, smoothstep
from generators.sky import Air
from generators.terrain import Camera, World, eroded, perlin

SUNRISE = Air(
    gradient=((0.0, "#ffe3cc"), (0.07, "#f6d8cc"), (0.17, "#cfd3e2"), (0.34, "#7fb0e4"), (0.6, "#3a7cc8")),
    sun_azimuth=-1.85,
    sun_elevation=0.34,
    sun_colour="#ffd596",
    sun_power=4.2,
    glow=0.55,
    cloud_light="#fff0dc",
    cloud_shade="#b7c2d8",
    cover=0.45,
    haze_m=15000.0,
    haze_top_m=210.0,
)


def _fields(world: World, rng: np.random.Generator) -> Array:
    """Patchwork of crops with hedges and copses (N, N, 3)."""
    z, x = world.positions()
    shape = world.height.shape
    z = z + 90 * noise(shape, rng, 2.0, finest=8)
    x = x + 90 * noise(shape, rng, 2.0, finest=8)
    near, second = np.full(shape, np.inf), np.full(shape, np.inf)
    index = np.zeros(shape, int)
    points = rng.uniform((0, -world.side / 2), (world.side, world.side / 2), (1500, 2))
    points = points[np.abs(points[:, 1]) < 700 + 0.62 * points[:, 0]]
    reach = 110  # grid points; no field is wider
    for i, (pz, px) in enumerate(points):
        row, column = int(pz / world.step), int((px + world.side / 2) / world.step)
        part = np.s_[max(row - reach, 0) : row + reach, max(column - reach, 0) : column + reach]
        dz, dx = z[part] - pz, x[part] - px
        d = np.maximum(np.abs(dz + 0.4 * dx), np.abs(dx - 0.4 * dz))
        closer = d < near[part]
        second[part] = np.where(closer, near[part], np.minimum(second[part], d))
        near[part] = np.where(closer, d, near[part])
        index[part][closer] = i
    second = np.minimum(second, 1e6)
    near = np.minimum(near, 1e6)
    crops = np.stack(
        [rgb(c) for c in ("#6f8a35", "#93a045", "#c2ab55", "#58762f", "#7f6a3c", "#a9ad4e", "#4c6b2c")]
    )
    count = len(points)
    colour = (crops[rng.integers(0, len(crops), count)] * rng.uniform(0.8, 1.2, (count, 1)))[index]
    turn = rng.uniform(0, np.pi, count)[index]
    furrow = np.sin((z * np.cos(turn) + x * np.sin(turn)) / 5.5)
    colour = colour * (1 + 0.10 * furrow + 0.10 * noise(shape, rng, 1.0, finest=2))[..., None]
    copse = noise(shape, rng, 1.4, finest=4) + 0.5 * noise(shape, rng, 0.5, finest=2)
    trees = np.maximum(
        smoothstep(16, 7, second - near + 5 * noise(shape, rng, 0.6, finest=2)), smoothstep(1.3, 1.5, copse)
    )
    leaf = ramp(0.5 + 0.25 * noise(shape, rng, 0.4, finest=2), ((0, "#1c2c14"), (1, "#4d6427")))
    world.height[...] += 11 * trees * (1 + 0.3 * noise(shape, rng, 0.3, finest=2))
    return mix(colour, leaf, trees)


@dataclass(frozen=True)
class Balloon:
    """One balloon: centre as fractions of the picture, radius as a fraction of its width."""

    x: float
    y: float
    radius: float
    colours: tuple[str, ...]
    pattern: str
    gores: int
    spin: float
    metres: float


FLEET = (
    Balloon(0.625, 0.50, 0.020, ("#f2c230", "#d8402e"), "stripes", 12, 0.2, 5200),
    Balloon(0.075, 0.545, 0.017, ("#e8e2d2", "#356ca8"), "bands", 12, 0.4, 5600),
    Balloon(0.455, 0.405, 0.029, ("#2f8f83", "#f4ead2"), "spiral", 14, 0.1, 3600),
    Balloon(0.925, 0.47, 0.036, ("#8a3f92", "#f0b53a", "#f4ead2"), "zigzag", 14, 0.3, 2900),
    Balloon(0.185, 0.345, 0.058, ("#f4ead2", "#d03a32"), "zigzag", 16, 0.5, 1700),
    Balloon(0.755, 0.215, 0.076, ("#1f5fb4", "#f2c230", "#f4ead2"), "spiral", 18, 0.15, 1200),
    Balloon(
        0.415,
        0.285,
        0.132,
        ("#d8322c", "#f28a1e", "#f7d038", "#3f9a4a", "#2a62b8", "#6b3a96"),
        "stripes",
        24,
        0.06,
        520,
    ),
)


def _dye(balloon: Balloon, turn: Array, height: Array) -> Array:
    """Cloth colours. turn: longitude in gores, height: -1.35 (mouth) .. 1 (crown)."""
    patterns = {
        "stripes": np.floor(turn),
        "bands": np.floor(height * 4.5 + 40),
        "spiral": np.floor(turn / 2 + 2.2 * height + 40),
        "zigzag": np.floor(height * 4.2 + 1.1 * np.abs(turn % 2 - 1) + 40),
    }
    table = np.stack([rgb(c) for c in balloon.colours])
    colour = table[patterns[balloon.pattern].astype(int) % len(table)]
    rim = (height > 0.93) | (height < -1.12)
    return np.where(rim[..., None], table[0] * 0.8, colour)


def fly(picture: Array, balloon: Balloon, air: Air) -> Array:
    """Paint one balloon into the picture (H, W, 3)."""
    height, width = picture.shape[:2]
    y, x = grid(height, width)
    size = balloon.radius * width
    u, v = (x - balloon.x * width) / size, (balloon.y * height - y) / size
    below = np.clip(-v / 1.38, 0, 1)
    profile = np.where(
        v > 0,
        np.sqrt(np.clip(1 - v**2, 0, 1)),
        np.sqrt(np.clip(1 - below**2, 0, 1)) * (1 - 0.36 * below**1.5),
    )
    profile = np.where(v < -1.24, 0, profile)
    slope = np.where(v > 0, v, 0.62 * v)
    across = np.clip(u / np.maximum(profile, 1e-3), -1, 1)
    cover = smoothstep(1.0, -1.0, (np.abs(u) - profile) * size / 1.2) * (v < 1) * (v > -1.24)
    facing = np.sqrt(1 - across**2)
    turn = (np.arcsin(across) / np.pi + balloon.spin) * balloon.gores
    sag = v + 0.13 * facing * profile  # seen from a little below
    colour = _dye(balloon, turn, sag)
    level = np.sqrt(np.clip(1 - slope**2, 0, 1))
    bulge = 0.36 * ((turn % 1) - 0.5)
    lean = across * np.cos(bulge) + facing * np.sin(bulge)
    normal = np.stack([lean * level, -facing * level, slope], axis=-1)
    toward = normal @ air.sun
    sun = np.clip(0.14 + 0.86 * toward, 0, 1) ** 1.1
    glow_through = 0.16 * np.clip(-toward, 0, 1)
    fill = (
        rgb("#a9c0e6") * (0.26 + 0.16 * slope)[..., None]
        + rgb("#d9b27a") * (0.12 * np.clip(-slope, 0, 1))[..., None]
    )
    seam = 1 - 0.28 * smoothstep(0.07, 0.0, np.abs((turn % 1) - 0.5) * -1 + 0.5)
    half = air.sun + np.array([0.0, -1.0, 0.0])
    sheen = 0.10 * np.clip(normal @ (half / np.linalg.norm(half)), 0, 1) ** 18
    lit = colour * seam[..., None] * ((1.05 * sun + glow_through)[..., None] * air.sun_light * 0.62 + fill)
    lit = lit + sheen[..., None]
    mouth = smoothstep(0.30, 0.05, np.hypot(u / 0.9, (v + 1.05) * 1.5))
    lit = lit + 0.22 * mouth[..., None] * rgb("#ff9d3c")
    basket_v = v + 1.62
    basket = smoothstep(1, -1, (np.maximum(np.abs(u) - 0.13, np.abs(basket_v) - 0.10)) * size / 1.0)
    wicker = (
        rgb("#6b4526") * (0.55 + 0.5 * (u < -0.02) + 0.25 * np.sin(basket_v * 190) * (size > 60))[..., None]
    )
    rope_at = 0.12 + (v + 1.52) / 0.30 * 0.24
    ropes = 0.75 * smoothstep(1.4, 0.0, np.abs(np.abs(u) - rope_at) * size) * (v > -1.54) * (v < -1.22)
    crew = np.zeros_like(u)
    for at in (-0.055, 0.05):
        crew = np.maximum(crew, smoothstep(1, -1, (np.hypot(u - at, v + 1.47) - 0.032) * size))
        crew = np.maximum(
            crew, smoothstep(1, -1, (np.maximum(np.abs(u - at) - 0.035, np.abs(v + 1.53) - 0.045)) * size)
        )
    fade = np.exp(-balloon.metres / 11000)
    haze = air.clear(np.full_like(u, 0.05), (x / width - 0.5) * 1.1)
    for shape, paint in ((ropes, rgb("#2a211b")), (crew, rgb("#2b2430")), (basket, wicker), (cover, lit)):
        picture = mix(picture, mix(haze, paint, fade), shape)
    return picture


def balloons(rng: np.random.Generator, height: int = 960, width: int = 1280) -> Array:
    """The whole picture, linear light."""
    side, size = 9000.0, 1536
    hills = eroded(size, 7, rng, ridge=0.25, octaves=5)
    ridge = eroded(size, 5, rng)
    world = World(np.zeros((size, size)), side)
    z, x = world.positions()
    far = smoothstep(5200, 8300, z + 500 * perlin(size, 3, rng))
    world.height[...] = 210 * (hills - 0.35) + 1250 * far * ridge + 0.02 * np.abs(x)
    camera = Camera((height, width), 1.04 * width, 0.53 * height, 560.0)
    ground = _fields(world, rng)
    up = world.normals()[..., 2]
    ground = mix(ground, ramp(ridge, ((0, "#2f4428"), (1, "#6d675c"))), smoothstep(0.15, 0.4, far))
    shade = np.clip(1 + (world.height - blur(world.height, 10)) / 60, 0.45, 1.2)
    ambient = (0.65 + 0.35 * up)[..., None] * shade[..., None] * rgb("#a4bde2") * 0.62
    lit = ground * (world.sunlight(SUNRISE.sun)[..., None] * SUNRISE.sun_light + ambient)
    slope_up, slope_right = camera.rays()
    sky = SUNRISE.paint(slope_up, slope_right, rng)
    picture = view(camera, world, lit, SUNRISE, sky)
    for balloon in FLEET:
        picture = fly(picture, balloon, SUNRISE)
    return finish(filmic(picture**1.3, 2.3), rng)
