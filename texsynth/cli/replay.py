"""texsynth replay."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from texsynth import images
from texsynth.cli import options
from texsynth.cli.options import argument, option
from texsynth.cli.run import Setup, check_model, given, output_format, run_operation
from texsynth.config.records import (
    BlendRecord,
    ExpandRecord,
    MapsRecord,
    Source,
    StylizeRecord,
    TilesetRecord,
    TweenRecord,
)
from texsynth.config.settings import RunSettings
from texsynth.config.validation import validate
from texsynth.errors import InputError, UsageError
from texsynth.jobs.blend_inputs import BlendSpec, StyledJob, StyleSource, blend_jobs, stylize_jobs
from texsynth.jobs.checks import check_headers
from texsynth.jobs.expand_inputs import ExpandJob, Task, settled_settings
from texsynth.jobs.expand_reading import LoadedInputs, check_textures
from texsynth.jobs.files import record_in
from texsynth.jobs.frames import Tween
from texsynth.jobs.inputs import PIPE, Input, destinations
from texsynth.jobs.map_inputs import MapsJob
from texsynth.jobs.tileset_inputs import TilesetJob
from texsynth.paths import exists

USUAL_THREADS = 64  # So many are used without asking, also where there are fewer cores

Replayed = tuple[Sequence[Any], Callable[..., Any], Callable[[Sequence[Any]], Any]]
"""The only job, its check, and what makes its operation, as `run_operation` takes them."""


def replay(
    result: Path = argument(..., metavar="OUTPUT", help="A picture that texsynth made."),
    *,
    output: str | None = option(
        None, "-o", "--output", metavar="FILE|-", help="Default: NAME.replay.SUFFIX beside OUTPUT."
    ),
    content: str | None = option(None, metavar="FILE", help="Where the content is now, if it moved."),
    style: str | None = option(None, metavar="FILE", help="Where the style is now, if it moved."),
    exemplar: str | None = option(None, metavar="FILE", help="Where the only exemplar is now, if it moved."),
    moved: list[str] | None = option(
        None, "--input", metavar="OLD=NEW", help="Where any other input is now, if it moved. Repeatable."
    ),
    machine: options.DeviceOptions,
    compiled: bool = option(
        False, "--compile", help="Compile the networks, where they were for OUTPUT. Needs a C++ compiler."
    ),
    backend: str | None = option(
        None, metavar="NAME", help="torch or openvino. Default: what computed OUTPUT."
    ),
    strip: bool = option(False, help="Drop what the input says beside its pixels. Default: as for OUTPUT."),
    sidecar: bool = option(False, help="Keep settings in NAME.yaml beside the result, and not in it."),
    report: options.Report = None,
    force: options.Force = False,
    screen: options.RunScreenOptions,
) -> None:
    """Make a result again from the settings inside it; the pictures it was made from must be unchanged.

    On the same version, device and thread count the pixels are the same, byte for byte. Sibling maps are made
    again with their texture, or alone when OUTPUT is one of them.
    """
    record = record_in(images.embedded_settings(result), str(result))
    if output is None:
        output = str(result.with_name(f"{result.stem}.replay{result.suffix}"))
    asked = given({**vars(machine), "backend": backend, "strip": strip or None})
    run = validate(RunSettings, record.run.model_dump() | asked, "")
    _check_demands(record.run, machine, result, compiled=compiled)
    check_model(run.model)
    named = {"--content": content, "--style": style, "--exemplar": exemplar}
    pairs = {}
    for text in moved or ():
        old, sign, new = text.partition("=")
        if not (old and sign and new):
            raise UsageError(f"--input {text!r} is not of the form OLD=NEW, like walls/brick.png=brick.png")
        pairs[old] = new
    inputs = _Inputs(result, pairs, {name: path for name, path in named.items() if path is not None})
    prepare, applicable = KINDS[record.command]
    for name in inputs.named:
        if name not in applicable:
            raise UsageError(f"{name} does not apply, {record.command} made this file; use --input OLD=NEW")
    job, check, operation = prepare(record, inputs, run, output)
    for old in pairs:
        if old not in inputs.used:
            raise UsageError(
                f"--input {old}=...: {result} was not made from {old}; its inputs are "
                f"{', '.join(inputs.seen)}"
            )
    out = options.RunOptions(suffix=result.suffix, force=force, report=report, sidecar=sidecar)
    setup = Setup(out, run, screen.screen(output), output_format(out, run))
    run_operation(job, check, operation, setup)


def _check_demands(
    recorded: RunSettings, machine: options.DeviceOptions, result: Path, *, compiled: bool
) -> None:
    """Raise UsageError for what a picture of a stranger should not do without being asked to."""
    most = max(os.cpu_count() or 1, USUAL_THREADS)
    if machine.threads is None and (recorded.threads or 1) > most:
        raise UsageError(
            f"{result} was made with {recorded.threads} threads; say how many to take, with --threads N"
        )
    if recorded.compiled and not compiled:
        raise UsageError(f"{result} was made with a C++ compiler; say --compile to run it here")


def _stylize(record: StylizeRecord, inputs: _Inputs, run: RunSettings, output: str) -> Replayed:
    content = inputs.find(record.content, record.key or "", "--content")
    style = inputs.find(record.style, option="--style")
    (job,) = stylize_jobs([content], style, record.stylize, output)
    return _styled(job, [style], run, record, inputs)


def _blend(record: BlendRecord, inputs: _Inputs, run: RunSettings, output: str) -> Replayed:
    content = inputs.find(record.content, record.key or "", "--content")
    styles = tuple(
        StyleSource(
            tuple(inputs.find(source) for source in style.sources),
            style.weight,
            style.levels,
            inputs.optional(style.mask),
            inputs.optional(style.labels),
        )
        for style in record.styles
    )
    spec = BlendSpec(styles, inputs.optional(record.content_labels), record.sequential, record.feather)
    (job,) = blend_jobs([content], spec, record.stylize, output)
    return _styled(job, spec.inputs, run, record, inputs)


def _styled(
    plain: StyledJob,
    needed: Sequence[Input],
    run: RunSettings,
    record: StylizeRecord | BlendRecord,
    inputs: _Inputs,
) -> Replayed:
    job = replace(plain, vary=record.key is not None, tween=_tween(record.tween, plain.picture, inputs))
    # Without tiles where the record has none: they change how sums are rounded.
    run = run.model_copy(update={"tile": run.tile or 0})
    return (
        [job],
        partial(check_headers, needed=needed, run=run),
        lambda _: import_module("texsynth.jobs.stylize").Stylize(
            run, job, record.model_sha256, recorded_version=record.versions.texsynth
        ),
    )


def _tween(tween: TweenRecord | None, content: Input, inputs: _Inputs) -> Tween | None:
    """Return where the frames of the same take are now. InputError says what else makes them again."""
    if tween is None:
        return None
    try:
        before, after = (
            tuple(inputs.find(source, beside=content.path.parent) for source in sources)
            for sources in (tween.before, tween.after)
        )
    except InputError as error:
        raise InputError(
            f"{inputs.result} is a frame of a sequence, which needs others of its take: {error}; bring them "
            f"back, or make all frames again with --sequence"
        ) from None
    return Tween(before, after, tween.share)


def _expand(record: ExpandRecord, inputs: _Inputs, run: RunSettings, output: str) -> Replayed:
    if inputs.named and len(record.exemplars) > 1:
        raise UsageError(
            f"--exemplar is for one exemplar, and {len(record.exemplars)} are mixed; use --input OLD=NEW"
        )
    option = "" if len(record.exemplars) > 1 else "--exemplar"
    exemplars = tuple(inputs.find(source, record.key, option) for source in record.exemplars)
    task = Task(
        record.command,
        exemplars,
        record.weights,
        tuple(inputs.find(source) for source in record.siblings),
        tuple(source.kind for source in record.siblings),
        inputs.optional(record.mask),
        inputs.optional(record.guide),
        inputs.optional(record.guide_of),
        inputs.optional(record.hole),
        recorded_key=record.key,
    )
    (path,) = destinations(exemplars[:1], [Path(output).name], output)
    names = tuple(source.output for source in record.siblings)
    folder = Path() if path == PIPE else path.parent
    again = map(Path, names if record.part == 0 else ())
    beside = tuple(folder / f"{name.stem}.replay{name.suffix}" for name in again)
    settings = settled_settings(task, record.expand)
    job = ExpandJob(exemplars[0], path, task, settings, record.index, beside, names, record.part)
    loaded: LoadedInputs = {}
    return (
        [job],
        partial(check_textures, run=run, loaded=loaded),
        lambda _: import_module("texsynth.jobs.expand").Expand(run, loaded, record),
    )


def _maps(record: MapsRecord, inputs: _Inputs, run: RunSettings, output: str) -> Replayed:
    picture = inputs.find(record.picture)
    job = MapsJob(picture, Path(output), record.maps, ((record.role, Path(output)),))
    return (
        [job],
        partial(check_headers, needed=(), run=run),
        lambda _: import_module("texsynth.jobs.maps").EstimateMaps(run),
    )


def _tileset(record: TilesetRecord, inputs: _Inputs, run: RunSettings, output: str) -> Replayed:
    exemplar = inputs.find(record.exemplar, record.key, "--exemplar")
    job = TilesetJob(
        exemplar,
        Path(output),
        record.tileset,
        tuple(inputs.find(source) for source in record.siblings),
        tuple(source.kind for source in record.siblings),
        names=tuple(source.output for source in record.siblings),
        part=record.part,
        key=record.key,
    )
    return (
        [job],
        partial(check_headers, needed=(), run=run),
        lambda _: import_module("texsynth.jobs.tileset").MakeTileset(run),
    )


KINDS: dict[str, tuple[Callable[..., Replayed], Sequence[str]]] = {
    "stylize": (_stylize, ("--content", "--style")),
    "blend": (_blend, ("--content",)),
    "expand": (_expand, ("--exemplar",)),
    "tile": (_expand, ("--exemplar",)),
    "maps": (_maps, ()),
    "tileset": (_tileset, ("--exemplar",)),
}
"""How a command's results are made again, and the options that may say where an input is now."""


@dataclass
class _Inputs:
    """The files that `result` was made from, where they are now."""

    result: Path
    moved: dict[str, str]
    named: dict[str, str]
    used: set[str] = field(default_factory=set)
    seen: list[str] = field(default_factory=list)

    def find(self, source: Source, key: str = "", option: str = "", beside: Path | None = None) -> Input:
        """Return the file of `source`, moved, from here or beside the result, with the content it had.

        option: may say where it is. beside: another folder to look in. Raises InputError.
        """
        self.seen.append(source.path)
        moved = self.named.get(option)
        for old in sorted(self.moved, key=len, reverse=True):
            # As it is recorded, or only the end of it, like its name.
            if moved is None and f"/{source.path}".endswith(f"/{old}"):
                self.used.add(old)
                moved = self.moved[old]
        if moved == "":
            raise UsageError(f"{option} is empty; say where {source.path} is now")
        cure = f"{option} FILE" if option else f"--input {source.path}=FILE"
        if source.path == "-" and not moved:
            raise InputError(f"{self.result} was made from standard input; name the file with {cure}")
        if moved:
            paths = [Path(moved)]
        else:
            # Before version 0.3 paths were relative to the folder that the command ran in.
            paths = [self.result.parent / source.path, Path(source.path)]
            paths += [beside / Path(source.path).name] if beside else []
            paths = [path for path in paths if exists(path)]
        if not paths:
            raise InputError(
                f"{source.path}, from which {self.result} was made, is not there any more; say where it is "
                f"now, with {cure}"
            )
        for path in paths:
            if hashlib.sha256(images.read_bytes(path)).hexdigest() == source.sha256:
                return Input(path, key or path.name)
        hint = "" if moved else f"; if the old one is elsewhere, name it with {cure}"
        raise InputError(f"{paths[0]} has changed since {self.result} was made from it{hint}")

    def optional(self, source: Source | None) -> Input | None:
        """Return the file of `source`, None where the record has none. Raises InputError."""
        return self.find(source) if source else None
