"""One job on the page of a run."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from texsynth.batch.page import data_uri, markup
from texsynth.batch.plan import PIPE, Job
from texsynth.batch.run import BUG, Done, Failed, Outcome
from texsynth.batch.run_pictures import Pair, Small

STATES = ("done", "skipped", "failed")


def state(outcome: Outcome) -> str:
    """Which of STATES a job has come to."""
    return type(outcome).__name__.lower()


def item(
    number: int, outcome: Outcome, shown: Pair | None, inputs: str, block: int | None, folder: Path
) -> str:
    """The HTML of one job.

    number: among all, from 1. inputs: the part of its record that is its own. block: number of its settings.
    folder: of the page, where links start.
    """
    job = outcome.job
    name = _name(job.output)
    failure = isinstance(outcome, Failed)
    links = [markup(name)] if failure else [_link(path, folder) for path in (job.output, *_others(job))]
    problems = _problems(outcome)
    facts = [
        (job.role, markup(str(job.picture))),
        *((key, markup(value)) for key, value in job.facts.items()),
    ]
    if shown or isinstance(outcome, Done):
        facts.append(("size", _size(outcome, shown)))
    if isinstance(outcome, Done):
        facts.append(("time", f"{outcome.seconds:.2f} s"))
    if block is not None:
        facts.append(("settings", f'<a href="#s{block}">block {block}</a>'))
    text = " ".join([name, str(job.picture), *job.facts.values(), *problems]).lower()
    return "\n".join(
        [
            f'<article id="i{number}" data-state="{state(outcome)}" data-text="{markup(text)}">',
            _compared(number, job, shown) if shown else "",
            f'<h3>{", ".join(links)} <span class="state">{_verdict(outcome)}</span></h3>',
            *(f'<p class="{"fail" if failure else "odd"}">{markup(problem)}</p>' for problem in problems),
            f"<dl>{''.join(f'<dt>{key}</dt><dd>{value}</dd>' for key, value in facts)}</dl>",
            f"<details><summary>inputs</summary><pre>{markup(inputs)}</pre></details>" if inputs else "",
            "</article>\n",
        ]
    )


def _compared(number: int, job: Job, shown: Pair) -> str:
    """Output and content one over the other with a slider between them, or the output alone."""
    name = _name(job.output)
    frame = (
        f'<div class="frame" style="--w:{shown.output.width};--h:{shown.output.height}"><div class="pair">'
    )
    after = _image(shown.output, f"output {name}")
    if shown.content is None:
        return f"{frame}{after}</div></div>"
    before = _image(shown.content, f"{job.role} {job.picture}", within=shown.output)
    # Browsers that put back what was in a form after a reload would leave slider and pictures apart.
    slider = f'<input type="range" id="r{number}" min="0" max="100" value="50" autocomplete="off">'
    label = (
        f'<label for="r{number}"><span>{job.role}</span><span class="unseen"> up to this share of the '
        f"width, in percent, then {markup(name)}, the </span><span>output</span></label>"
    )
    return f'{frame}{after}<div class="before">{before}</div>{slider}</div>{label}</div>'


def _image(small: Small, alt: str, *, within: Small | None = None) -> str:
    frame = within or small
    share = f"width:{100 * small.width / frame.width:.4g}%;height:{100 * small.height / frame.height:.4g}%"
    return (
        f'<img alt="{markup(alt)}" width="{small.width}" height="{small.height}" style="{share}" '
        f'decoding="async" src="{data_uri("jpeg", small.jpeg)}">'
    )


def _problems(outcome: Outcome) -> list[str]:
    """Sentences about what went wrong, or nearly so."""
    if isinstance(outcome, Done):
        return [f"Warning: {warning}" for warning in outcome.written.warnings]
    if not isinstance(outcome, Failed):
        return []
    error = outcome.error
    if outcome.exit_code == BUG:
        return [f"This is a bug in texsynth: {type(error).__name__}: {error}"]
    return [str(error)]


def _verdict(outcome: Outcome) -> str:
    if isinstance(outcome, Failed):
        return f"failed, exit code {outcome.exit_code}"
    return "" if isinstance(outcome, Done) else "skipped, it was there already"


def _size(outcome: Outcome, shown: Pair | None) -> str:
    if isinstance(outcome, Done):
        return f"{outcome.written.width} × {outcome.written.height} px"
    return f"{shown.width} × {shown.height} px" if shown else ""


def _others(job: Job) -> Iterable[Path]:
    return (path for path in job.outputs if path != job.output)


def _name(path: Path) -> str:
    return "standard output" if path == PIPE else str(path)


def _link(path: Path, folder: Path) -> str:
    """The name of a file, leading there from a page in `folder`."""
    name = markup(_name(path))
    if path == PIPE:
        return name
    try:
        target = Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # on another drive of Windows
        return name
    return f'<a href="{markup(quote(os.fsencode(target)))}">{name}</a>'
