"""Air: sky gradients, sun glow, clouds and haze."""

from dataclasses import dataclass

import numpy as np

from generators.raster import Array, Stops, mix, noise, ramp, rgb, sample, smoothstep


@dataclass(frozen=True)
class Air:
    """Colours and light of one moment. Gradients run over the sine of the elevation."""

    gradient: Stops
    sun_azimuth: float  # radians to the right of the view
    sun_elevation: float
    sun_colour: str
    sun_power: float
    glow: float  # strength of the halo
    cloud_light: str
    cloud_shade: str
    cover: float  # noise level above which there is cloud
    haze_m: float  # distance that fades to 1/e
    haze_top_m: float = 900.0
    disc: float = 0.0  # angular radius of a visible sun

    @property
    def sun(self) -> Array:
        """Unit direction to the sun as (right, ahead, up)."""
        flat = np.cos(self.sun_elevation)
        return np.array(
            [flat * np.sin(self.sun_azimuth), flat * np.cos(self.sun_azimuth), np.sin(self.sun_elevation)]
        )

    @property
    def sun_light(self) -> Array:
        """Linear colour (3,) of direct sun."""
        return rgb(self.sun_colour) * self.sun_power

    def _angle(self, up: Array, right: Array) -> tuple[Array, Array]:
        length = np.sqrt(1 + up**2 + right**2)
        direction = np.stack([right / length, 1 / length, up / length], axis=-1)
        return up / length, np.arccos(np.clip(direction @ self.sun, -1, 1))

    def clear(self, up: Array, right: Array) -> Array:
        """Cloudless sky (..., 3) for view slopes."""
        sine, angle = self._angle(up, right)
        halo = np.exp(-angle / 0.10) * 0.9 + np.exp(-angle / 0.36) * 0.42 + 0.10 * np.exp(-angle / 0.9)
        base = ramp(np.clip(sine, 0, 1), self.gradient)
        return base + self.glow * halo[..., None] * rgb(self.sun_colour)

    def paint(self, up: Array, right: Array, rng: np.random.Generator, height_m: float = 1500.0) -> Array:
        """Sky with clouds (..., 3); the cloud sheet is a plane seen in perspective."""
        size = 1024
        big = noise((size, size), rng, 1.75, finest=3, stretch=(1.0, 1.25))
        fine = noise((size, size), rng, 1.1, finest=3)
        far = height_m / np.maximum(np.abs(up), 0.012)
        z, x = far / 26.0, far * right / 26.0
        warp = 14 * sample(fine, z * 0.5, x * 0.5)
        body = sample(big, z + warp, x + warp) + 0.13 * sample(fine, 2 * z, 2 * x)
        toward = sample(big, z + warp + 22 * self.sun[1], x + warp + 22 * self.sun[0])
        cloud = smoothstep(self.cover, self.cover + 1.5, body) * smoothstep(0.004, 0.07, up)
        lit = np.clip(0.55 - 0.55 * (toward - self.cover - 0.4), 0.0, 1.0)
        _, angle = self._angle(up, right)
        colour = mix(rgb(self.cloud_shade), rgb(self.cloud_light), lit)
        colour = colour * (1 + 1.5 * self.glow * np.exp(-angle / 0.30))[..., None]
        sky = mix(self.clear(up, right), colour, 0.93 * cloud)
        if self.disc:
            face = smoothstep(self.disc * 1.1, self.disc * 0.85, angle) * (1 - 0.8 * cloud)
            sky = sky + 9.0 * face[..., None] * rgb(self.sun_colour)
        return sky

    def haze(self, colour: Array, distance: Array, height: Array, up: Array, right: Array) -> Array:
        """Fade ground colour (H, W, 3) into the air; distance and height in metres."""
        thick = 0.30 + 0.70 * np.exp(-np.clip(height, 0, None) / self.haze_top_m)
        seen = np.exp(-distance / self.haze_m * thick)
        air = self.clear(np.full_like(up, 0.03), right)
        return mix(air, colour, seen)
