"""Paint over what must not be looked at, so that nothing that is made can depend on it.

Masks alone do not do that: transforms, pyramids, filters and statistics read beside what they may read.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.synthesis.exemplar import Exemplar


def paint_hidden(exemplar: Exemplar) -> Exemplar:
    """Paint over what the mask hides, in the image and all that belongs to it, from what it leaves."""
    if exemplar.mask is None:
        return exemplar
    visible = (exemplar.mask > 0.5).float()
    return replace(
        exemplar,
        image=_spread(exemplar.image, visible),
        siblings=tuple(_spread(sibling, visible) for sibling in exemplar.siblings),
        mask=visible,
        guide=None if exemplar.guide is None else _spread(exemplar.guide, visible),
    )


def _spread(planes: Tensor, visible: Tensor) -> Tensor:
    """Spread the visible pixels over the others, smoothly: push-pull (Gortler et al. 1996, section 3.4).

    planes: (1, C, h, w). visible: (1, 1, h, w), 0 or 1. Returns (1, C, h, w); the visible pixels stay.
    """
    if bool(visible.all()) or planes.shape[2:] == (1, 1):
        return planes * visible
    share = _halved(visible)
    mean = _halved(planes * visible) / share.clamp_min(1e-6)
    below = _spread(mean, (share > 0).float())
    smooth = F.interpolate(below, planes.shape[2:], mode="bilinear", align_corners=False)
    return torch.where(visible > 0, planes, smooth)


def _halved(planes: Tensor) -> Tensor:
    return F.avg_pool2d(planes, 2, ceil_mode=True, count_include_pad=False)
