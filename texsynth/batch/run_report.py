"""The page of a run: one HTML file that shows every result beside its content and loads nothing."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import texsynth
from texsynth import images
from texsynth.batch.files import make_folder
from texsynth.batch.page import closing, markup, opening
from texsynth.batch.plan import Job
from texsynth.batch.run import Failed, Outcome, Report
from texsynth.batch.run_item import STATES, item, state
from texsynth.batch.run_pictures import Pictures, side_px
from texsynth.batch.run_record import Blocks, divided, settings_of
from texsynth.errors import OutputError, UsageError
from texsynth.settings import RunSettings

KIND = "run"


def check_report(path: Path, jobs: Sequence[Job], *, force: bool, resume: bool) -> None:
    """UsageError when `path` cannot be a page beside the results of `jobs`, OutputError when it exists.

    resume: an earlier page may be there, for a run that goes on shall not be stopped by what it left.
    """
    if path.suffix.lower() != ".html":
        raise UsageError(f"--report is {str(path)!r} but must be the name of a page, like report.html")
    inside = os.path.realpath(path) + os.sep
    if any(os.path.realpath(output).startswith(inside) for job in jobs for output in job.outputs):
        raise UsageError(f"--report {path} is also the folder of results; choose another name")
    if path.exists() and not path.is_dir() and not force and not (resume and _is_report(path)):
        raise OutputError(f"{path} exists already; use --force to replace it")


def write_report(
    report: Report,
    path: Path,
    *,
    arguments: Sequence[str],
    run: RunSettings,
    force: bool,
    on_item: Callable[[], None] = lambda: None,
) -> None:
    """Write the page of a run to `path`, one job at a time. Raises OutputError.

    arguments: of the program. on_item: called after every job.
    """
    make_folder(path.parent)
    with images.placed(path, force=force) as file:
        file.write(_head(report, arguments).encode())
        blocks, pictures = Blocks(), Pictures(run, side_px(len(report.outcomes)))
        for number, outcome in enumerate(report.outcomes, 1):
            file.write(_item(number, outcome, blocks, pictures, path.parent).encode())
            on_item()
        file.write(_foot(blocks).encode())


def _head(report: Report, arguments: Sequence[str]) -> str:
    title = " ".join(["texsynth", *arguments[:1]])
    command = shlex.join(["texsynth", *arguments])
    return (
        f"{opening(KIND, f'{title}, run report')}<main>\n<h1>{markup(title)}</h1>\n"
        f'<pre class="command">{markup(command)}</pre>\n{_totals(report)}'
        f'{_controls(report.outcomes)}<div id="items">\n'
    )


def _foot(blocks: Blocks) -> str:
    version = f'<p class="foot">texsynth {texsynth.__version__}</p>'
    return f"</div>\n{_settings(blocks)}{version}\n</main>\n{closing(KIND)}"


def _item(number: int, outcome: Outcome, blocks: Blocks, pictures: Pictures, folder: Path) -> str:
    job = outcome.job
    if isinstance(outcome, Failed) or job.to_pipe:
        return item(number, outcome, None, "", None, folder)
    own, shared = divided(settings_of(job.output))
    block = blocks.number(shared) if shared else None
    return item(number, outcome, pictures.of(job), own, block, folder)


def _totals(report: Report) -> str:
    counts = Counter(map(state, report.outcomes))
    rate = counts["done"] / report.seconds if report.seconds else 0.0
    figures = [
        *((str(counts[name]), name) for name in STATES),
        (f"{report.seconds:.1f}", "seconds"),
        (f"{rate:.2f}", "pictures per second"),
    ]
    cells = "".join(f"<div><dt>{name}</dt><dd>{figure}</dd></div>" for figure, name in figures)
    left = report.total - len(report.outcomes)
    stopped = f"<p class='odd'>Interrupted: {left} of {report.total} jobs were not finished.</p>\n"
    return f'<dl class="totals">{cells}</dl>\n{stopped if report.interrupted else ""}'


def _controls(outcomes: Sequence[Outcome]) -> str:
    """Search and filter, where there is more than one job."""
    if len(outcomes) < 2:
        return ""
    boxes = "\n".join(
        f'<label><input type="checkbox" checked autocomplete="off" value="{name}"> {name}</label>'
        for name in STATES
    )
    return f"""<div class="controls">
<label>Names with <input id="filter" type="search" autocomplete="off" placeholder="part of a name"></label>
<fieldset id="states"><legend>Show</legend>
{boxes}
</fieldset>
<span id="shown" role="status"></span>
</div>
"""


def _settings(blocks: Blocks) -> str:
    is_open = " open" if len(blocks) == 1 else ""
    found = [
        f"<details{is_open}><summary>Block {number}, of {uses} picture{'s' if uses > 1 else ''}</summary>"
        f'<pre id="s{number}">{markup(text)}</pre></details>\n'
        for number, text, uses in blocks
    ]
    return f"<section><h2>Settings</h2>\n{''.join(found)}</section>\n" if found else ""


def _is_report(path: Path) -> bool:
    """Whether a file is the page of a run."""
    try:
        with path.open("rb") as file:
            return f'data-page="{KIND}"'.encode() in file.read(200)
    except OSError:
        return False
