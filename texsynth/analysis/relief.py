"""The relief of a surface, guessed from how light and dark one photograph of it is.

No photograph holds its surface's height. That dark is deep and light is high is what a picture without any
other hint suggests: it holds for joints, cracks and cavities, and fails for spots of paint. All here is
classical filtering; on a torus (`wrap`) every result is periodic.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.ops.resample import box_sum

LIGHT_PX = 96  # Shorter side to which a picture is reduced where light is measured
LIGHT_SCALE = 8  # Shorter sides over the deviation of the windows in which light is measured
ROUNDS = 8  # Steps of the robust mean
ALIKE = 9.0  # Squared departure, over the median's, from which a gradient is no light
ROUNDING = 0.5 / 255  # Gradients that differ by less are equal: 8 bits make stairs of slow light
NOISE = 1.5 / 255  # Contrast below which detail is rounding or grain of the camera

BANDS = (96, 32, 12)
"""Shorter sides over the radius of the filters that separate grain, texture and shapes."""

FLATNESS = 0.06
"""Deviation of lightness from which the filters take a contour for one, and keep it."""

RANGE = 0.9  # Share of the range of values that a height takes
MOST_GAIN = 4.0  # A height is enlarged by no more than this to take it, so that flat stays flat
TAIL = 0.005  # Share of the pixels at each end that may stick out of it

DIRECTIONS = 16  # In which occlusion looks for what stands in the light's way
STEPS = 12  # How often it looks in each of them
CONTRAST = 0.04  # Deviation of detail that makes a surface half rough


@dataclass(frozen=True)
class Grid:
    """How a plane of values goes on beyond its border: around the torus, or by its mirror image."""

    wrap: bool

    def pad(self, values: Tensor, by: int) -> Tensor:
        """Continue (..., H, W) by `by` pixels on every side, at most a side's length less one."""
        for dim in (-2, -1):
            n = values.shape[dim]
            at = torch.arange(-by, n + by)
            period = max(2 * (n - 1), 1)
            index = at % n if self.wrap else (n - 1) - ((n - 1) - at % period).abs()
            values = values.index_select(dim, index)
        return values

    def mean(self, values: Tensor, radius: int) -> Tensor:
        """Average squares of 2 radius + 1 pixels around every position of (H, W)."""
        size = 2 * radius + 1
        return (box_sum(self.pad(values, radius), size) / size**2).to(values)

    def resize(self, values: Tensor, size: tuple[int, ...]) -> Tensor:
        """Enlarge smooth values (H, W) to `size`, between the middles of pixels."""
        for dim in (0, 1):
            old, new = values.shape[dim], size[dim]
            at = (torch.arange(new, dtype=torch.float64) + 0.5) * old / new + 0.5
            first = at.floor().long()
            line = self.pad(values, 1)[:, 1:-1] if dim == 0 else self.pad(values, 1)[1:-1]
            low, high = line.index_select(dim, first), line.index_select(dim, (first + 1).clamp_max(old + 1))
            values = torch.lerp(low, high, (at - first).to(values).view(-1, *[1] * (1 - dim)))
        return values

    def gradient(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return half the difference of both neighbours, across and down; at a border of one. (H, W) each."""
        if self.wrap:
            across, down = ((values.roll(-1, dim) - values.roll(1, dim)) / 2 for dim in (1, 0))
            return across, down
        down, across = torch.gradient(values)
        return across, down

    def steps(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return the differences to the next pixel, across and down, 0 where there is none. (H, W) each."""
        across, down = values.roll(-1, 1) - values, values.roll(-1, 0) - values
        if not self.wrap:
            across, down = F.pad(across[:, :-1], (0, 1)), F.pad(down[:-1], (0, 0, 0, 1))
        return across, down

    def sum_up(self, across: Tensor, down: Tensor) -> Tensor:
        """Find the values whose `steps` are nearest to these, in least squares; their mean is 0."""
        if not self.wrap:  # nothing crosses the border
            across, down = F.pad(across[:, :-1], (0, 1)), F.pad(down[:-1], (0, 0, 0, 1))
        change = across.roll(1, 1) - across + down.roll(1, 0) - down
        height, width = change.shape
        if not self.wrap:
            change = torch.cat([change, change.flip(0)])
            change = torch.cat([change, change.flip(1)], 1)
        rows, columns = change.shape
        own = (2 - 2 * torch.cos(2 * torch.pi * torch.fft.fftfreq(rows, dtype=torch.float64)))[:, None]
        own = own + 2 - 2 * torch.cos(2 * torch.pi * torch.fft.rfftfreq(columns, dtype=torch.float64))
        own[0, 0] = 1
        spectrum = torch.fft.rfft2(change.double()) / own
        spectrum[0, 0] = 0
        solved: Tensor = torch.fft.irfft2(spectrum, s=(rows, columns))
        return solved[:height, :width].to(across)


def slow_light(lightness: Tensor, grid: Grid) -> Tensor:
    """Measure the light that changes slowly over a picture, (H, W) with a mean of 0. lightness: (H, W).

    Light adds the same small gradient to all pixels of a neighbourhood; contours are few and large. So its
    gradient is where most gradients of a wide window gather (a mean with weights 1 / (1 + d^2 / s^2), s from
    the median of the distances d). What rises slowly and falls at once, like shingles, would deceive that, so
    it is no more than the slope of the straight line that fits the window best, and 0 where both disagree;
    and all of it is scaled down to what is there of it in the means of the windows.
    """
    reduced = min(1.0, LIGHT_PX / min(lightness.shape))
    rows, columns = (max(1, round(n * reduced)) for n in lightness.shape)
    small = F.adaptive_avg_pool2d(lightness[None], (rows, columns))[0]
    window = _Window(small.shape, min(small.shape) / LIGHT_SCALE, wrap=grid.wrap)
    gradients = []
    for gradient, dim in zip(grid.steps(small), (1, 0), strict=True):
        slope = window.slope(small, dim)
        mean = slope
        for _ in range(ROUNDS):
            distance = (gradient - mean).square()
            weight = 1 / (1 + distance / (ALIKE * distance.median() + ROUNDING**2))
            mean = window(weight * gradient) / window(weight).clamp_min(1e-9)
        same = torch.minimum(mean.abs(), slope.abs()) * mean.sign()
        gradients.append(same.where(mean * slope > 0, torch.zeros(())))
    light = grid.sum_up(*gradients)
    means = window(small) / window(torch.ones_like(small))
    share = ((means - means.mean()) * light).sum() / light.square().sum().clamp_min(1e-12)
    return grid.resize(share.clamp(0, 1) * light, lightness.shape)


class _Window:
    """Sums over Gaussian windows, by FFT; beyond a border where nothing goes on there is nothing."""

    def __init__(self, shape: torch.Size, sigma: float, *, wrap: bool) -> None:
        self.shape = shape
        self.size = [n + (0 if wrap else 2 * int(3 * sigma)) for n in shape]
        self.places = [torch.fft.fftfreq(n, 1 / n, dtype=torch.float64) for n in self.size]
        self.bells = [torch.exp(-place.square() / (2 * sigma**2)) for place in self.places]

    def __call__(self, values: Tensor, dim: int = 0, power: int = 0) -> Tensor:
        """Sum (H, W) with weights, times the distance along `dim` to a `power`."""
        lines = [*self.bells]
        lines[dim] = lines[dim] * (-self.places[dim]) ** power
        kernel = torch.fft.rfft2(lines[0][:, None] * lines[1][None])
        padded = F.pad(values.double(), (0, self.size[1] - self.shape[1], 0, self.size[0] - self.shape[0]))
        sums: Tensor = torch.fft.irfft2(torch.fft.rfft2(padded) * kernel, s=self.size)
        return sums[: self.shape[0], : self.shape[1]].to(values)

    def slope(self, values: Tensor, dim: int) -> Tensor:
        """Fit straight lines to the windows by least squares. Returns their slopes along `dim`, (H, W)."""
        count, first, second = (self(torch.ones_like(values), dim, power).double() for power in range(3))
        total, product = (self(values, dim, power).double() for power in range(2))
        slope: Tensor = (count * product - first * total) / (count * second - first.square())
        return slope.to(values)


def smooth_between_contours(values: Tensor, radius: int, grid: Grid) -> Tensor:
    """Filter (H, W) by itself as a guide (He, Sun and Tang 2013, equations 5, 6 and 8): contours stay."""
    mean = grid.mean(values, radius)
    variance = (grid.mean(values.square(), radius) - mean.square()).clamp_min(0)
    slope = variance / (variance + FLATNESS**2)
    offset = mean - slope * mean
    return grid.mean(slope, radius) * values + grid.mean(offset, radius)


def bands(values: Tensor, grid: Grid) -> list[Tensor]:
    """Separate (H, W) into detail, fine to coarse, and what is left; they add up, but for noise."""
    parts, rest = [], values
    for share in BANDS:
        smooth = smooth_between_contours(rest, max(1, min(values.shape) // share), grid)
        detail = rest - smooth
        parts.append(detail.sign() * (detail.abs() - NOISE).clamp_min(0))
        rest = smooth
    return [*parts, rest]


def to_height(relief: Tensor) -> Tensor:
    """Bring a relief (H, W) into [0, 1]: its middle to 0.5, its range to most of it, within a bound."""
    flat = relief.flatten()
    # Of a sample in large pictures; quantiles need no more.
    flat = flat[:: -(-flat.numel() // (1 << 20))]
    low, high = (float(flat.quantile(q)) for q in (TAIL, 1 - TAIL))
    gain = min(MOST_GAIN, RANGE / max(high - low, 1e-6))
    return ((relief - (low + high) / 2) * gain + 0.5).clamp(0, 1)


def normals(height: Tensor, depth: float, grid: Grid, *, green_down: bool = False) -> Tensor:
    """Compute the normals of a height (H, W), which is `depth` pixels high from 0 to 1.

    They are (-dh/dx, -dh/dy, 1) over its length, from half the differences of both neighbours, y upwards, or
    downwards if `green_down`. Returns colours (3, H, W) in [0, 1].
    """
    across, down = grid.gradient(height * depth)
    vectors = torch.stack([-across, -down if green_down else down, torch.ones_like(height)])
    colours: Tensor = (vectors / vectors.norm(dim=0) + 1) / 2
    return colours


def occlusion(
    height: Tensor,
    depth: float,
    radius: float,
    grid: Grid,
    on_direction: Callable[[int], None] = lambda _: None,
) -> Tensor:
    """Compute how much of an evenly bright sky every point of a height (H, W) sees, in [0, 1], 1 on a plane.

    depth: pixels from 0 to 1. radius: pixels within which something may stand in the way. In each direction
    the sky begins at the highest angle e above the horizon at which something stands; a level point is lit
    by cos(e)^2 of the light from there (cosine-weighted, so the integral of sin from 0 to the zenith angle).
    """
    reach = max(1, min(round(radius), min(height.shape) - 1))
    padded = grid.pad(height * depth, reach)
    rows, columns = height.shape
    inner = padded[reach : reach + rows, reach : reach + columns]
    distances = sorted({max(1, round(reach ** ((k + 1) / STEPS))) for k in range(STEPS)})
    seen = torch.zeros_like(height)
    for number in range(DIRECTIONS):
        angle = torch.tensor(2 * torch.pi * number / DIRECTIONS)
        steepest = torch.zeros_like(height)
        for distance in distances:
            dy, dx = (round(float(f(angle)) * distance) for f in (torch.sin, torch.cos))
            there = padded[reach + dy : reach + dy + rows, reach + dx : reach + dx + columns]
            steepest = torch.maximum(steepest, (there - inner) / max((dy * dy + dx * dx) ** 0.5, 1.0))
        seen += 1 / (1 + steepest.square())
        on_direction(number + 1)
    return seen / DIRECTIONS


def roughness(values: Tensor, radius: int, least: float, most: float, grid: Grid) -> Tensor:
    """Guess how rough a surface is from the contrast of its fine detail, contours left out.

    values: (H, W) lightness. radius: of the means, in pixels. least: of a surface without detail, most: of
    one with a lot. Returns (H, W) in [0, 1].
    """
    mean = grid.mean(values, 1)
    detail = values - mean
    detail = detail.sign() * (detail.abs() - NOISE).clamp_min(0)
    wide = grid.mean(mean, radius)
    contour = (grid.mean(mean.square(), radius) - wide.square()).clamp_min(0) + detail.square()
    weight = 1 / (1 + contour / FLATNESS**2) ** 3
    sums = [grid.mean(grid.mean(part, radius), radius) for part in (weight * detail.square(), weight)]
    contrast = (sums[0] / sums[1].clamp_min(1e-9)).clamp_min(0).sqrt()
    return least + (most - least) * contrast / (contrast + CONTRAST)
