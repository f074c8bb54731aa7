"""How often a picture shows what stands out most in the exemplar it was made from."""

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.analysis.salience import salience
from texsynth.metrics.recurrence import FLAT
from texsynth.ops.orientations import ORIENTATIONS
from texsynth.ops.resample import box_sum

WINDOW = 1 / 8  # Side of the window, as a share of the exemplar's shorter side

LIKE = 0.8  # Correlation of colours from which on a place shows the same thing


def salient_copies(image: Tensor, exemplar: Tensor) -> float | None:
    """Count the copies of the exemplar's most salient window, for each time that the image holds its area.

    image: (1, 3, H, W), exemplar: (1, 3, h, w), both in [0, 1]. The window's side is an eighth of the
    exemplar's shorter one. A copy correlates with it by more than 0.8 over all colours, in any of eight
    orientations; of those that overlap the best one counts. 1 for the exemplar itself, unless the thing is
    there twice; None where nothing stands out.
    """
    side = max(round(WINDOW * min(exemplar.shape[2:])), 8)
    if min(*exemplar.shape[2:], *image.shape[2:]) < side:
        return None
    sums = box_sum(salience(exemplar), side)
    row, column = divmod(int(sums.argmax()), sums.shape[1])
    window = exemplar[:, :, row : row + side, column : column + side]
    if float(window.std()) <= FLAT:
        return None
    views = torch.cat([orientation.apply(window) for orientation in ORIENTATIONS])
    views = views - views.mean((1, 2, 3), keepdim=True)
    count = 3 * side**2
    total, square = box_sum(image[0].sum(0).double(), side), box_sum(image[0].square().sum(0).double(), side)
    spread = (square - total.square() / count).clamp_min(count * FLAT**2).sqrt().float()
    products = F.conv2d(image, views)[0] / (spread * views[0].norm())
    best = products.amax(0)
    peaks = best >= F.max_pool2d(best[None], 2 * (side // 2) + 1, 1, side // 2)[0]
    area = image[0, 0].numel() / exemplar[0, 0].numel()
    return int((peaks & (best > LIKE)).sum()) / area
