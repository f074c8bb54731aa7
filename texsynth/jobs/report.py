"""The page of a run: one HTML file that shows every result beside its content and loads nothing."""

from __future__ import annotations

import os
import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

import texsynth
from texsynth import images
from texsynth.config.settings import RunSettings
from texsynth.errors import InputError, OutputError, UsageError
from texsynth.html.page import closing, data_uri, markup, opening
from texsynth.jobs.files import make_folder
from texsynth.jobs.inputs import PIPE, Job
from texsynth.jobs.outcomes import BUG, Done, Failed, Outcome, Report

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


SIDES_PX = ((200, 640), (2000, 320))
"""Up to so many jobs -> longer side of a small picture: a browser must hold the page."""

LEAST_SIDE_PX = 160


@dataclass(frozen=True)
class Small:
    """A reduced picture. width, height: of it, in pixels."""

    jpeg: bytes
    width: int
    height: int


@dataclass(frozen=True)
class Pair:
    """Output and, where it can be shown, content. width, height: of the output's file, in pixels."""

    output: Small
    content: Small | None
    width: int
    height: int


def side_px(jobs: int) -> int:
    """Longest side of small pictures on a page with so many jobs."""
    return next((side for most, side in SIDES_PX if jobs <= most), LEAST_SIDE_PX)


class Pictures:
    """The small pictures of a run, job by job."""

    def __init__(self, run: RunSettings, side: int) -> None:
        """side: the longest of an output, in pixels."""
        self._run, self._side = run, side
        # The variations of a picture come one after the other.
        self._content = lru_cache(maxsize=1)(self._small_content)

    def of(self, job: Job) -> Pair | None:
        """The pictures of `job`, None without an output to show.

        The content keeps its scale to the output, unless it would not fit into its frame.
        """
        output = None if job.to_pipe else _read(job.output, self._run.max_pixels)
        if output is None:
            return None
        width, height = output.width, output.height
        scale = min(1.0, self._side / max(width, height))
        small = Small(*images.jpeg_thumbnail(output, scale))
        # Two large pictures need not be in memory together.
        del output
        piped = job.picture.piped is not None
        return Pair(small, None if piped else self._content(job.picture.path, width, height), width, height)

    def _small_content(self, path: Path, width: int, height: int) -> Small | None:
        """The content of an output of this size."""
        content = _read(path, self._run.max_pixels, self._run.frame)
        if content is None:
            return None
        fit = min(1.0, width / content.width, height / content.height)
        return Small(*images.jpeg_thumbnail(content, fit * min(1.0, self._side / max(width, height))))


def _read(path: Path, max_pixels: int, frame: int | None = None) -> images.Picture | None:
    """The picture; None when it is gone or cannot be read, which must not cost a run its report."""
    try:
        return images.read(path, max_pixels=max_pixels, frame=frame)
    except (InputError, MemoryError):
        return None


OWN = frozenset(
    {
        "command", "content", "content_labels", "exemplars", "guide", "guide_of", "hole", "index", "key",
        "mask", "part", "siblings", "style", "styles", "weights",
    }
)  # fmt: skip
"""Keys of a record that say which files an output was made from; all others are settings."""

_ENTRY = re.compile(r"^(?=\w+:)", re.MULTILINE)
"""Where a key of the outermost level begins."""


class Blocks:
    """Settings in the order in which they were first seen, numbered from 1."""

    def __init__(self) -> None:
        """None yet."""
        self._uses: Counter[str] = Counter()
        self._numbers: dict[str, int] = {}

    def number(self, block: str) -> int:
        """Of `block`, which is used once more."""
        self._uses[block] += 1
        return self._numbers.setdefault(block, len(self._numbers) + 1)

    def __len__(self) -> int:
        """How many differ."""
        return len(self._numbers)

    def __iter__(self) -> Iterator[tuple[int, str, int]]:
        """Number, text, and how often it was used."""
        return ((number, block, self._uses[block]) for block, number in self._numbers.items())


def divided(text: str) -> tuple[str, str]:
    """The settings that an output carries as its own part, what it was made from, and the part to share.

    Taken apart as text: reading YAML would take longer than making the small pictures.
    """
    own: list[str] = []
    shared: list[str] = []
    for entry in _ENTRY.split(text):
        (own if entry.partition(":")[0] in OWN else shared).append(entry)
    return "".join(own), "".join(shared)


def settings_of(path: Path) -> str:
    """What `images.embedded_settings` finds, or nothing."""
    try:
        return images.embedded_settings(path)
    except (InputError, OSError):
        return ""
