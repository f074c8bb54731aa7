"""What an expansion decides from the exemplars before any stage works: upright, lattice, method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from texsynth.analysis.lattice import MIN_CONFIDENCE, REGULAR, Lattice, most_likely_lattice, regularity_score
from texsynth.config.settings import ExpandSettings, Method
from texsynth.errors import InputError, UsageError
from texsynth.synthesis.exemplar import MIN_SIDE, Exemplar
from texsynth.synthesis.warp import turn_exemplar, upright_angle

SMALL = 192
"""Pixels of the shorter side below which the transposer's layout helps a regular texture.

At 128 it came nearer to the truth on 19 of 21 textures (Wasserstein distance 0.57 of quilting's, patches
alone 0.85) and was as coherent; at 256 patches alone were more coherent on 11 of 12."""

PERIODS = 1.5
"""An exemplar must be this many times as long as the texture's longest period for the transposer.

With less the network's layout has nothing to go by and leads the patches astray."""


@dataclass(frozen=True)
class ExpandPlan:
    """Exemplars as the stages take them, and settings with nothing left open."""

    exemplars: tuple[Exemplar, ...]
    settings: ExpandSettings
    size: tuple[int, int]
    """Rows and columns of the output."""
    lattice: Lattice | None = None
    """Of a single whole exemplar that is regular."""
    notes: tuple[str, ...] = ()


@torch.no_grad()
def ready(
    exemplars: Sequence[Exemplar], settings: ExpandSettings, *, guided: bool = False, network: bool = True
) -> ExpandPlan:
    """Turn exemplars upright if `settings` say so, find their lattice, and choose the method if it is open.

    guided: a guide says what goes where. network: the transposer is at hand. Raises InputError for too little
    to take from, UsageError for what a method cannot do.
    """
    _check(exemplars, settings, guided=guided)
    size = output_size(settings, *exemplars[0].image.shape[2:])
    notes: tuple[str, ...] = ()
    if settings.upright:
        exemplars, notes = _upright(exemplars)
    # Two textures share no lattice, and a mask hides it; a guide decides where things go, so would a lattice.
    whole = len(exemplars) == 1 and exemplars[0].mask is None and not guided
    wanted = settings.method == "auto" or ("patch" in settings.method and settings.patch.lattice == "auto")
    found = most_likely_lattice(exemplars[0].image) if whole and wanted else None
    if settings.method == "auto":
        method = choose_method(exemplars[0], found, settings) if whole and network else "patch"
        settings = settings.model_copy(update={"method": method})
    regular = found is not None and found.confidence >= MIN_CONFIDENCE and settings.patch.lattice == "auto"
    return ExpandPlan(tuple(exemplars), settings, size, found if regular else None, notes)


def choose_method(exemplar: Exemplar, found: Lattice | None, settings: ExpandSettings) -> Method:
    """The method for one whole exemplar whose likeliest lattice is `found`.

    The transposer lays out small exemplars of regular textures that show enough of them; patches alone suit
    all others. On a torus the lattice has to give, and the transposer knows nothing of it.
    """
    side = min(exemplar.image.shape[2:])
    if found is None or settings.tileable or side >= SMALL or regularity_score(found) < REGULAR:
        return "patch"
    return "transposer+patch" if side >= PERIODS * max(found.periods, default=0.0) else "patch"


def output_size(settings: ExpandSettings, height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the output of an exemplar of `height` x `width`."""
    if settings.size is not None:
        return settings.size[1], settings.size[0]
    return max(1, round(height * settings.scale)), max(1, round(width * settings.scale))


def _check(exemplars: Sequence[Exemplar], settings: ExpandSettings, *, guided: bool) -> None:
    for e in exemplars:
        if min(e.image.shape[2:]) < MIN_SIDE:
            raise InputError(
                f"an exemplar has {e.image.shape[3]} x {e.image.shape[2]} pixels; "
                f"it needs at least {MIN_SIDE} each way"
            )
    if "transposer" in settings.method and (
        len(exemplars) > 1 or guided or any(e.mask is not None for e in exemplars)
    ):
        raise UsageError(
            f"method {settings.method} takes one exemplar without mask and guide; use patch+optimize for more"
        )
    if settings.method == "optimize" and (guided or any(e.siblings for e in exemplars)):
        raise UsageError("method optimize has no layout for guides and sibling maps; use patch+optimize")


def _upright(exemplars: Sequence[Exemplar]) -> tuple[list[Exemplar], tuple[str, ...]]:
    """The exemplars, each turned until its lines are level or upright, and what is to be said about it."""
    found, remarks = [], []
    for e in exemplars:
        angle = upright_angle(e.image, e.mask)
        if angle is None:
            remarks.append("no direction stands out in the exemplar, so it was not turned")
        found.append(turn_exemplar(e, angle or 0.0))
        rows, columns = found[-1].image.shape[2:]
        if min(rows, columns) < MIN_SIDE:
            raise InputError(
                f"turned upright by {angle:.0f} degrees, {columns} x {rows} pixels of an exemplar are left; "
                f"it needs at least {MIN_SIDE} each way, so give a larger one or leave out upright"
            )
    return found, tuple(dict.fromkeys(remarks))
