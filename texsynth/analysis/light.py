"""Uneven light on a texture: smooth changes of colour and contrast, taken out and given back."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.config.base import EvenLight
from texsynth.ops.color import luma
from texsynth.ops.resample import box_mean

DEGREE = 2  # Of the polynomials: a slope, a vignette

CELLS = 8  # Along the shorter side, whose means are compared with a polynomial

SMOOTH = 0.8
"""Share of the variance of cells' means that a polynomial must explain to be light, no part of the texture.

Of 464 textures 11 reach it: leather, sand, drops and mats under a lamp or in a vignette."""

VISIBLE = 0.008  # Deviation of a smooth change from which on it is worth taking out

OBJECTS = 0.03  # Deviation of cells' means around the polynomial from which on large shapes are there

TEXTURE = 0.25  # Deviation that must be left over that of the smooth change, or the change is the texture

CONTRAST = (0.5, 2.0)  # Range of what contrast is multiplied by


@dataclass(frozen=True)
class Light:
    """A smooth change of colours and of the contrast around them, for every place of a picture."""

    colours: Tensor  # (3, t) float64, coefficients of the polynomials for what colours have too much
    contrast: Tensor  # (1, t), the same for the logarithm of contrast over its mean
    centre: Tensor  # (3,), mean colour
    size: tuple[int, int]  # Rows and columns of the picture

    def remove(self, image: Tensor) -> Tensor:
        """Even out the light of the picture (1, 3, h, w); where colours reach 0 or 1 they are cut off."""
        excess, gain = self.fields(*self._axes())
        return ((image - self._middle - excess) / gain + self._middle).clamp(0, 1)

    def restore(self, image: Tensor, band: int = 0) -> Tensor:
        """Give the light back to an evened picture (1, 3, h, w), the inverse of `remove` but for what is cut.

        band: pixels along all borders over which the light becomes periodic.
        """
        if not band:
            excess, gain = self.fields(*self._axes())
        else:
            excess, gain = self._periodic(band)
        return ((image - self._middle) * gain + self._middle + excess).clamp(0, 1)

    def scaled(self, strength: float) -> "Light":
        """Return this share of the change."""
        return replace(self, colours=self.colours * strength, contrast=self.contrast * strength)

    def fields(self, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Return the excess of colours, (3, h, w), and the gain of contrast, (1, h, w), at places.

        rows, columns: (h,) and (w,) in pixels, also beyond the picture.
        """
        terms = _terms(rows / self.size[0], columns / self.size[1])
        both = torch.einsum("ct,thw->chw", torch.cat([self.colours, self.contrast]), terms).float()
        return both[:3], both[3:].exp().clamp(*CONTRAST)

    @property
    def _middle(self) -> Tensor:
        return self.centre.view(3, 1, 1)

    def _axes(self) -> tuple[Tensor, Tensor]:
        rows, columns = (torch.arange(n, dtype=torch.float64) + 0.5 for n in self.size)
        return rows, columns

    def _periodic(self, band: int) -> tuple[Tensor, Tensor]:
        """Return fields that are `fields` inside the bands and pass over into their other side's in them."""
        excess, gain = torch.zeros(3, *self.size), torch.zeros(1, *self.size)
        shares = []
        for n, at in zip(self.size, self._axes(), strict=True):
            # Beyond the nearer border lies the other side, one period on: half of it shows at the border.
            depth = (at.minimum(n - at) / band).clamp(0, 1)
            here = 0.5 + 0.5 * depth * depth * (3 - 2 * depth)
            shares.append(((at, here), (torch.where(at < n / 2, at + n, at - n), 1 - here)))
        for rows, down in shares[0]:
            for columns, along in shares[1]:
                share = (down[:, None] * along).float()
                there = self.fields(rows, columns)
                excess, gain = excess + share * there[0], gain + share * there[1]
        return excess, gain


def find_light(image: Tensor, share: EvenLight, mask: Tensor | None = None) -> Light | None:
    """Fit the slow change of light and colour of a texture that is to be taken out.

    image: (1, 3, h, w). share: how much of it; `auto` for all of it where it is too smooth to be part of the
    texture, `off` for none. mask: (1, 1, h, w), above 0.5 what counts. Returns None for nothing to take out.
    """
    if share in ("off", 0):
        return None
    height, width = image.shape[2:]
    cell = max(min(height, width) // CELLS, 1)
    weight = torch.ones(1, 1, height, width) if mask is None else (mask > 0.5).float()
    grey = luma(image)
    # Contrast is what differs from its surroundings, on the scale of a cell.
    radius = max(cell // 2, 1)
    around = box_mean(grey * weight, radius) / box_mean(weight, radius).clamp_min(1e-6)
    planes = torch.cat([image, (grey - around).square()], 1) * weight
    covered = F.avg_pool2d(weight, cell)[0, 0]
    use = covered > 0.5
    means = (F.avg_pool2d(planes, cell)[0][:, use] / covered[use]).double()
    rows, columns = ((torch.arange(n // cell, dtype=torch.float64) + 0.5) * cell / n for n in (height, width))
    terms = _terms(rows, columns)[:, use]
    free = terms.shape[1] - len(terms)
    if free < len(terms):
        return None
    colours, logs = means[:3], 0.5 * (means[3:] + 1e-8).log()
    fitted = _fit(terms, torch.cat([colours, logs]))
    rest, total, change = _explained(colours, fitted[:3] @ terms, free)
    if share == "auto":
        deviation = (planes[0, :3] - weight[0] * means[:3].mean(1).float().view(3, 1, 1)).square()
        whole = float(deviation.sum() / (3 * weight.sum()))
        is_light = change >= VISIBLE and rest <= (1 - SMOOTH) * total and (rest / 3) ** 0.5 <= OBJECTS
        # Where nothing else is there, the change is what the texture is.
        if not is_light or whole - change**2 < (TEXTURE * change) ** 2:
            return None
    rest, total, _ = _explained(logs, fitted[3:] @ terms, free)
    if rest > 0.5 * total:
        fitted[3:] = 0
    # Relative to the mean, which stays.
    fitted[:, 0] -= (fitted @ terms).mean(1)
    centre = planes[0, :3].flatten(1).sum(1) / weight.sum()
    light = Light(fitted[:3], fitted[3:], centre, (height, width))
    return light if share == "auto" else light.scaled(float(share))


def _explained(values: Tensor, fit: Tensor, free: int) -> tuple[float, float, float]:
    """Return the variances of (c, n) around a fit and around its means, summed, and the deviation of the fit.

    free: values less the terms of the fit.
    """
    rest = (values - fit).square().sum() / free
    total = (values - values.mean(1, keepdim=True)).square().sum() / (values.shape[1] - 1)
    return float(rest), float(total), float(fit.var(1).mean().sqrt())


def _terms(rows: Tensor, columns: Tensor) -> Tensor:
    """Return the terms of a polynomial, (t, h, w), at shares of the height and width."""
    y, x = 2 * rows[:, None] - 1, 2 * columns[None] - 1
    return torch.stack(
        [
            (y**i * x**j).expand(len(rows), len(columns))
            for i in range(DEGREE + 1)
            for j in range(DEGREE + 1 - i)
        ]
    )


def _fit(terms: Tensor, values: Tensor) -> Tensor:
    """Fit values (c, n) by terms (t, n). Returns coefficients (c, t)."""
    solution: Tensor = torch.linalg.lstsq(terms.T, values.T).solution
    return solution.T.clone()
