"""Label maps of a job: which regions of a style belong to which of the content, and what is said of it."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from texsynth.analysis.label_maps import HIDDEN, MIN_SHARE, NEAR_EXACT, LabelMap, label_map, partners
from texsynth.config.records import Source
from texsynth.config.settings import RunSettings
from texsynth.errors import InputError
from texsynth.jobs.files import memory_guard, read_input
from texsynth.jobs.inputs import Input

MAX_LABELS = 256

MAX_NAMED = 12  # Labels that a warning names


def read_labels(item: Input, run: RunSettings, like: LabelMap | None = None) -> tuple[LabelMap, Source]:
    """Read a label map. like: the content's, for one of a style.

    Raises InputError for a picture without labels, or with more than MAX_LABELS.
    """
    picture, source = read_input(item, run, as_data=True)
    with memory_guard(item, "reduce it"):
        labels = label_map(picture.rgb, picture.alpha, None if like is None else like.colours)
    if labels is None:
        raise InputError(
            f"{item} has colours of all kinds, so it is no label map; give one flat colour for each label"
        )
    if len(labels.colours) > MAX_LABELS:
        raise InputError(f"{item} has {len(labels.colours)} labels; give it at most {MAX_LABELS}")
    return labels, source


def as_tensor(values: NDArray[np.int32] | NDArray[np.bool_]) -> Tensor:
    """Return (H, W) labels, or whether pixels have one, as (1, 1, H, W) float32."""
    return torch.from_numpy(values)[None, None].float()


def merging(labels: LabelMap) -> list[str]:
    """Say what was merged in a map that is not exact."""
    if labels.exact:
        return []
    count = len(labels.colours)
    return [f"{labels.stored} colours were merged into the {count} labels {_named(labels.colours)}"]


def label_regions(ours: LabelMap, theirs: LabelMap, stand_in: Input) -> tuple[dict[int, Tensor], list[str]]:
    """Return the pixels of the style, (1, 1, h, w) of 0 and 1, for each label of the content that it has.

    ours, theirs: maps of the content and of the style `stand_in`. With them comes what a warning has to say.
    """
    pairs = partners(ours, theirs)
    shares = np.zeros(len(ours.colours))
    for their, our in pairs.items():
        shares[our] += theirs.shares[their]
    regions = {
        our: as_tensor(np.isin(theirs.labels, [k for k, v in pairs.items() if v == our]))
        for our in sorted(set(pairs.values()))
        if shares[our] >= MIN_SHARE
    }
    remarks = merging(theirs)
    alike = [
        f"{_name(theirs.colours[their])} counts as {_name(ours.colours[our])}"
        for their, our in pairs.items()
        if np.linalg.norm(theirs.colours[their] - ours.colours[our]) > NEAR_EXACT
    ]
    remarks += _first(alike)
    missing = [colour for number, colour in enumerate(ours.colours) if number not in regions]
    unused = [colour for number, colour in enumerate(theirs.colours) if number not in pairs]
    if missing:
        remarks.append(f"it has next to nothing of {_named(missing)}, for which all of {stand_in} stands in")
    if unused:
        remarks.append(f"the content's map has no {_named(unused)}, so that is not used")
    return regions, remarks


def _named(colours: Sequence[NDArray[np.float64]] | NDArray[np.float64]) -> str:
    return ", ".join(_first([_name(colour) for colour in colours]))


def _first(names: list[str]) -> list[str]:
    rest = len(names) - MAX_NAMED
    return [*names[:MAX_NAMED], f"{rest} more"] if rest > 0 else names


def _name(colour: NDArray[np.float64]) -> str:
    if colour[0] <= HIDDEN:
        return "transparent"
    deep = (colour % 1).any()
    return "#" + "".join(f"{round(v * 257):04x}" if deep else f"{round(v):02x}" for v in colour)
