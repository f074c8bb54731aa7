"""Fields for procedural textures that come from spectra: fractal noise and reaction-diffusion."""

from __future__ import annotations

import torch
from torch import Tensor


def uniform(rng: torch.Generator, low: float, high: float) -> float:
    """A number between `low` and `high`."""
    return low + (high - low) * float(torch.rand((), generator=rng))


def fractal(size: int, rng: torch.Generator, slope: float, stretch: float = 1.0) -> Tensor:
    """Noise whose amplitude falls as 1 / frequency ** slope, (size, size) in [0, 1].

    slope: 0 is white, 1 is rough, 2.5 is a cloud. stretch: how many times longer features are along y.
    """
    spectrum = torch.fft.rfft2(torch.randn(size, size, generator=rng))
    fy, fx = _frequencies(size)
    radius = torch.hypot(fy * stretch, fx).clamp_min(1 / size)
    field: Tensor = torch.fft.irfft2(spectrum * radius**-slope, s=(size, size))
    return (0.5 + 0.22 * (field - field.mean()) / field.std().clamp_min(1e-9)).clamp(0, 1)


def reaction_diffusion(
    size: int, rng: torch.Generator, wavelength: float, bias: float, steps: int = 60
) -> Tensor:
    """Pattern of an activator u whose inhibitor spreads so fast that it is always in balance.

    du/dt = u + bias u^2 - u^3 - damping * u, where inhibitor and diffusion damp all but waves of `wavelength`
    pixels (Swift and Hohenberg 1977, the form near the onset of such patterns); semi-implicit steps in
    frequency space. Returns (size, size) in [0, 1].
    """
    fy, fx = _frequencies(size)
    ratio = (torch.hypot(fy, fx) * wavelength).square()
    damping = 1.6 * (1 - ratio).square()
    u, dt = 0.1 * torch.randn(size, size, generator=rng), 0.5
    for _ in range(steps):
        spectrum = torch.fft.rfft2(u + dt * (u - u**3 + bias * u.square()))
        u = torch.fft.irfft2(spectrum / (1 + dt * damping), s=(size, size)).clamp(-2, 2)
    return 0.5 + 0.5 * torch.tanh(2 * u / u.std().clamp_min(1e-6))


def _frequencies(size: int) -> tuple[Tensor, Tensor]:
    """Cycles per pixel along y and x, for rfft2."""
    return torch.fft.fftfreq(size)[:, None], torch.fft.rfftfreq(size)[None]
