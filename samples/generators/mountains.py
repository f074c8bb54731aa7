"""An alpine lake in the morning: eroded peaks, forest, mirror water, conifers in front."""

import numpy as np

from generators.conifers import plant
from generators.raster import Array, blur, filmic, finish, mix, noise, ramp, rgb, sample, smoothstep
from generators.sky import Air
from generators.terrain import Camera, World, eroded, perlin

MORNING = Air(
    gradient=((0.0, "#f3d3ae"), (0.06, "#efc9a6"), (0.16, "#c3c6cf"), (0.32, "#86a9cf"), (0.55, "#4f80bb")),
    sun_azimuth=-0.85,
    sun_elevation=0.36,
    sun_colour="#ffd9a0",
    sun_power=3.9,
    glow=0.8,
    cloud_light="#fff2e2",
    cloud_shade="#a9aab8",
    cover=-0.35,
    haze_m=34000.0,
)

EVENING = Air(
    gradient=(
        (0.0, "#ffbc5c"),
        (0.08, "#ffa44a"),
        (0.18, "#ff8a4c"),
        (0.32, "#ea7458"),
        (0.5, "#a86878"),
        (0.8, "#5a4f86"),
    ),
    sun_azimuth=-0.045,
    sun_elevation=0.190,
    sun_colour="#ffb860",
    sun_power=4.2,
    glow=1.1,
    cloud_light="#ffc080",
    cloud_shade="#8a5560",
    cover=-0.5,
    haze_m=34000.0,
    disc=0.026,
)


def alps(rng: np.random.Generator, size: int = 1536, side: float = 14000.0) -> World:
    """A lake basin at the camera, forested shoulders, then a wall of peaks."""
    rough = eroded(size, 5, rng)
    soft = perlin(size, 4, rng)
    world = World(np.zeros((size, size)), side)
    z, x = world.positions()
    bay = x + 420 * soft
    wall = smoothstep(3300, 8200, z + 0.35 * np.abs(bay))
    flank = smoothstep(500, 3400, np.abs(bay) + 0.12 * (z - 2500))
    shore = smoothstep(1500, 3000, z + 260 * soft + 0.45 * np.abs(bay))
    height = 1900 * wall * rough**1.1 + 520 * flank * shore * (0.25 + 1.1 * rough)
    height = height + 70 * shore * (0.4 + rough) - 60 * (1 - shore)
    return World(height, side)


def alpine_albedo(world: World, rng: np.random.Generator, snow_line: float) -> Array:
    """Ground colours (N, N, 3): snow on gentle high ground, rock where steep, forest and meadow below."""
    shape = world.height.shape
    up = world.normals()[..., 2]
    rough = noise(shape, rng, 1.1, finest=2)
    fine = noise(shape, rng, 0.5, finest=2)
    strata = 0.5 + 0.22 * rough + 0.16 * np.sin(world.height / 26 + 2.5 * rough)
    rock = ramp(strata, ((0, "#4a4645"), (0.5, "#79716a"), (1, "#a0968a")))
    wood = ramp(0.5 + 0.3 * fine + 0.12 * rough, ((0, "#0f1d12"), (0.5, "#21361d"), (1, "#3f5228")))
    meadow = ramp(0.5 + 0.25 * rough, ((0, "#4c5a2a"), (1, "#8c8a4a")))
    trees = smoothstep(720, 480, world.height + 110 * rough) * smoothstep(0.62, 0.74, up + 0.03 * fine)
    ground = mix(rock, meadow, smoothstep(0.80, 0.90, up) * smoothstep(950, 700, world.height))
    ground = mix(ground, wood, trees)
    snow = smoothstep(-110, 160, world.height - snow_line + 150 * rough) * smoothstep(
        0.48, 0.66, up + 0.04 * fine
    )
    return mix(ground, rgb("#f4f6fb"), snow)


def view(camera: Camera, world: World, lit: Array, air: Air, sky: Array, floor: float = -1e9) -> Array:
    """Ground in front of the sky (H, W, 3). lit: shaded ground colours (N, N, 3)."""
    up, right = camera.rays()
    depth = camera.depth(world, floor=floor)
    ahead = np.where(np.isfinite(depth), depth, 1.0)
    colour = world.look_up(lit, ahead, ahead * right)
    height = world.look_up(world.height, ahead, ahead * right)
    colour = air.haze(colour, ahead * np.sqrt(1 + up**2 + right**2), height, up, right)
    return np.where(np.isfinite(depth)[..., None], colour, sky)


def ripples(distance: Array, right: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Wave slopes (along, across) seen at a distance in metres, shrinking with perspective."""
    waves = [noise((512, 512), rng, 1.0, finest=4, coarsest=90, stretch=(1.0, 2.6)) for _ in range(2)]
    z, x = np.log(distance) * 420, distance * right / np.sqrt(distance) * 9
    fade = 1 / (1 + distance / 260)
    return sample(waves[0], z, x) * fade, sample(waves[1], z, x) * fade


def with_lake(
    camera: Camera, world: World, lit: Array, air: Air, rng: np.random.Generator, water: str = "#123039"
) -> Array:
    """The view with water at height 0 that mirrors everything above it."""
    up, right = camera.rays()
    cloud_seed = rng.integers(1 << 30)
    sky = air.paint(up, right, np.random.default_rng(cloud_seed))
    picture = view(camera, world, lit, air, sky)
    flipped = Camera(camera.shape, camera.focal, camera.shape[0] - camera.horizon, -camera.height)
    up_below, right_below = flipped.rays()
    sky_below = air.paint(np.abs(up_below), right_below, np.random.default_rng(cloud_seed))
    above = view(flipped, world, lit, air, sky_below, floor=0.0)

    distance = camera.height / np.maximum(-up, 1e-4)
    depth = camera.depth(world)
    wet = (up < 0) & (distance < np.where(np.isfinite(depth), depth, 1e9) + 1e-6)
    along, across = ripples(np.clip(distance, 1, 1e5), right, rng)
    rows, columns = np.mgrid[0 : camera.shape[0], 0 : camera.shape[1]]
    stretch = camera.focal * 0.030
    top = flipped.shape[0] - 1
    mirror_row = np.clip(top - rows - stretch * along - 0.4 * stretch * np.abs(along), 0, top)
    mirror_column = np.clip(columns + 0.25 * stretch * across, 0, camera.shape[1] - 1.001)
    blurred = blur(above, camera.shape[1] / 900, wrap=False)
    mirrored = sample(blurred, mirror_row, mirror_column)
    grazing = np.clip(-up / np.sqrt(1 + up**2), 0, 1)
    fresnel = 0.10 + 0.86 * (1 - grazing) ** 4.0
    surface = mix(rgb(water), mirrored, fresnel)
    surface = air.haze(surface, np.clip(distance, 0, 9000) * 0.5, 0 * distance, up, right)
    return np.where(wet[..., None], surface, picture)


def _lit(world: World, air: Air, rng: np.random.Generator, snow_line: float, sky_light: Array) -> Array:
    """Shaded ground colours (N, N, 3)."""
    bumps = World(
        world.height + 9 * noise(world.height.shape, rng, 0.4, finest=2) * (world.height > 4), world.side
    )
    shade = np.clip(1 + (world.height - blur(world.height, 14)) / 160, 0.45, 1.2)
    ambient = (0.6 + 0.4 * bumps.normals()[..., 2:]) * shade[..., None] * sky_light
    direct = bumps.sunlight(air.sun)[..., None] * air.sun_light
    return alpine_albedo(world, rng, snow_line) * (direct + ambient)


def mountains(rng: np.random.Generator) -> Array:
    """The morning picture, 1280 x 960, linear light."""
    world = alps(rng)
    camera = Camera((960, 1280), 1180.0, 500.0, 26.0)
    picture = with_lake(camera, world, _lit(world, MORNING, rng, 700, rgb("#9fb8dd") * 0.85), MORNING, rng)
    return finish(filmic(plant(picture, rng) ** 1.16, 2.7), rng)


def sunset(rng: np.random.Generator) -> Array:
    """Another lake at the golden hour, 1024 x 1024, linear light."""
    world = alps(rng, size=1024)
    camera = Camera((1024, 1024), 1000.0, 590.0, 24.0)
    lit = _lit(world, EVENING, rng, 900, rgb("#b98f9a") * 0.5)
    picture = with_lake(camera, world, lit, EVENING, rng, water="#1d1420")
    trees = ((0.93, 0.62), (0.835, 0.40), (0.985, 0.5), (0.76, 0.2), (0.06, 0.3), (0.015, 0.42))
    picture = plant(picture, rng, trees, "#ff9a4a", ("#120a08", "#2c1c0c"))
    return finish(filmic(picture**1.25 * (1.1, 1.0, 0.85), 2.7), rng, glow=0.2)
