"""The plan of an expansion: what is decided from the exemplars before any stage works."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from texsynth.analysis.coarseness import coarseness
from texsynth.analysis.lattice import MIN_CONFIDENCE, REGULAR, Lattice, most_likely_lattice, regularity_score
from texsynth.config.expand_rules import MIN_SIDE, output_size, without_idle_network
from texsynth.config.settings import ExpandSettings, Method
from texsynth.errors import InputError
from texsynth.ops.orientations import Orientation
from texsynth.ops.threads import one_thread
from texsynth.pipelines.even_light import even_out
from texsynth.pipelines.noise_gate import noise_suits
from texsynth.pipelines.orientations import piece_orientations
from texsynth.synthesis.exemplar import Exemplar
from texsynth.synthesis.hidden import paint_hidden
from texsynth.synthesis.warp import inner_rectangle, turn_exemplar, upright_angle

SMALL = 192
"""Pixels of the shorter side below which the transposer's layout helps a regular texture.

At 128 it came nearer to the truth on 19 of 21 textures (Wasserstein distance 0.57 of quilting's, patches
alone 0.85) and was as coherent; at 256 patches alone were more coherent on 11 of 12."""

FINE = 0.45
"""Coarseness up to which copies with their borders repaired look like patches, in a tenth of the time.

Of 49 textures of 256 px, 18 of which were compared by eye, grass, sand, cork, leather, cloth and plaster lie
below, stones, planks, cracks and flowers above."""

PERIODS = 1.5
"""An exemplar must be this many times as long as the texture's longest period for the transposer.

With less the network's layout has nothing to go by and leads the patches astray."""


@dataclass(frozen=True)
class ExpandPlan:
    """Exemplars as the stages take them, and settings with nothing left open."""

    exemplars: tuple[Exemplar, ...]
    settings: ExpandSettings
    size: tuple[int, int]  # Rows and columns of the output
    lattice: Lattice | None = None  # Lattice of a single whole exemplar that is regular
    orientations: tuple[Orientation, ...] = (Orientation(),)  # Those that pieces may have
    notes: tuple[str, ...] = ()  # Remarks for the user


@torch.no_grad()
@one_thread()
def plan_expand(
    exemplars: Sequence[Exemplar], settings: ExpandSettings, *, guided: bool = False
) -> ExpandPlan:
    """Turn exemplars upright and even out their light, find their lattice, choose the method if it is open.

    settings: as `check_combination` allows them. guided: a guide says what goes where. Raises InputError for
    too little to take from.
    """
    size = output_size(settings, *exemplars[0].image.shape[2:])
    exemplars = [paint_hidden(e) for e in exemplars]
    notes: tuple[str, ...] = ()
    if settings.upright:
        exemplars, notes = _turn_upright(exemplars)
    exemplars, remark = even_out(exemplars, settings.even_light)
    notes += remark
    # Two textures share no lattice, and a mask hides it; a guide decides where things go, so would a lattice.
    whole = len(exemplars) == 1 and exemplars[0].mask is None and not guided
    by_lattice = "patch" in settings.method and settings.patch.lattice == "auto"
    lattice = None
    if whole and (settings.method == "auto" or by_lattice):
        lattice = most_likely_lattice(exemplars[0].image)
    if settings.method == "auto":
        method = _choose_method(exemplars[0], lattice, settings) if whole else "patch"
        settings = without_idle_network(settings.model_copy(update={"method": method}))
    kept = lattice if lattice and lattice.confidence >= MIN_CONFIDENCE else None
    orientations: tuple[Orientation, ...] = (Orientation(),)
    if "patch" in settings.method:
        orientations = piece_orientations(exemplars, settings, kept)
    if settings.patch.lattice == "off":
        kept = None
    return ExpandPlan(tuple(exemplars), settings, size, kept, orientations, notes)


def _choose_method(exemplar: Exemplar, lattice: Lattice | None, settings: ExpandSettings) -> Method:
    """Choose noise for textures without shapes, copies for other fine ones without variety, or patches.

    Small regular ones get copies and then patches. On a torus the lattice has to give, and copies know
    nothing of it. Sibling maps may hold values that must not be mixed, as they are at repaired borders, and
    would show where a patch of noise ends.
    """
    regular = lattice is not None and lattice.confidence >= MIN_CONFIDENCE
    if not regular and not exemplar.siblings and noise_suits(exemplar.image):
        return "noise"
    if settings.tileable:
        return "patch"
    if lattice and regularity_score(lattice) >= REGULAR:
        longest = max(lattice.periods, default=0.0)
        return "transposer+patch" if PERIODS * longest <= min(exemplar.image.shape[2:]) < SMALL else "patch"
    # Copies of the whole exemplar show it again and again.
    copies = not settings.variety and coarseness(exemplar.image) <= FINE
    return "transposer" if copies and not exemplar.siblings else "patch"


def _turn_upright(exemplars: Sequence[Exemplar]) -> tuple[list[Exemplar], tuple[str, ...]]:
    """Turn each exemplar until its lines are level or upright. Returns them and remarks for the user."""
    turned, remarks = [], []
    for e in exemplars:
        angle = upright_angle(e.image, e.mask)
        if angle is None:
            remarks.append("no direction stands out in the exemplar, so it was not turned")
        rows, columns = inner_rectangle(e.image.shape[2], e.image.shape[3], angle or 0.0)
        if min(rows, columns) < MIN_SIDE:
            raise InputError(
                f"turned upright by {angle:.0f} degrees, {columns} x {rows} pixels of an exemplar are left; "
                f"it needs at least {MIN_SIDE} each way, so give a larger one or leave out upright"
            )
        turned.append(turn_exemplar(e, angle or 0.0))
    return turned, tuple(dict.fromkeys(remarks))
