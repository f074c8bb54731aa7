"""texsynth replay."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from texsynth.cli import options
from texsynth.cli.run import Plan, Target, carry_out, check_model
from texsynth.cli.show import Screen
from texsynth.errors import InputError, UsageError

if TYPE_CHECKING:
    from texsynth.config.records import BlendRecord, ExpandRecord, Record, Source, StylizeRecord
    from texsynth.config.settings import RunSettings
    from texsynth.jobs.inputs import Input


def replay(
    result: Annotated[Path, typer.Argument(metavar="OUTPUT", help="A picture that texsynth made.")],
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="FILE|-", help="Default: NAME.replay.SUFFIX beside OUTPUT."),
    ] = None,
    content: Annotated[str | None, typer.Option(help="Where the content is now, if it moved.")] = None,
    style: Annotated[str | None, typer.Option(help="Where the style is now, if it moved.")] = None,
    exemplar: Annotated[str | None, typer.Option(help="Where the only exemplar is now, if it moved.")] = None,
    moved: Annotated[
        list[str] | None,
        typer.Option(
            "--input", metavar="OLD=NEW", help="Where any other input is now, if it moved. Repeatable."
        ),
    ] = None,
    device: options.Device = None,
    threads: options.Threads = None,
    report: options.Report = None,
    force: options.Force = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.Json = False,
) -> None:
    """Make a result again from the settings inside it; its pictures must be unchanged.

    On the same version, device and thread count the file is the same, byte for byte. Sibling maps are made
    again with their texture, or alone when OUTPUT is one of them.
    """
    from texsynth import images
    from texsynth.config.records import BlendRecord, Embedded, StylizeRecord
    from texsynth.config.validation import parse, validated

    text = images.embedded_settings(result)
    record = validated(Embedded, parse(text, source=str(result)), str(result)).root
    name = output or str(result.with_name(f"{result.stem}.replay{result.suffix}"))
    target = Target(name, result.suffix.lower().lstrip("."), force, report=report)
    run = _on_this_machine(record.run, device, threads)
    check_model(run.model)
    inputs = _Inputs(result, _pairs(moved or ()))
    named = {"--content": content, "--style": style, "--exemplar": exemplar}
    if isinstance(record, StylizeRecord):
        plan: Plan[Any] = _stylize(record, inputs, named, run, target)
    elif isinstance(record, BlendRecord):
        plan = _blend(record, inputs, named, run, target)
    else:
        plan = _expand(record, inputs, named, run, target)
    inputs.check_all_used()
    screen = Screen(quiet, verbose, as_json, results=target.output != "-")
    raise typer.Exit(carry_out(plan, target, run, screen))


def _stylize(
    record: StylizeRecord, inputs: _Inputs, named: dict[str, str | None], run: RunSettings, target: Target
) -> Plan[Any]:
    from texsynth.cli.stylize import stylize_plan
    from texsynth.jobs.inputs import pair

    _refuse(named, ("--exemplar",), record)
    content = inputs.find(record.content, record.key, named["--content"])
    style = inputs.find(record.style, "", named["--style"])
    jobs = pair([content], style, target.output)
    return stylize_plan(
        jobs, style, record.stylize, _in_its_tiles(run), target, made_with=record.model_sha256
    )


def _blend(
    record: BlendRecord, inputs: _Inputs, named: dict[str, str | None], run: RunSettings, target: Target
) -> Plan[Any]:
    from texsynth.cli.blend import blend_plan
    from texsynth.jobs.blend_recipe import Ingredient, Recipe, blend_jobs

    _refuse(named, ("--style", "--exemplar"), record)
    content = inputs.find(record.content, record.key, named["--content"])
    ingredients = tuple(
        Ingredient(
            tuple(inputs.find(source, "") for source in style.sources),
            style.weight,
            style.levels,
            inputs.find(style.mask, "") if style.mask else None,
            inputs.find(style.labels, "") if style.labels else None,
        )
        for style in record.styles
    )
    labels = inputs.find(record.content_labels, "") if record.content_labels else None
    recipe = Recipe(ingredients, labels, record.sequential, record.feather)
    jobs = blend_jobs([content], recipe, target.output, sweep=None, suffix=f".{target.suffix}")
    return blend_plan(jobs, recipe, record.stylize, _in_its_tiles(run), target, made_with=record.model_sha256)


def _expand(
    record: ExpandRecord, inputs: _Inputs, named: dict[str, str | None], run: RunSettings, target: Target
) -> Plan[Any]:
    from texsynth.cli.expand import texture_plan
    from texsynth.jobs.expand_inputs import ExpandJob, Task
    from texsynth.jobs.inputs import PIPE, destinations

    _refuse(named, ("--content", "--style"), record)
    if named["--exemplar"] and len(record.exemplars) > 1:
        raise UsageError(
            f"--exemplar is for one exemplar, and {len(record.exemplars)} are mixed; use --input OLD=NEW"
        )

    def optional(source: Source | None) -> Input | None:
        return inputs.find(source, "") if source else None

    exemplars = tuple(inputs.find(source, record.key, named["--exemplar"]) for source in record.exemplars)
    task = Task(
        record.command,
        exemplars,
        record.weights,
        tuple(inputs.find(source, "") for source in record.siblings),
        optional(record.mask),
        optional(record.guide),
        optional(record.guide_of),
        optional(record.hole),
        recorded_key=record.key,
    )
    (path,) = destinations(exemplars[:1], [f"{inputs.result.stem}.replay.{target.suffix}"], target.output)
    names = tuple(source.output for source in record.siblings)
    folder = Path() if path == PIPE else path.parent
    again = [Path(name) for name in names if record.part == 0]
    beside = tuple(folder / f"{name.stem}.replay{name.suffix}" for name in again)
    job = ExpandJob(exemplars[0], path, task, record.index, beside, names, record.part)
    return texture_plan([job], record.expand, run, target, made_with=record)


def _refuse(named: dict[str, str | None], options: Sequence[str], record: Record) -> None:
    for option in options:
        if named[option]:
            raise UsageError(f"{option} does not apply, {record.command} made this file; use --input OLD=NEW")


def _on_this_machine(run: RunSettings, device: str | None, threads: int | None) -> RunSettings:
    from texsynth.config.validation import validated

    given = {"device": device, "threads": threads}
    changed = {key: value for key, value in given.items() if value is not None}
    return validated(type(run), {**run.model_dump(), **changed}, "")


def _in_its_tiles(run: RunSettings) -> RunSettings:
    """`run` without tiles where the record has none: they change how sums are rounded."""
    return run.model_copy(update={"tile": run.tile or 0})


def _pairs(moved: Sequence[str]) -> dict[str, str]:
    """`OLD=NEW` as OLD to NEW."""
    pairs = {}
    for text in moved:
        old, sign, new = text.partition("=")
        if not (old and sign and new):
            raise UsageError(f"--input {text!r} is not of the form OLD=NEW, like walls/brick.png=brick.png")
        pairs[old] = new
    return pairs


@dataclass
class _Inputs:
    """The files that `result` was made from, where they are now."""

    result: Path
    moved: dict[str, str]
    used: set[str] = field(default_factory=set)
    seen: list[str] = field(default_factory=list)

    def find(self, source: Source, key: str, moved: str | None = None) -> Input:
        """The file of `source`, at `moved`, from here or beside the result, with the content it had.

        Raises InputError.
        """
        from texsynth.images import read_bytes
        from texsynth.jobs.inputs import Input

        self.seen.append(source.path)
        for old in (source.path, Path(source.path).name):
            if moved is None and old in self.moved:
                self.used.add(old)
                moved = self.moved[old]
        if source.path == "-" and not moved:
            raise InputError(
                f"{self.result} was made from standard input; name the file with --content, --style, "
                f"--exemplar or --input -=FILE"
            )
        path = Path(moved or source.path)
        if not moved and not path.exists():
            path = self.result.parent / source.path
        if hashlib.sha256(read_bytes(path)).hexdigest() != source.sha256:
            raise InputError(f"{path} has changed since {self.result} was made from it")
        return Input(path, key or path.name, recorded=source.path)

    def check_all_used(self) -> None:
        """UsageError for an `--input` that is none."""
        for old in self.moved:
            if old not in self.used:
                raise UsageError(
                    f"--input {old}=...: {self.result} was not made from {old}; its inputs are "
                    f"{', '.join(self.seen)}"
                )
