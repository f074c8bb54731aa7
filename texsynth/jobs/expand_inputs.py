"""The pictures of an expansion: which belong together, and where results go."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from texsynth import images
from texsynth.config.expand_rules import (
    check_combination,
    check_weights,
    output_size,
    settle_method,
)
from texsynth.config.map_kinds import Declared
from texsynth.config.settings import ExpandSettings
from texsynth.errors import UsageError
from texsynth.jobs.inputs import PIPE, Input, Job, destinations, file_seed
from texsynth.jobs.materials import MapName, sibling_stem
from texsynth.jobs.transposers import settle_transposer

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
    tasks: Sequence[Task],
    settings: ExpandSettings,
    output: str | None,
    *,
    count: int = 1,
    result_format: images.ResultFormat,
) -> list[ExpandJob]:
    """Return `count` jobs for every task; outputs are called like `NAME.expand.png`. Raises UsageError."""
    if not 1 <= count <= MAX_COUNT:
        raise UsageError(f"--count is {count} but must be a whole number from 1 to {MAX_COUNT}")
    if output == "-" and count > 1:
        raise UsageError(f"{count} variations cannot share standard output; use -o FOLDER")
    firsts = [task.exemplars[0] for task in tasks]
    names = [t.result_stem + result_suffix(t, settings, result_format) for t in tasks]
    paths = destinations(firsts, names, output, role="exemplars")
    return [
        expand_job(task, settings, path, index, count)
        for task, path in zip(tasks, paths, strict=True)
        for index in range(1, count + 1)
    ]


def result_suffix(task: Task, settings: ExpandSettings, result_format: images.ResultFormat) -> str:
    """Return how the name of a result ends, like `.png`."""
    # Borders meet to the last bit only as they are, and pixels beside a hole stay as they are.
    exact = settings.tileable or task.command == "tile" or task.hole is not None
    return task.exemplars[0].result_suffix(result_format, exact=exact)


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
