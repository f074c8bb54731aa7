"""Rough previews of textures: shown at once, until there is a true one."""

from __future__ import annotations

from dataclasses import replace

from texsynth.config.settings import ExpandSettings
from texsynth.images.picture import Picture
from texsynth.serve.settled import Settled

ROUGH_SIDE = 160  # Pixels of the longer side at most


def can_be_rough(settled: Settled) -> bool:
    """Tell whether there is a faster way: for textures that do not grow out of noise."""
    return isinstance(settled.settings, ExpandSettings) and settled.settings.method != "optimize"


def roughly(settled: Settled, exemplar: Picture | None) -> Settled:
    """Return settings for one layout in which nothing is laid again, searched, or compared with others."""
    settings = settled.settings
    assert isinstance(settings, ExpandSettings)
    patch = settings.patch.model_copy(update={"layouts": 1, "refine": 0, "iterations": ()})
    method = settings.method.removesuffix("+optimize")
    changes: dict[str, object] = {"patch": patch, "method": method, "candidates": 1}
    # Cells of a regular texture would change places, which takes longer than to lay them.
    if settings.variety and exemplar and _is_regular(exemplar):
        changes["variety"] = 0.0
    return replace(settled, settings=settings.model_copy(update=changes))


def _is_regular(exemplar: Picture) -> bool:
    from texsynth.analysis.lattice import MIN_CONFIDENCE, most_likely_lattice
    from texsynth.images.tensors import to_image
    from texsynth.ops.threads import one_thread

    with one_thread():
        lattice = most_likely_lattice(to_image(exemplar))
    return lattice is not None and lattice.confidence >= MIN_CONFIDENCE
