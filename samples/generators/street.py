"""A wet shopping street after sunset, ray cast through boxes with procedural house fronts."""

from dataclasses import dataclass

import numpy as np

from generators.houses import HALF, Fronts, fronts, people
from generators.raster import Array, filmic, finish, grid, mix, noise, ramp, rgb, sample, smoothstep

END = 92.0
EYE = np.array([-0.9, 1.75, -7.0])
WARM = ((0, "#ff8f36"), (0.5, "#ffb45e"), (1, "#ffe0a6"))


@dataclass(frozen=True)
class Street:
    """Everything the rays can see."""

    rows: tuple[Fronts, Fronts]  # left, right
    grain: Array
    clouds: Array
    lamps: Array  # (L, 3) glowing globes
    people: Array  # (h, w) silhouettes, a screen across the street
    skyline: Array  # heights of the far end, per metre

    def sky(self, ray: Array) -> Array:
        """Afterglow (N, 3) at the end of the street, blue above."""
        up = ray[:, 1] / np.linalg.norm(ray, axis=1)
        base = ramp(
            up, ((0, "#ffb066"), (0.07, "#f79a63"), (0.16, "#c98390"), (0.30, "#7d7db0"), (0.6, "#2b3f78"))
        )
        flat = 1 / np.maximum(up, 0.05)
        body = sample(self.clouds, 90 * flat, 60 * flat * ray[:, 0] / np.abs(ray[:, 2] + 1e-6))
        cloud = smoothstep(-0.2, 1.7, body) * smoothstep(0.02, 0.2, up)
        return 0.95 * mix(base, mix(rgb("#6d5f86"), rgb("#ff9d77"), np.exp(-up / 0.22)), 0.75 * cloud)

    def lamp_light(self, place: Array, normal: Array) -> Array:
        """Light (N,) of the street lamps on surfaces."""
        total = np.zeros(len(place))
        for lamp in self.lamps:
            to = lamp - place
            square = (to**2).sum(1) + 0.6
            total += np.clip((to * normal).sum(1), 0, None) / square**1.5
        return total

    def front(self, side: int, place: Array, ray: Array) -> tuple[Array, Array]:
        """Colour (N, 3) and solidity (N,) of the houses where rays cross a front plane."""
        row = self.rows[side]
        z, y = place[:, 2], place[:, 1]
        house = np.clip(np.searchsorted(row.edges, z) - 1, 0, len(row.top) - 1)
        along, wide = z - row.edges[house], np.diff(row.edges)[house]
        solid = (y < row.top[house]) & (y > 0)
        normal = np.tile([1.0 if side == 0 else -1.0, 0.0, 0.0], (len(z), 1))
        grit = sample(self.grain, y * 40, z * 40)
        coarse = sample(self.grain, y * 6, z * 6)
        wall = row.colour[house] * (1 + 0.10 * grit + 0.14 * coarse)[:, None]
        course = np.abs((y / 0.3) % 1 - 0.5)
        wall = wall * (1 - 0.25 * smoothstep(0.40, 0.48, course))[:, None]
        light = rgb("#8a93c4") * 0.34 * (0.35 + 0.65 * smoothstep(0, 9, y))[:, None]
        light = light + rgb("#ffb070") * (0.30 * smoothstep(5, 60, z))[:, None]
        light = light + rgb("#ffb766") * (2.6 * self.lamp_light(place, normal))[:, None]

        ground = 3.9
        storey, bay = row.storey[house], row.bay[house]
        bays = np.maximum(np.round((wide - 0.8) / bay), 1)
        pitch = (wide - 0.8) / bays
        column = np.floor((along - 0.4) / pitch)
        level = np.floor((y - ground) / storey)
        a = along - 0.4 - (column + 0.5) * pitch
        b = y - ground - (level + 0.47) * storey
        upper = (
            (level >= 0)
            & (ground + (level + 1) * storey < row.top[house] - 0.5)
            & (column >= 0)
            & (column < bays)
        )
        half_a, half_b = 0.27 * pitch, 0.31 * storey
        hole = upper & (np.abs(a) < half_a) & (np.abs(b) < half_b)
        # the pane lies 25 cm behind the wall: shift the place along the ray to see the reveal
        deep = 0.25 / np.maximum(np.abs(ray[:, 0]), 0.02)
        pa, pb = a + deep * ray[:, 2], b + deep * ray[:, 1]
        pane = hole & (np.abs(pa) < half_a) & (np.abs(pb) < half_b)
        bars = (
            (np.abs(pa) < 0.035)
            | (np.abs(pb - 0.22 * half_b) < 0.035)
            | (half_a - np.abs(pa) < 0.07)
            | (half_b - np.abs(pb) < 0.07)
        )
        pick = (house, level.astype(int) % 16, column.astype(int) % 64)
        glow = row.lit[pick]
        curtain = 0.45 + 0.55 * np.abs(np.sin(pa * 21 + 2 * coarse)) * smoothstep(
            0.1, 0.7, np.abs(pa) / half_a
        )
        room = (
            ramp(row.warmth[pick], WARM)
            * (glow * (0.62 + 0.38 * pb / half_b) * (0.55 + 0.45 * curtain))[:, None]
            * 2.6
        )
        mirrored = ray * np.array([-1.0, 1.0, 1.0])
        glass = 0.17 * self.sky(
            np.column_stack([mirrored[:, 0], np.abs(mirrored[:, 1]) + 0.1, mirrored[:, 2]])
        )
        frame = rgb("#d8d0c0") * 0.5
        colour = wall * light
        trim = upper & (np.abs(a) < half_a + 0.16) & (b < half_b + 0.22) & (b > -half_b - 0.16)
        colour = np.where((trim & ~hole)[:, None], rgb("#cfc6b4") * light * 0.9, colour)
        colour = np.where(
            (hole & ~pane)[:, None],
            rgb("#b7ae9e") * (light * 0.55 + 0.12 * glow[:, None] * rgb("#ffb45e")),
            colour,
        )
        colour = np.where((pane & ~bars)[:, None], room + glass, colour)
        colour = np.where((pane & bars)[:, None], frame * (light + 0.05), colour)
        cornice = (np.abs(y - row.top[house] + 0.3) < 0.3) | (np.abs(y - ground + 0.1) < 0.13)
        edge = 1 - 0.35 * smoothstep(0.1, 0.3, np.abs(y - row.top[house] + 0.3))
        colour = np.where(cornice[:, None], rgb("#b8ae9c") * light * edge[:, None], colour)
        gutter = (along < 0.1) | (wide - along < 0.06)
        colour = np.where(gutter[:, None], colour * 0.45, colour)
        colour = self._shop(row, house, along, wide, y, ray, light, colour)
        return colour, solid

    def _shop(
        self,
        row: Fronts,
        house: Array,
        along: Array,
        wide: Array,
        y: Array,
        ray: Array,
        light: Array,
        colour: Array,
    ) -> Array:
        """Ground floor: display windows, stall risers, doors and the lettered boards."""
        low = y < 3.75
        timber = np.stack([rgb(c) for c in ("#1f3b33", "#4a1d1f", "#20304c", "#3a3226", "#243a22")])[
            house % 5
        ]
        colour = np.where(low[:, None], timber * (light + 0.06), colour)
        deep = 0.9 / np.maximum(np.abs(ray[:, 0]), 0.02)
        back, shelf = along + deep * ray[:, 2], y + deep * ray[:, 1]
        post = np.abs((along / wide * 3) % 1 - 0.5) > 0.465
        window = (y > 0.75) & (y < 2.85) & ~post & (along > 0.3) & (along < wide - 0.3)
        rack, slot = np.floor(shelf / 0.52), np.floor(back / 0.3)
        code = np.sin(slot * 12.99 + rack * 78.23 + house * 3.7) * 43758.5 % 1
        dx, dy = np.abs(back / 0.3 - slot - 0.5), shelf - rack * 0.52
        item = (dx < 0.22 + 0.2 * code) & (dy < 0.16 + 0.28 * (code * 7 % 1)) & (shelf < 2.1) & (code < 0.86)
        goods = ramp(
            code * 5 % 1,
            ((0, "#5e2416"), (0.3, "#b8652a"), (0.55, "#e0b56a"), (0.75, "#8f3b3a"), (1, "#4f7a62")),
        )
        goods = goods * (1.15 - 1.3 * dx)[:, None]
        plank = (dy > 0.49) & (shelf < 2.2)
        plaster = rgb("#f3d9a4") * (0.8 + 0.06 * sample(self.grain, shelf * 8, back * 8))[:, None]
        items = np.where(item[:, None], goods, np.where(plank[:, None], rgb("#7a5330"), plaster))
        depth_light = 0.45 + 0.85 * smoothstep(0.4, 2.7, shelf)
        bulbs = smoothstep(0.10, 0.03, np.hypot((back % 1.3) - 0.65, shelf - 2.55))
        room = items * (2.1 * depth_light)[:, None] + 4 * bulbs[:, None] * rgb("#ffe9c0")
        open_ = (np.sin(house * 2.4) > -0.75).astype(float)
        room = room * (0.08 + 0.92 * open_)[:, None] * np.array([1.0, 0.82, 0.55])
        colour = np.where((low & window)[:, None], room + 0.03, colour)
        for number, board in row.signs.items():
            h, w = board.shape[:2]
            tall = 0.74 if number == 1 else 0.88  # far boards are larger, to be read
            span = tall * w / h
            left = wide / 2 - span / 2
            # left-hand houses read from near to far, right-hand ones the other way round
            u = (along - left) / span if row is self.rows[0] else 1 - (along - left) / span
            v = (3.72 - y) / tall
            on = (house == number) & (u > 0) & (u < 1) & (v > 0) & (v < 1)
            face = sample(board, np.clip(v * h - 0.5, 0, h - 1.01), np.clip(u * w - 0.5, 0, w - 1.01))
            colour = np.where(on[:, None], face * 1.7 + 0.02, colour)
        return colour

    def radiance(self, start: Array, ray: Array, gables: bool = True) -> Array:
        """Light (N, 3) along rays that start above the ground; the ground itself is left out.

        gables: also side walls, which a rough mirror does not need.
        """
        colour = self.sky(ray)
        far = (END - start[:, 2]) / np.maximum(ray[:, 2], 1e-6)
        x_far, y_far = (start + far[:, None] * ray)[:, :2].T
        roof = self.skyline[np.clip((x_far + 30) * 4, 0, len(self.skyline) - 1).astype(int)]
        cell = np.sin(np.floor(x_far * 1.1) * 12.9 + np.floor(y_far * 0.75) * 78.2) * 43758.5
        lamp = ((cell % 1) > 0.72) & ((x_far * 1.1) % 1 > 0.4) & ((y_far * 0.75) % 1 > 0.45)
        haze = mix(rgb("#5a4350"), rgb("#f0a070"), np.exp(-np.clip(y_far, 0, None) / 9)[:, None] * 0.75)
        end = haze + lamp[:, None] * rgb("#ffc070") * 0.6
        colour = np.where(((y_far < roof) & (far > 0))[:, None], end, colour)
        for side, wall in ((0, -HALF), (1, HALF)):
            if gables:
                colour = self._gables(self.rows[side], wall, start, ray, colour)
            t = (wall - start[:, 0]) / np.where(np.abs(ray[:, 0]) < 1e-9, 1e-9, ray[:, 0])
            place = start + t[:, None] * ray
            seen = (t > 0) & (place[:, 2] < END) & (place[:, 2] > -11) & (place[:, 1] < 18)
            if seen.any():
                face, solid = self.front(side, place[seen], ray[seen])
                face = mix(rgb("#d08a70") * 0.8, face, np.exp(-np.clip(place[seen, 2], 0, None) / 130))
                face = np.where(solid[:, None], face, colour[seen])
                colour[seen] = face
        return self.objects(start, ray, colour)

    def _gables(self, row: Fronts, wall: float, start: Array, ray: Array, colour: Array) -> Array:
        """Side walls of houses that rise above their nearer neighbour, and chimneys on top."""
        for k in range(len(row.top) - 1, 0, -1):
            t = (row.edges[k] - start[:, 2]) / np.maximum(ray[:, 2], 1e-6)
            x, y = (start + t[:, None] * ray)[:, :2].T
            inset = (x - wall) * np.sign(wall)
            stack = (np.abs(inset - 2.2) < 0.55) & (y < row.top[k] + 1.5)
            stack |= (np.abs(np.abs(inset - 2.2) - 0.28) < 0.12) & (y < row.top[k] + 1.95)
            seen = (t > 0) & (ray[:, 2] > 0) & (inset > 0) & (inset < 9) & ((y < row.top[k]) | stack)
            course = 1 - 0.2 * smoothstep(0.40, 0.48, np.abs((y / 0.3) % 1 - 0.5))
            face = (
                row.colour[k] * (0.14 + 0.02 * sample(self.grain, y * 20, x * 20))[:, None] * course[:, None]
            )
            face = mix(rgb("#d08a70") * 0.8, face + 0.004, np.exp(-max(row.edges[k], 0) / 130))
            colour = np.where(seen[:, None], face, colour)
        return colour

    def objects(self, start: Array, ray: Array, colour: Array) -> Array:
        """Lamp posts, their globes, and people."""
        for lamp in self.lamps[::-1]:
            t = (lamp[2] - start[:, 2]) / np.maximum(ray[:, 2], 1e-6)
            p = start + t[:, None] * ray - lamp
            post = (
                (np.abs(p[:, 0]) < 0.06 + 0.07 * (p[:, 1] < -3.4)) & (p[:, 1] < -0.2) & (p[:, 1] > -lamp[1])
            )
            arm = (np.abs(p[:, 1] + 0.24) < 0.05) & (np.abs(p[:, 0]) < 0.2)
            shape = (t > 0) & (post | arm)
            colour = np.where(shape[:, None], rgb("#1a1c22") * 0.8, colour)
            globe = smoothstep(0.27, 0.24, np.hypot(p[:, 0], p[:, 1])) * (t > 0)
            colour = mix(colour, rgb("#ffd9a0") * 9.0, globe)
        t = (10.5 - start[:, 2]) / np.maximum(ray[:, 2], 1e-6)
        p = start + t[:, None] * ray
        h, w = self.people.shape
        row, column = h - p[:, 1] / 2.4 * h, (p[:, 0] + HALF) / (2 * HALF) * w
        inside = (t > 0) & (row > 0) & (row < h - 1) & (column > 0) & (column < w - 1)
        cover = np.where(inside, sample(self.people, np.clip(row, 0, h - 2), np.clip(column, 0, w - 2)), 0)
        return mix(colour, rgb("#15131c"), 0.97 * cover)


def ground(scene: Street, place: Array, ray: Array, rng: np.random.Generator, samples: int = 6) -> Array:
    """Wet paving: setts under a film of water with puddles, kerbs and pavements."""
    x, z = place[:, 0], place[:, 2]
    path = np.abs(x) > 4.1
    size = np.where(path, 0.85, 0.30)
    row = np.floor(z / size)
    shift = np.where(row % 2 == 0, 0.0, 0.5)
    u, v = x / size + shift, z / size
    joint = np.maximum(np.abs(u % 1 - 0.5), np.abs(v % 1 - 0.5))
    tint = np.sin(np.floor(u) * 127.1 + row * 311.7) * 43758.5 % 1
    puddle = smoothstep(
        0.0, 0.6, sample(scene.grain, z * 9, x * 14) + 0.35 * sample(scene.grain, z * 40, x * 40)
    )
    puddle = puddle * ~path
    gap = smoothstep(0.40, 0.48, joint) * (1 - puddle)
    stone = rgb("#4a4a52") * (0.7 + 0.5 * tint + 0.12 * sample(scene.grain, z * 90, x * 90))[:, None]
    stone = stone * (1 - 0.55 * gap)[:, None] * np.where(path, 1.25, 1.0)[:, None]
    normal = np.tile([0.0, 1.0, 0.0], (len(x), 1))
    light = rgb("#8a93c4") * 0.22 + rgb("#ffb766") * (2.4 * scene.lamp_light(place, normal))[:, None]
    edge = np.clip(HALF - np.abs(x), 0, None)
    light = light + rgb("#ffb45e") * (0.55 * np.exp(-edge / 1.6) * np.exp(-np.clip(z, 0, None) / 60))[:, None]

    dome = np.where(path, 0.02, 0.06) * (1 - puddle) + 0.004
    rough = np.where(path, 0.05, 0.055) * (1 - 0.85 * puddle) + 0.006
    wet = np.zeros_like(place)
    for _ in range(samples):
        lean = rng.standard_normal((2, len(x))) * rough
        nx = lean[0] + dome * 2 * (u % 1 - 0.5)
        nz = 1.6 * lean[1] + dome * 2 * (v % 1 - 0.5)
        n = np.column_stack([nx, np.ones_like(nx), nz])
        n /= np.linalg.norm(n, axis=1, keepdims=True)
        mirrored = ray - 2 * (ray * n).sum(1)[:, None] * n
        mirrored[:, 1] = np.abs(mirrored[:, 1])
        wet += np.minimum(scene.radiance(place, mirrored, gables=False), 2.8) / samples
    cosine = np.clip(-ray[:, 1] / np.linalg.norm(ray, axis=1), 0, 1)
    shine = (0.12 + 0.88 * (1 - cosine) ** 3.2) * (0.62 + 0.38 * puddle) * (1 - 0.6 * gap)
    colour = mix(stone * light, wet, shine)
    kerb = np.abs(np.abs(x) - 4.1) < 0.09
    return np.where(kerb[:, None], 0.55 * colour + 0.25 * rgb("#8d8d98") * light, colour)


def street(rng: np.random.Generator, height: int = 960, width: int = 1280) -> Array:
    """The photograph (H, W, 3), linear light."""
    left = fronts(rng, {1: ("CAFE LUNA", "#ffe9b8", "#20463c"), 2: ("BOOKS", "#fff2d0", "#5a1f24")})
    right = fronts(
        rng,
        {
            1: ("BAKERY", "#ffe2a0", "#2a2540"),
            2: ("FLOWERS", "#ffd9e0", "#1f4a3a"),
            3: ("TEA", "#fff0c8", "#5b2a1a"),
        },
    )
    steps = np.repeat(rng.uniform(5, 13, 60), 4 * rng.integers(1, 5))[:400]
    steps = np.pad(steps, (0, 400), mode="wrap")[:400]
    lamps = np.array([[side * 4.35, 4.1, z] for z in (3.4, 17.0, 30.0, 46.0, 66.0) for side in (-1, 1)])
    lamps[::2, 2] += 4.1  # the left row stands back, clear of the signs
    scene = Street(
        (left, right),
        noise((1024, 1024), rng, 0.9, finest=2),
        noise((512, 512), rng, 1.8, finest=4, stretch=(1, 3)),
        lamps[np.argsort(lamps[:, 2])],
        people(),
        steps,
    )
    y, x = grid(height, width)
    picture = np.zeros((height * width, 3))
    focal, horizon = 0.86 * width, 0.53 * height
    for band in np.array_split(np.arange(height * width), 48):
        ray = np.column_stack(
            [(x.flat[band] - 0.53 * width) / focal, (horizon - y.flat[band]) / focal, np.ones(len(band))]
        )
        start = np.broadcast_to(EYE, ray.shape)
        colour = scene.radiance(start, ray)
        t = -EYE[1] / np.where(ray[:, 1] < -1e-9, ray[:, 1], -1e-9)
        place = start + t[:, None] * ray
        floor = (ray[:, 1] < 0) & (np.abs(place[:, 0]) < HALF) & (place[:, 2] < END)
        if floor.any():
            wet = ground(scene, place[floor] * (1, 0, 1), ray[floor], rng)
            colour[floor] = scene.objects(start[floor], ray[floor], wet)
        picture[band] = colour
    return finish(filmic(picture.reshape(height, width, 3) ** 1.28, 2.5), rng, glow=0.16)
