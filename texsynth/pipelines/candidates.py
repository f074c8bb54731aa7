"""The best of several finished pictures of a texture: the one in which least is cut."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from texsynth.metrics.broken import Maps, can_be_judged, learn_own_cuts
from texsynth.models.registry import Model
from texsynth.pipelines.progress import OnStep, sub_progress
from texsynth.pipelines.rasters import TensorRaster
from texsynth.pipelines.transfer import tiled_encoder
from texsynth.synthesis.exemplar import Exemplar

CUT_LEVELS = (2, 3, 4)  # Levels of a network whose features tell cut objects from whole ones

SEED = 0
"""Seed of the cuts that a detector learns from: the same exemplar always has the same detector."""

Rate = Callable[[Tensor], float]
"""(1, 3, H, W) in [0, 1] -> how much is wrong with it."""

_Result = TypeVar("_Result")


def cut_rate(exemplars: Sequence[Exemplar], size: tuple[int, int], model: Model) -> Rate | None:
    """Learn to rate how much is cut in outputs of `size` (H, W) of an exemplar.

    None for several exemplars, whose borders would count as cuts, and where there is too little to look at.
    """
    if len(exemplars) > 1 or not can_be_judged(size):
        return None
    image, mask = exemplars[0].image, exemplars[0].mask
    usable = torch.ones(image.shape[2:], dtype=torch.bool) if mask is None else mask[0, 0] > 0.5
    detector = learn_own_cuts(feature_maps(model), image, usable, torch.Generator().manual_seed(SEED))
    return None if detector is None else detector.broken


def best_of(
    count: int,
    make: Callable[[OnStep], _Result],
    rate: Callable[[_Result], float] | None,
    on_step: OnStep,
) -> _Result:
    """Make `count` results one after the other and keep the one that is rated lowest, of equals the first.

    rate: None makes a single one.
    """
    if rate is None:
        return make(on_step)
    best, least = None, torch.inf
    for number in range(count):
        other = make(sub_progress(on_step, number, count))
        faults = rate(other)
        if best is None or faults < least:
            best, least = other, faults
    assert best is not None
    return best


def feature_maps(model: Model) -> Maps:
    """Make the function that takes the features by which cut objects are told from whole ones."""
    levels = [level for level in CUT_LEVELS if level <= len(model.encoder.widths)]
    encoder = tiled_encoder(model, max(levels))

    @torch.inference_mode()
    def maps(image: Tensor) -> Sequence[Tensor]:
        features = encoder.features(TensorRaster(image))
        return [features[level].float().cpu() for level in levels]

    return maps
