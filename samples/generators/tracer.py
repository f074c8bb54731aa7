"""A small path tracer: spheres, boxes and a table top under an area light and a soft sky."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from generators.raster import Array, ramp

Paint = Callable[[Array], Array]  # places (N, 3) -> linear colours (N, 3)
Bump = Callable[[Array, Array], Array]  # places, normals -> new unit normals


def unit(v: Array) -> Array:
    """Vectors (..., 3) scaled to length 1."""
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


@dataclass(frozen=True)
class Skin:
    """Surface of a solid: paint under a clear coat, or metal."""

    paint: Paint
    coat: float = 0.04  # mirror reflectance seen head-on
    rough: float = 0.0  # blur of the mirror
    metal: bool = False
    bump: Bump | None = None


@dataclass(frozen=True)
class Sphere:
    """A ball; y points up."""

    centre: tuple[float, float, float]
    radius: float
    skin: Skin

    def hit(self, start: Array, ray: Array) -> Array:
        """Distances (N,) along unit rays, inf where missed."""
        to = start - np.array(self.centre)
        b = np.einsum("ij,ij->i", to, ray)
        root = b * b - (np.einsum("ij,ij->i", to, to) - self.radius**2)
        t = -b - np.sqrt(np.clip(root, 0, None))
        return np.where((root > 0) & (t > 1e-4), t, np.inf)

    def normal(self, place: Array) -> Array:
        """Outward unit normals."""
        return (place - np.array(self.centre)) / self.radius


@dataclass(frozen=True)
class Block:
    """An upright box turned about the vertical axis."""

    centre: tuple[float, float, float]
    half: tuple[float, float, float]
    turn: float
    skin: Skin

    def local(self, v: Array) -> Array:
        """Vectors in the frame of the box."""
        c, s = np.cos(self.turn), np.sin(self.turn)
        return np.stack([c * v[:, 0] - s * v[:, 2], v[:, 1], s * v[:, 0] + c * v[:, 2]], axis=-1)

    def hit(self, start: Array, ray: Array) -> Array:
        """Distances (N,) along unit rays, inf where missed."""
        o, d = self.local(start - np.array(self.centre)), self.local(ray)
        d = np.where(np.abs(d) < 1e-9, 1e-9, d)
        near, far = (-np.array(self.half) - o) / d, (np.array(self.half) - o) / d
        enter, leave = np.minimum(near, far).max(1), np.maximum(near, far).min(1)
        return np.where((enter < leave) & (enter > 1e-4), enter, np.inf)

    def normal(self, place: Array) -> Array:
        """Outward unit normals, rounded a little at the edges."""
        p = self.local(place - np.array(self.centre)) / np.array(self.half)
        n = unit(np.sign(p) * np.abs(p) ** 60 + 1e-9)
        c, s = np.cos(self.turn), np.sin(self.turn)
        return np.stack([c * n[:, 0] + s * n[:, 2], n[:, 1], -s * n[:, 0] + c * n[:, 2]], axis=-1)


@dataclass(frozen=True)
class Table:
    """The plane y = 0."""

    skin: Skin

    def hit(self, start: Array, ray: Array) -> Array:
        """Distances (N,) along unit rays, inf where missed."""
        down = ray[:, 1]
        t = -start[:, 1] / np.where(np.abs(down) < 1e-9, 1e-9, down)
        return np.where(t > 1e-4, t, np.inf)

    def normal(self, place: Array) -> Array:
        """Straight up."""
        return np.tile([0.0, 1.0, 0.0], (len(place), 1))


Solid = Sphere | Block | Table


@dataclass(frozen=True)
class Stage:
    """Solids, one rectangular lamp and a wall-like surrounding."""

    solids: Sequence[Solid]
    lamp_corner: Array
    lamp_sides: tuple[Array, Array]
    lamp_power: Array
    surround: Callable[[Array], Array]  # unit rays -> colours

    def nearest(self, start: Array, ray: Array) -> tuple[Array, Array]:
        """Distance and solid number of the first hit."""
        distances = np.stack([solid.hit(start, ray) for solid in self.solids])
        which = distances.argmin(0)
        return distances[which, np.arange(len(ray))], which

    def lamp_seen(self, start: Array, ray: Array, limit: Array) -> Array:
        """Whether rays reach the lamp before `limit`."""
        a, b = self.lamp_sides
        n = np.cross(a, b)
        toward = ray @ n
        t = ((self.lamp_corner - start) @ n) / np.where(np.abs(toward) < 1e-9, 1e-9, toward)
        spot = start + t[:, None] * ray - self.lamp_corner
        u, v = spot @ a / (a @ a), spot @ b / (b @ b)
        return (t > 1e-3) & (t < limit) & (u > 0) & (u < 1) & (v > 0) & (v < 1)

    def lamp_light(self, place: Array, normal: Array, uv: Array) -> Array:
        """Direct light (N, 3) through one point of the lamp. uv: (N, 2) in 0..1."""
        a, b = self.lamp_sides
        to = self.lamp_corner + uv[:, :1] * a + uv[:, 1:] * b - place
        square = np.einsum("ij,ij->i", to, to)
        ray = to / np.sqrt(square)[:, None]
        area_normal = np.cross(a, b)
        facing = np.abs(ray @ area_normal) * np.clip(np.einsum("ij,ij->i", ray, normal), 0, None)
        start = place + 1e-3 * normal
        reach = np.sqrt(square) - 2e-3
        open_ = np.ones(len(place), bool)
        for solid in self.solids[1:]:  # the table shades nothing
            open_ &= solid.hit(start, ray) > reach
        return (open_ * facing / square / np.pi)[:, None] * self.lamp_power


def trace(
    stage: Stage,
    start: Array,
    ray: Array,
    part: tuple[float, float, float],
    rng: np.random.Generator,
    bounces: int = 4,
) -> Array:
    """Light (N, 3) that arrives along unit rays: one random path each.

    part: corner and size of the piece of the lamp that lights the first hit, in 0..1.
    """
    total = np.zeros_like(ray)
    weight = np.ones_like(ray)
    mirror = np.ones(len(ray), bool)
    alive = np.arange(len(ray))
    ceiling = np.full(len(ray), 40.0)  # blurred mirrors and bounced light may not sparkle
    for bounce in range(bounces):
        t, which = stage.nearest(start, ray)
        glow = stage.lamp_seen(start, ray, t) & mirror
        missed = ~np.isfinite(t)
        light = np.where(missed[:, None], stage.surround(ray), 0.0)
        light = np.where(glow[:, None], stage.lamp_power, light)
        total[alive] += weight * np.minimum(light, ceiling[:, None])
        keep = ~missed & ~glow
        if bounce > 1:  # faint paths end at random, the others carry their share
            chance = np.clip(2 * weight.max(1), 0.08, 1)
            keep &= rng.uniform(size=len(ray)) < chance
            weight = weight / chance[:, None]
        alive, start, ray, t, which, weight = (a[keep] for a in (alive, start, ray, t, which, weight))
        ceiling = ceiling[keep]
        if not len(alive):
            break
        place = start + t[:, None] * ray
        normal, colour = np.empty_like(place), np.empty_like(place)
        coat, rough, metal = np.empty(len(t)), np.empty(len(t)), np.zeros(len(t), bool)
        for i, solid in enumerate(stage.solids):
            own = which == i
            if own.any():
                p = place[own]
                n = solid.normal(p)
                normal[own] = solid.skin.bump(p, n) if solid.skin.bump else n
                colour[own] = solid.skin.paint(p)
                coat[own], rough[own], metal[own] = solid.skin.coat, solid.skin.rough, solid.skin.metal
        facing = np.clip(-np.einsum("ij,ij->i", ray, normal), 0, 1)
        fresnel = coat + (1 - coat) * (1 - facing) ** 5
        fresnel = np.where(rough > 0.25, 0, fresnel)
        # mirrors are tried more often than they reflect, so that small highlights come out smooth
        chance = np.where(rough > 0.25, 0.0, 0.22 + 0.6 * fresnel)
        mirror = metal | (rng.uniform(size=len(t)) < chance)
        matt = ~mirror
        share = np.where(mirror, fresnel / np.maximum(chance, 1e-6), (1 - fresnel) / (1 - chance))
        weight = weight * np.where(metal, 1.0, share)[:, None]
        uv = rng.uniform(size=(int(matt.sum()), 2))
        if bounce == 0:
            uv = np.array(part[:2]) + part[2] * uv
        total[alive[matt]] += weight[matt] * colour[matt] * stage.lamp_light(place[matt], normal[matt], uv)
        scatter = unit(rng.standard_normal(place.shape))
        bounced = ray - 2 * np.einsum("ij,ij->i", ray, normal)[:, None] * normal
        ray = np.where(mirror[:, None], bounced + rough[:, None] * scatter, normal + 0.999 * scatter)
        ray = unit(ray)
        ceiling = np.minimum(ceiling, np.where(mirror & (rough < 0.05), 12.0, 2.2))
        weight = weight * np.where((metal | matt)[:, None], colour, 1.0)
        start = place + 1e-3 * normal
    return total


def studio(ray: Array) -> Array:
    """A surrounding like a dim room with a bright window side."""
    base = ramp(
        0.5 + 0.5 * ray[:, 1], ((0.3, "#4a4038"), (0.5, "#8f8578"), (0.62, "#a9aeb0"), (1.0, "#6f8094"))
    )
    return base * (0.75 - 0.45 * ray[:, 0])[:, None]
