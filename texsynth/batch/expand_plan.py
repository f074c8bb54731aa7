"""Which textures are expanded together, with which maps, and where every result goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from texsynth.batch.plan import PIPE, Input, Job, destinations, file_seed
from texsynth.errors import UsageError
from texsynth.settings import ExpandSettings

Command = Literal["expand", "tile"]

COMPLETING = ("patch", "patch+optimize")
"""Methods that can keep a part of a picture as it is."""

MAX_COUNT = 9999

LOSSLESS = (".png", ".tif", ".tiff")
"""Formats for sibling maps, whose values are data."""


@dataclass(frozen=True)
class Task:
    """Exemplars of one texture, and what belongs to them."""

    command: Command
    exemplars: tuple[Input, ...]
    weights: tuple[float, ...] = ()
    """Shares of the exemplars, one each; empty for equal ones."""
    siblings: tuple[Input, ...] = ()
    """Further maps of the first exemplar."""
    mask: Input | None = None
    """Where to sample."""
    guide: Input | None = None
    """Layout of the output."""
    guide_of: Input | None = None
    """What the guide's values look like on the exemplar."""
    hole: Input | None = None
    """What to fill."""
    recorded_key: str = ""
    """The key of a result that is made again."""

    @property
    def key(self) -> str:
        """What seeds the result."""
        return self.recorded_key or "+".join(item.key for item in self.exemplars)

    @property
    def resizes(self) -> bool:
        """Whether the output may be of another size than the exemplar."""
        return self.command == "expand" and self.hole is None

    @property
    def cure(self) -> str:
        """What to do about an output that is too large."""
        return "choose a smaller --size or --scale" if self.resizes else "give a smaller picture"

    @property
    def inputs(self) -> tuple[Input, ...]:
        """All files that are read."""
        maps = (self.mask, self.guide, self.guide_of, self.hole)
        return (*self.exemplars, *self.siblings, *(item for item in maps if item))


@dataclass(frozen=True)
class ExpandJob(Job):
    """One variation of a task and the files it goes to."""

    task: Task
    index: int = 1
    """Counts the variations from 1."""
    beside: tuple[Path, ...] = ()
    """Files of the siblings, in their order."""
    names: tuple[str, ...] = ()
    """What a record calls these files."""
    part: int = 0
    """0 for the texture with all its siblings, k for its k-th sibling alone."""

    role: ClassVar[str] = "exemplar"

    @property
    def outputs(self) -> tuple[Path, ...]:
        """All files that are written, PIPE among them."""
        return (*self.beside, self.output)

    @property
    def parts(self) -> list[tuple[int, Path]]:
        """What is written where: 0 is the texture, k its k-th sibling."""
        return [(self.part, self.output), *enumerate(self.beside, 1)]

    def seed(self, seed: int) -> int:
        """Of this variation: the same for any `--count`, alone or in a batch."""
        return file_seed(seed, self.task.key if self.index == 1 else f"{self.task.key}\0{self.index}")


def expand_jobs(tasks: Sequence[Task], output: str | None, *, count: int, suffix: str) -> list[ExpandJob]:
    """`count` jobs for every task, by default with outputs like `NAME.expand.png`. Raises UsageError."""
    if not 1 <= count <= MAX_COUNT:
        raise UsageError(f"--count is {count} but must be a whole number from 1 to {MAX_COUNT}")
    if output == "-" and count > 1:
        raise UsageError(f"{count} variations cannot share standard output; use -o FOLDER")
    firsts = [task.exemplars[0] for task in tasks]
    names = [f"{_stem(task)}.{task.command}{suffix}" for task in tasks]
    paths = destinations(firsts, names, output, role="exemplars")
    return [
        _job(task, path, index, count)
        for task, path in zip(tasks, paths, strict=True)
        for index in range(1, count + 1)
    ]


def _job(task: Task, path: Path, index: int, count: int) -> ExpandJob:
    number = f".{index}" if count > 1 else ""
    if number:
        path = path.with_name(f"{path.stem}{number}{path.suffix}")
    # Values of sibling maps must survive the file.
    suffix = path.suffix if path.suffix.lower() in LOSSLESS else ".png"
    folder = Path() if path == PIPE else path.parent
    beside = tuple(folder / f"{item.stem}.{task.command}{number}{suffix}" for item in task.siblings)
    return ExpandJob(task.exemplars[0], path, task, index, beside, tuple(p.name for p in beside))


def _stem(task: Task) -> str:
    return task.exemplars[0].stem + (".mix" if len(task.exemplars) > 1 else "")


def check_method(task: Task, settings: ExpandSettings) -> None:
    """UsageError for what cannot be done together, or not by the stages of `settings.method`.

    The transposer lays out the whole output from one whole exemplar; `optimize` alone has no layout that
    a guide could steer or siblings could share.
    """
    if task.guide_of and not task.guide:
        raise UsageError(
            f"--guide-of {task.guide_of} says what a guide means, but there is none; give --guide"
        )
    if task.hole:
        if task.guide:
            raise UsageError("--guide lays out a whole output and --hole keeps most of it; use one of them")
        if settings.tileable:
            raise UsageError(
                "--hole keeps the borders, so --tileable is impossible; use `texsynth tile` on the result"
            )
    if settings.upright and task.hole:
        raise UsageError("--upright turns the exemplar and --hole keeps it as it is; use one of them")
    if settings.upright and task.command == "tile":
        raise UsageError(
            "upright turns a picture and `texsynth tile` keeps its middle as it is; "
            "use `texsynth expand --upright --tileable`"
        )
    reasons = {
        "`texsynth tile`": task.command == "tile" and settings.method not in COMPLETING,
        "a hole": task.hole and settings.method not in COMPLETING,
        "several exemplars": len(task.exemplars) > 1 and "transposer" in settings.method,
        "a mask": task.mask and "transposer" in settings.method,
        "a guide": task.guide and (settings.method == "optimize" or "transposer" in settings.method),
        "sibling maps": task.siblings and settings.method == "optimize",
    }
    for reason, refused in reasons.items():
        if refused:
            raise UsageError(
                f"method {settings.method} cannot be used with {reason}; use --method patch+optimize"
            )
