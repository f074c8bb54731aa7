"""Exemplars in even light, and their own light given back to what stays in its place."""

from collections.abc import Sequence
from dataclasses import replace

from texsynth.analysis.light import Light, find_light
from texsynth.config.base import EvenLight
from texsynth.synthesis.exemplar import Exemplar

REMARK = "slow changes of its light were taken out of the exemplar; even_light=off keeps them"


def even_out(exemplars: Sequence[Exemplar], share: EvenLight) -> tuple[list[Exemplar], tuple[str, ...]]:
    """Take slow changes of light out of each exemplar. Returns them, and a remark where `auto` did so."""
    even, lights = zip(*(take_light(e, share) for e in exemplars), strict=True)
    return list(even), (REMARK,) if share == "auto" and any(lights) else ()


def take_light(exemplar: Exemplar, share: EvenLight) -> tuple[Exemplar, Light | None]:
    """Return an exemplar in even light, its sibling maps as they are, and the light that was taken out."""
    light = find_light(exemplar.image, share, exemplar.mask)
    return (replace(exemplar, image=light.remove(exemplar.image)) if light else exemplar), light
