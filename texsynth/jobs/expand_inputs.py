"""The pictures of an expansion: which belong together, where results go, and what is refused."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from texsynth import images
from texsynth.config.expand_rules import (
    MIN_SIDE,
    check_combination,
    check_exemplar_size,
    check_output_size,
    check_weights,
    output_size,
    settle_method,
)
from texsynth.config.map_kinds import Declared, MapKind
from texsynth.config.records import Source
from texsynth.config.settings import ExpandSettings, RunSettings
from texsynth.errors import InputError, TexsynthError, UsageError
from texsynth.jobs.checks import check_sides, divide
from texsynth.jobs.files import probe_input, read_input
from texsynth.jobs.inputs import PIPE, Input, Job, destinations, file_seed
from texsynth.jobs.masks import Mask, has_square
from texsynth.jobs.materials import MapName, sibling_kind, sibling_stem
from texsynth.jobs.memory import check_memory
from texsynth.jobs.outcomes import Failed
from texsynth.jobs.transposers import bytes_per_pixel, settle_transposer

Command = Literal["expand", "tile"]

MAX_COUNT = 9999
MAPS = ("mask", "guide", "guide_of", "hole")  # Further pictures that a task may have

LOSSLESS = (".png", ".tif", ".tiff")  # Formats for sibling maps, whose values are data


@dataclass(frozen=True)
class Task:
    """Exemplars of one texture, and what belongs to them."""

    command: Command
    exemplars: tuple[Input, ...]
    weights: tuple[float, ...] = ()  # Shares of the exemplars, one each; empty for equal ones
    siblings: tuple[Input, ...] = ()  # Further maps of the first exemplar
    declared: tuple[Declared | None, ...] = ()  # What their values are; None has the maps looked at
    mask: Input | None = None  # Where to sample
    guide: Input | None = None  # Layout of the output
    guide_of: Input | None = None  # What the guide's values look like on the exemplar
    hole: Input | None = None  # What to fill
    recorded_key: str = ""  # The key of a result that is made again
    is_material: bool = False  # Whether the files were named by their folder

    @property
    def key(self) -> str:
        """The text that seeds the result."""
        return self.recorded_key or "+".join(item.key for item in self.exemplars)

    @property
    def stem(self) -> str:
        """The name of the result, without suffix, where none is given."""
        return f"{self.exemplars[0].stem}{'.mix' if len(self.exemplars) > 1 else ''}.{self.command}"

    @property
    def result_stem(self) -> str:
        """The same, but of a material endings stay in their place, so that the results are one, too."""
        name = MapName.of(self.exemplars[0].stem if self.is_material else "")
        return f"{name.stem}.{self.command}{name.joint}{name.ending}" if name.stem else self.stem

    def output_size(self, settings: ExpandSettings, width: int, height: int) -> tuple[int, int]:
        """Return width and height of what becomes of an exemplar."""
        resized = self.resizes or (self.command == "tile" and settings.size is not None)
        return output_size(settings, height, width)[::-1] if resized else (width, height)

    @property
    def resizes(self) -> bool:
        """True when the output may be of another size than the exemplar."""
        return self.command == "expand" and self.hole is None

    @property
    def cure(self) -> str:
        """The advice for an output that is too large."""
        return "choose a smaller --size or --scale" if self.resizes else "give a smaller picture"

    @property
    def inputs(self) -> tuple[Input, ...]:
        """All files that are read."""
        return (*self.exemplars, *self.siblings, *self.maps.values())

    @property
    def maps(self) -> dict[str, Input]:
        """The files by their names in MAPS."""
        return {name: item for name in MAPS if (item := getattr(self, name))}


@dataclass(frozen=True)
class ExpandJob(Job):
    """One variation of a task and the files it goes to."""

    task: Task
    settings: ExpandSettings
    index: int = 1  # Counts the variations from 1
    beside: tuple[Path, ...] = ()  # Files of the siblings, in their order
    names: tuple[str, ...] = ()  # What a record calls these files
    part: int = 0  # 0 for the texture with all its siblings, k for its k-th sibling alone

    role: ClassVar[str] = "exemplar"

    @property
    def inputs(self) -> tuple[Input, ...]:
        """All files of the task."""
        return self.task.inputs

    @property
    def outputs(self) -> tuple[Path, ...]:
        """All files that are written, PIPE among them."""
        return (*self.beside, self.output)

    @property
    def parts(self) -> list[tuple[int, Path]]:
        """The files by part: 0 is the texture, k its k-th sibling."""
        return [(self.part, self.output), *enumerate(self.beside, 1)]

    def seed(self, seed: int) -> int:
        """Return the seed of this variation: the same for any `--count`, alone or in a batch.

        That of a hole leaves the file's name out, so that two pictures that differ in the hole alone have the
        same fill.
        """
        key = "hole" if self.task.hole else self.task.key
        return file_seed(seed, key if self.index == 1 else f"{key}\0{self.index}")


def plan_tasks(
    command: Command,
    exemplars: Sequence[Input],
    *,
    mixed: bool = False,
    weights: Sequence[float] = (),
    siblings: Sequence[Input] = (),
    normals: Sequence[Input] = (),
    **maps: Input | None,
) -> list[Task]:
    """Return a task for every exemplar, or one for all when they are `mixed`. Raises UsageError.

    normals: further siblings, which are normal maps. maps: those of MAPS that there are.
    """
    named: dict[str, Any] = {**maps}
    known: list[Declared | None] = [None] * len(siblings)
    known += ["normals"] * len(normals)
    siblings = (*siblings, *normals)
    task = Task(command, tuple(exemplars), tuple(weights), siblings, tuple(known), **named)
    if weights:
        check_weights(weights, f"weights {list(weights)}")
    if weights and len(weights) != len(exemplars):
        raise UsageError(
            f"--weights has {len(weights)} numbers for {len(exemplars)} exemplars; give one for each"
        )
    single = {"--with": siblings, "--mask": task.mask, "--guide-of": task.guide_of, "--hole": task.hole}
    for option, value in single.items():
        if value and len(exemplars) > 1:
            raise UsageError(
                f"{option} belongs to one exemplar, but {len(exemplars)} are given; run them singly"
            )
    if mixed and len(exemplars) > 1:
        return [task]
    return [replace(task, exemplars=(item,), weights=()) for item in exemplars]


def expand_jobs(
    tasks: Sequence[Task], settings: ExpandSettings, output: str | None, *, count: int = 1, suffix: str | None
) -> list[ExpandJob]:
    """Return `count` jobs for every task; outputs are called like `NAME.expand.png`. Raises UsageError."""
    if not 1 <= count <= MAX_COUNT:
        raise UsageError(f"--count is {count} but must be a whole number from 1 to {MAX_COUNT}")
    if output == "-" and count > 1:
        raise UsageError(f"{count} variations cannot share standard output; use -o FOLDER")
    firsts = [task.exemplars[0] for task in tasks]
    names = [t.result_stem + images.result_suffix(t.exemplars[0].path.name, suffix) for t in tasks]
    paths = destinations(firsts, names, output, role="exemplars")
    return [
        expand_job(task, settings, path, index, count)
        for task, path in zip(tasks, paths, strict=True)
        for index in range(1, count + 1)
    ]


def settled_settings(task: Task, settings: ExpandSettings) -> ExpandSettings:
    """Return `settings`, with the method where the look of the exemplar does not matter.

    Raises UsageError for what cannot be done with the task.
    """
    if task.guide_of and not task.guide:
        raise UsageError(
            f"--guide-of {task.guide_of} says what a guide means, but there is none; give --guide"
        )
    settings = settle_transposer(settings, siblings=bool(task.siblings))
    check_combination(
        settings,
        exemplars=len(task.exemplars),
        siblings=bool(task.siblings),
        mask=task.mask is not None,
        guide=task.guide is not None,
        completes="a hole" if task.hole else "`texsynth tile`" if task.command == "tile" else None,
    )
    limited = task.command == "tile" or len(task.exemplars) > 1
    return settle_method(settings, limited=bool(limited or task.mask or task.guide or task.hole))


def expand_job(task: Task, settings: ExpandSettings, path: Path, index: int = 1, count: int = 1) -> ExpandJob:
    """Return the job for the variation `index` of `count`, numbered when there are several.

    Raises UsageError for settings that do not go with the task.
    """
    settings = settled_settings(task, settings)
    number = f".{index}" if count > 1 else ""
    stem = task.stem if path == PIPE else path.stem
    if number:
        path = path.with_name(f"{path.stem}{number}{path.suffix}")
    # Values of sibling maps must survive the file.
    suffix = path.suffix if path.suffix.lower() in LOSSLESS else ".png"
    folder = Path() if path == PIPE else path.parent
    names = [sibling_stem(stem, task.exemplars[0].stem, item.stem) for item in task.siblings]
    if stem == task.stem:
        names = [f"{item.stem}.{task.command}" for item in task.siblings]
    beside = tuple(folder / f"{name}{number}{suffix}" for name in names)
    return ExpandJob(task.exemplars[0], path, task, settings, index, beside, tuple(p.name for p in beside))


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
    exemplars = tuple(LoadedImage(*read_input(item, run)) for item in task.exemplars)
    siblings = tuple(LoadedImage(*read_input(item, run, as_data=True)) for item in task.siblings)
    maps = {name: LoadedImage(*read_input(item, run, as_data=True)) for name, item in task.maps.items()}
    for item, exemplar in zip(task.exemplars, exemplars, strict=True):
        check_size(item, exemplar.picture.width, exemplar.picture.height, task, settings, run)
    same_size = [*zip(task.siblings, siblings, strict=True)]
    same_size += [(item, maps[name]) for name, item in task.maps.items() if name != "guide"]
    right = exemplars[0].picture.width, exemplars[0].picture.height
    for item, image in same_size:
        size = image.picture.width, image.picture.height
        if size != right:
            raise InputError(
                f"{item} has {size[0]} x {size[1]} pixels, but its exemplar {task.exemplars[0]} has "
                f"{right[0]} x {right[1]}; give both the same size"
            )
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
        where = f"the mask {task.mask} leaves" if task.mask else "its transparency leaves"
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
        raise InputError(f"the hole {task.hole} is all black; make it white where pixels are to be filled")
    if hole.all():
        raise InputError(
            f"the hole {task.hole} covers all of {task.exemplars[0]}; make it black where pixels are to stay"
        )
    rest = ~hole if allowed is None else ~hole & allowed
    if not has_square(rest, MIN_SIDE):
        raise InputError(
            f"the hole {task.hole} leaves no whole {MIN_SIDE} x {MIN_SIDE} pixels of {task.exemplars[0]} "
            f"to fill it from; make it smaller"
        )
