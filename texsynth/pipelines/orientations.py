"""In which orientations the pieces of an expansion may be laid."""

from collections.abc import Sequence

from texsynth.analysis.lattice import Lattice
from texsynth.analysis.lines import line_strength
from texsynth.analysis.symmetry import same_orientations, same_vectors
from texsynth.config.settings import ExpandSettings
from texsynth.ops.orientations import MIRROR, ORIENTATIONS, Orientation
from texsynth.synthesis.exemplar import Exemplar

MAX_PIXELS = 1 << 22
"""Pixels of all orientations together; a search for patches takes about 100 bytes for each."""

LONG_LINES = 2.75
"""Strength of long lines from which on pieces are not turned: each orientation has fewer places where lines
go on, and of these few are looked at."""

ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
"""Which are kept of too many: half turns and mirror images before quarter turns."""


def piece_orientations(
    exemplars: Sequence[Exemplar], settings: ExpandSettings, lattice: Lattice | None
) -> tuple[Orientation, ...]:
    """Return the orientations of pieces, the untouched one first, as `settings.orientations` says.

    lattice: that of a single regular exemplar. Of several exemplars all must be the same texture when turned.
    Large ones, which have MAX_PIXELS together, have fewer.
    """
    if settings.orientations == "auto":
        same = set.intersection(*(_same(e, lattice) for e in exemplars))
    else:
        same = set({"none": ORIENTATIONS[:1], "mirror": MIRROR, "all": ORIENTATIONS}[settings.orientations])
    pixels = sum(e.image[0, 0].numel() for e in exemplars)
    ordered = [ORIENTATIONS[n] for n in ORDER if ORIENTATIONS[n] in same]
    return tuple(ordered[: max(MAX_PIXELS // pixels, 1)])


def _same(exemplar: Exemplar, lattice: Lattice | None) -> set[Orientation]:
    """Find the orientations in which an exemplar and all its sibling maps are the same.

    With long lines only the untouched one.
    """
    if line_strength(exemplar.image, exemplar.mask) > LONG_LINES:
        return {ORIENTATIONS[0]}
    same = set(same_orientations(exemplar.image, exemplar.mask, lattice))
    for number, sibling in enumerate(exemplar.siblings):
        if number not in exemplar.normals:
            grey = sibling.mean(1, keepdim=True).expand(-1, 3, -1, -1)
            same &= set(same_orientations(grey, exemplar.mask))
    for number in exemplar.normals:
        before = exemplar.siblings[number][0, :2]
        same = {o for o in same if same_vectors(before, exemplar.turned(o).siblings[number][0, :2])}
    return same
