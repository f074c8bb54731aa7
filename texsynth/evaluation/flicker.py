"""How much results flicker where the frames that they were made of do not change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from texsynth.config.settings import RunSettings
from texsynth.errors import InputError
from texsynth.evaluation.results import Table
from texsynth.evaluation.runner import Progress, read_opaque
from texsynth.images.tensors import to_image
from texsynth.jobs.files import probe_input
from texsynth.jobs.frames import natural_key
from texsynth.jobs.inputs import Input
from texsynth.metrics.flicker import Flicker, flicker


def in_order(frames: Sequence[Input]) -> list[Input]:
    """Sort frames by the numbers in their names. InputError for fewer than two, which have no change."""
    if len(frames) < 2:
        raise InputError(f"{frames[0]} is a single frame, and flicker is between two; give more")
    return sorted(frames, key=lambda item: natural_key(str(item.path)))


def evaluate(
    content: Sequence[Input],
    results: Sequence[tuple[str, Sequence[Input]]],
    run: RunSettings,
    threshold: float,
    progress: Progress,
) -> list[tuple[str, Flicker]]:
    """Measure each of the named `results`, frame by frame in their order, as `metrics.flicker` says.

    Raises InputError before any work for a result that has another number of frames, or frames of other
    sizes; later for pictures that are damaged or transparent.
    """
    sizes = [probe_input(item, run) for item in content]
    for name, frames in results:
        if len(frames) != len(content):
            raise InputError(f"{name} has {len(frames)} frames, but the content has {len(content)}")
        for item, other, size in zip(frames, content, sizes, strict=True):
            if (now := probe_input(item, run)) != size:
                raise InputError(
                    f"{item} is {now[0]} x {now[1]} pixels, but {other} is {size[0]} x {size[1]}; give "
                    f"results of the size of the content"
                )

    def pairs(frames: Sequence[Input]) -> Iterator[tuple[Tensor, Tensor]]:
        for old, new in zip(content, frames, strict=True):
            progress.picture(str(new))
            before, after = (to_image(read_opaque(item, run, "frames")[0]) for item in (old, new))
            yield before, after
            progress.advance()

    return [(name, flicker(pairs(frames), threshold)) for name, frames in results]


def table(figures: Sequence[tuple[str, Flicker]]) -> Table:
    """Lay out the figures: the share of still pixels, and the changes there in levels of 255."""
    head = ["pairs", "still", "content", "flicker", "worst"]
    rows = [(name, (f.pairs, f.still, f.content, f.result, f.worst)) for name, f in figures]
    return Table("flicker", head, rows)
