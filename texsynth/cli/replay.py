"""texsynth replay."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from texsynth.cli import options
from texsynth.cli.show import Screen
from texsynth.errors import InputError

if TYPE_CHECKING:
    from texsynth.batch.plan import Job
    from texsynth.settings import Record, Source


def replay(
    result: Annotated[Path, typer.Argument(metavar="OUTPUT", help="A picture that texsynth made.")],
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="FILE|-", help="Default: NAME.replay.SUFFIX beside OUTPUT."),
    ] = None,
    content: Annotated[str | None, typer.Option(help="Where the content is now, if it moved.")] = None,
    style: Annotated[str | None, typer.Option(help="Where the style is now, if it moved.")] = None,
    device: options.Device = None,
    threads: options.Threads = None,
    force: options.Force = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.Json = False,
) -> None:
    """Make a result again from the settings inside it; its pictures must be unchanged.

    On the same version, device and thread count the file is the same, byte for byte.
    """
    from texsynth import images
    from texsynth.explain import validated
    from texsynth.settings import Record
    from texsynth.strict_yaml import parse

    record = validated(Record, parse(images.embedded_settings(result), source=str(result)), str(result))
    target = output or str(result.with_name(f"{result.stem}.replay{result.suffix}"))
    changed = {
        key: value for key, value in {"device": device, "threads": threads}.items() if value is not None
    }
    run = validated(type(record.run), {**record.run.model_dump(), **changed}, "")
    record = record.model_copy(update={"run": run})
    sources = _located(record.content, content, result), _located(record.style, style, result)
    screen = Screen(quiet, verbose, as_json, results=target != "-")
    raise typer.Exit(_again(record, sources, target, result, screen, force=force))


def _again(
    record: Record,
    sources: tuple[Path, Path],
    target: str,
    result: Path,
    screen: Screen,
    *,
    force: bool,
) -> int:
    from texsynth.batch.check import check_outputs
    from texsynth.batch.plan import Input, pair
    from texsynth.batch.run import Written
    from texsynth.batch.run import run as run_jobs
    from texsynth.cli.jobs import check_model

    check_model(record.run.model)
    content, style = Input(sources[0], record.key), Input(sources[1], sources[1].name)
    jobs = pair([content], style, target)
    check_outputs(jobs, [content, style], force=force)
    from texsynth.batch.work import prepare, stylize_file

    with screen.progress(1) as bar:
        prepared = prepare(style, record.stylize, record.run)
        if prepared.model.sha256 != record.model_sha256:
            screen.note(
                f"{result} was made with other weights of {record.run.model}; expect a different picture"
            )

        def work(job: Job) -> Written:
            return stylize_file(job, prepared, force=force, suffix=result.suffix, on_step=bar.step)

        report = run_jobs(jobs, work, on_outcome=screen.outcome)
    return report.exit_code


def _located(source: Source, moved: str | None, result: Path) -> Path:
    """The file of `source`, from here or beside `result`, with the content it had. Raises InputError."""
    from texsynth.images import read_bytes

    if source.path == "-" and not moved:
        raise InputError(f"{result} was made from standard input; name the file with --content or --style")
    path = Path(moved or source.path)
    if not moved and not path.exists():
        path = result.parent / source.path
    if hashlib.sha256(read_bytes(path)).hexdigest() != source.sha256:
        raise InputError(f"{path} has changed since {result} was made from it")
    return path
