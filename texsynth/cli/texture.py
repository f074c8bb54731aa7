"""What `expand`, `tile` and their replay share: from file arguments to tasks, and from tasks to a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from texsynth.cli import options
from texsynth.cli.jobs import Plan, Target, Work, machine_line, other_weights, piped
from texsynth.errors import TexsynthError, UsageError

if TYPE_CHECKING:
    from texsynth.batch.expand_plan import Command, ExpandJob, Task
    from texsynth.batch.material import Material
    from texsynth.batch.plan import Input
    from texsynth.batch.run import Written
    from texsynth.images.picture import Picture, Pixels
    from texsynth.pipelines.progress import OnStep
    from texsynth.pipelines.ready import Ready
    from texsynth.records import ExpandRecord
    from texsynth.settings import ExpandSettings, RunSettings

    Loaded = tuple[Material, list[Path] | None]

MAPS, LOOK = "Maps", options.LOOK

Siblings = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        metavar="FILE",
        help="A map of the same surface, like normals or roughness, that gets the same layout; it keeps its "
        "bit depth and channels. Repeatable.",
        rich_help_panel=MAPS,
    ),
]
Mask = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="White where the exemplar may be sampled.", rich_help_panel=MAPS),
]
Method = Annotated[
    str | None,
    typer.Option(
        help="auto, by how regular the texture is; or stages: transposer, patch, optimize, or joined like "
        "patch+optimize.",
        rich_help_panel=LOOK,
    ),
]
Preview = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Also write a contact sheet: every exemplar and its results, small.",
        rich_help_panel=options.FILES,
    ),
]

SHEET_COLUMNS = 6


@dataclass(frozen=True)
class Maps:
    """File arguments besides the exemplars."""

    siblings: Sequence[str] = ()
    mask: str | None = None
    guide: str | None = None
    guide_of: str | None = None
    hole: str | None = None


def known_method(method: str | None) -> str | None:
    """`method`; UsageError with the nearest name when there is none of that name."""
    from typing import get_args

    from texsynth.explain import nearest
    from texsynth.settings import Method as Known

    if method is not None and method not in get_args(Known):
        raise UsageError(f"unknown method {method!r}{nearest(method, get_args(Known))}")
    return method


def plan_tasks(
    command: Command,
    pictures: Sequence[str],
    maps: Maps,
    *,
    recursive: bool = False,
    mixed: bool = False,
    weights: Sequence[float] = (),
) -> list[Task]:
    """A task for every exemplar, or one for all when they are `mixed`. Raises UsageError, InputError."""
    from texsynth.batch.expand_plan import Task
    from texsynth.batch.plan import find_inputs

    files = (*maps.siblings, maps.mask, maps.guide, maps.guide_of, maps.hole)
    data = piped([*pictures, *files])
    exemplars = find_inputs(pictures, recursive=recursive, piped=data)

    def single(argument: str) -> Input:
        found = find_inputs([argument], recursive=False, piped=data)
        if len(found) != 1 or Path(argument).is_dir():
            raise UsageError(f"{argument!r} is a folder or several files; give one picture")
        return found[0]

    if weights and len(weights) != len(exemplars):
        raise UsageError(
            f"--weights has {len(weights)} numbers for {len(exemplars)} exemplars; give one for each"
        )
    one_of_each = {
        "--with": maps.siblings,
        "--mask": maps.mask,
        "--guide-of": maps.guide_of,
        "--hole": maps.hole,
    }
    for option, value in one_of_each.items():
        if value and len(exemplars) > 1:
            raise UsageError(
                f"{option} belongs to one exemplar, but {len(exemplars)} are given; run them singly"
            )
    siblings = tuple(single(argument) for argument in maps.siblings)
    mask, guide, guide_of, hole = (
        None if argument is None else single(argument)
        for argument in (maps.mask, maps.guide, maps.guide_of, maps.hole)
    )
    groups = [tuple(exemplars)] if mixed else [(item,) for item in exemplars]
    return [
        Task(
            command,
            group,
            weights=tuple(weights) if len(group) > 1 else (),
            siblings=siblings,
            mask=mask,
            guide=guide,
            guide_of=guide_of,
            hole=hole,
        )
        for group in groups
    ]


def texture_plan(
    jobs: Sequence[ExpandJob],
    settings: ExpandSettings,
    run: RunSettings,
    target: Target,
    *,
    preview: str | None = None,
    made_with: ExpandRecord | None = None,
) -> Plan[ExpandJob]:
    """How `jobs` are checked and done. made_with: the record of the result that is made again."""
    from texsynth.batch.expand_plan import ExpandJob, check_method, settled
    from texsynth.batch.material import check_batch, read_material
    from texsynth.batch.run import Failed
    from texsynth.images import output_format

    tasks = list({job.task: None for job in jobs})
    for task in tasks:
        check_method(task, settings)
    # All tasks of a run have the same maps.
    settings = settled(tasks[0], settings)
    if preview is not None:
        output_format(Path(preview))
    gallery = _Gallery(Path(preview), target.force) if preview is not None else None

    # All variations of a task are made one after the other: its pictures are read once, by the check already.
    @lru_cache(maxsize=1)
    def material(task: Task) -> Material:
        return read_material(task, settings, run)

    def check() -> tuple[Sequence[ExpandJob], Sequence[Failed]]:
        if len(tasks) > 1:
            return check_batch(jobs, settings, run)
        try:
            material(tasks[0])
        except TexsynthError as error:
            return [], [Failed(jobs[0], error)]
        return jobs, []

    def begin() -> Work[ExpandJob]:
        from texsynth.batch.executors import Stages
        from texsynth.batch.expand_work import expand_material, prepare, ready_material, records_of
        from texsynth.batch.files import Made
        from texsynth.batch.resume import unfinished, written_once
        from texsynth.batch.serial import Serial

        prepared = prepare(settings, run)
        # Of the task at work. Jobs are made in one thread: what is found there has the same bytes every time.
        ready: dict[Task, Ready | None] = {}

        def load(job: ExpandJob) -> Loaded | None:
            found = material(job.task)
            missing = None
            if target.resume:
                chosen = settings
                if settings.method == "auto" and (decided := ready_material(job.task, found, prepared)):
                    chosen = decided.settings
                missing = unfinished(records_of(job, found, chosen, prepared), force=target.force)
            return None if missing == [] else (found, missing)

        def make(job: ExpandJob, loaded: Loaded, on_step: OnStep) -> tuple[Material, Made]:
            found, missing = loaded
            if job.task not in ready:
                ready.clear()
                ready[job.task] = ready_material(job.task, found, prepared)
            made = expand_material(job, found, ready[job.task], prepared, on_step)
            # Of a run that was stopped between the files of a job, some are there.
            rest = [part for part in made.deliveries if missing is None or part.path in missing]
            return found, replace(made, deliveries=tuple(rest))

        def write(job: ExpandJob, result: tuple[Material, Made]) -> Written | None:
            found, made = result
            done = written_once(made, quality=run.quality, **target.rules)
            if gallery:
                exemplars = [exemplar.picture for exemplar in found.exemplars]
                gallery.add(job.task, exemplars, made.deliveries[0].shown())
            return done

        stages = Stages[ExpandJob](load, make, write)
        notes = []
        if made_with:
            notes += other_weights(made_with.model_sha256, prepared.networks.model.sha256, run.model)
            notes += other_weights(made_with.transposer_sha256, prepared.transposer_sha256, "the transposer")
        line = f"{machine_line(prepared.networks.model.name, prepared.run)}, method {settings.method}"
        return Work(Serial(stages), line, notes, gallery.write if gallery else tuple)

    inputs = list({item: None for task in tasks for item in task.inputs})
    return Plan(jobs, inputs, check, begin, [Path(preview)] if preview is not None else [])


@dataclass
class _Gallery:
    """Thumbnails of a run, and the contact sheet that they become."""

    path: Path
    force: bool
    rows: dict[Task, list[Pixels]] = field(default_factory=dict)

    def add(self, task: Task, exemplars: Sequence[Picture], result: Picture) -> None:
        """Show `result` in the row of its task, at the scale of its exemplars."""
        from texsynth.images import thumbnails

        *small, last = thumbnails([*exemplars, result])
        self.rows.setdefault(task, small).append(last)

    def write(self) -> list[Path]:
        """Write the sheet."""
        from texsynth.batch.files import Delivery, deliver
        from texsynth.images import contact_sheet

        cells = [
            row[start : start + SHEET_COLUMNS]
            for row in self.rows.values()
            for start in range(0, len(row), SHEET_COLUMNS)
        ]
        deliver([Delivery(contact_sheet(cells), self.path, "")], quality=95, force=self.force)
        return [self.path]
