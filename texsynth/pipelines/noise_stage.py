"""By-example noise as a method of an expansion."""

import torch
from torch import Tensor

from texsynth.config.settings import ExpandSettings
from texsynth.pipelines.progress import OnStep, Step
from texsynth.synthesis.exemplar import Exemplar
from texsynth.synthesis.noise import lay_noise


def make_noise(
    exemplar: Exemplar, size: tuple[int, int], settings: ExpandSettings, rng: torch.Generator, on_step: OnStep
) -> tuple[Tensor, Tensor]:
    """Make noise by example, strip by strip. Returns image and sibling maps, (1, ., *size)."""
    noise = lay_noise(
        exemplar, size, rng, spacing=settings.noise.spacing * min(exemplar.image.shape[2:]),
        sharpness=settings.noise.sharpness, wrap=settings.tileable,
    )  # fmt: skip
    image, siblings = torch.empty(1, 3, *size), torch.empty(1, noise.siblings.shape[1], *size)
    for rows, colours, values in noise.strips():
        image[0, :, rows], siblings[0, :, rows] = colours, values
        on_step(Step("noise", rows.stop, size[0]))
    return image, siblings
