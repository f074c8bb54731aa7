"""In which orientations the pieces of an expansion may be laid."""

from collections.abc import Sequence

from texsynth.analysis.lattice import Lattice
from texsynth.analysis.symmetry import same_orientations
from texsynth.config.settings import ExpandSettings
from texsynth.ops.orientations import MIRROR, ORIENTATIONS, Orientation
from texsynth.synthesis.exemplar import Exemplar

MAX_PIXELS = 1 << 22
"""Pixels of all orientations together; a search for patches takes about 100 bytes for each."""

ORDER = (
    0,
    2,
    4,
    6,
    1,
    3,
    5,
    7,
)  # Which are kept of too many: half turns and mirror images before quarter turns


def piece_orientations(
    exemplars: Sequence[Exemplar], settings: ExpandSettings, lattice: Lattice | None
) -> tuple[Orientation, ...]:
    """Return the orientations of pieces, the untouched one first, as `settings.orientations` says.

    lattice: that of a single regular exemplar. Of several exemplars all must be the same texture when turned.
    Large ones, which have MAX_PIXELS together, have fewer.
    """
    if settings.orientations == "auto":
        each = [set(same_orientations(e.image, e.mask, lattice)) for e in exemplars]
        same = set.intersection(*each)
    else:
        same = set({"none": ORIENTATIONS[:1], "mirror": MIRROR, "all": ORIENTATIONS}[settings.orientations])
    pixels = sum(e.image[0, 0].numel() for e in exemplars)
    ordered = [ORIENTATIONS[n] for n in ORDER if ORIENTATIONS[n] in same]
    return tuple(ordered[: max(MAX_PIXELS // pixels, 1)])
