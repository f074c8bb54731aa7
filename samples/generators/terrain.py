"""Heightfield country and a camera that looks at it.

A world is a square of `side` metres cut into a grid: row 0 lies at the camera, rows run away from it.
"""

from dataclasses import dataclass

import numpy as np

from generators.raster import Array, cast_shadow, sample


def perlin(size: int, cells: int, rng: np.random.Generator) -> Array:
    """Periodic gradient noise (size, size), about -1..1, with `cells` bumps a side."""
    angle = rng.uniform(0, 2 * np.pi, (cells, cells))
    at = (np.arange(size) + 0.5) * cells / size
    low = np.floor(at).astype(int)
    part = at - low
    fade = part**3 * (part * (part * 6 - 15) + 10)
    rows = []
    for dy in (0, 1):
        corners = []
        for dx in (0, 1):
            a = angle[np.ix_((low + dy) % cells, (low + dx) % cells)]
            corners.append(np.sin(a) * (part - dy)[:, None] + np.cos(a) * (part - dx)[None, :])
        rows.append(corners[0] + (corners[1] - corners[0]) * fade[None, :])
    return 1.5 * (rows[0] + (rows[1] - rows[0]) * fade[:, None])


def eroded(size: int, cells: int, rng: np.random.Generator, ridge: float = 1.0, octaves: int = 9) -> Array:
    """Mountain heights (size, size), about 0..1: detail gathers on the crests and leaves the valleys smooth.

    ridge: 1 for sharp crests, 0 for rounded hills.
    """
    height = np.zeros((size, size))
    weight = np.ones_like(height)
    gain = 1.0
    for _ in range(octaves):
        if cells > size // 3:
            break
        bump = perlin(size, cells, rng)
        crest = np.clip(1 - np.abs(bump) * 1.15, 0, 1) ** 1.6
        signal = ridge * crest + (1 - ridge) * (0.5 + 0.5 * bump)
        height += gain * weight * signal
        weight = np.clip(1.9 * weight * signal, 0.06, 1)
        gain *= 0.5
        cells *= 2
    low, high = np.percentile(height, (0.5, 99.9))
    return np.clip((height - low) / (high - low), 0, None)


@dataclass(frozen=True)
class World:
    """Heights in metres (N, N) over a square of `side` metres; the camera stands at the middle of row 0."""

    height: Array
    side: float

    @property
    def step(self) -> float:
        """Metres between grid points."""
        return self.side / self.height.shape[0]

    def positions(self) -> tuple[Array, Array]:
        """Distance ahead and offset to the right, in metres, of every grid point."""
        count = self.height.shape[0]
        z, x = np.mgrid[0:count, 0:count] * self.step
        return z, x - self.side / 2

    def look_up(self, field: Array, z: Array, x: Array) -> Array:
        """Bilinear value of a grid field at places in metres."""
        limit = self.height.shape[0] - 1.001
        return sample(
            field, np.clip(z / self.step, 0, limit), np.clip((x + self.side / 2) / self.step, 0, limit)
        )

    def normals(self) -> Array:
        """Unit normals (N, N, 3) as (right, ahead, up)."""
        dz, dx = np.gradient(self.height, self.step)
        raw = np.stack([-dx, -dz, np.ones_like(dx)], axis=-1)
        return raw / np.linalg.norm(raw, axis=-1, keepdims=True)

    def sunlight(self, sun: Array, reach: int = 160) -> Array:
        """Direct light (N, N): cosine times visibility. sun: unit direction (right, ahead, up)."""
        shade = cast_shadow(self.height / self.step, sun, reach, 1.5)
        return np.clip(self.normals() @ sun, 0, None) * shade


@dataclass(frozen=True)
class Camera:
    """A level camera at a height over the origin; pixels (H, W), focal length and horizon row in pixels."""

    shape: tuple[int, int]
    focal: float
    horizon: float
    height: float

    def rays(self) -> tuple[Array, Array]:
        """Slopes (up, right) per metre ahead of every pixel, (H, W)."""
        rows, columns = np.mgrid[0 : self.shape[0], 0 : self.shape[1]] + 0.5
        return (self.horizon - rows) / self.focal, (columns - self.shape[1] / 2) / self.focal

    def depth(self, world: World, near: float = 40.0, floor: float = -1e9) -> Array:
        """Distance ahead (H, W) of the ground behind every pixel, inf for sky.

        Ground below `floor` is not seen: the mirror camera of a lake looks up through it.
        """
        steps = np.geomspace(near, world.side * 0.995, 2200)[:, None]
        right = ((np.arange(self.shape[1]) + 0.5) - self.shape[1] / 2) / self.focal
        ground = world.look_up(world.height, steps + 0 * right, steps * right)
        edge = self.horizon - self.focal * (ground - self.height) / steps
        edge[ground < floor] = 1e9
        skyline = np.minimum.accumulate(edge, axis=0)
        rows = np.arange(self.shape[0]) + 0.5
        result = np.full(self.shape, np.inf)
        for c in range(self.shape[1]):
            k = np.searchsorted(-skyline[:, c], -rows)
            seen = k < len(steps)
            k, r = k[seen], rows[seen]
            before = np.maximum(k - 1, 0)
            gap = edge[before, c] - edge[k, c]
            t = np.clip((edge[before, c] - r) / np.where(np.abs(gap) < 1e-9, 1, gap), 0, 1)
            result[seen, c] = steps[before, 0] * (1 - t) + steps[k, 0] * t
        return result
