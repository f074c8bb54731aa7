"""texsynth expand."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from texsynth.cli import options
from texsynth.cli.run import (
    Plan,
    Target,
    Work,
    carry_out,
    check_suffix,
    given,
    look_settings,
    machine_line,
    other_weights,
    piped,
    run_settings,
)
from texsynth.cli.show import Screen
from texsynth.errors import TexsynthError, UsageError

if TYPE_CHECKING:
    from texsynth.config.records import ExpandRecord
    from texsynth.config.settings import ExpandSettings, RunSettings
    from texsynth.images.picture import Picture, Pixels
    from texsynth.jobs.expand_inputs import Command, ExpandJob, Material, Task
    from texsynth.jobs.inputs import Input
    from texsynth.jobs.outcomes import Written
    from texsynth.pipelines.method import ExpandPlan
    from texsynth.pipelines.progress import OnStep

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

Look, Layout = options.LOOK, "Size and layout"


def expand(
    pictures: Annotated[
        list[str],
        typer.Argument(
            metavar="EXEMPLAR...",
            help="Pictures of a texture, folders or quoted patterns; - is standard input.",
        ),
    ],
    output: options.ExpandOutput = None,
    scale: Annotated[
        float | None,
        typer.Option(help="Output over exemplar, on both sides. Default: 2.", rich_help_panel=Layout),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(metavar="WxH", help="Output in pixels, like 1024x512.", rich_help_panel=Layout),
    ] = None,
    tileable: Annotated[
        bool | None,
        typer.Option(
            "--tileable/--no-tileable",
            help="The right border continues at the left, the bottom at the top.",
            rich_help_panel=Layout,
        ),
    ] = None,
    upright: Annotated[
        bool | None,
        typer.Option(
            "--upright/--no-upright",
            help="First turn the exemplar so that its strongest lines are level or upright.",
            rich_help_panel=Layout,
        ),
    ] = None,
    count: Annotated[
        int, typer.Option(help="Make this many variations, numbered from 1.", rich_help_panel=Layout)
    ] = 1,
    mix: Annotated[
        bool, typer.Option("--mix", help="Mix all exemplars into one output.", rich_help_panel=Layout)
    ] = False,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...", help="Mix, with these shares of the exemplars.", rich_help_panel=Layout
        ),
    ] = None,
    method: Method = None,
    preset: options.Preset = None,
    assignments: options.Set = None,
    variation: Annotated[
        float | None,
        typer.Option(help="Noise in the transposer's layout, 0 to 1.", rich_help_panel=Look),
    ] = None,
    siblings: Siblings = None,
    mask: Mask = None,
    guide: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Layout of the output: light where it shall be light, or where --guide-of has these values.",
            rich_help_panel=MAPS,
        ),
    ] = None,
    guide_of: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="What the guide's values mean on the exemplar.", rich_help_panel=MAPS
        ),
    ] = None,
    hole: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Fill the exemplar in place where this is white.",
            rich_help_panel=MAPS,
        ),
    ] = None,
    preview: Preview = None,
    model: options.Model = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    threads: options.Threads = None,
    seed: options.Seed = None,
    recursive: options.Recursive = False,
    suffix: options.Format = "png",
    max_pixels: options.MaxPixels = None,
    frame: options.Frame = None,
    bit_depth: options.BitDepth = None,
    quality: options.Quality = None,
    report: options.Report = None,
    force: options.Force = False,
    resume: options.Resume = False,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.Json = False,
) -> None:
    """Make more of a texture: larger, not repeating, seamless when asked.

    texsynth expand bricks.png --scale 3
    """
    from texsynth.config.settings import ExpandSettings
    from texsynth.jobs.expand_inputs import expand_jobs

    if hole is not None and (size or scale):
        raise UsageError("--hole keeps the exemplar's size; leave out --size and --scale")
    look = given({"method": known_method(method), "tileable": tileable, "upright": upright})
    look |= given({"variation": variation})
    look |= extent(size, scale)
    settings = look_settings(ExpandSettings, preset, assignments or (), look)
    run = run_settings(
        model=model, device=device, dtype=dtype, threads=threads, seed=seed, max_pixels=max_pixels,
        frame=frame, bit_depth=bit_depth, quality=quality,
    )  # fmt: skip
    target = Target(output, suffix.lower().lstrip("."), force, resume, report)
    ending = check_suffix(target.suffix)
    tasks = plan_tasks(
        "expand",
        pictures,
        Maps(siblings or (), mask, guide, guide_of, hole),
        recursive=recursive,
        mixed=mix or weights is not None,
        weights=_weights(weights),
    )
    jobs = expand_jobs(tasks, output, count=count, suffix=ending)
    plan = texture_plan(jobs, settings, run, target, preview=preview)
    screen = Screen(quiet, verbose, as_json, results=output != "-")
    raise typer.Exit(carry_out(plan, target, run, screen, dry_run=dry_run))


def extent(size: str | None, scale: float | None) -> dict[str, object]:
    """The settings `size` and `scale` from their flags. Raises UsageError."""
    if size is None:
        # A size in a preset would take precedence over the flag.
        return {} if scale is None else {"scale": scale, "size": None}
    if scale is not None:
        raise UsageError(f"--size {size} and --scale {scale:g} contradict each other; give one of them")
    found = re.fullmatch(r"([1-9][0-9]{0,8})[xX×]([1-9][0-9]{0,8})", size.strip())
    if not found:
        raise UsageError(f"--size {size!r} is not of the form WxH, like 1024x512")
    return {"size": [int(found[1]), int(found[2])]}


def _weights(text: str | None) -> list[float]:
    if text is None:
        return []
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--weights {text!r} is not of the form A,B,... like 2,1") from None
    if not all(math.isfinite(weight) and weight >= 0 for weight in found):
        raise UsageError(f"--weights {text!r} has a number that is negative or not finite; use 0 or more")
    if not any(found):
        raise UsageError(f"--weights {text!r} are all zero; make one of them larger")
    return found


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

    from texsynth.config.settings import Method as Known
    from texsynth.config.validation import nearest

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
    from texsynth.jobs.expand_inputs import Task
    from texsynth.jobs.inputs import find_inputs

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
    from texsynth.images import output_format
    from texsynth.jobs.expand_inputs import ExpandJob, check_batch, check_method, read_material, settled
    from texsynth.jobs.outcomes import Failed

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
        from texsynth.jobs.expand import expand_material, prepare, ready_material, records_of
        from texsynth.jobs.operation import Made, unfinished, written_once
        from texsynth.jobs.outcomes import Stages
        from texsynth.jobs.runner import Serial

        prepared = prepare(settings, run)
        # Of the task at work. Jobs are made in one thread: what is found there has the same bytes every time.
        ready: dict[Task, ExpandPlan | None] = {}

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
        from texsynth.images import contact_sheet
        from texsynth.jobs.operation import Delivery, deliver

        cells = [
            row[start : start + SHEET_COLUMNS]
            for row in self.rows.values()
            for start in range(0, len(row), SHEET_COLUMNS)
        ]
        deliver([Delivery(contact_sheet(cells), self.path, "")], quality=95, force=self.force)
        return [self.path]


def tile(
    pictures: Annotated[
        list[str],
        typer.Argument(
            metavar="PICTURE...", help="Pictures, folders or quoted patterns; - is standard input."
        ),
    ],
    output: options.TileOutput = None,
    method: Method = None,
    preset: options.Preset = None,
    assignments: options.Set = None,
    siblings: Siblings = None,
    mask: Mask = None,
    preview: Preview = None,
    model: options.Model = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    threads: options.Threads = None,
    seed: options.Seed = None,
    recursive: options.Recursive = False,
    suffix: options.Format = "png",
    max_pixels: options.MaxPixels = None,
    frame: options.Frame = None,
    bit_depth: options.BitDepth = None,
    quality: options.Quality = None,
    report: options.Report = None,
    force: options.Force = False,
    resume: options.Resume = False,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.Json = False,
) -> None:
    """Make pictures seamless: same size, their borders meet, the middle stays.

    texsynth tile wall.png
    """
    from texsynth.config.settings import ExpandSettings
    from texsynth.jobs.expand_inputs import expand_jobs

    look = given({"method": known_method(method)})
    settings = look_settings(ExpandSettings, preset, assignments or (), look)
    run = run_settings(
        model=model, device=device, dtype=dtype, threads=threads, seed=seed, max_pixels=max_pixels,
        frame=frame, bit_depth=bit_depth, quality=quality,
    )  # fmt: skip
    target = Target(output, suffix.lower().lstrip("."), force, resume, report)
    ending = check_suffix(target.suffix)
    tasks = plan_tasks("tile", pictures, Maps(siblings or (), mask), recursive=recursive)
    jobs = expand_jobs(tasks, output, count=1, suffix=ending)
    plan = texture_plan(jobs, settings, run, target, preview=preview)
    screen = Screen(quiet, verbose, as_json, results=output != "-")
    raise typer.Exit(carry_out(plan, target, run, screen, dry_run=dry_run))
