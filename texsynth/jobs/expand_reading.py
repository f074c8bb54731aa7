"""The pictures of an expansion, read, and what is refused of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from texsynth import images
from texsynth.config.expand_rules import MIN_SIDE, check_exemplar_size, check_output_size, check_same_size
from texsynth.config.map_kinds import MapKind
from texsynth.config.records import Source
from texsynth.config.settings import ExpandSettings, RunSettings
from texsynth.errors import InputError, TexsynthError, UsageError
from texsynth.images.gamut import in_srgb
from texsynth.jobs.checks import check_sides, divide
from texsynth.jobs.expand_inputs import ExpandJob, Task
from texsynth.jobs.files import probe_input, read_input
from texsynth.jobs.inputs import Input
from texsynth.jobs.masks import Mask, has_square
from texsynth.jobs.materials import sibling_kind
from texsynth.jobs.memory import check_memory
from texsynth.jobs.outcomes import Failed
from texsynth.jobs.transposers import bytes_per_pixel


@dataclass(frozen=True)
class LoadedImage:
    """A decoded picture of a task, with its path and hash for a record."""

    picture: images.Picture
    source: Source


@dataclass(frozen=True)
class ExpandInputs:
    """All pictures of a task."""

    exemplars: tuple[LoadedImage, ...]
    allowed: tuple[Mask | None, ...]
    """For every exemplar, (h, w) where it may be sampled; None for everywhere."""
    siblings: tuple[LoadedImage, ...] = ()
    kinds: tuple[MapKind, ...] = ()  # What the values of the siblings are
    maps: dict[str, LoadedImage] = field(default_factory=dict)  # By their names in MAPS

    @property
    def hole(self) -> Mask | None:
        """(h, w), what to fill."""
        return as_mask(self.maps["hole"].picture) if "hole" in self.maps else None

    @property
    def warnings(self) -> tuple[str, ...]:
        """About the files."""
        images = (*self.exemplars, *self.siblings, *self.maps.values())
        return tuple(warning for image in images for warning in image.picture.warnings)


LoadedInputs = dict[tuple[Task, ExpandSettings], ExpandInputs]


def load_inputs(task: Task, settings: ExpandSettings, run: RunSettings) -> ExpandInputs:
    """Read and check all pictures of `task`.

    Raises InputError for a damaged, too small or fully transparent picture, a map of another size than the
    exemplar, a mask that leaves too little, a hole that covers all or nothing; UsageError for what the method
    cannot do or an output above --max-pixels; MemoryExhaustedError for an output that cannot fit.
    """
    exemplars = tuple(LoadedImage(*read_input(item, run, own_space=True)) for item in task.exemplars)
    if len({exemplar.picture.profile for exemplar in exemplars}) > 1:
        exemplars = tuple(replace(each, picture=in_srgb(each.picture)) for each in exemplars)
    siblings = tuple(LoadedImage(*read_input(item, run, as_data=True)) for item in task.siblings)
    maps = {name: LoadedImage(*read_input(item, run, as_data=True)) for name, item in task.maps.items()}
    for item, exemplar in zip(task.exemplars, exemplars, strict=True):
        check_size(item, exemplar.picture.width, exemplar.picture.height, task, settings, run)
    same_size = [*zip(task.siblings, siblings, strict=True)]
    same_size += [(item, maps[name]) for name, item in task.maps.items() if name != "guide"]
    right = exemplars[0].picture.width, exemplars[0].picture.height
    for item, image in same_size:
        size = image.picture.width, image.picture.height
        check_same_size(item, size, task.exemplars[0], right)
    mask = as_mask(maps["mask"].picture) if "mask" in maps else None
    allowed = tuple(
        _allowed(item, exemplar.picture, mask, task, settings)
        for item, exemplar in zip(task.exemplars, exemplars, strict=True)
    )
    known = zip(task.siblings, siblings, task.declared or [None] * len(siblings), strict=True)
    kinds = tuple(sibling_kind(item, image.picture, declared) for item, image, declared in known)
    inputs = ExpandInputs(exemplars, allowed, siblings, kinds, maps)
    if (hole := inputs.hole) is not None:
        _check_hole(task, allowed[0], hole)
    return inputs


def check_textures(
    jobs: Sequence[ExpandJob], run: RunSettings, loaded: LoadedInputs
) -> tuple[Sequence[ExpandJob], Sequence[Failed]]:
    """Read the pictures of a single task whole, and keep them in `loaded`; of several ones the headers.

    Returns the jobs that can be done, and the others. Raises InputError for a damaged guide of several ones.
    """
    tasks = {(job.task, job.settings) for job in jobs}
    if len(tasks) > 1:
        return check_batch(jobs, run)
    (key,) = tasks
    try:
        loaded[key] = load_inputs(*key, run)
        right = loaded[key].exemplars[0].picture
        check_sides(jobs[0], *key[0].output_size(key[1], right.width, right.height))
    except TexsynthError as error:
        return [], [Failed(jobs[0], error)]
    return jobs, []


def check_batch(jobs: Sequence[ExpandJob], run: RunSettings) -> tuple[list[ExpandJob], list[Failed]]:
    """Return the jobs whose exemplars have sound headers, and the others; only guides are decoded.

    Raises InputError for a damaged guide.
    """
    for guide in {job.task.guide for job in jobs if job.task.guide}:
        read_input(guide, run, as_data=True)

    def check(job: ExpandJob) -> None:
        for item in job.task.exemplars:
            check_size(item, *(size := probe_input(item, run)), job.task, job.settings, run)
            check_sides(job, *job.task.output_size(job.settings, *size))

    return divide(jobs, check)


def check_size(
    item: Input, width: int, height: int, task: Task, settings: ExpandSettings, run: RunSettings
) -> None:
    """Refuse a size that is too small or large. Raises InputError, UsageError, MemoryExhaustedError."""
    check_exemplar_size(width, height, str(item))
    width, height = task.output_size(settings, width, height)
    check_output_size(width, height, run.max_pixels, str(item))
    more = {"network": bytes_per_pixel(settings), "siblings": len(task.siblings)}
    check_memory(item, width, height, method=settings.method, **more, cure=task.cure)


def as_mask(picture: images.Picture) -> Mask:
    """Return (H, W), true where `picture` is light and opaque."""
    top = np.iinfo(picture.rgb.dtype).max
    light: Mask = picture.rgb.mean(2) > top / 2
    return light if picture.alpha is None else light & (picture.alpha > top / 2)


def _allowed(
    item: Input, exemplar: images.Picture, mask: Mask | None, task: Task, settings: ExpandSettings
) -> Mask | None:
    """Return (H, W), true where the exemplar may be sampled: under the mask and where it is opaque."""
    allowed = mask
    alpha = exemplar.alpha
    opaque = None if alpha is None else np.asarray(alpha > np.iinfo(alpha.dtype).max / 2)
    if opaque is not None and not opaque.all():
        if task.command == "tile":
            raise InputError(
                f"{item} has transparent parts, but a tile must be opaque; fill them first with "
                f"`texsynth expand --hole`"
            )
        if "transposer" in settings.method:
            raise UsageError(
                f"{item} has transparent parts, which method {settings.method} cannot leave out; "
                f"use --method patch+optimize"
            )
        allowed = opaque if mask is None else mask & opaque
    if allowed is not None and not has_square(allowed, MIN_SIDE):
        where = f"{task.mask} leaves" if task.mask else "its transparency leaves"
        if task.mask and not allowed.any():
            raise InputError(
                f"{where} nothing of {item} to sample; make it white where the texture may be taken from"
            )
        raise InputError(
            f"{where} no whole {MIN_SIDE} x {MIN_SIDE} pixels of {item} to sample; it must leave more"
        )
    return allowed


def _check_hole(task: Task, allowed: Mask | None, hole: Mask) -> None:
    if not hole.any():
        raise InputError(f"{task.hole} is all black; make it white where pixels are to be filled")
    if hole.all():
        raise InputError(
            f"{task.hole} covers all of {task.exemplars[0]}; make it black where pixels are to stay"
        )
    rest = ~hole if allowed is None else ~hole & allowed
    if not has_square(rest, MIN_SIDE):
        raise InputError(
            f"{task.hole} leaves no whole {MIN_SIDE} x {MIN_SIDE} pixels of {task.exemplars[0]} "
            f"to fill it from; make it smaller"
        )
