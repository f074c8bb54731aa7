"""texsynth blend."""

from __future__ import annotations

from collections.abc import Sequence
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
    foresight,
    given,
    look_settings,
    machine_line,
    other_weights,
    piped,
    run_settings,
)
from texsynth.cli.show import Screen
from texsynth.errors import UsageError

if TYPE_CHECKING:
    from texsynth.config.settings import RunSettings, StylizeSettings
    from texsynth.images import Picture
    from texsynth.jobs.blend_recipe import BlendJob, Ingredient, Recipe
    from texsynth.jobs.inputs import Input
    from texsynth.jobs.outcomes import Written

Look, Files = options.LOOK, options.FILES


def blend(
    pictures: Annotated[
        list[str],
        typer.Argument(
            metavar="CONTENT...", help="Pictures, folders or quoted patterns; - is standard input."
        ),
    ],
    styles: Annotated[
        list[str],
        typer.Option(
            "--style",
            metavar="PATH[:WEIGHT][@LEVELS]",
            help="A picture, a card, or a folder whose moments add up, like swirl.jpg:0.7 or fine.jpg@1,2. "
            "Repeatable.",
            rich_help_panel=Look,
        ),
    ],
    masks: Annotated[
        list[str] | None,
        typer.Option(
            "--mask",
            metavar="FILE|rest",
            help="Where the style of the same turn goes: white is there, grey is partly, `rest` is what the "
            "other masks leave. One for each --style.",
            rich_help_panel=Look,
        ),
    ] = None,
    content_labels: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Label map of the content: each colour takes its style from the same one of --style-labels.",
            rich_help_panel=Look,
        ),
    ] = None,
    style_labels: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE", help="Label map of a style, one for each --style.", rich_help_panel=Look
        ),
    ] = None,
    feather: Annotated[
        int, typer.Option(min=0, help="Pixels over which the borders of labels fade.", rich_help_panel=Look)
    ] = 4,
    sequential: Annotated[
        bool,
        typer.Option(
            "--sequential", help="One style after the other, instead of all at once.", rich_help_panel=Look
        ),
    ] = False,
    sweep: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Instead of one picture, N steps between two styles, a triangle of three, or a square of "
            "four, and a sheet of them all.",
            rich_help_panel=Look,
        ),
    ] = None,
    output: options.BlendOutput = None,
    preset: options.Preset = None,
    assignments: options.Set = None,
    photo: options.Photo = None,
    transform: options.Transform = None,
    strength: options.Strength = None,
    preserve_color: options.PreserveColor = None,
    model: options.Model = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    compiled: options.Compile = False,
    threads: options.Threads = None,
    memory_limit: options.MemoryLimit = None,
    seed: options.Seed = None,
    recursive: options.Recursive = False,
    suffix: options.Format = "png",
    max_side: options.MaxSide = None,
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
    """Mix several styles, by weight, level or region.

    texsynth blend photo.jpg --style swirl.jpg:0.7 --style dots.jpg:0.3
    """
    from texsynth.config.settings import StylizeSettings
    from texsynth.jobs.blend_recipe import blend_jobs
    from texsynth.jobs.inputs import find_inputs

    look = {
        "mode": None if photo is None else ("photo" if photo else "artistic"),
        "transform": None if transform is None else {"name": transform},
        "strength": strength,
        "preserve_color": preserve_color,
    }
    settings = look_settings(StylizeSettings, preset, assignments or (), given(look))
    run = run_settings(
        model=model, device=device, dtype=dtype, compiled=compiled or None, threads=threads, seed=seed,
        max_pixels=max_pixels,
        frame=frame, max_side=max_side, bit_depth=bit_depth, quality=quality, memory_limit=memory_limit,
    )  # fmt: skip
    target = Target(output, suffix.lower().lstrip("."), force, resume, report)
    screen = Screen(quiet, verbose, as_json, results=output != "-")
    kind = check_suffix(target.suffix)
    data = piped([*pictures, *styles, *(masks or ()), content_labels, *(style_labels or ())])
    recipe = _recipe(
        styles, masks or (), content_labels, style_labels or (), data,
        sequential=sequential, feather=feather, sweep=sweep is not None,
    )  # fmt: skip
    contents = find_inputs(pictures, recursive=recursive, piped=data)
    if sweep is not None and len(contents) > 1:
        raise UsageError(f"--sweep is for one content, and {len(contents)} are given; run them singly")
    jobs = blend_jobs(contents, recipe, output, sweep=sweep, suffix=kind)
    plan = blend_plan(jobs, recipe, settings, run, target, sweep=sweep)
    raise typer.Exit(carry_out(plan, target, run, screen, dry_run=dry_run))


def blend_plan(
    jobs: Sequence[BlendJob],
    recipe: Recipe,
    settings: StylizeSettings,
    run: RunSettings,
    target: Target,
    *,
    sweep: int | None = None,
    made_with: str | None = None,
) -> Plan[BlendJob]:
    """How `jobs` are checked and done. made_with: hash of the weights that are expected, for a replay."""
    from texsynth.jobs.blend_recipe import BlendJob, check_recipe
    from texsynth.jobs.checks import check_headers

    check_recipe(recipe, settings.levels)
    sheet = _Sheet(jobs[0].output, len(recipe.ingredients), sweep, target.force) if sweep else None

    def begin() -> Work[BlendJob]:
        from texsynth.jobs.blend import blend_content, masks_of, prepare_blend, record_of
        from texsynth.jobs.operation import Made, source_of, unfinished, written_once
        from texsynth.jobs.outcomes import Stages
        from texsynth.jobs.runner import Serial
        from texsynth.jobs.stylize import Content, load_content

        prepared = prepare_blend(recipe, settings, run)
        masks = masks_of(prepared)

        def load(job: BlendJob) -> Content | None:
            if target.resume:
                record = record_of(job, source_of(job.picture), prepared)
                if not unfinished([(job.output, record)], force=target.force):
                    return None
            return load_content(job, prepared.model, settings, prepared.run, masks)

        def write(_: BlendJob, made: Made) -> Written | None:
            done = written_once(made, quality=run.quality, **target.rules)
            if sheet:
                sheet.add(made.deliveries[0].shown())
            return done

        stages = Stages[BlendJob](
            load,
            lambda job, content, on_step: blend_content(job, content, prepared, on_step),
            write,
        )
        notes = [*prepared.warnings, *other_weights(made_with, prepared.model.sha256, run.model)]
        line = machine_line(prepared.model.name, prepared.run)
        return Work(Serial(stages), line, notes, sheet.write if sheet else tuple)

    inputs = [*(job.picture for job in jobs[:1] if sheet), *recipe.inputs]
    inputs += [] if sheet else [job.picture for job in jobs]
    also = [sheet.path] if sheet else []
    return Plan(
        jobs,
        inputs,
        lambda: check_headers(jobs, recipe.inputs, run),
        begin,
        also,
        lambda: foresight(run, lambda _: settings, recipe.masks),
    )


class _Sheet:
    """The pictures of a sweep side by side."""

    def __init__(self, first: Path, styles: int, steps: int, force: bool) -> None:
        """first: where the first picture goes. steps: along every side."""
        stem, _, _ = first.stem.rpartition(".")
        self.path = first.with_name(f"{stem}.sweep{first.suffix}")
        self._styles, self._steps, self._force = styles, steps, force
        self._pictures: list[Picture] = []

    def add(self, picture: Picture) -> None:
        """The next picture."""
        self._pictures.append(picture)

    def write(self) -> list[Path]:
        """Write the sheet."""
        from texsynth.images import contact_sheet, thumbnails
        from texsynth.jobs.blend_recipe import sweep_rows
        from texsynth.jobs.operation import Delivery, deliver

        small, rows = iter(thumbnails(self._pictures)), []
        for length in sweep_rows(self._styles, self._steps):
            row = [cell for cell, _ in zip(small, range(length), strict=False)]
            rows += [row] if row else []
        deliver([Delivery(contact_sheet(rows), self.path, "")], quality=95, force=self._force)
        return [self.path]


def _recipe(
    styles: Sequence[str],
    masks: Sequence[str],
    content_labels: str | None,
    style_labels: Sequence[str],
    data: bytes | None,
    *,
    sequential: bool,
    feather: int,
    sweep: bool,
) -> Recipe:
    from texsynth.jobs.blend_recipe import REST, Ingredient, Recipe, style_argument
    from texsynth.jobs.inputs import find_inputs

    arguments = [style_argument(text) for text in styles]
    for what, given_ones in (("--mask", masks), ("--style-labels", style_labels)):
        if given_ones and len(given_ones) != len(styles):
            raise UsageError(
                f"{what} is given {len(given_ones)} times for {len(styles)} styles; give one for each"
            )
    if sweep or sequential:
        for text, argument in zip(styles, arguments, strict=True):
            if argument.weight is not None:
                option = "--sweep" if sweep else "--sequential"
                raise UsageError(f"--style {text!r} has a weight, which {option} does not use; leave it out")
    if sweep and (masks or sequential or content_labels):
        raise UsageError("--sweep mixes by weight alone; use it without masks, labels and --sequential")

    def single(argument: str) -> Input:
        found = find_inputs([argument], recursive=False, piped=data)
        if len(found) != 1 or Path(argument).is_dir():
            raise UsageError(f"{argument!r} is a folder or several files; give one picture")
        return found[0]

    ingredients: list[Ingredient] = []
    for number, argument in enumerate(arguments):
        sources = tuple(find_inputs([argument.path], recursive=False, piped=data))
        mask = masks[number] if masks else REST
        labels = style_labels[number] if style_labels else None
        if labels and len(sources) > 1:
            raise UsageError(
                f"{argument.path} has {len(sources)} pictures, but labels belong to one; name it"
            )
        ingredients.append(
            Ingredient(
                sources,
                1.0 if argument.weight is None else argument.weight,
                argument.levels,
                None if mask == REST else single(mask),
                single(labels) if labels else None,
            )
        )
    return Recipe(tuple(ingredients), single(content_labels) if content_labels else None, sequential, feather)
