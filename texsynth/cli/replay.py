"""texsynth replay."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from texsynth.cli import options
from texsynth.cli.run import check_model, given, make_screen, run_operation
from texsynth.errors import InputError, UsageError

if TYPE_CHECKING:
    from texsynth.config.records import BlendRecord, ExpandRecord, Record, Source, StylizeRecord
    from texsynth.config.settings import RunSettings
    from texsynth.jobs.blend_inputs import BlendJob
    from texsynth.jobs.expand_inputs import ExpandJob
    from texsynth.jobs.inputs import Input, Job, StylizeJob
    from texsynth.jobs.operation import Operation


@options.grouped
def replay(
    result: Annotated[Path, typer.Argument(metavar="OUTPUT", help="A picture that texsynth made.")],
    *,
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
    machine: options.DeviceOptions,
    report: options.Report = None,
    force: options.Force = False,
    screen: options.ScreenOptions,
) -> None:
    """Make a result again from the settings inside it; its pictures must be unchanged.

    On the same version, device and thread count the file is the same, byte for byte. Sibling maps are made
    again with their texture, or alone when OUTPUT is one of them.
    """
    from texsynth import images
    from texsynth.config.records import BlendRecord, StylizeRecord
    from texsynth.jobs.files import record_in

    record = record_in(images.embedded_settings(result), str(result))
    name = output or str(result.with_name(f"{result.stem}.replay{result.suffix}"))
    out = options.OutputOptions(suffix=result.suffix, force=force, report=report)
    run = _on_this_machine(record.run, machine)
    check_model(run.model)
    inputs = _Inputs(result, _pairs(moved or ()))
    named = {"--content": content, "--style": style, "--exemplar": exemplar}
    if isinstance(record, StylizeRecord):
        replayed: Replayed = _stylize(record, inputs, named, run, name)
    elif isinstance(record, BlendRecord):
        replayed = _blend(record, inputs, named, run, name)
    else:
        replayed = _expand(record, inputs, named, run, name)
    inputs.check_all_used()
    jobs, check, operation = replayed
    raise typer.Exit(run_operation(jobs, check, operation, run, out, make_screen(screen, name)))


Replayed = tuple[Sequence[Any], Callable[..., Any], Callable[[Sequence[Any]], Any]]
"""The only job, its check, and what makes its operation, as `run_operation` takes them."""


def _stylize(
    record: StylizeRecord, inputs: _Inputs, named: dict[str, str | None], run: RunSettings, output: str
) -> Replayed:
    from texsynth.jobs.checks import check_headers
    from texsynth.jobs.inputs import stylize_jobs

    _refuse(named, ("--exemplar",), record)
    content = inputs.find(record.content, record.key, named["--content"])
    style = inputs.find(record.style, "", named["--style"])
    jobs = stylize_jobs([content], style, record.stylize, output)

    def operation(_: Sequence[Job]) -> Operation[StylizeJob]:
        from texsynth.jobs.stylize import Stylize

        return Stylize(_in_its_tiles(run), jobs[0], record.model_sha256)

    return jobs, partial(check_headers, needed=[style], run=run), operation


def _blend(
    record: BlendRecord, inputs: _Inputs, named: dict[str, str | None], run: RunSettings, output: str
) -> Replayed:
    from texsynth.jobs.blend_inputs import BlendSpec, StyleSource, blend_jobs
    from texsynth.jobs.checks import check_headers

    _refuse(named, ("--style", "--exemplar"), record)
    content = inputs.find(record.content, record.key, named["--content"])
    styles = tuple(
        StyleSource(
            tuple(inputs.find(source, "") for source in style.sources),
            style.weight,
            style.levels,
            inputs.find(style.mask, "") if style.mask else None,
            inputs.find(style.labels, "") if style.labels else None,
        )
        for style in record.styles
    )
    labels = inputs.find(record.content_labels, "") if record.content_labels else None
    spec = BlendSpec(styles, labels, record.sequential, record.feather)
    jobs = blend_jobs([content], spec, record.stylize, output, suffix=".png")

    def operation(_: Sequence[Job]) -> Operation[BlendJob]:
        from texsynth.jobs.blend import Blend

        return Blend(_in_its_tiles(run), jobs[0], record.model_sha256)

    return jobs, partial(check_headers, needed=spec.inputs, run=run), operation


def _expand(
    record: ExpandRecord, inputs: _Inputs, named: dict[str, str | None], run: RunSettings, output: str
) -> Replayed:
    from texsynth.jobs.expand_inputs import (
        ExpandJob,
        LoadedInputs,
        Task,
        check_textures,
        settled_settings,
    )
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
    (path,) = destinations(exemplars[:1], [Path(output).name], output)
    names = tuple(source.output for source in record.siblings)
    folder = Path() if path == PIPE else path.parent
    again = [Path(name) for name in names if record.part == 0]
    beside = tuple(folder / f"{name.stem}.replay{name.suffix}" for name in again)
    settings = settled_settings(task, record.expand)
    jobs = [ExpandJob(exemplars[0], path, task, settings, record.index, beside, names, record.part)]
    loaded: LoadedInputs = {}

    def operation(_: Sequence[Job]) -> Operation[ExpandJob]:
        from texsynth.jobs.expand import Expand

        return Expand(run, loaded, record)

    return jobs, partial(check_textures, run=run, loaded=loaded), operation


def _refuse(named: dict[str, str | None], options: Sequence[str], record: Record) -> None:
    for option in options:
        if named[option]:
            raise UsageError(f"{option} does not apply, {record.command} made this file; use --input OLD=NEW")


def _on_this_machine(run: RunSettings, machine: options.DeviceOptions) -> RunSettings:
    from texsynth.config.validation import validate

    return validate(type(run), run.model_dump() | given(vars(machine)), "")


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
